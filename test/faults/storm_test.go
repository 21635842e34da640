//go:build linux

package faults

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// pace is how fast things are noticed in a run.
type pace struct {
	interval, timeout time.Duration // of health checks
	call              time.Duration // deadline of a call
	list              time.Duration // deadline of lists
	fault             time.Duration // how long a fault lasts
}

// thePace has the default health checks in a long run, and quicker ones in a
// short one.
func thePace() pace {
	return either(
		pace{interval: 2 * time.Second, timeout: time.Second, call: 3 * time.Second, list: 2 * time.Second, fault: 8 * time.Second},
		pace{interval: 500 * time.Millisecond, timeout: 500 * time.Millisecond, call: 1500 * time.Millisecond, list: time.Second, fault: 2 * time.Second},
	)
}

// noticed is within what time a server that hangs must be out: two checks that
// fail, the last of which may have to run into its timeout.
func (p pace) noticed() time.Duration { return 2*p.interval + p.timeout }

// twenty makes the servers of the storm: every way to be reached, every revision.
func twenty(h *house) {
	h.add("p1", pipe, rev2024, "")
	h.add("p2", pipe, rev2506, "")
	h.add("p3", pipe, rev2511, "")
	h.add("p4", pipe, revModern, "")
	h.add("p5", pipe, rev2503, "")
	h.add("m1", modern, revModern, "proxy")
	h.add("m2", modern, revModern, "proxy")
	h.add("m3", modern, revModern, "process")
	h.add("m4", modern, revModern, "process")
	h.add("h1", session, rev2503, "proxy")
	h.add("h2", session, rev2506, "proxy")
	h.add("h3", session, rev2511, "process")
	h.add("h4", session, rev2511, "proxy")
	h.add("e1", sse, rev2024, "proxy")
	h.add("e2", sse, rev2024, "process")
	h.add("e3", sse, rev2024, "proxy")
	h.add("w1", socket, rev2511, "proxy")
	h.add("w2", socket, revModern, "proxy")
	h.add("w3", socket, rev2506, "process")
	h.add("t1", builtin, revModern, "")
}

// config lists the peers, with the pace of the run.
func (h *house) config(p pace) string {
	var b strings.Builder
	fmt.Fprintf(&b, `listen: 127.0.0.1:0
limits: {upstream_response: 8MiB}
catalog: {ttl: 1s, list_deadline: %s}
log: {level: info}
defaults:
  timeout: %s
  stop_timeout: 1s
  startup_timeout: 3s
  connect_timeout: 3s
  health: {interval: %s, timeout: %s}
  breaker: {failures: 5, open_for: 1s}
  restart: {min_backoff: 100ms, max_backoff: 1s}
servers:
`, p.list, p.call, p.interval, p.timeout)
	for _, peer := range h.peers {
		fmt.Fprintf(&b, "  %s: %s\n", peer.name, peer.section())
	}
	return b.String()
}

// trouble is something that befalls a server for a while.
type trouble struct {
	name  string
	peers []string                   // whom it befalls in a long run; the first in a short one
	begin func(p *peer) (end func()) //
	out   bool                       // the server counts as out meanwhile, and says why
	hung  bool                       // … since it hangs: within the time for that, and then calls are refused at once
	lists bool                       // its lists cannot be had
}

// wrongly lets a peer's answers have a fault.
func wrongly(kind string, all bool) func(*peer) func() {
	return func(p *peer) func() {
		p.fault.Store(&fault{kind: kind, all: all})
		return func() { p.fault.Store(nil) }
	}
}

func killPipe(p *peer) func() {
	if pid := p.pid(); pid != 0 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	return func() {}
}

// stopPipe stops the process for good: it is replaced, or the server never comes back.
func stopPipe(p *peer) func() {
	_ = syscall.Kill(p.pid(), syscall.SIGSTOP)
	return func() {}
}

func killPort(p *peer) func() {
	p.relay.kill()
	return p.relay.start
}

func stopPort(p *peer) func() {
	p.relay.signal(syscall.SIGSTOP)
	return func() { p.relay.signal(syscall.SIGCONT) }
}

func swallowAll(p *peer) func() {
	p.proxy.swallow()
	return p.proxy.pass
}

func refuseAll(p *peer) func() {
	p.proxy.refuse()
	return p.proxy.admit
}

// every calls do now and then until the end of the trouble.
func every(d time.Duration, do func(p *peer)) func(*peer) func() {
	return func(p *peer) func() {
		ctx, cancel := context.WithCancel(p.house.ctx)
		var work sync.WaitGroup
		work.Go(func() {
			for do(p); pause(ctx, d); do(p) {
			}
		})
		return func() {
			cancel()
			work.Wait()
		}
	}
}

// flooding is 5,000 notifications per second of all kinds, most of them nonsense.
func flooding(p *peer) {
	for n := range 125 {
		p.tell("notifications/tools/list_changed", obj{})
		p.tell("notifications/resources/updated", obj{"uri": fmt.Sprintf("news://%s/%d", p.name, n)})
		p.tell("notifications/progress", obj{"progressToken": n, "progress": n})
		p.tell("notifications/message", obj{"level": "emergency", "data": "it burns"})
	}
}

var troubles = []trouble{
	{name: "its process is killed", peers: []string{"p1", "p2", "p3", "p4", "p5"}, begin: killPipe},
	{name: "its process is stopped", peers: []string{"p2", "p4"}, begin: stopPipe, out: true},
	{name: "the process that it is reached by is killed", peers: []string{"m3", "h3", "e2", "w3"}, begin: killPort, out: true, lists: true},
	{name: "the process that it is reached by is stopped", peers: []string{"h3", "m3", "e2", "w3"}, begin: stopPort, out: true, hung: true, lists: true},
	{name: "nothing comes through to it", peers: []string{"m1", "h1", "e1", "w1", "w2"}, begin: swallowAll, out: true, hung: true, lists: true},
	{name: "it refuses connections", peers: []string{"w2", "m1", "h2", "e1"}, begin: refuseAll, out: true, lists: true},
	{name: "its answers to calls are garbage", peers: []string{"h4", "p1", "p4", "m1", "m2", "e1", "w1"}, begin: wrongly(garbage, false), out: true},
	{name: "all its answers are garbage", peers: []string{"m2", "p3", "h2", "e3", "w2"}, begin: wrongly(garbage, true)},
	{name: "it answers too late", peers: []string{"p5", "m1", "h4", "e3", "w1"}, begin: wrongly(late, true), out: true},
	{name: "it answers twice", peers: []string{"m2", "m1", "p2", "p4", "h1", "h2", "e1", "w1", "w2"}, begin: wrongly(twice, true)},
	{name: "it breaks off in the middle of answers", peers: []string{"m1", "m2", "h1", "h4", "p3", "e1", "w1"}, begin: wrongly(cut, false)},
	{name: "it answers with status 500", peers: []string{"h2", "m1", "e3"}, begin: wrongly(refused, true), out: true},
	{name: "it forgets its sessions", peers: []string{"h1", "h4"}, begin: every(300*time.Millisecond, (*peer).forget)},
	{name: "it floods with notifications", peers: []string{"p2", "m2", "h4", "e1", "w2"}, begin: every(100*time.Millisecond, flooding)},
	{name: "it sends a message of 1 GiB", peers: []string{"p3", "m1", "h2", "h4", "e1", "w1", "w2"}, begin: wrongly(huge, false)},
}

func TestOneServerInTroubleIsNobodyElsesTrouble(t *testing.T) {
	h := newHouse(t)
	p := thePace()
	h.late = p.call + 300*time.Millisecond
	twenty(h)
	g := start(t, h.config(p))
	g.awaitReady(patience)
	s := &storm{t: t, house: h, gateway: g, pace: p, load: newLoad(t, h, clients(t, g, 2))}
	s.lister = &lister{c: newWeb(g.base + "/mcp"), limit: p.list}
	s.older = &lister{c: s.load.clients[1], limit: p.list} // a session, which has lists of its own
	t.Cleanup(s.lister.c.close)
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	work.Go(func() { s.load.run(ctx, 300, h.peers) })
	work.Go(func() { s.lister.run(ctx, 200*time.Millisecond) })
	work.Go(func() { s.older.run(ctx, 300*time.Millisecond) })
	s.calm()
	for _, tr := range troubles {
		for _, name := range either(tr.peers, tr.peers[:1]) {
			t.Run(strings.ReplaceAll(name+" "+tr.name, " ", "_"), func(t *testing.T) { s.befall(t, tr, h.byName[name]) })
		}
	}
	stop()
	work.Wait()
	s.load.finish()
	s.finish()
}

// storm is the run of all troubles over one gateway.
type storm struct {
	t       *testing.T
	house   *house
	gateway *gateway
	pace    pace
	load    *load
	lister  *lister
	older   *lister
	base    time.Duration // p99 of calls in fault-free time
}

// calm measures the time before the first trouble.
func (s *storm) calm() {
	pause(s.t.Context(), either(2*time.Second, time.Second)) // connections are made, lists are fetched
	from := time.Now()
	pause(s.t.Context(), either(8*time.Second, 3*time.Second))
	all := s.load.between(from, time.Now(), func(record) bool { return true })
	bad := s.load.between(from, time.Now(), func(r record) bool { return !r.ok })
	s.base = percentile(all, 0.99)
	s.t.Logf("without trouble: %d calls, p50 %s, p99 %s", len(all), percentile(all, 0.5), s.base)
	if len(all) < 100 || len(bad) > 0 {
		s.t.Errorf("without trouble %d of %d calls failed, want none of at least 100: %+v", len(bad), len(all), bad[:min(len(bad), 3)])
	}
}

// bound is how slow the others' calls may become.
func (s *storm) bound() time.Duration { return max(10*s.base, slack()/2) }

// befall lets a trouble happen and holds everything to what it must be meanwhile.
func (s *storm) befall(t *testing.T, tr trouble, p *peer) {
	before := p.pid()
	from := time.Now()
	end := tr.begin(p)
	ended := false
	defer func() {
		if !ended {
			end()
		}
	}()
	if tr.out {
		s.awaitOut(t, tr, p, from)
	}
	if tr.hung {
		s.refusesFast(t, p)
	}
	if tr.lists {
		s.awaitMissing(t, p)
	}
	pause(t.Context(), s.pace.fault-time.Since(from))
	ended = true
	end()
	healed := time.Now()
	s.awaitWell(t, p)
	took := time.Since(healed)
	if tr.name == "its process is stopped" || tr.name == "its process is killed" {
		if now := p.pid(); now == before || now == 0 {
			t.Errorf("the process is %d as before, want another one", now)
		}
	}
	s.others(t, p, from, took)
}

// awaitOut waits until /ready says that the server is out, and why.
func (s *storm) awaitOut(t *testing.T, tr trouble, p *peer, from time.Time) {
	limit := s.pace.noticed() + slack()
	if !tr.hung { // calls have to fail first
		limit += s.pace.call
	}
	var last readiness
	ok := await(limit, func() bool {
		r, err := s.gateway.ready()
		if err != nil {
			return false
		}
		last = r
		server := r.Servers[p.name]
		return r.Status == "degraded" && server.Status != "healthy" && server.Reason != ""
	})
	if !ok {
		t.Errorf("/ready does not say within %s that %s is out: %s, %+v", limit, p.name, last.Status, last.Servers[p.name])
		return
	}
	t.Logf("out after %s: %.150s", time.Since(from).Round(10*time.Millisecond), last.Servers[p.name].Reason)
}

// refusesFast makes calls to a server that is out.
func (s *storm) refusesFast(t *testing.T, p *peer) {
	for _, c := range s.load.clients {
		r := s.load.call(c, p, "echo")
		if r.ok || r.took > s.pace.call/2 {
			t.Errorf("a call to %s, which is out, ends after %s with %q, want an error at once", p.name, r.took, r.failure)
		}
	}
}

// awaitMissing waits until a list says that the server's tools may be old, with
// the tools that were known last.
func (s *storm) awaitMissing(t *testing.T, p *peer) {
	limit := s.pace.noticed() + s.pace.call + 2*slack()
	if !await(limit, func() bool { m, _, ok := s.lister.lacks(p.name); return ok && m.Reason != "" }) {
		t.Errorf("tools/list does not say within %s why the tools of %s may be old", limit, p.name)
		return
	}
	m, n, _ := s.lister.lacks(p.name)
	if !m.LastKnown || n != len(tools) {
		t.Errorf("tools/list has %d tools of %s (lastKnown %t), want the %d that were known last", n, p.name, m.LastKnown, len(tools))
	}
	t.Logf("missing: %s", m.Reason)
}

// awaitWell waits until the server is as before.
func (s *storm) awaitWell(t *testing.T, p *peer) {
	limit := s.pace.noticed() + s.pace.call + 10*time.Second
	var last readiness
	ok := await(limit, func() bool {
		r, err := s.gateway.ready()
		last = r
		if err != nil || r.Servers[p.name].Status != "healthy" {
			return false
		}
		_, _, lacks := s.lister.lacks(p.name)
		return !lacks
	})
	if !ok {
		m, n, lacks := s.lister.lacks(p.name)
		t.Fatalf("%s is not well within %s: %s %+v, %d tools, missing %t %+v", p.name, limit, last.Status, last.Servers[p.name], n, lacks, m)
	}
	var r record
	if !await(limit, func() bool { r = s.load.call(s.load.clients[0], p, "echo"); return r.ok }) {
		t.Fatalf("%s does not answer calls within %s: %s", p.name, limit, r.failure)
	}
}

// others holds the calls to all other servers to those of calm times.
func (s *storm) others(t *testing.T, p *peer, from time.Time, healed time.Duration) {
	others := s.load.between(from, time.Now(), func(r record) bool { return r.server != p.name })
	own := s.load.between(from, time.Now(), func(r record) bool { return r.server == p.name })
	bad := 0
	for _, r := range others {
		if r.ok {
			continue
		}
		if bad++; bad <= 3 {
			t.Errorf("a call to %s failed meanwhile: %+v", r.server, r)
		}
	}
	if bad > 3 {
		t.Errorf("%d calls to other servers failed", bad)
	}
	p99 := percentile(others, 0.99)
	if p99 > s.bound() {
		t.Errorf("p99 of the others is %s, want at most %s (%s in calm times)", p99, s.bound(), s.base)
	}
	good := 0
	for _, r := range own {
		if r.ok {
			good++
		}
		if r.took > s.pace.call+slack() {
			t.Errorf("a call to %s was answered after %s, want within its deadline of %s: %+v", p.name, r.took, s.pace.call, r)
			break
		}
	}
	t.Logf("%d calls to %s, %d with their result, p99 %s; %d to the others, p99 %s; well %s after the end; RSS %s",
		len(own), p.name, good, percentile(own, 0.99), len(others), p99, healed.Round(10*time.Millisecond), mb(s.gateway.rss()))
}

// finish looks at what concerns the whole storm.
func (s *storm) finish() {
	for _, l := range []*lister{s.lister, s.older} {
		l.mu.Lock()
		for i, wrong := range l.wrong {
			if i < 5 {
				s.t.Errorf("%s: %s", l.c.kind(), wrong)
			}
		}
		if want := 19*len(tools) + 2; l.least < want {
			s.t.Errorf("%s: a list had only %d tools, want all %d that were known last", l.c.kind(), l.least, want)
		}
		s.t.Logf("%d lists over %s, the slowest %s (deadline %s), at least %d tools", l.lists, l.c.kind(), l.slowest, s.pace.list, l.least)
		l.mu.Unlock()
	}
	s.t.Logf("callers were told:\n%s", s.load.told())
}
