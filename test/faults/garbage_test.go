//go:build linux

package faults

import (
	"fmt"
	"sync"
	"testing"
)

// Every wrong way to answer a call is an error that names the server, on every
// transport, and the next call is answered as if nothing had been.
func TestWrongAnswersAreErrors(t *testing.T) {
	h := newHouse(t)
	for i, how := range []string{pipe, modern, modern, session, session, sse, socket, pipe, socket} {
		rev := []string{rev2511, revModern, revModern, rev2506, rev2511, rev2024, rev2511, revModern, revModern}[i]
		h.add(fmt.Sprintf("s%d", i), how, rev, "proxy")
	}
	config := "log: {level: warn}\ndefaults: {timeout: 400ms, health: {interval: 0s}, breaker: {failures: 0}}\nservers:\n"
	for _, p := range h.peers {
		config += fmt.Sprintf("  %s: %s\n", p.name, p.section())
	}
	g := start(t, config)
	g.awaitReady(patience)
	l := newLoad(t, h, []client{newWeb(g.base + "/mcp")})
	defer l.clients[0].close()
	defer l.finish()
	var work sync.WaitGroup
	defer work.Wait()
	for _, p := range h.peers {
		work.Go(func() { answersWrongly(t, l, p) })
	}
}

func answersWrongly(t *testing.T, l *load, p *peer) {
	who := fmt.Sprintf("%s %s events=%t", p.how, p.rev, p.events)
	for n := range variants {
		p.turn.Store(int64(n - 1))
		p.fault.Store(&fault{kind: garbage})
		r := l.call(l.clients[0], p, "echo")
		p.fault.Store(nil)
		if r.ok {
			t.Errorf("%s: variant %d was taken for an answer: %q", who, n, variants[n](obj{"jsonrpc": "2.0", "id": 1, "result": obj{}}))
		}
		if r := l.call(l.clients[0], p, "echo"); !r.ok {
			t.Errorf("%s: the call after variant %d: %s", who, n, r.failure)
		}
	}
}
