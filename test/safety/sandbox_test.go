//go:build linux

package safety

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

// reach is a stdio server whose only tool tries to reach what it is told to.
func reach([]string) {
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadBytes('\n')
		var m message
		if json.Unmarshal(line, &m) == nil && m.ID != nil {
			var result any = object{}
			switch m.Method {
			case "initialize":
				result = object{"protocolVersion": "2025-06-18", "capabilities": object{"tools": object{}}, "serverInfo": object{"name": "reach", "version": "1"}}
			case "tools/list":
				result = object{"tools": []object{{"name": "reach", "inputSchema": object{"type": "object"}}}}
			case "tools/call":
				way, _ := m.Params.Arguments["way"].(string)
				to, _ := m.Params.Arguments["to"].(string)
				result = object{"content": []object{{"type": "text", "text": reached(way, to)}}}
			}
			text, _ := json.Marshal(object{"jsonrpc": "2.0", "id": m.ID, "result": result})
			fmt.Printf("%s\n", text)
		}
		if err != nil {
			return
		}
	}
}

// reached says what came of it: what was answered, or why nothing was.
func reached(way, to string) string {
	const soon = 3 * time.Second // everything is on this machine; what is closed may not answer at all
	switch way {
	case "proxy":
		proxy, err := url.Parse(os.Getenv("HTTPS_PROXY"))
		if err != nil || proxy.Host == "" {
			return "error: no proxy in the environment"
		}
		// Not http.ProxyFromEnvironment: that reaches loopback without a proxy.
		c := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy)}}
		resp, err := c.Get(to)
		if err != nil {
			return "error: " + err.Error()
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return fmt.Sprintf("%d %s", resp.StatusCode, body)
	default:
		c, err := net.DialTimeout(way, to, soon)
		if err != nil {
			return "error: " + err.Error()
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(soon))
		_, _ = io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
		answer, err := io.ReadAll(c)
		return fmt.Sprintf("%s %v", answer, err)
	}
}

// TestAProgramInASandboxReachesWhatItMayAndNothingElse starts a program at level 2
// whose network is the gateway's proxy, and has it try everything: what its list
// allows, what it does not, and each way around the proxy. Another one, whose
// network is none, reaches nothing.
func TestAProgramInASandboxReachesWhatItMayAndNothingElse(t *testing.T) {
	if r := sandbox.Probe(t.Context()); r.Level < sandbox.Namespaces {
		t.Skipf("this system gives sandboxes up to level %s: %s", r.Level, r.Missing)
	}
	var strangers atomic.Int64
	listen := func(address string, hits *atomic.Int64, text string) string {
		t.Helper()
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			hits.Add(1)
			_, _ = io.WriteString(w, text)
		})}}
		s.Start()
		t.Cleanup(s.Close)
		return l.Addr().String()
	}
	var wanted atomic.Int64
	allowed, closed := listen("127.0.0.2:0", &wanted, "welcome"), listen("127.0.0.1:0", &strangers, "who are you?")
	udp, err := net.ListenPacket("udp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := func(network object) object {
		network["level"], network["min_level"] = 2, 2
		return object{"command": []string{self, "reach"}, "sandbox": network}
	}
	g := start(t, home(t), object{"log": object{"level": "debug"}, "defaults": object{"health": object{"interval": "0s"}}, "servers": object{
		"some": program(object{"network": "proxy", "hosts": []string{"127.0.0.2"}}),
		"none": program(object{"network": "none"}),
	}})
	c := g.caller("")
	for _, tt := range []struct{ name, server, way, to, want string }{
		{"what is on the list", "some", "proxy", "http://" + allowed + "/", "200 welcome"},
		{"what is not", "some", "proxy", "http://" + closed + "/", "403 "},
		{"a tunnel to what is not", "some", "proxy", "https://" + closed + "/", "Forbidden"},
		{"the gateway itself", "some", "proxy", g.url + "/health", "403 "},
		{"metadata of a cloud", "some", "proxy", "http://169.254.169.254/latest/meta-data/", "403 "},
		{"what is on the list, past the proxy", "some", "tcp", allowed, "error: "},
		{"by UDP", "some", "udp", udp.LocalAddr().String(), "read udp"},
		{"the gateway past the proxy", "some", "tcp", strings.TrimPrefix(g.url, "http://"), "error: "},
		{"with no network, a proxy", "none", "proxy", "http://" + allowed + "/", "error: no proxy"},
		{"with no network, past one", "none", "tcp", allowed, "error: "},
	} {
		got, err := c.call(tt.server+"__reach", object{"way": tt.way, "to": tt.to})
		text, _ := json.Marshal(got["result"])
		if err != nil || !strings.Contains(string(text), tt.want) {
			t.Errorf("%s: got %v, %v, want %q", tt.name, got, err, tt.want)
		}
	}
	if strangers.Load() != 0 || wanted.Load() != 1 {
		t.Errorf("the closed server was reached %d times and the open one %d times, want never and once", strangers.Load(), wanted.Load())
	}
	_ = udp.SetReadDeadline(time.Now())
	if n, from, err := udp.ReadFrom(make([]byte, 100)); err == nil {
		t.Errorf("%d bytes came by UDP from %v", n, from)
	}
	if !strings.Contains(string(g.said("stderr")), "wanted to reach what is closed") {
		t.Error("the log does not say what was refused")
	}
	if _, body := c.get("/mcp/some/health"); !strings.Contains(string(body), `"level 2"`) {
		t.Errorf("health of the server does not say its level:\n%s", body)
	}
}
