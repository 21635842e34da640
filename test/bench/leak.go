package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/test/bench/load"
	"github.com/dragoman-mcp/dragoman/test/bench/secrets"
	"github.com/dragoman-mcp/dragoman/test/bench/upstream"
)

// leak is the name of the scenario that looks for lost, doubled and misdirected calls.
const leak = "leak"

// leakConns is over how many connections it spreads its calls.
const leakConns = 64

func wantsLeak(scenarios string) bool { return slices.Contains(strings.Split(scenarios, ","), leak) }

// leakReport is what the callers and the servers behind the gateway found.
type leakReport struct {
	secrets.Report
	Seconds float64                   `json:"seconds"`
	Seed    uint64                    `json:"seed"`
	Servers map[string]upstream.Stats `json:"servers"`
}

// leak runs the scenario: half of the connections go to a server over HTTP and half to one over the pipe of a child process,
// where all calls share one channel; half of each speak 2025-06-18 and half 2026-07-28.
func (b *bench) leak(ctx context.Context) (*leakReport, error) {
	options := upstream.Options{Late: b.settings.late}
	t := topology{name: leak, gateway: options, bare: options, pipe: true}
	s, err := b.open(ctx, t)
	if err != nil {
		return nil, err
	}
	r, err := b.runLeak(ctx, s)
	return r, errors.Join(err, s.close())
}

func (b *bench) runLeak(ctx context.Context, s *stage) (*leakReport, error) {
	targets := []load.Target{s.peers[gatewayPeer].target}
	pipe := s.pipeTarget()
	if s.gateway != nil {
		if err := load.FirstAnswer(ctx, pipe, load.Legacy, s.gateway.Exited()); err != nil {
			return nil, fmt.Errorf("first answer over the pipe: %w", err)
		}
		targets = append(targets, pipe)
	}
	until, _ := ctx.Deadline() // run sets one
	begin := time.Now()
	found, err := secrets.Run(ctx, secrets.Plan{
		Targets: targets, Conns: leakConns, Calls: b.settings.calls, Late: b.settings.late, Seed: b.settings.seed, Until: until,
	})
	if err != nil {
		return nil, err
	}
	r := &leakReport{Report: found, Seconds: time.Since(begin).Seconds(), Seed: b.settings.seed, Servers: map[string]upstream.Stats{}}
	if err := rest(ctx, 2*b.settings.late); err != nil { // what was cancelled may still be on its way to the servers
		return nil, err
	}
	if r.Servers["http"], err = httpStats(ctx, s.counters[gatewayPeer]); err != nil {
		return nil, err
	}
	if len(targets) > 1 {
		if r.Servers["stdio"], err = toolStats(ctx, pipe); err != nil {
			return nil, err
		}
	}
	r.judge(b)
	return r, nil
}

// judge turns what must not be into faults.
func (r *leakReport) judge(b *bench) {
	if r.Foreign+r.Doubled+r.Lost > 0 {
		b.fault("leak: %d foreign secrets, %d doubled answers, %d lost calls: %q", r.Foreign, r.Doubled, r.Lost, r.Samples)
	}
	var executed int64
	for name, stats := range r.Servers {
		executed += stats.Distinct
		if stats.Doubled > 0 {
			b.fault("leak: the %s server executed %d calls more than once", name, stats.Doubled)
		}
	}
	if executed < r.Answered {
		b.fault("leak: %d calls were answered and only %d executed", r.Answered, executed)
	}
}

// write prints the counts.
func (r *leakReport) write(to io.Writer) {
	fmt.Fprintf(to, "\nleak: %d calls over %d connections in %.1f s (seed %d)\n", r.Calls, leakConns, r.Seconds, r.Seed)
	fmt.Fprintf(to, "  answered %d, hung up in mid-call %d, cancelled %d (of these answered %d, left open %d)\n", r.Answered, r.HungUp,
		r.Cancelled, r.Late, r.Silent)
	fmt.Fprintf(to, "  foreign secrets %d, doubled answers %d, lost calls %d\n", r.Foreign, r.Doubled, r.Lost)
	for name, s := range r.Servers {
		fmt.Fprintf(to, "  the %s server executed %d different calls, %d more than once; %d initialize\n", name, s.Distinct, s.Doubled, s.Initialize)
	}
}

// pipeTarget is where the child process's tools are.
func (s *stage) pipeTarget() load.Target {
	addr := s.peers[gatewayPeer].target.Addr
	if s.bench.settings.route == "server" {
		return load.Target{Addr: addr, Path: "/mcp/" + pipeServer}
	}
	return load.Target{Addr: addr, Path: "/mcp", Prefix: pipeServer + "__"}
}

func httpStats(ctx context.Context, addr string) (stats upstream.Stats, err error) {
	text, status, err := get(ctx, "http://"+addr+"/bench/stats")
	if err != nil {
		return stats, fmt.Errorf("read the upstream's counters: %w", err)
	}
	if status != http.StatusOK {
		return stats, fmt.Errorf("read the upstream's counters: status %d", status)
	}
	return stats, json.Unmarshal(text, &stats)
}

// toolStats reads the counters of a server that has no page for them, through the gateway.
func toolStats(ctx context.Context, target load.Target) (stats upstream.Stats, err error) {
	c, err := load.Dial(ctx, target, load.Legacy, time.Now().Add(10*time.Second))
	if err != nil {
		return stats, err
	}
	defer c.Close()
	if err := c.Initialize(); err != nil {
		return stats, err
	}
	text, err := c.Stats()
	if err != nil {
		return stats, err
	}
	return stats, json.Unmarshal([]byte(text), &stats)
}
