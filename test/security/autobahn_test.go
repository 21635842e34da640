package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/websocket"
)

var wstest = flag.String("wstest", "", "`FILE` of the program wstest of Autobahn; see test/security/setup")

// deviates says why a case of Autobahn 0.8.2 comes out otherwise than it wants; empty when it must not.
func deviates(name string) string {
	binary := []string{"1.2.", "9.2.", "9.4.", "9.6.", "9.8."}
	switch {
	case slices.ContainsFunc(binary, func(p string) bool { return strings.HasPrefix(name, p) }):
		return "MCP is text: binary messages are refused with 1003"
	case name == "7.5.1":
		return "the library does not look at the text of a close frame, and nobody reads it"
	}
	return ""
}

type verdict struct{ Behavior, BehaviorClose string }

// judge reads Autobahn's report about an agent.
func judge(t *testing.T, dir string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var agents map[string]map[string]verdict
	if err := json.Unmarshal(text, &agents); err != nil || len(agents) != 1 {
		t.Fatalf("Autobahn's report has %d agents, error %v, want one", len(agents), err)
	}
	count := map[string]int{}
	for _, cases := range agents {
		if len(cases) < 240 {
			t.Errorf("Autobahn tried %d cases, want at least 240", len(cases))
		}
		for name, v := range cases {
			good := v.Behavior == "OK" || v.Behavior == "NON-STRICT" || v.Behavior == "INFORMATIONAL"
			why := deviates(name)
			switch {
			case good:
				count[strings.ToLower(v.Behavior)]++
			case why != "":
				count["otherwise on purpose"]++
			default:
				t.Errorf("case %s: %s, close %s", name, v.Behavior, v.BehaviorClose)
			}
		}
	}
	t.Logf("corpus: Autobahn 0.8.2: %d cases as it wants, %d not strict, %d that only inform, %d otherwise on purpose", count["ok"], count["non-strict"], count["informational"], count["otherwise on purpose"])
}

// spec writes what Autobahn is to do. Compression (12 and 13) is not offered and not tried.
func spec(t *testing.T, settings map[string]any) (file, reports string) {
	t.Helper()
	dir := t.TempDir()
	reports = filepath.Join(dir, "reports")
	settings["outdir"], settings["cases"], settings["exclude-cases"], settings["exclude-agent-cases"] = reports, []string{"*"}, []string{"12.*", "13.*"}, map[string]any{}
	text, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "spec.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, reports
}

// echo sends back whatever comes.
func echo(ctx context.Context, c mcp.Conn) error {
	for {
		message, err := c.Read(ctx)
		if err != nil {
			return err
		}
		if err := c.Write(ctx, message); err != nil {
			return err
		}
	}
}

func TestWebSocketServer(t *testing.T) {
	if *wstest == "" {
		t.Skip("no -wstest given")
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Upgrade(w, r, websocket.Options{})
		if err != nil {
			t.Errorf("upgrade: %v", err)
			return
		}
		_ = echo(r.Context(), c) // how it ends is what Autobahn looks at
		_ = c.Close()
	}))
	defer srv.Close()
	file, reports := spec(t, map[string]any{"servers": []any{map[string]any{"agent": "dragoman", "url": "ws" + strings.TrimPrefix(srv.URL, "http")}}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, *wstest, "-m", "fuzzingclient", "-s", file).CombinedOutput(); err != nil {
		t.Fatalf("wstest: %v\n%s", err, out)
	}
	judge(t, reports)
}

// freePort is one that nobody listens on now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestWebSocketClient(t *testing.T) {
	if *wstest == "" {
		t.Skip("no -wstest given")
	}
	base := "ws://127.0.0.1:" + strconv.Itoa(freePort(t))
	file, reports := spec(t, map[string]any{"url": base})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, *wstest, "-m", "fuzzingserver", "-s", file, "-u", "0")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	open := func(path string) (mcp.Conn, error) {
		return websocket.Dial(ctx, base+path, websocket.Options{HTTPClient: &http.Client{Transport: transport}})
	}
	var c mcp.Conn
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for c == nil { // until it listens
		var err error
		if c, err = open("/getCaseCount"); err != nil {
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatal(err)
			}
		}
	}
	text, err := c.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	cases, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= cases; n++ {
		c, err := open(fmt.Sprintf("/runCase?case=%d&agent=dragoman", n))
		if err != nil {
			t.Fatalf("case %d: %v", n, err)
		}
		_ = echo(ctx, c) // how it ends is what Autobahn looks at
		_ = c.Close()
	}
	if c, err = open("/updateReports?agent=dragoman"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(ctx); !errors.Is(err, io.EOF) {
		t.Errorf("wait for the report: got %v, want the end", err)
	}
	_ = c.Close()
	judge(t, reports)
}
