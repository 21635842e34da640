package policy_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/policy"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// onTrial adds policies that decide nothing.
func onTrial(cfg *config.Config, candidate string) *config.Config {
	cfg.Access.Candidate = []config.PolicySource{{Name: "next", Text: candidate}}
	return cfg
}

// somePolicies takes rules at random; they permit, forbid, and go wrong.
func somePolicies(random *rand.Rand) string {
	all := []string{
		`permit(principal, action, resource);`,
		`permit(principal == User::"ann", action, resource in Server::"files");`,
		`permit(principal in Group::"temps", action == Action::"call_tool", resource == Tool::"files/a");`,
		`forbid(principal in Role::"user", action, resource == Tool::"files/a") unless { context.arguments.path like "/data/*" };`,
		`forbid(principal, action, resource == Tool::"files/b") when { context.arguments.n > 10 };`,
		`forbid(principal, action, resource) when { context.address.isLoopback() };`,
		`forbid(principal == User::"bob", action, resource) when { context.time > datetime("2026-06-01") };`,
		`forbid(principal, action == Action::"read_resource", resource) unless { resource.uri like "file:///a*" };`,
		`permit(principal, action, resource) when { context.arguments.missing == 1 };`,
		`forbid(principal, action == Action::"call_tool", resource == Tool::"files/c") when { context.seen.contains("files") };`,
	}
	var b strings.Builder
	for _, rule := range all {
		if random.IntN(3) == 0 {
			b.WriteString(rule + "\n")
		}
	}
	return b.String() + `permit(principal == User::"nobody", action, resource);`
}

func someRequest(t *testing.T, random *rand.Rand) (*mcp.Request, mcp.Principal) {
	of := func(all ...string) string { return all[random.IntN(len(all))] }
	name := of("a", "b", "c")
	params := fmt.Sprintf(`{"name":%q,"uri":"file:///%s","taskId":"t","arguments":{%s},"ref":{%s"name":"p"},"notifications":{"resourceSubscriptions":["file:///a","file:///b"]}}`,
		name, name, of(``, `"path":"/data/x"`, `"path":"/etc","n":11`, `"n":"x"`, `"n":1,"path":1`), of(`"type":"ref/prompt",`, ``))
	who := somebody(of("ann", "bob", ""), of("user", "admin", "guest"))
	who.Groups = []string{of("temps", "staff")}
	return request(t, of("tools/call", "tools/call", "tools/call", "prompts/get", "resources/read", "completion/complete", "subscriptions/listen", "tasks/get", "vendor/do"), params), who
}

// Whatever is on trial, each caller hears the same, each server gets the same, and the same is told of each decision.
func TestPoliciesOnTrialNeverChangeAnAnswer(t *testing.T) {
	random := rand.New(rand.NewPCG(30, 1))
	differences := 0
	for round := range 200 {
		inForce := somePolicies(random)
		plain := conf(inForce)
		if round%5 == 0 { // everything is open, as long as what is on trial is not in force
			plain = conf("")
			plain.Auth = config.Auth{}
		}
		copied := *plain
		tried := onTrial(&copied, somePolicies(random))
		var got [2]strings.Builder
		var handlers [2]mcp.Handler
		var policies [2]*policy.Policy
		for i, cfg := range []*config.Config{plain, tried} {
			policies[i] = open(t, cfg, policy.Deps{
				Now:     func() time.Time { return time.Unix(1.8e9, 0) },
				Address: func(context.Context) netip.Addr { return netip.MustParseAddr("127.0.0.1") },
				Decided: func(ctx context.Context, q policy.Question, d policy.Decision) context.Context {
					fmt.Fprintf(&got[i], "%s %v: %+v\n", q.Action, q.Resource, d)
					return ctx
				},
			})
			handlers[i] = policies[i].Enforce(config.Server{Name: "files"}, mcp.HandlerFunc(func(_ context.Context, req *mcp.Request) (mcp.Result, error) {
				fmt.Fprintf(&got[i], "server: %s %s %s\n", req.Method, req.Name, req.Params.Append(nil))
				return mcp.EmptyResult(), nil
			}))
		}
		for range 25 {
			req, who := someRequest(t, random)
			for i, h := range handlers {
				own := *req
				_, err := h.Handle(mcp.WithPrincipal(t.Context(), who), &own)
				fmt.Fprintf(&got[i], "%v\n", err)
				fmt.Fprintf(&got[i], "sees: %t, audience %s\n", policies[i].Sees(mcp.WithPrincipal(t.Context(), who), "files", "tools/list", "a"), policies[i].Audience(mcp.WithPrincipal(t.Context(), who)))
			}
		}
		if d := cmp.Diff(got[0].String(), got[1].String()); d != "" {
			t.Fatalf("with\n%s\non trial beside\n%s\nit is not as without (-without +with):\n%s", tried.Access.Candidate[0].Text, inForce, d)
		}
		c, compared := policies[1].Compare()
		if !compared {
			t.Fatal("no policies are on trial")
		}
		differences += len(c.Differences)
	}
	if differences < 1000 {
		t.Errorf("got %d differences in all, want so many that answers could have changed", differences)
	}
}

func TestWhatPoliciesOnTrialWouldDecideOtherwiseIsCountedGatheredAndLogged(t *testing.T) {
	var lines strings.Builder
	now := time.Unix(1.8e9, 0).UTC()
	cfg := onTrial(conf(`@id("no-b") forbid(principal, action, resource == Tool::"files/b");`),
		`@id("no-a") forbid(principal, action, resource == Tool::"files/a"); @id("faulty") forbid(principal, action, resource == Tool::"files/c") when { context.arguments.n > 1 };`)
	p := open(t, cfg, policy.Deps{Now: func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(&lines, nil))})
	h := p.Enforce(config.Server{Name: "files"}, &recorder{})
	for _, name := range []string{"a", "a", "a", "b", "c", "d"} {
		_, _ = h.Handle(mcp.WithPrincipal(t.Context(), somebody("ann", "user")), request(t, "tools/call", `{"name":"`+name+`","arguments":{"path":"/secret"}}`))
		now = now.Add(time.Second)
	}
	got, _ := p.Compare()
	start := time.Unix(1.8e9, 0).UTC()
	one := func(permits bool, name, was, would, fault string, calls uint64, first, last int) policy.Difference {
		return policy.Difference{Permits: permits, Principal: "ann", Roles: []string{"user"}, Action: "call_tool", Kind: "Tool", Server: "files", Name: name, Was: was, Would: would,
			Fault: fault, Calls: calls, First: start.Add(time.Duration(first) * time.Second), Last: start.Add(time.Duration(last) * time.Second)}
	}
	want := policy.Comparison{
		Since: start, Policies: got.Policies, Candidate: got.Candidate, Servers: map[string]policy.Tally{"files": {Asked: 6, Permits: 1, Refuses: 4}},
		Differences: []policy.Difference{
			one(true, "b", "no-b", "role:user", "", 1, 3, 3), one(false, "a", "role:user", "no-a", "", 3, 0, 2),
			one(false, "c", "role:user", "faulty", "record does not have the attribute `n`", 1, 4, 4),
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("comparison (-want +got):\n%s", d)
	}
	if n := strings.Count(lines.String(), "would decide otherwise"); n != 3 || !strings.Contains(lines.String(), "not_logged=2") || strings.Contains(lines.String(), "secret") {
		t.Errorf("got %d lines, want one for each of 3 kinds, no arguments, and in a later one that 2 had none:\n%s", n, lines.String())
	}
}

func TestWhatIsGatheredOfATrialIsBounded(t *testing.T) {
	var lines strings.Builder
	p := open(t, onTrial(conf(""), `forbid(principal, action, resource in Server::"files");`), policy.Deps{Log: slog.New(slog.NewTextHandler(&lines, nil))})
	h := p.Enforce(config.Server{Name: "files"}, &recorder{})
	for i := range 600 {
		_, _ = h.Handle(mcp.WithPrincipal(t.Context(), somebody("ann", "user")), request(t, "resources/read", fmt.Sprintf(`{"uri":"file:///%d%s"}`, i, strings.Repeat("x", 2000))))
	}
	c, tried := p.Compare()
	if !tried || len(c.Differences) != 500 || c.Untold != 100 || c.Servers["files"].Refuses != 600 {
		t.Errorf("got %t, %d differences, %d untold, %+v; want 500, 100, and all 600 counted", tried, len(c.Differences), c.Untold, c.Servers)
	}
	for _, d := range c.Differences {
		if len(d.Name) > 512 {
			t.Fatalf("a name of %d bytes is kept, want at most 512", len(d.Name))
		}
	}
	if n := strings.Count(lines.String(), "\n"); n < 10 || n > 40 { // ten a minute, and this does not take three
		t.Errorf("got %d lines of 600 differences, want ten for each minute", n)
	}
}

func TestATrialGoesOnAcrossReloadsThatChangeNeitherSet(t *testing.T) {
	const own, next = `forbid(principal, action, resource == Tool::"files/b");`, `forbid(principal, action, resource == Tool::"files/a");`
	p := open(t, onTrial(conf(own), next), policy.Deps{})
	h := p.Enforce(config.Server{Name: "files"}, &recorder{})
	ask := func(cfg *config.Config) int {
		t.Helper()
		use, err := p.Prepare(cfg)
		if err != nil {
			t.Fatal(err)
		}
		use()
		_, _ = h.Handle(mcp.WithPrincipal(t.Context(), somebody("ann", "user")), request(t, "tools/call", `{"name":"a"}`))
		c, tried := p.Compare()
		if !tried {
			return -1
		}
		return int(c.Servers["files"].Refuses)
	}
	got := []int{ask(onTrial(conf(own), next)), ask(onTrial(conf(own), next)), ask(onTrial(conf(own), next+"\n"+own)), ask(conf(own)), ask(onTrial(conf(own), next))}
	if d := cmp.Diff([]int{1, 2, 1, -1, 1}, got); d != "" {
		t.Errorf("differences after each reload (-want +got):\n%s", d)
	}
}

func TestFaultsOfPoliciesOnTrialAreReportedWithThoseInForce(t *testing.T) {
	_, err := policy.New(onTrial(conf(`permit(`), `permit(principal, action, resource in Server::"fils");`), policy.Deps{})
	if err == nil || !strings.Contains(err.Error(), "own:1: does not parse") || !strings.Contains(err.Error(), `next:1: Server::"fils": there is no server "fils"`) {
		t.Errorf("got %v, want the faults of both", err)
	}
}

// What a trial costs: the same call with none, and with one of as many rules as are in force.
func BenchmarkTrial(b *testing.B) {
	server := mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) { return mcp.EmptyResult(), nil })
	params := object(b, `{"name":"write_7","arguments":{"path":"/data/report.txt"}}`)
	ctx := mcp.WithPrincipal(b.Context(), question200(b).Principal)
	for name, cfg := range map[string]*config.Config{"off": conf(rules200()), "same": onTrial(conf(rules200()), rules200()), "otherwise": onTrial(conf(rules200()), `forbid(principal, action, resource);`)} {
		h := open(b, cfg, policy.Deps{}).Enforce(config.Server{Name: "files"}, server)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Handle(ctx, mcp.ReadRequest("tools/call", params, nil)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
