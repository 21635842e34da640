package app

import (
	"context"
	"net"
	"slices"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/egress"
	"github.com/dragoman-mcp/dragoman/internal/egress/netguard"
	"github.com/dragoman-mcp/dragoman/internal/egress/tunnel"
	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

// tunnel serves the proxy of a program in a sandbox (supervisor.Options.Tunnel).
// Hosts that the operator wrote may be private; those that only fit a pattern may
// not, since whoever runs that domain says where its names lead.
func (a *App) tunnel(ctx context.Context, l net.Listener, server string, rules *sandbox.Rules) {
	policy := egress.Policy{Name: "sandbox of " + server, Only: rules.Hosts}
	for _, host := range rules.Hosts {
		if !strings.Contains(host, "*") {
			policy.Allow = append(policy.Allow, host)
		}
	}
	log := a.log.With("server", server)
	guard, err := egress.NewGuard(policy, nil)
	if err != nil {
		log.Error("sandbox.hosts cannot be read; the program has no network", "err", err)
		_ = l.Close()
		return
	}
	network := egress.New(egress.Options{Guard: guard, UserAgent: "dragoman/" + a.o.Version})
	defer func() { _ = network.Close() }() // it has nothing under way
	if a.o.Proxy == nil {
		tunnel.Serve(ctx, l, network, nil, log)
		return
	}
	policy.TrustProxy = true // of what the tunnel lets through to it
	trusting, err := egress.NewGuard(policy, nil)
	if err != nil {
		log.Error("sandbox.hosts cannot be read; the program has no network", "err", err)
		_ = l.Close()
		return
	}
	direct := egress.New(egress.Options{})
	defer func() { _ = direct.Close() }()
	plain := egress.New(egress.Options{Guard: trusting, Proxy: a.o.Proxy, TLS: a.o.TLS, UserAgent: "dragoman/" + a.o.Version})
	defer func() { _ = plain.Close() }()
	tunnel.Serve(ctx, l, network, &tunnel.Beyond{
		Proxy: a.o.Proxy, Direct: direct, Plain: plain, TLS: a.o.TLS, Guard: guard, ByName: byName(rules),
	}, log)
}

// byName says which hosts the gateway's own proxy may be asked for by their names: those that stand in a program's list,
// and all that fit it if the proxy is trusted.
func byName(rules *sandbox.Rules) func(host string) bool {
	listed, err := netguard.ParseRules(rules.Hosts)
	return func(host string) bool {
		if slices.ContainsFunc(rules.Hosts, func(open string) bool { return strings.EqualFold(open, host) }) {
			return true
		}
		return rules.TrustProxy && err == nil && (len(rules.Hosts) == 0 || listed.Name(host))
	}
}
