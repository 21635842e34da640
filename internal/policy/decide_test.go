package policy_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/policy"
	"github.com/dragoman-mcp/dragoman/mcp"
)

func TestEverybodyMayDoEverythingAsLongAsNothingIsConfigured(t *testing.T) {
	cfg := conf("")
	cfg.Auth = config.Auth{}
	p := open(t, cfg, policy.Deps{})
	if d := p.Decide(t.Context(), call("files", "write")); !d.Allow || d.Rule != policy.RuleOpen {
		t.Errorf("without auth and policies: got %+v, want allowed by %q", d, policy.RuleOpen)
	}
	cfg.Access.Policies = []config.PolicySource{{Name: "own", Text: `permit(principal, action, resource in Server::"time");`}}
	p = open(t, cfg, policy.Deps{})
	if d := p.Decide(t.Context(), call("files", "write")); d.Allow || d.Rule != policy.RuleDefault {
		t.Errorf("with a policy about something else: got %+v, want refused by %q", d, policy.RuleDefault)
	}
	if d := p.Decide(t.Context(), call("time", "now")); !d.Allow || d.Rule != "own:1" {
		t.Errorf("with a policy about it: got %+v, want allowed by own:1", d)
	}
}

func TestRolesPermitWhatTheyAreFor(t *testing.T) {
	p := open(t, conf(""), policy.Deps{})
	tool, platform := policy.Resource{Kind: "Tool", Server: "files", Name: "write"}, policy.Resource{Kind: "Platform", Name: "users"}
	model := policy.Resource{Kind: "Model", Name: "m"}
	own, other := policy.Resource{Kind: "Context", Name: "c", Owner: "ann"}, policy.Resource{Kind: "Context", Name: "c", Owner: "bob"}
	for _, c := range []struct {
		action policy.Action
		on     policy.Resource
		want   string // who may: u, d, a
	}{
		{"call_tool", tool, "uda"}, {"infer", model, "uda"}, {"create_context", platform, "uda"},
		{"read_context", own, "uda"}, {"read_context", other, "da"}, {"delete_context", own, "a"}, {"delete_context", other, "a"},
		{"manage_models", model, "da"}, {"manage", platform, "a"}, {"fly", platform, ""},
	} {
		for letter, role := range map[string]string{"u": "user", "d": "model_developer", "a": "admin", "-": "stranger"} {
			q := policy.Question{Principal: somebody("ann", role), Action: c.action, Resource: c.on}
			want := strings.Contains(c.want, letter) || letter == "-" && c.action == "read_context" && c.on == own
			if d := p.Decide(t.Context(), q); d.Allow != want {
				t.Errorf("%s of %v by a %s: got %+v, want allow=%v", c.action, c.on, role, d, want)
			}
		}
	}
}

func TestWhoHasNoRolesHasTheDefaultOnesUnlessNobodyWasAsked(t *testing.T) {
	p := open(t, conf(""), policy.Deps{})
	for id, want := range map[string]bool{"ann": true, "": false} {
		q := call("files", "write")
		q.Principal = mcp.Principal{ID: id}
		if d := p.Decide(t.Context(), q); d.Allow != want {
			t.Errorf("principal %q: got %+v, want allow=%v", id, d, want)
		}
	}
}

func TestCredentialsReachOnlyTheServersThatTheyAreBoundTo(t *testing.T) {
	p := open(t, conf(""), policy.Deps{})
	for server, want := range map[string]bool{"files": true, "mail": false} {
		q := call(server, "x")
		q.Principal = somebody("root", "admin")
		q.Principal.Servers = []string{"files"}
		if d := p.Decide(t.Context(), q); d.Allow != want {
			t.Errorf("server %s: got %+v, want allow=%v", server, d, want)
		}
	}
	q := call("files", "x")
	q.Principal = somebody("root", "admin")
	q.Principal.Servers = []string{}
	if d := p.Decide(t.Context(), q); d.Allow || d.Rule != policy.RuleCredential {
		t.Errorf("bound to no server: got %+v, want refused by %s", d, policy.RuleCredential)
	}
}

const arguments = `
@id("data-only")
forbid(principal, action == Action::"call_tool", resource == Tool::"files/write_file")
unless { context.arguments.path like "/data/*" && !(context.arguments.path like "*..*") };
@id("few")
forbid(principal, action == Action::"call_tool", resource == Tool::"mail/send")
when { context.arguments has count && context.arguments.count > 10 };
@id("cheap")
permit(principal == User::"bot", action == Action::"call_tool", resource == Tool::"mail/pay")
when { context.arguments.price.lessThan(decimal("9.5")) };
@id("draft")
permit(principal == User::"bot", action == Action::"call_tool", resource == Tool::"mail/file")
when { context.arguments.tags.contains("draft") && context.arguments.to.city == "Bern" && context.arguments.now };
`

func TestArgumentsDecide(t *testing.T) {
	p := open(t, conf(arguments), policy.Deps{})
	ann, bot := somebody("ann", "user"), somebody("bot", "none")
	for _, c := range []struct {
		who          mcp.Principal
		server, tool string
		arguments    string
		allow        bool
		rule         string
	}{
		{ann, "files", "write_file", `{"path":"/data/a"}`, true, "role:user"},
		{ann, "files", "write_file", `{"path":"/etc/passwd"}`, false, "data-only"},
		{ann, "files", "write_file", `{"path":"/data/../etc"}`, false, "data-only"},
		{ann, "files", "write_file", `{}`, false, "data-only"},            // a missing attribute is an error
		{ann, "files", "write_file", `{"path":null}`, false, "data-only"}, // so is null
		{ann, "files", "write_file", `{"path":7}`, false, "data-only"},    // and another type
		{ann, "files", "write_file", `{"path":["/data/a"]}`, false, "data-only"},
		{ann, "mail", "send", `{"count":3}`, true, "role:user"},
		{ann, "mail", "send", `{}`, true, "role:user"},
		{ann, "mail", "send", `{"count":11}`, false, "few"},
		{ann, "mail", "send", `{"count":1.5}`, false, "few"},                  // a decimal cannot be compared with a Long
		{ann, "mail", "send", `{"count":99999999999999999999}`, false, "few"}, // nor a number that does not fit
		{ann, "mail", "send", `{"count":1e9}`, false, "few"},
		{bot, "mail", "pay", `{"price":9.25}`, true, "cheap"},
		{bot, "mail", "pay", `{"price":9.75}`, false, "default"},
		{bot, "mail", "pay", `{"price":9}`, false, "cheap"},
		{bot, "mail", "pay", `{"price":1.00001}`, false, "cheap"},
		{bot, "mail", "file", `{"tags":["x","draft"],"to":{"city":"Bern"},"now":true}`, true, "draft"},
		{bot, "mail", "file", `{"tags":["x"],"to":{"city":"Bern"},"now":true}`, false, "default"},
	} {
		q := call(c.server, c.tool)
		q.Principal, q.Arguments = c.who, object(t, c.arguments)
		if d := p.Decide(t.Context(), q); d.Allow != c.allow || d.Rule != c.rule {
			t.Errorf("%s calls %s/%s with %s: got allow=%v by %s (%s), want %v by %s", c.who.ID, c.server, c.tool, c.arguments, d.Allow, d.Rule, d.Fault, c.allow, c.rule)
		}
	}
}

func TestAnErrorInAnyPolicyIsARefusal(t *testing.T) {
	p := open(t, conf(`
@id("from-office")
forbid(principal, action, resource in Server::"files") unless { context.address.isInRange(ip("10.0.0.0/8")) };
`), policy.Deps{})
	q := call("files", "x")
	q.Principal, q.Explain = somebody("root", "admin"), true
	d := p.Decide(t.Context(), q)
	if d.Allow || d.Fault == "" || d.Rule != "from-office" {
		t.Errorf("address not known: got %+v, want refused by from-office with a fault", d)
	}
	for address, want := range map[string]bool{"10.1.2.3": true, "::ffff:10.1.2.3": true, "11.0.0.1": false, "fe80::1%eth0": false} {
		q.Address = netip.MustParseAddr(address)
		if d := p.Decide(t.Context(), q); d.Allow != want {
			t.Errorf("from %s: got %+v, want allow=%v", address, d, want)
		}
	}
}

func TestTimeDecides(t *testing.T) {
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	p := open(t, conf(`forbid(principal, action, resource) unless { context.time.toTime() >= duration("8h") && context.time.toTime() < duration("18h") };`),
		policy.Deps{Now: func() time.Time { return now }})
	q := call("files", "x")
	q.Principal = somebody("ann", "user")
	for _, c := range []struct {
		hour int
		want bool
	}{{7, false}, {8, true}, {17, true}, {18, false}} {
		now = time.Date(2026, 11, 21, c.hour, 0, 0, 0, time.UTC)
		if d := p.Decide(t.Context(), q); d.Allow != c.want {
			t.Errorf("at %d o'clock: got %+v, want allow=%v", c.hour, d, c.want)
		}
	}
}

func TestWhatAViewShowsBelongsToIt(t *testing.T) {
	cfg := conf(`permit(principal == User::"guest", action in Action::"use", resource in View::"safe");`)
	cfg.Access.DefaultRoles = nil
	p := open(t, cfg, policy.Deps{})
	for what, want := range map[policy.Resource]bool{
		{Kind: "Tool", Server: "files", Name: "read_text"}:               true,
		{Kind: "Tool", Server: "files", Name: "write_text"}:              false,
		{Kind: "Tool", Server: "time", Name: "now"}:                      true,
		{Kind: "Tool", Server: "time", Name: "later"}:                    false,
		{Kind: "Resource", Server: "files", Name: "file:///public/a/b"}:  true,
		{Kind: "Resource", Server: "files", Name: "file:///private/a/b"}: false,
	} {
		q := policy.Question{Principal: somebody("guest"), Action: "call_tool", Resource: what}
		if what.Kind == "Resource" {
			q.Action = "read_resource"
		}
		if d := p.Decide(t.Context(), q); d.Allow != want {
			t.Errorf("%v: got %+v, want allow=%v", what, d, want)
		}
	}
}

func TestReasonsSayWhoDecidedAndWhere(t *testing.T) {
	p := open(t, conf(`
@id("no-writing")
forbid(principal in Group::"interns", action, resource == Tool::"files/write");`), policy.Deps{})
	q := call("files", "write")
	q.Principal, q.Explain = somebody("ann", "user"), true
	q.Principal.Groups = []string{"interns"}
	d := p.Decide(t.Context(), q)
	if want := "forbidden by no-writing (own:2)"; d.Allow || len(d.Reasons) != 1 || d.Reasons[0] != want {
		t.Errorf("got %+v, want refused because %q", d, want)
	}
}

// Slicing must change nothing: the same policies, with all that can be sliced
// by moved from their scopes into conditions, answer the same.
func TestSlicingChangesNoAnswer(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	var scoped, plain strings.Builder
	for i := range 60 {
		who := pick(`principal == User::"u1"`, `principal in Role::"user"`, `principal in Group::"g"`, `principal is User`, `principal`, `principal is User in Role::"admin"`)
		do := pick(`action == Action::"call_tool"`, `action in Action::"use"`, `action in [Action::"call_tool", Action::"list"]`, `action`, `action == Action::"list"`)
		on := pick(`resource == Tool::"files/a"`, `resource in Server::"files"`, `resource in View::"safe"`, `resource is Tool`, `resource`, `resource is Tool in Server::"mail"`)
		if strings.Contains(do, `== Action::"list"`) {
			on = pick(`resource == Server::"files"`, `resource is Server`, "resource")
		}
		effect := "permit"
		if strings.Contains(who, "Group") || strings.Contains(on, "==") || strings.Contains(who, "==") {
			effect = pick("permit", "forbid")
		}
		if on == "resource" {
			who, effect = `principal == User::"u1"`, "permit"
		}
		fmt.Fprintf(&scoped, "@id(\"%d\") %s(%s, %s, %s);\n", i, effect, who, do, on)
		condition := func(s string) string {
			if !strings.Contains(s, " ") {
				return "true"
			}
			return s
		}
		fmt.Fprintf(&plain, "@id(\"%d\") %s(principal, action, resource) when { %s && %s && %s };\n", i, effect, condition(who), condition(do), condition(on))
	}
	a, b := open(t, conf(scoped.String()), policy.Deps{}), open(t, conf(plain.String()), policy.Deps{})
	differ := 0
	for range 5000 {
		q := call(pick("files", "mail", "time"), pick("a", "b", "read_x", "now"))
		if r.IntN(4) == 0 {
			q.Action, q.Resource = "list", policy.Resource{Kind: "Server", Server: q.Resource.Server}
		}
		q.Principal = mcp.Principal{ID: pick("u1", "u2", ""), Roles: []string{pick("user", "admin", "x")}, Groups: []string{pick("g", "h")}}
		q.Listing = r.IntN(2) == 0
		got, want := a.Decide(t.Context(), q), b.Decide(t.Context(), q)
		if got.Allow != want.Allow {
			t.Fatalf("%+v: sliced %+v, whole %+v", q, got, want)
		}
		if got.Allow {
			differ++
		}
	}
	if differ == 0 || differ == 5000 {
		t.Errorf("all answers were the same: %d of 5000 allowed", differ)
	}
}
