package policy_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/policy"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// recorder is a server that answers everything and remembers what it got.
type recorder struct{ got []*mcp.Request }

func (r *recorder) Handle(_ context.Context, req *mcp.Request) (mcp.Result, error) {
	r.got = append(r.got, req)
	return mcp.EmptyResult(), nil
}

func request(t testing.TB, method, params string) *mcp.Request {
	return mcp.ReadRequest(method, object(t, params), mcp.NewClient(mcp.Revision20260728, nil, jsonrpc.Object{}))
}

const guarded = `
@id("reader")
permit(principal == User::"ann", action in [Action::"call_tool", Action::"get_prompt", Action::"read_resource", Action::"subscribe", Action::"complete"], resource)
when { (resource is Tool && resource.name like "read*") || (resource is Prompt && resource.name == "p") || (resource is Resource && resource.uri like "file:///a*") };
@id("writer")
permit(principal == User::"ann", action == Action::"call_tool", resource == Tool::"files/write") when { context.arguments.path like "/tmp/*" };
`

func TestWhatIsRefusedNeverReachesTheServer(t *testing.T) {
	cfg := conf(guarded)
	cfg.Access.DefaultRoles = nil
	p := open(t, cfg, policy.Deps{})
	for _, c := range []struct {
		method, params string
		code           int // 0 is through
		message        string
	}{
		{"tools/call", `{"name":"read_text"}`, 0, ""},
		{"tools/call", `{"name":"delete"}`, jsonrpc.CodeInvalidParams, "unknown tool: delete"},
		{"tools/call", `{"name":"write","arguments":{"path":"/tmp/x"}}`, 0, ""},
		{"tools/call", `{"name":"write","arguments":{"path":"/etc/x"}}`, mcp.CodeForbidden, "not permitted: a policy refuses this call of write"},
		{"tools/call", `{"name":"write"}`, mcp.CodeForbidden, "not permitted: a policy refuses this call of write"},
		{"prompts/get", `{"name":"p"}`, 0, ""},
		{"prompts/get", `{"name":"q"}`, jsonrpc.CodeInvalidParams, "unknown prompt: q"},
		{"resources/read", `{"uri":"file:///a/b"}`, 0, ""},
		{"resources/read", `{"uri":"file:///b"}`, jsonrpc.CodeInvalidParams, "no server has the resource file:///b"},
		{"skills/get", `{"uri":"file:///b"}`, jsonrpc.CodeInvalidParams, "no server has the resource file:///b"},
		{"resources/subscribe", `{"uri":"file:///b"}`, jsonrpc.CodeInvalidParams, "no server has the resource file:///b"},
		{"completion/complete", `{"ref":{"type":"ref/prompt","name":"p"}}`, 0, ""},
		{"completion/complete", `{"ref":{"type":"ref/prompt","name":"q"}}`, jsonrpc.CodeInvalidParams, "unknown prompt: q"},
		{"completion/complete", `{"ref":{"type":"ref/resource","uri":"file:///b"}}`, jsonrpc.CodeInvalidParams, "no server has the resource file:///b"},
		{"completion/complete", `{"ref":{"type":"ref/resource","uri":"file:///b","name":"p"}}`, jsonrpc.CodeInvalidParams, "no server has the resource file:///b"},
		{"completion/complete", `{"ref":{"type":"ref/prompt","name":"q","uri":"file:///a"}}`, jsonrpc.CodeInvalidParams, "unknown prompt: q"},
		{"completion/complete", `{"ref":{"name":"q","uri":"file:///a"}}`, jsonrpc.CodeInvalidParams, `ref.type must be "ref/prompt" or "ref/resource"`},
		{"completion/complete", `{"ref":{"type":"ref/prompt","name":"p","Name":"q"}}`, jsonrpc.CodeInvalidParams, `ref has the member "Name", which readers take for another`},
		{"completion/complete", `{"ref":{"type":"ref/resource","name":"q","uri":"file:///a","tYpe":"ref/prompt"}}`, jsonrpc.CodeInvalidParams, `ref has the member "tYpe", which readers take for another`},
		{"subscriptions/listen", `{"notifications":{"resourceSubscriptions":["file:///a"]}}`, 0, ""},
		{"subscriptions/listen", `{"notifications":{"resourceſubscriptions":["file:///b"]}}`, jsonrpc.CodeInvalidParams, `notifications has the member "resourceſubscriptions", which readers take for another`},
		{"subscriptions/listen", `{"notifications":{"resourceSubscriptions":["file:///a"],"ResourceSubscriptions":["file:///b"]}}`, jsonrpc.CodeInvalidParams, `notifications has the member "ResourceSubscriptions", which readers take for another`},
		{"tasks/get", `{"taskId":"t"}`, jsonrpc.CodeMethodNotFound, "method not found: tasks/get"},
		{"vendor/do", `{}`, jsonrpc.CodeMethodNotFound, "method not found: vendor/do"},
		{"server/discover", `{}`, 0, ""}, {"tools/list", `{}`, 0, ""}, {"ping", `{}`, 0, ""},
	} {
		server := &recorder{}
		ctx := mcp.WithPrincipal(t.Context(), somebody("ann"))
		_, err := p.Enforce(config.Server{Name: "files"}, server).Handle(ctx, request(t, c.method, c.params))
		var wire *mcp.Error
		if errors.As(err, &wire); c.code == 0 && (err != nil || len(server.got) != 1) {
			t.Errorf("%s %s: got %v, %d requests at the server, want it through", c.method, c.params, err, len(server.got))
		} else if c.code != 0 && (wire == nil || wire.Code != c.code || wire.Message != c.message || len(server.got) != 0) {
			t.Errorf("%s %s: got %v, %d requests at the server, want %d %q and none", c.method, c.params, err, len(server.got), c.code, c.message)
		}
	}
}

func TestSubscriptionsLoseTheResourcesThatAreRefused(t *testing.T) {
	cfg := conf(guarded)
	cfg.Access.DefaultRoles = nil
	server := &recorder{}
	req := request(t, "subscriptions/listen", `{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["file:///a","file:///b","file:///a/c"]}}`)
	ctx := mcp.WithPrincipal(t.Context(), somebody("ann"))
	if _, err := open(t, cfg, policy.Deps{}).Enforce(config.Server{Name: "files"}, server).Handle(ctx, req); err != nil {
		t.Fatal(err)
	}
	want := `{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["file:///a","file:///a/c"]}}`
	if got := string(server.got[0].Params.Raw()); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWhatMayNotBeCalledIsNotSeen(t *testing.T) {
	cfg := conf(guarded + `forbid(principal, action, resource == Tool::"files/read_secret") when { context.arguments.x == "y" };
forbid(principal, action, resource == Tool::"files/read_key");`)
	cfg.Access.DefaultRoles = nil
	p := open(t, cfg, policy.Deps{})
	ctx := mcp.WithPrincipal(t.Context(), somebody("ann"))
	for _, c := range []struct {
		method, name string
		want         bool
	}{
		{"tools/list", "read_text", true}, {"tools/list", "delete", false},
		{"tools/list", "write", true},       // with some arguments it may be called
		{"tools/list", "read_secret", true}, // with some arguments it may not
		{"tools/list", "read_key", false},
		{"prompts/list", "p", true}, {"prompts/list", "q", false},
		{"resources/list", "file:///a/b", true}, {"resources/list", "file:///b", false},
		{"resources/templates/list", "file:///a/{x}", true}, {"resources/templates/list", "file:///{x}", false},
		{"server/discover", "", false},
	} {
		if got := p.Sees(ctx, "files", c.method, c.name); got != c.want {
			t.Errorf("Sees(%s %s) = %v, want %v", c.method, c.name, got, c.want)
		}
	}
}

// What is permitted is seen: whatever the arguments, a call that passes is never of a thing that is hidden.
func TestNothingThatMayBeCalledIsHidden(t *testing.T) {
	p := open(t, conf(arguments+guarded), policy.Deps{})
	for _, tool := range []string{"write_file", "send", "pay", "file", "read_x", "write", "other"} {
		for _, args := range []string{`{}`, `{"path":"/data/a"}`, `{"path":"/tmp/a"}`, `{"count":3}`, `{"price":9.25}`, `{"tags":["draft"],"to":{"city":"Bern"},"now":true}`} {
			for _, server := range []string{"files", "mail"} {
				for _, who := range []mcp.Principal{somebody("ann", "x"), somebody("bot", "x"), somebody("eve", "user"), somebody("root", "admin")} {
					q := call(server, tool)
					q.Principal, q.Arguments = who, object(t, args)
					may := p.Decide(t.Context(), q).Allow
					if may && !p.Sees(mcp.WithPrincipal(t.Context(), who), server, "tools/list", tool) {
						t.Errorf("%s may call %s/%s with %s and does not see it", who.ID, server, tool, args)
					}
				}
			}
		}
	}
}

func TestAudiencesTellApartWhomPoliciesCan(t *testing.T) {
	p := open(t, conf(""), policy.Deps{})
	base := mcp.Principal{ID: "ann", Name: "Ann", Roles: []string{"user"}, Groups: []string{"g", "h"}, Method: "key"}
	others := []mcp.Principal{
		{ID: "bob", Name: "Ann", Roles: []string{"user"}, Groups: []string{"g", "h"}, Method: "key"},
		{ID: "ann", Name: "Bob", Roles: []string{"user"}, Groups: []string{"g", "h"}, Method: "key"},
		{ID: "ann", Name: "Ann", Roles: []string{"admin"}, Groups: []string{"g", "h"}, Method: "key"},
		{ID: "ann", Name: "Ann", Roles: []string{"user"}, Groups: []string{"gh"}, Method: "key"},
		{ID: "ann", Name: "Ann", Roles: []string{"user", "g"}, Groups: []string{"h"}, Method: "key"},
		{ID: "ann", Name: "Ann", Roles: []string{"user"}, Groups: []string{"g", "h"}, Method: "jwt"},
		{ID: "ann", Name: "Ann", Roles: []string{"user"}, Groups: []string{"g", "h"}, Method: "key", Servers: []string{}},
		{ID: "ann", Name: "Ann", Roles: []string{"user"}, Groups: []string{"g", "h"}, Method: "key", Servers: []string{"files"}},
	}
	seen := []string{p.Audience(mcp.WithPrincipal(t.Context(), base))}
	for _, other := range others {
		got := p.Audience(mcp.WithPrincipal(t.Context(), other))
		if slices.Contains(seen, got) || got == "" {
			t.Errorf("%+v: got the audience of another, or none", other)
		}
		seen = append(seen, got)
	}
	if again := p.Audience(mcp.WithPrincipal(t.Context(), base)); again != seen[0] {
		t.Errorf("the same principal again: got %s, want %s", again, seen[0])
	}
	cfg := conf(`permit(principal, action, resource in Server::"time");`)
	use, err := p.Prepare(cfg)
	if err != nil {
		t.Fatal(err)
	}
	use()
	if got := p.Audience(mcp.WithPrincipal(t.Context(), base)); slices.Contains(seen, got) {
		t.Errorf("after the policies changed: the same audience")
	}
}
