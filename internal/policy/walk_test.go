package policy_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/policy"
	"github.com/dragoman-mcp/dragoman/internal/policy/limit"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// T28: every method that does something is decided, once, and one that nobody
// has thought of is too.
func TestEveryMethodThatDoesSomethingIsDecidedOnce(t *testing.T) {
	for method, want := range map[string]struct {
		decided, counted int
	}{
		"tools/call": {1, 1}, "prompts/get": {1, 1}, "resources/read": {1, 1}, "completion/complete": {1, 1},
		"resources/subscribe": {1, 0}, "resources/unsubscribe": {1, 0}, "subscriptions/listen": {2, 0},
		"tasks/get": {1, 0}, "tasks/update": {1, 0}, "tasks/cancel": {1, 0}, "tasks/result": {1, 0}, "tasks/list": {1, 0},
		"skills/get": {1, 1}, "resources/directory/read": {1, 1}, "vendor/do": {1, 1}, "sampling/createMessage": {1, 1}, "Tools/List": {1, 1},
		"server/discover": {}, "ping": {}, "tools/list": {}, "prompts/list": {}, "resources/list": {}, "resources/templates/list": {},
	} {
		decided, counted := 0, &counter{}
		p := open(t, conf(""), policy.Deps{Limits: counted, Decided: func(ctx context.Context, _ policy.Question, _ policy.Decision) context.Context { decided++; return ctx }})
		server := &recorder{}
		req := request(t, method, `{"name":"x","uri":"file:///x","taskId":"t","ref":{"type":"ref/prompt","name":"p"},"notifications":{"resourceSubscriptions":["a:b","c:d"]}}`)
		_, err := p.Enforce(config.Server{Name: "files"}, server).Handle(mcp.WithPrincipal(t.Context(), somebody("ann", "user")), req)
		if err != nil || len(server.got) != 1 || decided != want.decided || counted.taken != want.counted || counted.under != 0 {
			t.Errorf("%s: got %v, %d decisions, %d counted of which %d are not done; want %+v and all done", method, err, decided, counted.taken, counted.under, want)
		}
		_, err = p.Enforce(config.Server{Name: "files"}, server).Handle(t.Context(), req) // nobody
		if want.decided == 1 && (err == nil || len(server.got) != 1) {
			t.Errorf("%s by nobody: got %v, %d requests at the server, want a refusal", method, err, len(server.got))
		}
	}
}

// counter counts what is taken and given back.
type counter struct{ taken, under int }

func (c *counter) Take(context.Context, string, string, string) (func(), error) {
	c.taken++
	c.under++
	return func() { c.under-- }, nil
}

func TestACallThatIsRefusedCountsUnderNoRate(t *testing.T) {
	l, err := limit.New(config.Rates{Calls: []config.Rule{{Per: "principal", PerDay: 2}}}, limit.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := open(t, conf(`forbid(principal, action, resource == Tool::"files/x");`), policy.Deps{Limits: l}).Enforce(config.Server{Name: "files"}, &recorder{})
	ctx := mcp.WithPrincipal(t.Context(), somebody("ann", "user"))
	for range 5 {
		if _, err := h.Handle(ctx, request(t, "tools/call", `{"name":"x"}`)); err == nil {
			t.Fatal("a forbidden call: want an error")
		}
	}
	codes := ""
	for range 3 {
		_, err := h.Handle(ctx, request(t, "tools/call", `{"name":"y"}`))
		var wire *mcp.Error
		if errors.As(err, &wire) && wire.Code == mcp.CodeBusy {
			codes += "busy "
		} else {
			codes += "ok "
		}
	}
	if codes != "ok ok busy " {
		t.Errorf("got %s, want two calls through", codes)
	}
}

// T30: everything is permitted but for policies that forbid by what they see.
// Whatever is taken away from that, no refusal becomes a permission.
func TestTakingAnythingAwayPermitsNothing(t *testing.T) {
	p := open(t, conf(`
permit(principal, action, resource);
forbid(principal, action, resource == Tool::"files/a") unless { context.arguments.path like "/data/*" };
forbid(principal, action, resource == Tool::"files/b") when { context.arguments.count > 10 };
forbid(principal, action, resource == Tool::"files/c") when { context.arguments.to.city == "Bern" };
forbid(principal, action, resource == Tool::"files/d") when { context.arguments.tags.contains("draft") };
forbid(principal, action, resource == Tool::"files/e") when { context.arguments.price.greaterThan(decimal("1.5")) };
forbid(principal, action, resource == Tool::"files/f") when { context.address.isInRange(ip("10.0.0.0/8")) };
forbid(principal, action, resource == Tool::"files/g") unless { principal.authenticated };
forbid(principal, action, resource == Tool::"files/h") unless { principal.method == "key" };
`), policy.Deps{})
	arguments := []string{`"path":"/etc/x"`, `"count":11`, `"to":{"city":"Bern"}`, `"tags":["draft"]`, `"price":1.75`}
	ask := func(tool string, arguments []string, change func(*policy.Question)) bool {
		q := call("files", tool)
		q.Principal = mcp.Principal{ID: "ann", Roles: []string{"x"}, Method: "password"}
		q.Arguments, _ = jsonrpc.Split([]byte("{" + strings.Join(arguments, ",") + "}"))
		q.Address = netip.MustParseAddr("10.0.0.1")
		if change(&q); tool == "g" {
			q.Principal.ID = ""
		}
		return p.Decide(t.Context(), q).Allow
	}
	same := func(*policy.Question) {}
	for _, tool := range strings.Split("abcdefgh", "") {
		if ask(tool, arguments, same) {
			t.Errorf("tool %s with everything there: want a refusal", tool)
		}
		for i, gone := range arguments {
			if ask(tool, slices.Concat(arguments[:i], arguments[i+1:]), same) {
				t.Errorf("tool %s is permitted without %s", tool, gone)
			}
			name, _, _ := strings.Cut(gone, ":")
			for _, other := range []string{"null", "{}", "[]", `"x"`, "true", "1e3"} {
				if (tool == "d" && other == "[]" || tool == "c" && other == `"x"`) && i == int(tool[0]-'b')+1 {
					continue // a value that the policy does not refuse
				}
				changed := slices.Concat(arguments[:i], []string{name + ":" + other}, arguments[i+1:])
				if ask(tool, changed, same) {
					t.Errorf("tool %s is permitted with %s in place of %s", tool, other, gone)
				}
			}
		}
		for what, change := range map[string]func(*policy.Question){
			"id": func(q *policy.Question) { q.Principal.ID = "" }, "method": func(q *policy.Question) { q.Principal.Method = "" },
			"arguments": func(q *policy.Question) { q.Arguments = jsonrpc.Object{} }, "address": func(q *policy.Question) { q.Address = netip.Addr{} },
			"revision": func(q *policy.Question) { q.Revision = "" },
		} {
			if ask(tool, arguments, change) {
				t.Errorf("tool %s is permitted without %s", tool, what)
			}
		}
	}
	if !ask("other", arguments, same) {
		t.Error("another tool: want it permitted, or all of this means nothing")
	}
}

// T26: a task belongs to who made it.
func TestATaskIsForWhoMadeIt(t *testing.T) {
	for name, made := range map[string]string{"extension": `{"resultType":"task","taskId":"t1"}`, "2025-11-25": `{"task":{"taskId":"t1"}}`} {
		server := mcp.HandlerFunc(func(_ context.Context, req *mcp.Request) (mcp.Result, error) {
			if req.Method == "tools/call" {
				return mcp.RawResult([]byte(made)), nil
			}
			return mcp.EmptyResult(), nil
		})
		h := open(t, conf(""), policy.Deps{}).Enforce(config.Server{Name: "files"}, server)
		as := func(who, method, params string) error {
			_, err := h.Handle(mcp.WithPrincipal(t.Context(), somebody(who, "user")), request(t, method, params))
			return err
		}
		if err := as("ann", "tools/call", `{"name":"x"}`); err != nil {
			t.Fatal(err)
		}
		for _, method := range []string{"tasks/get", "tasks/update", "tasks/cancel", "tasks/result"} {
			if err := as("ann", method, `{"taskId":"t1"}`); err != nil {
				t.Errorf("%s: %s by who made it: got %v", name, method, err)
			}
			if err := as("bob", method, `{"taskId":"t1"}`); err == nil {
				t.Errorf("%s: %s by another: want an error", name, method)
			}
		}
		if err := as("bob", "tools/call", `{"name":"x"}`); err != nil { // a server that gives the same id again
			t.Fatal(err)
		}
		if err := as("bob", "tasks/get", `{"taskId":"t1"}`); err == nil {
			t.Errorf("%s: after the id was given again: want an error for the second", name)
		}
	}
}
