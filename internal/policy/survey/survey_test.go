package survey_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/policy"
	"github.com/dragoman-mcp/dragoman/internal/policy/flow"
	"github.com/dragoman-mcp/dragoman/internal/policy/survey"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var today = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func conf(t testing.TB, policies string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(`
servers: {files: {command: [x], tools: {allow: ["read_*", write]}}, mail: {command: [x]}, time: {builtin: time}}
auth: {tokens: [{name: boss, token: 0123456789abcdef, roles: [admin]}, {name: ann, token: ann-0123456789abcdef}]}
views: {safe: {tools: [files__read_text]}}
`), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	cfg.Access.Policies = []config.PolicySource{{Name: "own", Text: policies}}
	return cfg
}

func ask(t testing.TB, was, now *config.Config, o survey.Options) *survey.Report {
	t.Helper()
	o.Now = today
	r, err := survey.Compare(t.Context(), was, now, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// asked says what a configuration decides about an example.
func asked(t testing.TB, cfg *config.Config, e survey.Example) policy.Decision {
	t.Helper()
	at := today
	if e.Time != nil {
		at = *e.Time
	}
	p, err := policy.New(cfg, policy.Deps{Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	q := policy.Question{Action: e.Action, Resource: policy.Resource{Kind: e.Kind, Server: e.Server, Name: e.Name}, Revision: mcp.Revision20260728}
	q.Principal = policy.Caller(cfg, mcp.Principal{ID: e.Principal, Roles: e.Roles, Groups: e.Groups})
	if len(e.Arguments) > 0 {
		if q.Arguments, err = jsonrpc.ParseObject(e.Arguments, jsonrpc.Limits{}); err != nil {
			t.Fatalf("arguments of an example %s: %v", e.Arguments, err)
		}
	}
	if e.Address != "" {
		q.Address = netip.MustParseAddr(e.Address)
	}
	for _, source := range e.Seen {
		server, name, _ := strings.Cut(source, "/")
		q.Seen = append(q.Seen, flow.Source{Server: server, Name: name})
	}
	return p.Decide(t.Context(), q)
}

const few = 4000

const base = `
@id("data") forbid(principal in Role::"user", action, resource == Tool::"files/write") unless { context.arguments.path like "/data/*" };
@id("many") forbid(principal, action, resource in Server::"mail") when { context.arguments has count && context.arguments.count > 10 };
@id("inside") forbid(principal in Group::"temps", action, resource in Server::"time") unless { context.address.isInRange(ip("10.0.0.0/8")) };
@id("hours") forbid(principal in Role::"user", action, resource == Tool::"mail/send") unless { context.time.toTime() >= duration("8h") && context.time.toTime() < duration("18h") };
`

// T30: what a change permits or refuses is found, whatever part of a policy it is in. Fewer questions than by default are
// enough here, and which ones they are is always the same.
func TestEachChangeOfPoliciesIsFound(t *testing.T) {
	for name, c := range map[string]struct{ old, new, permits, refuses string }{
		"a path that is shorter":            {`like "/data/*"`, `like "/data*"`, "role:user", ""},
		"a path that is longer":             {`like "/data/*"`, `like "/data/in/*"`, "", "data"},
		"a number more":                     {`count > 10`, `count > 11`, "role:user", ""},
		"a number less":                     {`count > 10`, `count > 9`, "", "many"},
		"a wider network":                   {`10.0.0.0/8`, `10.0.0.0/7`, "role:user", ""},
		"a narrower network":                {`10.0.0.0/8`, `10.0.0.0/9`, "", "inside"},
		"an hour that is later by a second": {`duration("18h")`, `duration("18h1s")`, "role:user", ""},
		"an hour that is earlier":           {`duration("8h")`, `duration("9h")`, "", "hours"},
		"a forbid that is gone":             {`@id("many") forbid(principal, action, resource in Server::"mail") when { context.arguments has count && context.arguments.count > 10 };`, "", "role:user", ""},
		"another group":                     {`Group::"temps"`, `Group::"guests"`, "role:user", "inside"},
		"another role":                      {`@id("data") forbid(principal in Role::"user"`, `@id("data") forbid(principal in Role::"model_developer"`, "role:user", "data"},
		"another tool":                      {`Tool::"files/write"`, `Tool::"files/read"`, "role:user", "data"},
		"a permit for one":                  {`@id("data")`, `@id("new") permit(principal == User::"bot", action == Action::"manage", resource == Platform::"users"); @id("data")`, "new", ""},
		"a permit for one resource":         {`@id("data")`, `@id("new") permit(principal, action == Action::"read_resource", resource == Resource::"files/file:///open/x") when { !principal.authenticated }; @id("data")`, "new", ""},
		"a permit by a name":                {`@id("data")`, `@id("new") permit(principal in Role::"guest", action == Action::"call_tool", resource) when { resource has name && resource.name like "read_*" }; @id("data")`, "new", ""},
		"a forbid of a view":                {`@id("data")`, `@id("new") forbid(principal, action, resource in View::"safe"); @id("data")`, "", "new"},
		"an argument in an object":          {`@id("data")`, `@id("new") forbid(principal, action, resource == Tool::"mail/send") when { context.arguments has to && context.arguments.to.city == "Bern" }; @id("data")`, "", "new"},
		"a tag":                             {`@id("data")`, `@id("new") forbid(principal, action, resource == Tool::"mail/tag") when { context.arguments has tags && context.arguments.tags.contains("draft") }; @id("data")`, "", "new"},
		"what was read":                     {`@id("data")`, `@id("new") forbid(principal, action == Action::"call_tool", resource in Server::"mail") when { context.seen.contains("time") }; @id("data")`, "", "new"},
		"nothing":                           {"", "", "", ""},
		"other words for the same":          {`count > 10`, `count >= 11`, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			was, now := conf(t, base), conf(t, strings.Replace(base, c.old, c.new, 1))
			r := ask(t, was, now, survey.Options{Seed: 1, Questions: few})
			var permits, refuses []string
			for _, g := range r.Groups {
				if g.Permits {
					permits = append(permits, g.Would)
				} else {
					refuses = append(refuses, g.Would)
				}
				if a, b := asked(t, was, g.Example), asked(t, now, g.Example); a.Allow != !g.Permits || b.Allow != g.Permits || a.Rule != g.Was || b.Rule != g.Would {
					t.Errorf("the example %+v is decided %+v and %+v, want what its group says: %s, %s", g.Example, a, b, g.Was, g.Would)
				}
			}
			if !found(permits, c.permits) || !found(refuses, c.refuses) {
				t.Errorf("got permitted by %q and refused by %q, want %q and %q", permits, refuses, c.permits, c.refuses)
			}
			if r.Questions != few || len(r.Silent) > 0 {
				t.Errorf("got %d questions, silent %q; want %d, none", r.Questions, r.Silent, few)
			}
		})
	}
}

// found says whether a rule is among those that decided otherwise; of an empty one, whether there are none.
func found(rules []string, want string) bool {
	if want == "" {
		return len(rules) == 0
	}
	return slices.Contains(rules, want)
}

func TestEqualSeedsAskEqualQuestions(t *testing.T) {
	was, now := conf(t, base), conf(t, strings.ReplaceAll(base, "10", "9"))
	first := ask(t, was, now, survey.Options{Seed: 7, Questions: 3000})
	if d := cmp.Diff(first, ask(t, was, now, survey.Options{Seed: 7, Questions: 3000}), cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Groups.shortest" }, cmp.Ignore())); d != "" {
		t.Errorf("the second time (-first +second):\n%s", d)
	}
	if len(first.Groups) == 0 {
		t.Error("got no differences, so that nothing was compared")
	}
}

func TestCallsThatWereMadeAreAskedFirstAndAreTheExamples(t *testing.T) {
	arguments, err := jsonrpc.ParseObject([]byte(`{"path":"/data/out/report.txt","more":"x"}`), jsonrpc.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	calls := []survey.Call{
		{Principal: mcp.Principal{ID: "ann"}, Method: "tools/call", Server: "files", Name: "write", Arguments: arguments},
		{Principal: mcp.Principal{ID: "corp:7", Roles: []string{"user"}}, Method: "call_tool", Server: "files", Name: "write", Arguments: arguments},
		{Principal: mcp.Principal{ID: "ann"}, Method: "tools/list", Server: "files"},
	}
	r := ask(t, conf(t, base), conf(t, strings.Replace(base, "/data/*", "/data/in/*", 1)), survey.Options{Calls: calls, Questions: 2})
	if r.Calls != 2 || r.Skipped != 1 || r.Questions != 2 || r.Refused != 2 || len(r.Groups) != 1 {
		t.Fatalf("got %+v, want two calls of which both are refused, and a list skipped", r)
	}
	g := r.Groups[0]
	if g.Calls != 2 || !slices.Equal(g.Who, []string{"ann", "corp:7 (role user)"}) || !slices.Equal(g.What, []string{"call_tool files/write"}) || string(g.Example.Arguments) != `{"path":"/data/out/report.txt","more":"x"}` {
		t.Errorf("got %+v, want both calls, and one of them as it was made", g)
	}
}

func TestATokenThatIsNewMayWhatNobodyMayWithIt(t *testing.T) {
	was, now := conf(t, base), conf(t, base)
	now.Auth.Tokens = append(now.Auth.Tokens, config.Token{Name: "eve", Token: "eve-0123456789abcdef", Roles: []string{"admin"}})
	r := ask(t, was, now, survey.Options{Questions: few})
	if len(r.Groups) == 0 || r.Refused != 0 || r.Groups[0].Was != survey.RuleNoToken || !slices.Equal(r.Groups[0].Who, []string{"eve"}) {
		t.Errorf("got %+v, want what eve may, who had no token", r.Groups)
	}
	now = conf(t, base)
	now.Auth.Tokens[1].Roles = []string{"admin"}
	if r := ask(t, was, now, survey.Options{Questions: few}); r.Permitted == 0 || !slices.Equal(r.Groups[0].Who, []string{"ann"}) {
		t.Errorf("ann as admin: got %+v, want what she may more", r.Groups)
	}
}

func TestAPolicyThatDecidedNothingIsNamed(t *testing.T) {
	r := ask(t, conf(t, base), conf(t, base+`@id("mute") permit(principal == User::"boss", action, resource) when { 1 == 2 };`), survey.Options{Questions: few})
	if !slices.Equal(r.Silent, []string{"mute"}) || len(r.Groups) > 0 {
		t.Errorf("got silent %q, groups %+v; want mute, none", r.Silent, r.Groups)
	}
}

func TestASurveyIsBounded(t *testing.T) {
	var b strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&b, "permit(principal == User::\"u%d\", action, resource == Tool::\"files/t%d\");\n", i, i)
	}
	r := ask(t, conf(t, b.String()), conf(t, base), survey.Options{Questions: 500})
	if r.Questions != 500 {
		t.Errorf("got %d questions, want 500", r.Questions)
	}
	for _, g := range r.Groups {
		if len(g.Who) > 100 || len(g.What) > 100 {
			t.Errorf("a group names %d and %d, want at most 100", len(g.Who), len(g.What))
		}
	}
	if _, err := survey.Compare(t.Context(), conf(t, base), conf(t, base), survey.Options{Questions: survey.MaxQuestions + 1}); err == nil {
		t.Error("more questions than there may be: got no error")
	}
}

// Whatever policies say, questions can be made of it.
func FuzzQuestions(f *testing.F) {
	for _, text := range []string{base, `permit(principal, action, resource) when { context.arguments.a.b == {"x": [1, "y"]} || context.arguments["a.b"] };`,
		`forbid(principal, action in [Action::"use"], resource) when { context.arguments.x.contains(decimal("1.2345")) && context.address.isInRange(ip("::/0")) };`,
		`permit(principal, action, resource) when { context.time > datetime("9999-12-31") || context.time.toTime() == duration("-1d") || context.arguments.s like "\u{10ffff}*\*" };`,
		`permit(principal == User::"", action, resource == Platform::"");`, `permit(principal, action, resource) when { context.arguments.n == -9223372036854775808 };`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		now := conf(t, text)
		if _, err := policy.New(now, policy.Deps{}); err != nil {
			return
		}
		if r := ask(t, conf(t, base), now, survey.Options{Questions: 200}); r.Questions != 200 {
			t.Errorf("of %q: got %d questions, want 200", text, r.Questions)
		}
	})
}
