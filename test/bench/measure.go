package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"time"

	"github.com/dragoman-mcp/dragoman/test/bench/load"
	"github.com/dragoman-mcp/dragoman/test/bench/proc"
)

// stageRound measures the scenarios of one topology, every peer in each before the next, in an order that rotates.
func (b *bench) stageRound(ctx context.Context, round int, t topology, own []scenario) error {
	if len(own) == 0 {
		return nil
	}
	s, err := b.open(ctx, t)
	if err != nil {
		return err
	}
	err = b.measureStage(ctx, round, s, own)
	if err == nil && round == 0 && s.guards != nil {
		err = s.settle(ctx)
	}
	return errors.Join(err, s.close())
}

func (b *bench) measureStage(ctx context.Context, round int, s *stage, own []scenario) error {
	if err := b.atRest(ctx, round, s, own); err != nil {
		return err
	}
	for i, scenario := range own {
		if scenario.kind == "" {
			continue
		}
		if err := b.measure(ctx, round, scenario, s.inOrder(round+i)); err != nil {
			return err
		}
	}
	return s.lookBehind(ctx, round)
}

// inOrder is the peers, turned by n.
func (s *stage) inOrder(n int) []load.Peer {
	names := []string{gatewayPeer, barePeer}
	if s.bench.settings.direct {
		names = append(names, directPeer)
	}
	n %= len(names)
	var peers []load.Peer
	for _, name := range slices.Concat(names[n:], names[:n]) {
		peers = append(peers, load.Peer{Name: name, Target: s.peers[name].target, PID: s.peers[name].pid})
	}
	return peers
}

// How long a process rests before its memory is read: with nothing to do, and with streams held.
const (
	restBefore = time.Second
	restHeld   = 1500 * time.Millisecond
)

// atRest takes the samples of the scenarios start and idle, which a stage that has just been opened gives for nothing.
func (b *bench) atRest(ctx context.Context, round int, s *stage, own []scenario) error {
	wants := func(name string) bool {
		return slices.ContainsFunc(own, func(s scenario) bool { return s.name == name })
	}
	if wants("idle") {
		if err := rest(ctx, restBefore); err != nil {
			return err
		}
	}
	for _, name := range []string{gatewayPeer, barePeer} {
		p := s.peers[name]
		if wants("start") {
			b.add(sample{round, "start", name, toFirst, p.start.Seconds() * 1e3})
		}
		rss, err := proc.RSS(p.pid)
		if err != nil {
			return err
		}
		if wants("idle") {
			b.add(sample{round, "idle", name, memory, float64(rss) / 1e6})
		}
	}
	return nil
}

func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *bench) add(s sample) { b.samples = append(b.samples, s) }

// sliceLength is about how long a peer is measured before the next has its turn.
const sliceLength = 100 * time.Millisecond

// measure runs the load against all peers in turn and keeps their figures.
func (b *bench) measure(ctx context.Context, round int, s scenario, peers []load.Peer) error {
	defer b.profile(ctx, round, s, peers)()
	results, err := b.load(ctx, load.Plan{
		Peers: peers, Kind: s.kind, Revision: s.revision, Conns: s.conns, Tools: wantedTools(s.topology),
		Warm: b.settings.warm, Window: b.settings.window, Slices: int(b.settings.window / sliceLength),
	})
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	for name, r := range results {
		b.judge(s.name, name, r)
		if r.Answered == 0 {
			b.fault("%s, %s: nothing was answered rightly", s.name, name)
			continue
		}
		answered := float64(r.Answered)
		b.add(sample{round, s.name, name, cpu, r.CPU.Seconds() * 1e6 / answered})
		b.add(sample{round, s.name, name, rate, answered / r.Elapsed.Seconds()})
		b.add(sample{round, s.name, name, p50, r.P50.Seconds() * 1e6})
		b.add(sample{round, s.name, name, p99, r.P99.Seconds() * 1e6})
	}
	return nil
}

func wantedTools(name string) int {
	for _, t := range topologies() {
		if t.name == name {
			return t.tools
		}
	}
	return 0
}

// judge keeps what was wrong.
func (b *bench) judge(scenario, peer string, r load.Result) {
	if r.Wrong+r.Broken > 0 {
		b.fault("%s, %s: %d wrong answers, %d broken connections: %q", scenario, peer, r.Wrong, r.Broken, r.Samples)
	}
}

// load runs a plan in a process of its own.
func (b *bench) load(ctx context.Context, plan load.Plan) (map[string]load.Result, error) {
	text, err := json.Marshal(plan)
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, b.self, "load")
	command.Stdin = bytes.NewReader(text)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("run the load: %w", err)
	}
	var results map[string]load.Result
	return results, json.Unmarshal(out, &results)
}

// heldRound holds streams through a gateway and through a bare proxy that have done nothing before.
func (b *bench) heldRound(ctx context.Context, round int, t topology, chosen []scenario) error {
	plan := load.Plan{Revision: load.Legacy, Settle: restHeld}
	names := map[int]string{}
	for _, s := range chosen {
		if s.held > 0 && s.topology == t.name {
			plan.Held = append(plan.Held, s.held)
			names[s.held] = s.name
		}
	}
	slices.Sort(plan.Held)
	s, err := b.open(ctx, t)
	if err != nil {
		return err
	}
	for _, name := range []string{gatewayPeer, barePeer} {
		plan.Peers = []load.Peer{{Name: name, Target: s.peers[name].target, PID: s.peers[name].pid}}
		results, err := b.load(ctx, plan)
		if err != nil {
			return errors.Join(fmt.Errorf("held streams, %s: %w", name, err), s.close())
		}
		b.judge("held", name, results[name])
		for _, h := range results[name].Held {
			b.add(sample{round, names[h.N], name, perHeld, h.PerStream() / 1e3})
		}
	}
	return s.close()
}

// lookBehind asks the upstream what it was asked, and the gateway for its metrics, so that the report shows what was on.
func (s *stage) lookBehind(ctx context.Context, round int) error {
	if round > 0 || s.gateway == nil {
		return nil
	}
	stats, err := httpStats(ctx, s.counters[gatewayPeer])
	if err != nil {
		return err
	}
	metrics, status, err := get(ctx, "http://"+s.peers[gatewayPeer].target.Addr+"/metrics", s.peers[gatewayPeer].target.Tokens...)
	if err != nil || status != http.StatusOK {
		s.bench.remark("%s: METRICS ARE OFF: /metrics answered with status %d, error %v", s.topology.name, status, err)
	}
	var logged int64
	if info, err := os.Stat(s.log); err == nil {
		logged = info.Size()
	}
	whose := "the gateway's upstream"
	if s.counters[gatewayPeer] == s.counters[barePeer] {
		whose = "the upstream, which all share,"
	}
	s.bench.remark("%s, round 1: %s saw %d calls, %d lists, %d initialize, %d discover, refused %d; /metrics has %d bytes, the log %d",
		s.topology.name, whose, stats.Calls, stats.Lists, stats.Initialize, stats.Discover, stats.Refused, len(metrics), logged)
	return nil
}

// maxPage bounds what is read of a page, in bytes.
const maxPage = 16 << 20

// get reads a page, as the first of the users that have tokens.
func get(ctx context.Context, url string, tokens ...string) (body []byte, status int, err error) {
	return getWithin(ctx, 5*time.Second, url, tokens...)
}

func getWithin(ctx context.Context, limit time.Duration, url string, tokens ...string) (body []byte, status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, err
	}
	if len(tokens) > 0 {
		request.Header.Set("Authorization", "Bearer "+tokens[0])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, 0, err
	}
	defer response.Body.Close()
	body, err = io.ReadAll(io.LimitReader(response.Body, maxPage))
	return body, response.StatusCode, err
}
