package app_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/internal/builtin"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/supervisor"
)

func TestMain(m *testing.M) {
	supervisor.ShimMain(os.Args)
	if len(os.Args) > 1 && os.Args[1] == "fickle" {
		beFickle()
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "mute" {
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	}
	goleak.VerifyTestMain(m)
}

func parse(t *testing.T, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// run serves a configuration until the test ends.
func run(t *testing.T, text string) (*app.App, *app.Server, string) {
	t.Helper()
	a, err := app.Open(parse(t, text), app.Options{Version: "test", Servers: builtin.Open})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, a)
	return a, s, "http://" + s.Addr().String()
}

// serve serves an App until the test ends.
func serve(t *testing.T, a *app.App) *app.Server {
	t.Helper()
	s, err := a.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		closing, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
		defer cancel()
		if err := a.Close(closing); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func fetch(t *testing.T, method, url, body string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

const initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`

func post(t *testing.T, url, body string, header ...string) (int, string) {
	t.Helper()
	return fetch(t, "POST", url, body, append([]string{"Content-Type", "application/json", "Accept", "application/json, text/event-stream"}, header...)...)
}

func TestEndpoints(t *testing.T) {
	_, _, url := run(t, "listen: 127.0.0.1:0\nservers: {time: {builtin: time}, clock: {builtin: time}}\nviews: {small: {tools: [time__now]}}\n")
	for _, c := range []struct {
		path string
		want int
		has  string
	}{
		{"/mcp", 200, `"name":"dragoman"`},
		{"/mcp/time", 200, `"name":"time"`},
		{"/mcp/small", 200, `"name":"dragoman"`},
		{"/mcp/none", 404, "there is no server or view named none"},
	} {
		if status, text := post(t, url+c.path, initialize); status != c.want || !strings.Contains(text, c.has) {
			t.Errorf("initialize at %s: %d %s, want %d and %s", c.path, status, text, c.want, c.has)
		}
	}
	for path, has := range map[string]string{
		"/":                "/mcp/{server}",
		"/health":          `"server_name": "dragoman"`,
		"/ready":           `"status": "ready"`,
		"/mcp/time/health": `"circuit_breaker_state": "closed"`,
		"/metrics":         "dragoman_build_info",
	} {
		if status, text := fetch(t, "GET", url+path, ""); status != 200 || !strings.Contains(text, has) {
			t.Errorf("GET %s: %d %.200s, want %s", path, status, text, has)
		}
	}
	if status, _ := fetch(t, "GET", url+"/debug/pprof/", ""); status != 404 {
		t.Errorf("profiles are answered with %d though nobody asked for them", status)
	}
}

func TestTheServersHealthHasTheNamesThatDashboardsRead(t *testing.T) {
	_, _, url := run(t, "listen: 127.0.0.1:0\nservers: {time: {builtin: time}}\n")
	_, text := fetch(t, "GET", url+"/mcp/time/health", "")
	var body map[string]any
	if err := json.Unmarshal([]byte(text), &body); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"status", "server_name", "version", "timestamp", "uptime_seconds", "metrics", "dependencies"} {
		if _, ok := body[name]; !ok {
			t.Errorf("%s is missing in %s", name, text)
		}
	}
	figures, _ := body["metrics"].(map[string]any)
	for _, name := range []string{"memory_usage_mb", "active_connections", "request_count", "error_count", "error_rate", "average_response_time_ms", "circuit_breaker_state"} {
		if _, ok := figures[name]; !ok {
			t.Errorf("metrics.%s is missing in %s", name, text)
		}
	}
}

func TestOnlyWhoMayComesIn(t *testing.T) {
	_, _, url := run(t, "listen: 127.0.0.1:0\nauth: {tokens: [{name: me, token: 0123456789abcdef}]}\nservers: {time: {builtin: time}}\n")
	if status, _ := post(t, url+"/mcp", initialize); status != 401 {
		t.Errorf("without a token: %d, want 401", status)
	}
	if status, _ := post(t, url+"/mcp", initialize, "Authorization", "Bearer 0123456789abcdef"); status != 200 {
		t.Errorf("with the token: %d, want 200", status)
	}
	if status, _ := post(t, url+"/mcp", initialize, "Authorization", "Bearer 0123456789abcdef", "Origin", "https://evil.example"); status != 403 {
		t.Errorf("from a page that may not call: %d, want 403", status)
	}
	for _, path := range []string{"/metrics", "/mcp/time/health", "/sse"} {
		if status, _ := fetch(t, "GET", url+path, ""); status != 401 {
			t.Errorf("GET %s without a token: %d, want 401", path, status)
		}
	}
	if status, text := fetch(t, "GET", url+"/ready", ""); status != 200 || strings.Contains(text, "time") {
		t.Errorf("strangers learn of the servers: %d %s", status, text)
	}
}

func TestListeningBeyondThisMachineNeedsTokens(t *testing.T) {
	cfg := parse(t, "listen: 127.0.0.1:0\nservers: {time: {builtin: time}}\n")
	cfg.Listen = "0.0.0.0:0"
	a, err := app.Open(cfg, app.Options{Version: "test", Servers: builtin.Open})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close(context.Background())
	if _, err := a.Listen(t.Context()); err == nil || !strings.Contains(err.Error(), "auth.tokens") {
		t.Errorf("listen on all addresses without tokens: %v, want an error that names auth.tokens", err)
	}
}

func TestReload(t *testing.T) {
	a, _, url := run(t, "listen: 127.0.0.1:0\nservers: {time: {builtin: time}}\n")
	if err := a.Reload(parse(t, "listen: 127.0.0.1:0\nservers: {clock: {builtin: time}}\n")); err != nil {
		t.Fatal(err)
	}
	if status, _ := post(t, url+"/mcp/clock", initialize); status != 200 {
		t.Errorf("a new server: %d, want 200", status)
	}
	if status, _ := post(t, url+"/mcp/time", initialize); status != 404 {
		t.Errorf("a server that is gone: %d, want 404", status)
	}
	bad := parse(t, "listen: 127.0.0.1:0\nservers: {clock: {builtin: time, settings: {x: 1}}}\n")
	if err := a.Reload(bad); err == nil || !strings.Contains(err.Error(), "settings.x: unknown key") {
		t.Errorf("a faulty configuration: %v, want what is wrong", err)
	}
	if status, _ := post(t, url+"/mcp/clock", initialize); status != 200 {
		t.Errorf("after a faulty reload: %d, want 200 as before", status)
	}
}
