//go:build linux

package safety

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// page keeps what is written to it.
type page struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write implements io.Writer.
func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *page) bytes() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.text.Bytes())
}

// TestAServerInTheProcessThatPanicsWithASecretTellsNobody has a server within the
// gateway's own process that panics with what it was given, as an error, as a text
// and as a value; and one that gives it as an error. The gateway goes on, and
// neither its log nor its audit log has it.
func TestAServerInTheProcessThatPanicsWithASecretTellsNobody(t *testing.T) {
	m, dir := newMint(), t.TempDir()
	text, err := json.Marshal(object{"listen": "127.0.0.1:0", "log": object{"level": "debug"}, "servers": object{"boom": object{"builtin": "boom"}},
		"audit": object{"dir": filepath.Join(dir, "audit"), "reads": "strict"}})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("safety.yaml", text, nil)
	if err != nil {
		t.Fatal(err)
	}
	log := &page{}
	a, err := app.Open(cfg, app.Options{Version: "safety", LogOutput: log, Builtin: func(string, json.RawMessage) (mcp.Handler, error) { return mcp.HandlerFunc(boom), nil }})
	if err != nil {
		t.Fatal(err)
	}
	server, err := a.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	c := &caller{t: t, url: "http://" + server.Addr().String(), http: &http.Client{Transport: &http.Transport{}}}
	answers := 0
	for i := range len(m.forms) * 4 {
		kind := []string{"text", "error", "value", "returned"}[i%4]
		got, err := c.call("boom__now", object{"text": m.issue("a panic with a "+kind, i/4).inText(), "kind": kind})
		if err != nil || got["error"] == nil {
			t.Errorf("call that ends in a panic with a %s: got %v, %v, want an error", kind, got, err)
		}
		answers++
	}
	c.http.CloseIdleConnections()
	stop()
	closing, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := errors.Join(<-done, a.Close(closing)); err != nil {
		t.Error(err)
	}
	if n := bytes.Count(log.bytes(), []byte("panic")); n < answers/2 {
		t.Errorf("the log tells of panics %d times, want at least %d: is it looked at where they are told?\n%s", n, answers/2, tail(log.bytes()))
	}
	leaks := m.search("the log", log.bytes())
	files, err := filepath.Glob(filepath.Join(dir, "audit", "*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("the audit log has files %v, %v", files, err)
	}
	for _, name := range files {
		if content, err := os.ReadFile(name); err == nil { // checkpoints are a directory
			leaks = append(leaks, m.search("the audit log", content)...)
		}
	}
	for _, l := range leaks {
		t.Errorf("%s, given in %s, is in %s:\n\t…%q…", l.canary.kind, l.canary.where, l.place, l.around)
	}
}

// boom answers what any server answers, and panics in calls.
func boom(_ context.Context, req *mcp.Request) (mcp.Result, error) {
	switch req.Method {
	case "server/discover":
		return mcp.RawResult([]byte(`{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"resultType":"complete","ttlMs":0,"cacheScope":"private"}`)), nil
	case "tools/list":
		return mcp.RawResult([]byte(`{"tools":[{"name":"now","inputSchema":{"type":"object"}}],"resultType":"complete","ttlMs":0,"cacheScope":"private"}`)), nil
	case "tools/call":
	default:
		return mcp.EmptyResult(), nil
	}
	var params struct{ Arguments struct{ Text, Kind string } }
	if err := json.Unmarshal(req.Params.Raw(), &params); err != nil {
		return mcp.Result{}, err
	}
	text := params.Arguments.Text
	switch params.Arguments.Kind {
	case "error":
		panic(errors.Join(io.ErrUnexpectedEOF, errors.New(text)))
	case "value":
		panic(struct{ Lines []string }{strings.Split(text, "\n")})
	case "returned":
		return mcp.Result{}, errors.New(text)
	default:
		panic(text)
	}
}
