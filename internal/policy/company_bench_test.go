package policy_test

import (
	"net/netip"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/policy"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/test/bench/company"
)

// What a decision of the benchmark's company costs, in which some rules look at the call.
func BenchmarkDecideOfACompany(b *testing.B) {
	cfg := conf(company.Policies())
	cfg.Servers["up"] = config.Server{Name: "up"}
	for n := range company.Others {
		cfg.Servers[company.Server(n+1)] = config.Server{Name: company.Server(n + 1)}
	}
	p := open(b, cfg, policy.Deps{})
	q := call("up", "echo")
	q.Principal = mcp.Principal{ID: "corp:9f1c", Roles: []string{"user"}, Groups: []string{"staff", "team-7", "analysts"}, Method: "jwt"}
	q.Arguments, q.Address = object(b, `{"text":"hello, this is call 17 of connection 3"}`), netip.MustParseAddr("127.0.0.1")
	b.ReportAllocs()
	for b.Loop() {
		if !p.Decide(b.Context(), q).Allow {
			b.Fatal("refused")
		}
	}
}
