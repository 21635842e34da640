package gateway_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/gateway"
	"github.com/dragoman-mcp/dragoman/internal/policy"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

const audiencePolicies = `
permit(principal == User::"ann", action in Action::"use", resource in Server::"a") unless { resource is Tool && resource.name == "secret" };
permit(principal == User::"bob", action == Action::"call_tool", resource == Tool::"b/look");
permit(principal == User::"root", action, resource);
`

// guardedGateway has the servers a (read, secret) and b (look, hide) behind policies, and
// a view over both.
func guardedGateway(t *testing.T) (*gateway.Gateway, *policy.Policy) {
	t.Helper()
	cfg := &config.Config{
		Servers: map[string]config.Server{"a": {}, "b": {}}, Names: config.Names{Separator: "__"},
		Access: config.Access{Policies: []config.PolicySource{{Name: "own", Text: audiencePolicies}}},
	}
	p, err := policy.New(cfg, policy.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	a, b := withTools("read", "secret"), withTools("look", "hide")
	for _, f := range []*fake{a, b} { // a server that says that everybody may keep its list
		f.results["tools/list"] = strings.TrimSuffix(f.results["tools/list"], "}") + `,"cacheScope":"public","ttlMs":60000}`
	}
	g := open(t, gateway.Options{Audience: p}, []gateway.Server{
		{Name: "a", Handler: p.Enforce(config.Server{Name: "a"}, a)}, {Name: "b", Handler: p.Enforce(config.Server{Name: "b"}, b)},
	}, gateway.View{Name: "v", Tools: []string{"a__*"}, Rename: map[string]string{"peek": "b__look", "find": "b__hide"}})
	return g, p
}

func askAs(t *testing.T, g *gateway.Gateway, who, endpoint, method, params string) (mcp.Result, error) {
	t.Helper()
	h, _ := g.Endpoint(endpoint)
	o, _ := jsonrpc.Split([]byte(params))
	ctx := mcp.WithPrincipal(context.Background(), mcp.Principal{ID: who})
	return h.Handle(ctx, mcp.ReadRequest(method, o, &mcp.Client{Revision: mcp.Revision20260728}))
}

func toolNames(r mcp.Result) (names []string) {
	for element := range jsonrpc.Elements(r.Get("tools")) {
		o, _ := jsonrpc.Split(element)
		name, _ := o.String("name")
		names = append(names, name)
	}
	return names
}

// T56: what one caller may see is never shown to another, whatever the server
// says and however many ask at once.
func TestEachCallerSeesWhatItMayCall(t *testing.T) {
	g, _ := guardedGateway(t)
	want := map[string][]string{
		"ann|": {"a__read"}, "bob|": {"b__look"}, "root|": {"a__read", "a__secret", "b__hide", "b__look"}, "eve|": nil, "|": nil,
		"ann|a": {"read"}, "bob|a": nil, "bob|b": {"look"}, "root|b": {"hide", "look"},
		"ann|v": {"a__read"}, "bob|v": {"peek"}, "root|v": {"a__read", "a__secret", "find", "peek"}, "eve|v": nil,
	}
	var wg sync.WaitGroup
	for key, names := range want {
		who, endpoint, _ := strings.Cut(key, "|")
		for range 4 {
			wg.Go(func() {
				for range 25 {
					r, err := askAs(t, g, who, endpoint, "tools/list", `{}`)
					if got := toolNames(r); err != nil || !slices.Equal(got, names) {
						t.Errorf("%q at %q: got %v, %v, want %v", who, endpoint, got, err, names)
						return
					}
					if scope, _ := r.String("cacheScope"); scope != "private" {
						t.Errorf("%q at %q: cacheScope is %q, want private", who, endpoint, scope)
						return
					}
				}
			})
		}
	}
	wg.Wait()
}

func TestWhatIsHiddenAnswersLikeWhatIsNot(t *testing.T) {
	g, _ := guardedGateway(t)
	for _, c := range []struct{ who, endpoint, hidden, absent string }{
		{"ann", "", "b__look", "c__look"}, {"bob", "v", "find", "fund"}, {"ann", "v", "peek", "poke"}, {"bob", "", "b__hide", "b__hiding"},
	} {
		_, hidden := askAs(t, g, c.who, c.endpoint, "tools/call", fmt.Sprintf(`{"name":%q}`, c.hidden))
		_, absent := askAs(t, g, c.who, c.endpoint, "tools/call", fmt.Sprintf(`{"name":%q}`, c.absent))
		if hidden == nil || absent == nil {
			t.Fatalf("%s calls %s and %s: got %v and %v, want errors", c.who, c.hidden, c.absent, hidden, absent)
		}
		got := strings.ReplaceAll(hidden.Error(), c.hidden, "X")
		want := strings.ReplaceAll(absent.Error(), c.absent, "X")
		want, _, _ = strings.Cut(want, "; names here are")
		got, _, _ = strings.Cut(got, "; names here are")
		if got != want {
			t.Errorf("%s at %q: hidden says %q, absent %q", c.who, c.endpoint, got, want)
		}
	}
}

func TestServersThatACallerMayNotSeeAreNotSpokenOf(t *testing.T) {
	g, _ := guardedGateway(t)
	for who, want := range map[string][2]bool{"ann": {true, false}, "bob": {false, false}, "root": {true, true}} {
		r, err := askAs(t, g, who, "", "server/discover", `{}`)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := r.String("instructions")
		if got := [2]bool{strings.Contains(text, "# a"), strings.Contains(text, "# b")}; got != want {
			t.Errorf("%s: got %v in %q, want %v", who, got, text, want)
		}
	}
	for who, want := range map[string]bool{"ann": true, "bob": false} {
		r, err := askAs(t, g, who, "a", "server/discover", `{}`)
		if _, got := r.String("instructions"); err != nil || got != want {
			t.Errorf("%s at a: instructions are there: %v, %v, want %v", who, got, err, want)
		}
	}
}

func TestListsAreMadeAnewWhenPoliciesChange(t *testing.T) {
	g, p := guardedGateway(t)
	if r, _ := askAs(t, g, "ann", "", "tools/list", `{}`); !slices.Equal(toolNames(r), []string{"a__read"}) {
		t.Fatalf("before: got %v", toolNames(r))
	}
	cfg := &config.Config{Servers: map[string]config.Server{"a": {}, "b": {}}, Access: config.Access{Policies: []config.PolicySource{
		{Name: "own", Text: `permit(principal == User::"ann", action, resource in Server::"b");`},
	}}}
	use, err := p.Prepare(cfg)
	if err != nil {
		t.Fatal(err)
	}
	use()
	if r, _ := askAs(t, g, "ann", "", "tools/list", `{}`); !slices.Equal(toolNames(r), []string{"b__hide", "b__look"}) {
		t.Errorf("after: got %v, want the tools of b", toolNames(r))
	}
}

func TestRefreshHasListsMadeAnew(t *testing.T) {
	f := withTools("read")
	g := open(t, gateway.Options{}, []gateway.Server{{Name: "a", Handler: f}})
	text(t, g, "", "tools/list", `{}`)
	before := f.lists.Load()
	f.mu.Lock()
	f.results["tools/list"] = `{"tools":[` + tool("other") + `]}`
	f.mu.Unlock()
	g.Refresh("a")
	g.Refresh("nobody")
	if got := text(t, g, "", "tools/list", `{}`); !strings.Contains(got, "a__other") || f.lists.Load() == before {
		t.Errorf("got %s, want the new list", got)
	}
}
