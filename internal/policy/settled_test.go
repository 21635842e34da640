package policy_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/internal/policy"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// chance writes policies and questions at random.
type chance struct {
	*rand.Rand
	careful bool // the policy that is being written asks whether arguments are there; the loader refuses what does so now and then
}

func pick[T any](c *chance, of ...T) T { return of[c.IntN(len(of))] }

// policies are some that the loader accepts, of which many can be about the same questions and some cannot be evaluated.
func (c *chance) policies() string {
	var b strings.Builder
	for range 1 + c.IntN(12) {
		c.careful = c.IntN(2) == 0
		fmt.Fprintf(&b, "%s(%s, %s)", pick(c, "permit", "permit", "forbid"),
			pick(c, `principal`, `principal == User::"ann"`, `principal in Role::"user"`, `principal in Group::"staff"`, `principal is User in Group::"night"`),
			pick(c, `action == Action::"call_tool", resource`, `action == Action::"call_tool", resource == Tool::"files/read_a"`,
				`action in [Action::"call_tool"], resource in Server::"files"`, `action == Action::"call_tool", resource in View::"safe"`,
				`action == Action::"call_tool", resource is Tool in Server::"mail"`))
		for range c.IntN(3) {
			fmt.Fprintf(&b, " %s { %s }", pick(c, "when", "when", "unless"), c.condition(3))
		}
		b.WriteString(";\n")
	}
	return b.String()
}

// condition is about who and what, or about the context, or both.
func (c *chance) condition(deep int) string {
	if deep > 0 && c.IntN(2) == 0 {
		deep--
		switch c.IntN(5) {
		case 0:
			return "!(" + c.condition(deep) + ")"
		case 1:
			return fmt.Sprintf("(if %s then %s else %s)", c.condition(deep), c.condition(deep), c.condition(deep))
		case 2:
			return fmt.Sprintf("(%s || %s)", c.condition(deep), c.condition(deep))
		}
		return fmt.Sprintf("(%s && %s)", c.condition(deep), c.condition(deep))
	}
	given := []string{`context.arguments.n > 3`, `context.arguments.n == 7`, `context.arguments.s like "/data/*"`, `context.arguments.deep.flag`}
	if c.careful {
		given = []string{`context.arguments has n`, `(context.arguments has n && context.arguments.n > 3)`,
			`(context.arguments has s && context.arguments.s == "x")`, `(context.arguments has deep && context.arguments.deep has flag)`}
	}
	return pick(c, append(given,
		`principal.id == "ann"`, `principal.method == "jwt"`, `principal.authenticated`, `principal in Group::"night"`, `principal.name like "a*"`,
		`resource.name like "read_*"`, `resource.server == Server::"mail"`, `resource in View::"safe"`, `[1, 2].contains(2)`, `1 + 1 == 2`,
		`User::"nobody".id == "x"`, `9223372036854775807 + 1 > 0`, // neither can be evaluated
		`context.time > datetime("2026-06-01")`,
		`context.time.toTime() > duration("12h")`, `context.address.isInRange(ip("10.0.0.0/8"))`, `context.address.isLoopback()`,
		`context has address`, `context.revision == "2026-07-28"`, `[context.revision].contains("2025-06-18")`,
		`{a: context.revision}.a == "2025-06-18"`, `{a: context}.a.revision == "2025-06-18"`, `[context.address].contains(ip("10.0.0.1"))`)...)
}

// question is one about a tool.
func (c *chance) question(t testing.TB) policy.Question {
	q := call(pick(c, "files", "mail"), pick(c, "read_a", "read_b", "write_a"))
	q.Principal = mcp.Principal{ID: pick(c, "ann", "bob", ""), Name: pick(c, "", "anna"), Method: pick(c, "jwt", "key")}
	q.Principal.Roles = pick(c, nil, []string{"user"}, []string{"admin", "user"}, []string{"guest"})
	q.Principal.Groups = pick(c, nil, []string{"staff"}, []string{"night", "staff"})
	q.Principal.Servers = pick(c, nil, nil, nil, []string{"files"})
	q.Arguments = object(t, pick(c, `{}`, `{"n":7}`, `{"n":2,"s":"/data/x"}`, `{"n":"7"}`, `{"s":"x","deep":{"flag":true}}`, `{"deep":{}}`, `{"deep":{"flag":1},"n":null}`))
	q.Revision = pick[mcp.Revision](c, "2025-06-18", "2026-07-28")
	q.Address = pick(c, netip.Addr{}, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("2001:db8::1"))
	q.Listing = c.IntN(5) == 0
	return q
}

// together is the roles and other policies, as Cedar reads them.
func together(t testing.TB, text string) *cedar.PolicySet {
	t.Helper()
	own, err := os.ReadFile("roles.cedar")
	if err != nil {
		t.Fatal(err)
	}
	set, err := cedar.NewPolicySetFromBytes("all", append(own, text...))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// alone is what Cedar itself says, given everything there is and nothing that is prepared: a yes, or anything else.
func alone(t testing.TB, set *cedar.PolicySet, q policy.Question, now time.Time) bool {
	t.Helper()
	if q.Principal.Servers != nil && !slices.Contains(q.Principal.Servers, q.Resource.Server) {
		return false
	}
	p, uid := q.Principal, cedar.NewEntityUID
	who, what, server := uid("User", cedar.String(p.ID)), uid("Tool", cedar.String(q.Resource.Server+"/"+q.Resource.Name)), uid("Server", cedar.String(q.Resource.Server))
	roles, name := p.Roles, p.Name
	if len(roles) == 0 && p.ID != "" {
		roles = []string{"user"}
	}
	if name == "" {
		name = p.ID
	}
	var in []cedar.EntityUID
	for _, role := range roles {
		in = append(in, uid("Role", cedar.String(role)))
	}
	for _, group := range p.Groups {
		in = append(in, uid("Group", cedar.String(group)))
	}
	places := []cedar.EntityUID{server}
	if q.Resource.Server == "files" && strings.HasPrefix(q.Resource.Name, "read_") {
		places = append(places, uid("View", "safe"))
	}
	action := uid("Action", "call_tool")
	entities := types.EntityMap{
		who: {UID: who, Parents: cedar.NewEntityUIDSet(in...), Attributes: cedar.NewRecord(cedar.RecordMap{
			"id": cedar.String(p.ID), "name": cedar.String(name), "method": cedar.String(p.Method), "authenticated": cedar.Boolean(p.ID != "")})},
		what: {UID: what, Parents: cedar.NewEntityUIDSet(places...), Attributes: cedar.NewRecord(cedar.RecordMap{
			"name": cedar.String(q.Resource.Name), "server": server})},
		action: {UID: action, Parents: cedar.NewEntityUIDSet(uid("Action", "use"))},
	}
	verdict, why := cedar.Authorize(set, entities, cedar.Request{Principal: who, Action: action, Resource: what, Context: circumstances(t, q, now)})
	return verdict == cedar.Allow && len(why.Errors) == 0
}

// circumstances are all there are, whether somebody looks at them or not.
func circumstances(t testing.TB, q policy.Question, now time.Time) cedar.Record {
	t.Helper()
	given := cedar.RecordMap{}
	for _, m := range q.Arguments.Members() {
		switch text := string(m.Value); {
		case text == "null":
		case text == `{}`:
			given[cedar.String(m.Name)] = cedar.Record{}
		case strings.HasPrefix(text, "{"):
			var flag cedar.Value = cedar.True
			if strings.Contains(text, "1") {
				flag = cedar.Long(1)
			}
			given[cedar.String(m.Name)] = cedar.NewRecord(cedar.RecordMap{"flag": flag})
		case strings.HasPrefix(text, `"`):
			given[cedar.String(m.Name)] = cedar.String(strings.Trim(text, `"`))
		default:
			given[cedar.String(m.Name)] = cedar.Long(text[0] - '0')
		}
	}
	all := cedar.RecordMap{"arguments": cedar.NewRecord(given), "time": cedar.NewDatetime(now), "revision": cedar.String(q.Revision)}
	if q.Address.IsValid() {
		all["address"] = types.IPAddr(netip.PrefixFrom(q.Address, q.Address.BitLen()))
	}
	return cedar.NewRecord(all)
}

// What is remembered of earlier answers never changes an answer: with it, without it, and by Cedar alone they are the same, with
// the same rule. Each question is asked at two times, so that what depends on the time cannot be remembered unseen.
func FuzzWhatIsRememberedChangesNoAnswer(f *testing.F) {
	for seed := range uint64(60) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		c := &chance{Rand: rand.New(rand.NewPCG(seed, 1))}
		text := c.policies()
		set := together(t, text)
		var now time.Time
		p := open(t, conf(text), policy.Deps{Now: func() time.Time { return now }})
		for range 40 {
			q := c.question(t)
			for _, now = range []time.Time{time.Date(2026, 5, 1, 6, 0, 0, 0, time.UTC), time.Date(2026, 11, 21, 18, 0, 0, 0, time.UTC)} {
				q.Explain = true // asks every rule
				want := p.Decide(t.Context(), q)
				want.Reasons, q.Explain = nil, false
				for _, memory := range []string{"new", "full"} {
					if d := cmp.Diff(want, p.Decide(t.Context(), q)); d != "" {
						t.Fatalf("%s memory, at %v, %+v (-asked in full +remembered):\n%s\nwith\n%s", memory, now, q, d, text)
					}
				}
				if allowed := alone(t, set, q, now); !q.Listing && allowed != want.Allow {
					t.Fatalf("at %v, %+v: %+v, and Cedar alone permits it: %v, with\n%s", now, q, want, allowed, text)
				}
			}
		}
	})
}

// A rule that looks at the context says something else each time, however often its answer was asked for before.
func TestWhatDependsOnTheCallIsAskedEachTime(t *testing.T) {
	for _, c := range []struct{ name, condition string }{
		{"an argument", `context.arguments has n && context.arguments.n > 3`},
		{"the address", `context.address.isInRange(ip("10.0.0.0/8"))`},
		{"the time", `context.time > datetime("2026-06-01")`},
		{"the revision", `context.revision == "2026-07-28"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var now time.Time
			p := open(t, conf(`permit(principal, action == Action::"call_tool", resource) when { `+c.condition+` };`), policy.Deps{Now: func() time.Time { return now }})
			yes, no := call("files", "read_a"), call("files", "read_a")
			yes.Principal, no.Principal = somebody("ann", "guest"), somebody("ann", "guest")
			yes.Arguments, no.Arguments = object(t, `{"n":4}`), object(t, `{"n":3}`)
			yes.Address, no.Address = netip.MustParseAddr("10.1.1.1"), netip.MustParseAddr("11.1.1.1")
			yes.Revision, no.Revision = "2026-07-28", "2025-06-18"
			for range 3 {
				now = time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
				first := p.Decide(t.Context(), yes).Allow
				now = now.AddDate(0, -2, 0)
				if second := p.Decide(t.Context(), no).Allow; !first || second {
					t.Errorf("got %v and then %v, want it permitted and then refused", first, second)
				}
			}
		})
	}
}

// Who has other roles, groups or servers is somebody else, and other policies are other answers.
func TestAnAnswerIsForWhoAskedAndForThePoliciesInForce(t *testing.T) {
	p := open(t, conf(`permit(principal in Group::"staff", action, resource);`), policy.Deps{})
	q := call("files", "read_a")
	for range 3 {
		for _, c := range []struct {
			groups, servers []string
			want            bool
		}{{nil, nil, false}, {[]string{"staff"}, nil, true}, {[]string{"staff"}, []string{"mail"}, false}, {[]string{"staff"}, []string{"files"}, true}} {
			q.Principal = mcp.Principal{ID: "ann", Roles: []string{"guest"}, Groups: c.groups, Servers: c.servers}
			if got := p.Decide(t.Context(), q); got.Allow != c.want {
				t.Errorf("ann of %v, bound to %v: got %+v, want %v", c.groups, c.servers, got, c.want)
			}
		}
	}
	q.Principal = mcp.Principal{ID: "ann", Roles: []string{"guest"}, Groups: []string{"staff"}}
	use, err := p.Prepare(conf(`permit(principal in Group::"staff", action, resource in Server::"mail");`))
	if err != nil {
		t.Fatal(err)
	}
	use()
	if p.Decide(t.Context(), q).Allow {
		t.Error("permitted by a policy that is no longer in force")
	}
}
