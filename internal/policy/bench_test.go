package policy_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/policy"
	"github.com/dragoman-mcp/dragoman/internal/policy/limit"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// rules200 is what a company could have: rules by user and role, by server, by
// tool and by argument, 200 in all.
func rules200() string {
	var b strings.Builder
	for i := range 50 {
		fmt.Fprintf(&b, "permit(principal == User::\"user-%d\", action in Action::\"use\", resource in Server::\"files\");\n", i)
		fmt.Fprintf(&b, "permit(principal in Group::\"team-%d\", action == Action::\"call_tool\", resource == Tool::\"mail/send_%d\");\n", i, i)
		fmt.Fprintf(&b, "forbid(principal in Group::\"team-%d\", action, resource in Server::\"time\");\n", i)
		fmt.Fprintf(&b, "forbid(principal, action == Action::\"call_tool\", resource == Tool::\"files/write_%d\") unless { context.arguments.path like \"/data/*\" };\n", i)
	}
	return b.String()
}

func question200(t testing.TB) policy.Question {
	q := call("files", "write_7")
	q.Principal = mcp.Principal{ID: "user-7", Roles: []string{"user"}, Groups: []string{"team-7", "team-8"}, Method: "jwt"}
	q.Arguments = object(t, `{"path":"/data/report.txt","content":"`+strings.Repeat("x", 1000)+`"}`)
	return q
}

func TestADecisionAmong200RulesIsFast(t *testing.T) {
	p := open(t, conf(rules200()), policy.Deps{})
	q := question200(t)
	const n = 5000
	took := make([]time.Duration, n)
	for i := range took {
		start := time.Now()
		if d := p.Decide(t.Context(), q); !d.Allow {
			t.Fatalf("got %+v, want allowed", d)
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	t.Logf("p50 %v, p99 %v of %d decisions among 200 rules", took[n/2], took[n*99/100], n)
	if p50 := took[n/2]; p50 > 200*time.Microsecond { // ten times the goal for p99: machines are busy
		t.Errorf("p50 is %v", p50)
	}
}

// The ratio of sliced to whole, in one run: the second has the same rules with
// everything in conditions, as an engine without slices evaluates them.
func BenchmarkDecide(b *testing.B) {
	rules := map[string]string{"none": "", "200": rules200()}
	var whole strings.Builder
	for i := range 200 {
		fmt.Fprintf(&whole, "permit(principal, action, resource) when { principal == User::\"user-%d\" && resource in Server::\"files\" };\n", i)
	}
	rules["200 in conditions"] = whole.String()
	for _, name := range []string{"none", "200", "200 in conditions"} {
		b.Run(name, func(b *testing.B) {
			p := open(b, conf(rules[name]), policy.Deps{})
			q := question200(b)
			b.ReportAllocs()
			for b.Loop() {
				if !p.Decide(b.Context(), q).Allow {
					b.Fatal("refused")
				}
			}
		})
	}
}

// What a call costs more with 200 rules and two rates, against the server alone, in one run.
func BenchmarkEnforce(b *testing.B) {
	l, err := limit.New(config.Rates{Calls: []config.Rule{
		{Per: "principal", Rate: 1e9, Every: time.Minute}, {Per: "principal-tool", Rate: 1e9, Every: time.Minute},
	}}, limit.Options{})
	if err != nil {
		b.Fatal(err)
	}
	server := mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) { return mcp.EmptyResult(), nil })
	params := object(b, `{"name":"write_7","arguments":{"path":"/data/report.txt","content":"`+strings.Repeat("x", 1000)+`"}}`)
	ctx := mcp.WithPrincipal(b.Context(), question200(b).Principal)
	for name, h := range map[string]mcp.Handler{
		"server alone":             server,
		"with 200 rules and rates": open(b, conf(rules200()), policy.Deps{Limits: l}).Enforce(config.Server{Name: "files"}, server),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				req := mcp.ReadRequest("tools/call", params, nil)
				if _, err := h.Handle(ctx, req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
