package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/internal/audit"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// slow is a server whose calls end with their context only, or when they are let go. The tool stubborn has a result then, the
// others an error.
type slow struct {
	begun, ended chan string // the calls, by their argument
	letGo        chan struct{}
}

const answerOfSlow = "what the caller wanted to know"

// Handle implements mcp.Handler.
func (s *slow) Handle(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	switch req.Method {
	case "server/discover":
		return mcp.Result{Object: jsonrpc.Written([]byte(`{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}`), nil)}, nil
	case "tools/call":
	default:
		return mcp.Result{}, mcp.MethodNotFound(req.Method)
	}
	arguments, _ := jsonrpc.Split(req.Params.Get("arguments"))
	who, _ := arguments.String("who")
	s.begun <- who
	var err error
	select {
	case <-ctx.Done():
		err = ctx.Err()
		s.ended <- who
	case <-s.letGo:
	}
	if err != nil && req.Name != "stubborn" {
		return mcp.Result{}, err
	}
	return mcp.Result{Object: jsonrpc.Written([]byte(`{"content":[{"type":"text","text":"`+answerOfSlow+`"}]}`), nil)}, nil
}

// callers are the ways to make a call and wait for its answer, which is empty when there is none.
func (c client) callers() map[string]func(ctx context.Context, token, tool, who string) string {
	const call = `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"%s","arguments":{"who":"%s"}%s}}`
	const stateless = `,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`
	read := func(res *http.Response, err error) string {
		if err != nil {
			return ""
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body) // what has come by the end counts
		return string(body)
	}
	session := func(ctx context.Context, token string) (id string) {
		res, err := c.do(ctx, token, "POST", "/mcp/slow", initialize)
		if read(res, err) == "" {
			return ""
		}
		return res.Header.Get("Mcp-Session-Id")
	}
	return map[string]func(ctx context.Context, token, tool, who string) string{
		"stateless": func(ctx context.Context, token, tool, who string) string {
			return read(c.do(ctx, token, "POST", "/mcp/slow", fmt.Sprintf(call, tool, who, stateless), "Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", tool))
		},
		"in a session": func(ctx context.Context, token, tool, who string) string {
			return read(c.do(ctx, token, "POST", "/mcp/slow", fmt.Sprintf(call, tool, who, ""), "Mcp-Session-Id", session(ctx, token)))
		},
		"in a batch": func(ctx context.Context, token, tool, who string) string {
			res, err := c.do(ctx, token, "POST", "/mcp/slow", strings.Replace(initialize, "2025-06-18", "2025-03-26", 1))
			if read(res, err) == "" {
				return ""
			}
			return read(c.do(ctx, token, "POST", "/mcp/slow", "["+fmt.Sprintf(call, tool, who, "")+"]", "Mcp-Session-Id", res.Header.Get("Mcp-Session-Id")))
		},
		"on a socket": func(ctx context.Context, token, tool, who string) string {
			conn, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(c.url, "http")+"/mcp/slow", &websocket.DialOptions{
				HTTPClient: c.http, Subprotocols: []string{"mcp"}, HTTPHeader: http.Header{"Authorization": {"Bearer " + token}}})
			if err != nil {
				return ""
			}
			defer conn.CloseNow()
			if conn.Write(ctx, websocket.MessageText, []byte(fmt.Sprintf(call, tool, who, stateless))) != nil {
				return ""
			}
			_, answer, _ := conn.Read(ctx) // none when it was closed
			return string(answer)
		},
	}
}

// TestCallsUnderWayEndWithTheCredential takes credentials back while calls are under way: by a reload, and by a revocation. Each
// is cancelled at the server, its caller does not get the answer, and the record says so. The calls of others are not disturbed.
func TestCallsUnderWayEndWithTheCredential(t *testing.T) {
	path, _ := people(t)
	dir := filepath.Join(t.TempDir(), "audit")
	text := fmt.Sprintf("listen: 127.0.0.1:0\nstate: {path: %q}\naudit: {dir: %q}\nauth: {passwords: {enabled: true}, tokens: [{name: ann, token: %s}, {name: bob, token: %s}]}\nservers: {slow: {builtin: time}}\n",
		path, dir, ann, bob)
	server := &slow{begun: make(chan string, 64), ended: make(chan string, 64), letGo: make(chan struct{})}
	a, err := app.Open(parse(t, text), app.Options{Version: "test", Builtin: func(string, json.RawMessage) (mcp.Handler, error) { return server, nil }})
	if err != nil {
		t.Fatal(err)
	}
	s := serve(t, a)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c := client{http: &http.Client{Transport: transport}, url: "http://" + s.Addr().String()}
	_, body := form(t, c.url+"/token", url.Values{"username": {"alice"}, "password": {goodPassword}})
	alice, _ := body["access_token"].(string)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()

	answers := make(map[string]chan string)
	var calls []string
	begin := func(ctx context.Context, way, tool, name, token string) {
		who := name + ", " + way + ", " + tool
		answers[who] = make(chan string, 1)
		go func(answer chan<- string) { answer <- c.callers()[way](ctx, token, tool, who) }(answers[who])
		select {
		case got := <-server.begun:
			if got != who {
				t.Errorf("%q has begun, want %q", got, who)
			}
		case got := <-answers[who]:
			t.Fatalf("%s: answered with %q before it was begun", who, got)
		case <-ctx.Done():
			t.Fatalf("%s: it was not begun", who)
		}
		calls = append(calls, who)
	}
	for _, way := range []string{"stateless", "in a session", "in a batch", "on a socket"} {
		for _, tool := range []string{"obedient", "stubborn"} {
			begin(ctx, way, tool, "ann", ann)
			begin(ctx, way, tool, "alice", alice)
		}
	}
	left, leave := context.WithCancel(ctx)
	begin(left, "in a session", "forgotten", "ann", ann)
	leave() // its client has gone, which cancels nothing
	want := slices.Sorted(slices.Values(calls))
	begin(ctx, "stateless", "obedient", "bob", bob)

	if err := a.Reload(parse(t, strings.Replace(text, "{name: ann, token: "+ann+"}, ", "", 1))); err != nil {
		t.Fatal(err)
	}
	if err := s.Refresh(); err != nil {
		t.Fatal(err)
	}
	form(t, c.url+"/revoke", url.Values{"token": {alice}})
	start := time.Now()
	var ended []string
	for range want {
		select {
		case who := <-server.ended:
			ended = append(ended, who)
		case <-ctx.Done():
			t.Fatalf("only %q have ended at the server, want %q", ended, want)
		}
	}
	if d := cmp.Diff(want, slices.Sorted(slices.Values(ended))); d != "" {
		t.Errorf("calls that ended at the server (-want +got):\n%s", d)
	}
	t.Logf("all had ended after %v", time.Since(start))
	for _, who := range want {
		if got := <-answers[who]; strings.Contains(got, answerOfSlow) || strings.Contains(who, "stateless") && !strings.Contains(got, "revoked") {
			t.Errorf("%s: answered with %q, want to be told that the credential was revoked, and nothing else", who, got)
		}
	}
	close(server.letGo)
	if got := <-answers["bob, stateless, obedient"]; !strings.Contains(got, answerOfSlow) {
		t.Errorf("a caller whose token was not taken back was answered with %q", got)
	}
	recorded := outcomes(t, dir)
	tick := time.NewTicker(20 * time.Millisecond) // of a socket's calls the outcome may come after its end
	defer tick.Stop()
	for ctx.Err() == nil && recorded["revoked"]+recorded["withheld"]+recorded["complete"] <= len(want) {
		<-tick.C
		recorded = outcomes(t, dir)
	}
	if d := cmp.Diff(map[string]int{"revoked": 9, "withheld": 8, "complete": 1}, recorded); d != "" {
		t.Errorf("outcomes on record differ (-want +got):\n%s", d)
	}
}

// outcomes counts what the log says of how calls ended.
func outcomes(t *testing.T, dir string) map[string]int {
	t.Helper()
	all := make(map[string]int)
	err := audit.Tail(t.Context(), dir, 1000, false, func(line []byte) error {
		var r struct{ Kind, Outcome string }
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		if r.Kind == "outcome" {
			all[r.Outcome]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
