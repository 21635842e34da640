package tasks

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/supervisor"
)

// patience is how long anything may take. The real server's task takes four seconds.
const patience = 60 * time.Second

func TestMain(m *testing.M) {
	supervisor.ShimMain(os.Args) // the test binary is also the guard of its child processes
	goleak.VerifyTestMain(m)
}

type object = map[string]any

// open runs a gateway of servers until the test ends, and returns its address.
func open(t *testing.T, servers object) string {
	t.Helper()
	text, err := json.Marshal(object{
		"listen": "127.0.0.1:0", "servers": servers, "log": object{"level": "debug", "format": "text"},
		// Its tasks keep server-everything from ending by itself.
		"defaults": object{"stop_timeout": "500ms"},
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Parse("tasks.yaml", text, nil)
	if err != nil {
		t.Fatal(err)
	}
	var log journal
	a, err := app.Open(cfg, app.Options{Version: "tasks", Environ: os.Environ(), LogOutput: &log})
	if err != nil {
		t.Fatal(err)
	}
	server, err := a.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run the gateway: %v", err)
		}
		closing, stop := context.WithTimeout(context.Background(), patience)
		defer stop()
		if err := a.Close(closing); err != nil {
			t.Errorf("close the gateway: %v", err)
		}
		if t.Failed() {
			t.Logf("the gateway's log:\n%s", log.text())
		}
	})
	return "http://" + server.Addr().String()
}

// journal keeps the gateway's log for a test that fails.
type journal struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) text() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// caller is a client of 2026-07-28 over HTTP.
type caller struct {
	url          string
	capabilities object
}

// reply is what came of a request: its notifications, then its response.
type reply struct {
	progress []string // messages
	response object
}

// ask sends one request.
func (c caller) ask(t *testing.T, method string, params object) reply {
	t.Helper()
	params["_meta"] = object{
		"io.modelcontextprotocol/protocolVersion":    "2026-07-28",
		"io.modelcontextprotocol/clientCapabilities": c.capabilities,
		"progressToken": "p", "grease": []any{1},
	}
	body, err := json.Marshal(object{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{
		"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"},
		"Mcp-Protocol-Version": {"2026-07-28"}, "Mcp-Method": {method},
	}
	for _, key := range []string{"name", "taskId"} {
		if name, ok := params[key].(string); ok {
			req.Header.Set("Mcp-Name", name)
		}
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got reply
	lines := bufio.NewReader(resp.Body)
	for {
		line, err := lines.ReadBytes('\n')
		line = bytes.TrimSpace(bytes.TrimPrefix(line, []byte("data:")))
		var m object
		if json.Unmarshal(line, &m) == nil {
			got.take(m)
		}
		if err != nil {
			return got
		}
	}
}

func (r *reply) take(m object) {
	if m["method"] == nil {
		r.response = m
		return
	}
	params, _ := m["params"].(object)
	if message, ok := params["message"].(string); ok && m["method"] == "notifications/progress" && params["progressToken"] == "p" {
		r.progress = append(r.progress, message)
	}
}

// result is the response's result; the test fails when it is an error.
func (r reply) result(t *testing.T) object {
	t.Helper()
	result, ok := r.response["result"].(object)
	if !ok {
		t.Fatalf("got %v, want a result", r.response)
	}
	return result
}

// code is the response's error code; 0 when it is a result.
func (r reply) code() float64 {
	failure, _ := r.response["error"].(object)
	code, _ := failure["code"].(float64)
	return code
}

// text is what a tool has said.
func text(result object) string {
	var all []string
	content, _ := result["content"].([]any)
	for _, block := range content {
		b, _ := block.(object)
		s, _ := b["text"].(string)
		all = append(all, s)
	}
	return strings.Join(all, "\n")
}
