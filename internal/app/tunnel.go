package app

import (
	"context"
	"net"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/egress"
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
	tunnel.Serve(ctx, l, network, log)
	_ = network.Close() // it has nothing under way
}
