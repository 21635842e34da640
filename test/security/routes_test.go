package main

import (
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/internal/auth/as"
	"github.com/dragoman-mcp/dragoman/internal/auth/credential"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// routes reads from the source of internal/app what is answered, and by which door. It also proves that nothing else is:
// every pattern goes through public or private, and nothing else gives the mux a handler.
func routes(t *testing.T) map[string][]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../internal/app/serve.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	handed := 0
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		switch f := call.Fun.(type) {
		case *ast.Ident:
			if f.Name == "public" || f.Name == "private" {
				found[f.Name] = append(found[f.Name], pattern(t, call.Args[0]))
			}
		case *ast.SelectorExpr:
			if x, ok := f.X.(*ast.Ident); ok && x.Name == "mux" && (f.Sel.Name == "Handle" || f.Sel.Name == "HandleFunc") {
				handed++
			}
		}
		return true
	})
	if handed != 2 {
		t.Errorf("the mux is given handlers in %d places, want the two that put a door before them", handed)
	}
	return found
}

// pattern is a literal, or one with a path of internal/auth/as behind it.
func pattern(t *testing.T, e ast.Expr) string {
	t.Helper()
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		if err != nil {
			t.Fatal(err)
		}
		return text
	case *ast.BinaryExpr:
		return pattern(t, e.X) + pattern(t, e.Y)
	case *ast.SelectorExpr:
		path, ok := map[string]string{
			"PathAuthorize": as.PathAuthorize, "PathToken": as.PathToken, "PathRegister": as.PathRegister, "PathRevoke": as.PathRevoke,
			"PathLogin": credential.PathLogin, "PathCallback": credential.PathCallback, "PathClient": credential.PathClient,
		}[e.Sel.Name]
		if !ok {
			t.Fatalf("a route is %s, of which this test does not know where it leads", e.Sel.Name)
		}
		return path
	}
	t.Fatalf("a route is neither text nor a known name: %T", e)
	return ""
}

// Who adds a route that asks nobody who they are has to say so here.
func TestRoutesThatAskNobodyAreTheseAndNoOthers(t *testing.T) {
	got := routes(t)["public"]
	slices.Sort(got)
	want := []string{"GET /.well-known/jwks.json", "GET /.well-known/oauth-authorization-server", "GET /.well-known/oauth-protected-resource", "GET /.well-known/oauth-protected-resource/{path...}",
		"GET /.well-known/openid-configuration", "GET /health", "GET /oauth/authorize", "GET /oauth/callback", "GET /oauth/client.json", "GET /oauth/login",
		"GET /ready", "GET /{$}", "POST /oauth/authorize", "POST /oauth/login", "POST /oauth/register", "POST /oauth/revoke", "POST /oauth/token", "POST /revoke", "POST /token"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("public routes (-want +got):\n%s", diff)
	}
}

const (
	adminToken   = "admin-0123456789abcdef"
	userToken    = "user-0123456789abcdef"
	malloryToken = "mallory-0123456789abcdef"
)

// recorder is a server that notes what reaches it, apart from what the gateway itself asks.
type recorder struct {
	mu   sync.Mutex // guards seen
	seen []string
}

func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.seen
	r.seen = nil
	return seen
}

func (r *recorder) Handle(_ context.Context, req *mcp.Request) (mcp.Result, error) {
	text := ""
	switch req.Method {
	case "server/discover":
		text = `{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{},"prompts":{},"resources":{"subscribe":true},"completions":{}},"serverInfo":{"name":"r","version":"1"}}`
	case "tools/list":
		text = `{"resultType":"complete","tools":[{"name":"echo","inputSchema":{"type":"object"}},{"name":"drop","inputSchema":{"type":"object"}}]}`
	case "prompts/list":
		text = `{"resultType":"complete","prompts":[{"name":"p"}]}`
	case "resources/list":
		text = `{"resultType":"complete","resources":[{"name":"x","uri":"test://x"}]}`
	case "resources/templates/list":
		text = `{"resultType":"complete","resourceTemplates":[]}`
	default:
		r.mu.Lock()
		r.seen = append(r.seen, req.Method+" "+req.Name)
		r.mu.Unlock()
		text = `{"resultType":"complete","content":[],"messages":[],"contents":[],"completion":{"values":[]}}`
	}
	o, err := jsonrpc.ParseObject([]byte(text), jsonrpc.Limits{})
	if err != nil {
		return mcp.Result{}, err
	}
	return mcp.Result{Object: o}, nil
}

func serve(t *testing.T, text string, r *recorder) (*app.App, string) {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.Open(cfg, app.Options{Version: "test", Builtin: func(string, json.RawMessage) (mcp.Handler, error) { return r, nil }})
	if err != nil {
		t.Fatal(err)
	}
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
		closing, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := a.Close(closing); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return a, "http://" + s.Addr().String()
}

const guarded = `
listen: 127.0.0.1:0
telemetry: {metrics: true, profiling: true}
shutdown: {drain_timeout: 1s}
auth: {tokens: [{name: admin, token: ` + adminToken + `, roles: [admin]}, {name: user, token: ` + userToken + `}, {name: mallory, token: ` + malloryToken + `}]}
servers: {r: {builtin: recorder}, q: {builtin: recorder}}
access:
  policies:
    - {name: nothing, text: 'forbid(principal == User::"mallory", action, resource);'}
    - {name: some, text: 'forbid(principal == User::"user", action, resource == Tool::"r/drop");'}
`

// ask makes a request whose answer need not end; a stream is left after its head.
func ask(t *testing.T, method, url, bearer, body string, header map[string]string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") && method == http.MethodGet {
		return resp.StatusCode, ""
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return resp.StatusCode, string(text)
}

// T20, T62: the door is before every route, whatever the method, and no method that nobody has heard of gets past it.
func TestTheDoorIsBeforeEveryRouteAndMethod(t *testing.T) {
	r := &recorder{}
	_, url := serve(t, guarded, r)
	table := routes(t)
	if len(table["private"]) < 8 {
		t.Fatalf("only %d private routes were found: %v", len(table["private"]), table["private"])
	}
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "QUERY", "BREW", "get"}
	tried := 0
	for _, pattern := range table["private"] {
		_, path, ok := strings.Cut(pattern, " ")
		if !ok {
			path = pattern
		}
		path = strings.NewReplacer("{name}", "r", "{$}", "").Replace(path)
		if strings.HasPrefix(path, "/debug/pprof/") && path != "/debug/pprof/" {
			path += "?seconds=1"
		}
		for _, method := range methods {
			for who, bearer := range map[string]string{"nobody": "", "somebody else": "wrong-0123456789abcdef", "half a token": adminToken[:20]} {
				status, text := ask(t, method, url+path, bearer, "{}", nil)
				tried++
				if status != http.StatusUnauthorized && status != http.StatusMethodNotAllowed && status != http.StatusNotFound {
					t.Errorf("%s %s as %s: got HTTP %d %.200s, want it turned away", method, path, who, status, text)
				}
				if status != http.StatusUnauthorized && strings.HasPrefix(pattern, method+" ") {
					t.Errorf("%s %s as %s: got HTTP %d, want 401: the route is there", method, path, who, status)
				}
			}
		}
	}
	if seen := r.take(); len(seen) > 0 {
		t.Errorf("what reached the server: %q, want nothing", seen)
	}
	t.Logf("%d requests to %d private routes, none let in", tried, len(table["private"]))
}

// messages are all methods that a server may be asked for, some that it may not, and some that do not exist.
func calls() map[string]string {
	return map[string]string{
		"tools/call": `"name":"r__echo","arguments":{},`, "prompts/get": `"name":"r__p",`, "resources/read": `"uri":"test://x",`,
		"completion/complete": `"ref":{"type":"ref/prompt","name":"r__p"},"argument":{"name":"a","value":""},`, "tasks/get": `"taskId":"t",`, "tasks/cancel": `"taskId":"t",`, "tasks/update": `"taskId":"t",`, "tasks/result": `"taskId":"t",`,
		"resources/subscribe": `"uri":"test://x",`, "resources/unsubscribe": `"uri":"test://x",`, "logging/setLevel": `"level":"debug",`, "ping": "", "initialize": `"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"a","version":"1"},`,
		"sampling/createMessage": "", "elicitation/create": "", "roots/list": "", "no/such": `"name":"r__echo",`, "Tools/Call": `"name":"r__echo",`, "tools/call ": `"name":"r__echo",`, "r/tools/call": `"name":"echo",`,
	}
}

func message(method, params string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":%q,"params":{%s"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`, method, params)
}

func send(t *testing.T, url, path, bearer, method, params string) (int, string) {
	t.Helper()
	header := map[string]string{"Content-Type": "application/json", "Accept": "application/json, text/event-stream", "Mcp-Protocol-Version": "2026-07-28", "Mcp-Method": method}
	for _, key := range []string{"name", "uri", "taskId"} {
		var p map[string]any
		if json.Unmarshal([]byte("{"+params+`"":0}`), &p) == nil && p[key] != nil {
			header["Mcp-Name"] = fmt.Sprint(p[key])
		}
	}
	return ask(t, http.MethodPost, url+path, bearer, message(method, params), header)
}

// T28, T62: the decision stands before each method, at every endpoint: who is refused everything reaches no server by any of
// them, a user reaches what policies leave, and an administrator all.
func TestTheDecisionIsBeforeEveryMethodAndEndpoint(t *testing.T) {
	r := &recorder{}
	_, url := serve(t, guarded, r)
	endpoints := map[string]string{"/mcp": "r__", "/mcp/r": "", "/mcp/q": ""}
	for endpoint, prefix := range endpoints {
		own := func(params string) string { return strings.ReplaceAll(params, "r__", prefix) }
		for method, params := range calls() {
			for who, bearer := range map[string]string{"nobody": "", "mallory": malloryToken} {
				status, text := send(t, url, endpoint, bearer, method, own(params))
				if seen := r.take(); len(seen) > 0 || status >= http.StatusInternalServerError {
					t.Errorf("%s at %s as %s: got HTTP %d %.200s, and %q at the server, want nothing there", method, endpoint, who, status, text, seen)
				}
			}
		}
		for _, c := range []struct{ who, bearer, method, params, want string }{
			{"user", userToken, "tools/call", `"name":"r__echo","arguments":{},`, "tools/call echo"}, {"admin", adminToken, "tools/call", `"name":"r__echo","arguments":{},`, "tools/call echo"},
			{"admin", adminToken, "tools/call", `"name":"r__drop","arguments":{},`, "tools/call drop"}, {"user", userToken, "prompts/get", `"name":"r__p",`, "prompts/get p"},
		} {
			status, text := send(t, url, endpoint, c.bearer, c.method, own(c.params))
			if seen := r.take(); len(seen) != 1 || seen[0] != c.want {
				t.Errorf("%s at %s as %s: got HTTP %d %.200s, and %q at the server, want %q", c.method, endpoint, c.who, status, text, seen, c.want)
			}
		}
	}
	for _, endpoint := range []string{"/mcp", "/mcp/r"} {
		status, text := send(t, url, endpoint, userToken, "tools/call", `"name":"`+endpoints[endpoint]+`drop","arguments":{},`)
		if seen := r.take(); len(seen) > 0 {
			t.Errorf("drop at %s as user: got HTTP %d %.200s, and %q at the server, want nothing there", endpoint, status, text, seen)
		}
	}
}

// T62: a reload that is refused changes nothing of who may come in, and one that opens the door beyond this machine is refused.
func TestAReloadDoesNotOpenTheDoor(t *testing.T) {
	r := &recorder{}
	a, url := serve(t, guarded, r)
	for name, text := range map[string]string{
		"a policy that does not parse": strings.Replace(guarded, "forbid(principal ==", "forbid((principal ==", 1),
		"a token that is too short":    strings.Replace(guarded, adminToken, "x", 1),
		"an unknown section":           guarded + "auht: {}\n",
	} {
		cfg, err := config.Parse("test.yaml", []byte(text), func(string) (string, bool) { return "", false })
		if err == nil {
			err = a.Reload(cfg)
		}
		if err == nil {
			t.Errorf("%s: the reload was taken, want it refused", name)
		}
		if status, _ := send(t, url, "/mcp", "", "tools/list", ""); status != http.StatusUnauthorized {
			t.Errorf("after %s: got HTTP %d without a token, want 401", name, status)
		}
		if _, _ = send(t, url, "/mcp", malloryToken, "tools/call", calls()["tools/call"]); len(r.take()) > 0 {
			t.Errorf("after %s: mallory reaches the server", name)
		}
	}
	for _, listen := range []string{"0.0.0.0:0", "[::]:0", ":0", "192.0.2.1:0"} {
		text := "listen: \"" + listen + "\"\nservers: {r: {builtin: recorder}}\n"
		cfg, err := config.Parse("test.yaml", []byte(text), func(string) (string, bool) { return "", false })
		if err == nil {
			b, fault := app.Open(cfg, app.Options{Builtin: func(string, json.RawMessage) (mcp.Handler, error) { return r, nil }})
			if fault != nil {
				t.Fatal(fault)
			}
			if _, err = b.Listen(t.Context()); err == nil {
				t.Errorf("listen %s without auth: it listens", listen)
			}
			_ = b.Close(context.Background())
		}
	}
}
