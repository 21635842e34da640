package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/dragoman-mcp/dragoman/test/bench/load"
)

// The load under which a gateway is killed, and for how long it is under load before.
const (
	killedConns = 64
	killedAfter = 400 * time.Millisecond
)

// kill kills a gateway that records every call while it is under load, and holds its audit log to what callers were told: each
// call that was answered must be in it, ended.
func (s *stage) kill(ctx context.Context) error {
	dir := filepath.Join(s.guards.dir, "audit")
	var before, after ledger
	if err := before.read(dir); err != nil {
		return err
	}
	gateway := s.peers[gatewayPeer]
	killed := make(chan struct{})
	timer := time.AfterFunc(killedAfter, func() {
		defer close(killed)
		s.gateway.Stop(0)
	})
	// Whose processor time is read must not end: the upstream's stands in.
	results, err := s.bench.load(ctx, load.Plan{
		Peers: []load.Peer{{Name: gatewayPeer, Target: gateway.target, PID: s.peers[directPeer].pid}},
		Kind:  load.Echo, Revision: load.Modern, Conns: killedConns, Window: 2 * killedAfter,
	})
	if timer.Stop() {
		return fmt.Errorf("kill the gateway under load: the load ended before: %w", err)
	}
	<-killed
	s.gateway = nil
	if err != nil {
		return fmt.Errorf("kill the gateway under load: %w", err)
	}
	if err := after.read(dir); err != nil {
		return err
	}
	answered, recorded := uint64(results[gatewayPeer].Answered), after.calls-before.calls
	if recorded < answered {
		s.bench.fault("audit: the gateway was killed, and of %d calls that it had answered %d are in the log", answered, recorded)
	}
	s.bench.remark("%s: killed under load, the gateway had answered %d calls; the log has %d that ended meanwhile, %d answered ones are lost",
		s.topology.name, answered, recorded, answered-min(answered, recorded))
	return nil
}
