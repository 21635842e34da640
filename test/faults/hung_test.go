//go:build linux

package faults

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"
)

// hungBound is within what time a server that hangs must be out with the
// default health checks: every 2 s with 1 s for the answer, two that fail.
const hungBound = 5 * time.Second

// With the defaults and nobody calling: servers that are reached over a network
// and hang are out within 5 s, calls to them are refused at once, and they come
// back; a process that hangs is replaced by another.
func TestHungServersAreOutWithTheDefaults(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.add("p1", pipe, rev2506, "")
	h.add("p2", pipe, revModern, "")
	h.add("m1", modern, revModern, "process")
	h.add("h1", session, rev2506, "process")
	h.add("h2", session, rev2511, "proxy")
	h.add("e1", sse, rev2024, "process")
	h.add("w1", socket, rev2511, "process")
	h.add("w2", socket, revModern, "proxy")
	config := "log: {level: warn}\nservers:\n"
	for _, p := range h.peers {
		config += fmt.Sprintf("  %s: %s\n", p.name, p.section())
	}
	g := start(t, config)
	g.awaitReady(patience)
	cs := []client{newWeb(g.base + "/mcp")}
	defer cs[0].close()
	l := newLoad(t, h, cs)
	defer l.finish()
	for _, p := range h.peers {
		if r := l.call(cs[0], p, "echo"); !r.ok {
			t.Fatalf("%s: %s", p.name, r.failure)
		}
	}
	// A process that hangs while it makes its first list may be one that takes long for it.
	poll(t, patience, "all servers have been listed", func() bool {
		o := cs[0].request(t.Context(), "tools/list", obj{})
		listed, _ := o.result()["tools"].([]any)
		return len(listed) >= len(h.peers)*len(tools) && dig(o.result(), "_meta", "dragoman/missing") == nil
	})
	var work sync.WaitGroup
	defer work.Wait()
	for _, p := range h.peers {
		work.Go(func() {
			if p.how == pipe {
				childIsReplaced(t, l, p)
			} else {
				serverIsOut(t, g, l, p)
			}
		})
	}
}

func childIsReplaced(t *testing.T, l *load, p *peer) {
	before := p.pid()
	_ = syscall.Kill(before, syscall.SIGSTOP)
	begin := time.Now()
	// Its end takes as long as a process has to end when it is asked to (stop_timeout, twice).
	if !await(hungBound+10*time.Second+slack(), func() bool { now := p.pid(); return now != 0 && now != before }) {
		t.Errorf("%s (%s %s): the process %d that hangs is not replaced within %s", p.name, p.how, p.rev, before, time.Since(begin))
		_ = syscall.Kill(before, syscall.SIGCONT)
		return
	}
	t.Logf("%s: another process after %s", p.name, time.Since(begin).Round(10*time.Millisecond))
	if r := l.call(l.clients[0], p, "echo"); !r.ok {
		t.Errorf("%s: a call to the new process: %s", p.name, r.failure)
	}
}

func serverIsOut(t *testing.T, g *gateway, l *load, p *peer) {
	begin := time.Now()
	end := swallowAll
	if p.relay != nil {
		end = stopPort
	}
	heal := end(p)
	healed := false
	defer func() {
		if !healed {
			heal()
		}
	}()
	out := func() bool {
		r, err := g.ready()
		return err == nil && r.Servers[p.name].Status == "unhealthy" && r.Servers[p.name].Reason != ""
	}
	if !await(3*hungBound, out) {
		t.Errorf("%s (%s %s) hangs, and is not out after %s", p.name, p.how, p.rev, time.Since(begin))
		return
	}
	took := time.Since(begin)
	if took > hungBound+slack() {
		t.Errorf("%s (%s %s) hangs, and is out after %s, want %s", p.name, p.how, p.rev, took, hungBound)
	}
	r := l.call(l.clients[0], p, "echo")
	if r.ok || r.took > slack()/2 {
		t.Errorf("a call to %s, which is out, ends after %s: %q", p.name, r.took, r.failure)
	}
	t.Logf("%s: out after %s, then a call ends after %s: %s", p.name, took.Round(10*time.Millisecond), r.took.Round(time.Millisecond), r.failure)
	healed = true
	heal()
	if !await(2*hungBound, func() bool { return l.call(l.clients[0], p, "echo").ok }) {
		t.Errorf("%s does not answer calls within %s after it is well", p.name, 2*hungBound)
	}
}
