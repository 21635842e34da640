//go:build linux

package faults

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// five are one server of each kind; the process of the first has a child that
// leads another session.
func five(h *house) string {
	config := "servers:\n"
	for i, how := range []string{pipe, modern, session, sse, socket} {
		rev := []string{rev2506, revModern, rev2511, rev2024, rev2511}[i]
		p := h.add(fmt.Sprintf("s%d", i), how, rev, "proxy")
		section := p.section()
		if how == pipe {
			section = fmt.Sprintf("{command: %s}", encode(h.command(p, "family")))
		}
		config += fmt.Sprintf("  %s: %s\n", p.name, section)
	}
	return config
}

// children are all processes that the house has heard of, once both of the
// family are there.
func children(t *testing.T, h *house) []int {
	t.Helper()
	p := h.peers[0]
	count := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.pids)
	}
	poll(t, patience, "a process and its child", func() bool { return count() >= 2 })
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]int{}, p.pids...)
}

// underWay makes a call that takes ms at each peer over each client, and
// returns when all of them are being executed.
func underWay(t *testing.T, l *load, ms int) (outcomes func() []record) {
	t.Helper()
	var mu sync.Mutex
	var out []record
	var work sync.WaitGroup
	n := 0
	for _, c := range l.clients {
		for _, p := range l.house.peers {
			n++
			work.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				secret, n := l.secret()
				begin := time.Now()
				o := c.request(ctx, "tools/call", obj{"name": p.name + "__wait", "arguments": obj{"secret": secret, "ms": ms}})
				r := record{server: p.name, tool: "wait", client: c.kind(), at: begin, took: time.Since(begin), ok: o.result() != nil, failure: o.failure()}
				if r.ok {
					if why := l.judge(p, secret, n, o); why != "" {
						l.fault("%s; got %s", why, o)
					}
				} else if r.failure == "" {
					r.failure = fmt.Sprintf("no answer: %v", o.err)
				}
				mu.Lock()
				defer mu.Unlock()
				out = append(out, r)
			})
		}
	}
	before := l.house.ledger.size()
	poll(t, patience, fmt.Sprintf("%d calls are being executed", n), func() bool { return l.house.ledger.size() >= before+n || l.house.ledger.size() >= n })
	return func() []record {
		work.Wait()
		return out
	}
}

// refusing waits until nobody can connect any more, and returns how long that took.
func refusing(t *testing.T, g *gateway, from time.Time) time.Duration {
	t.Helper()
	ok := await(patience, func() bool {
		conn, err := net.DialTimeout("tcp", g.addr, time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	if !ok {
		t.Error("the gateway still takes connections 5 s after SIGTERM")
	}
	return time.Since(from)
}

func TestSIGTERMLetsCallsUnderWayEnd(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := start(t, "log: {level: info}\nshutdown: {drain_timeout: 10s}\ndefaults: {stop_timeout: 1s}\n"+five(h))
	g.awaitReady(patience)
	pids := children(t, h)
	l := newLoad(t, h, clients(t, g, 1))
	ends := watchEnds(t, g)
	background := newLoad(t, h, []client{newWeb(g.base + "/mcp")})
	defer background.clients[0].close()
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	outcomes := underWay(t, l, 1500)
	work.Go(func() { background.run(ctx, 100, h.peers) })
	pause(t.Context(), 300*time.Millisecond)
	term := time.Now()
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	closed := refusing(t, g, term)
	stop()
	answered := 0
	for _, r := range outcomes() {
		if !r.ok {
			t.Errorf("a call under way to %s over %s ended after %s with %q, want its result", r.server, r.client, r.took, r.failure)
			continue
		}
		answered++
	}
	code, signal, ended := g.exit(patience)
	took := time.Since(term)
	if !ended || code != 0 {
		t.Errorf("the gateway ended (%t) with code %d and signal %v after %s, want 0", ended, code, signal, took)
	}
	if took > 10*time.Second+slack() {
		t.Errorf("the gateway ended %s after SIGTERM, want at most the drain timeout of 10 s", took)
	}
	if left := gone(time.Second+slack(), pids...); len(left) > 0 {
		t.Errorf("of the processes %v, %v are still there", pids, left)
	}
	ends.check(t)
	work.Wait()
	for _, r := range background.between(time.Time{}, term.Add(-20*time.Millisecond), func(r record) bool { return !r.ok }) {
		t.Errorf("a call of before SIGTERM failed: %+v", r)
	}
	l.finish()
	t.Logf("listener closed after %s, %d calls under way answered, exit code %d after %s", closed.Round(time.Millisecond), answered, code, took.Round(10*time.Millisecond))
}

// ending is how streams that were held open came to their end.
type ending struct {
	mu   sync.Mutex // guards said
	said map[string]string
	work sync.WaitGroup
}

func (e *ending) note(what, how string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.said[what] = how
}

// watchEnds opens a stream of each kind and notes the last that comes on it.
func watchEnds(t *testing.T, g *gateway) *ending {
	t.Helper()
	e := &ending{said: map[string]string{}}
	transport := &http.Transport{}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() {
		cancel()
		e.work.Wait()
		transport.CloseIdleConnections()
	})
	follow := func(what string, req *http.Request) {
		resp, err := (&http.Client{Transport: transport}).Do(req.WithContext(ctx))
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %v %v", what, resp, err)
		}
		e.work.Go(func() {
			defer resp.Body.Close()
			last := ""
			in := bufio.NewReader(resp.Body)
			for {
				line, err := in.ReadString('\n')
				if strings.HasPrefix(line, "data: {") {
					last = strings.TrimSpace(line)
				}
				if errors.Is(err, io.EOF) {
					e.note(what, "end after "+last)
					return
				}
				if err != nil {
					e.note(what, fmt.Sprintf("broken (%v) after %s", err, last))
					return
				}
			}
		})
	}
	w := newWeb(g.base + "/mcp")
	req, err := w.prepare(ctx, listenRequest(nil))
	if err != nil {
		t.Fatal(err)
	}
	follow("subscription over HTTP", req)
	s, err := newSession(ctx, g.base+"/mcp", rev2511)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	req, _ = http.NewRequest(http.MethodGet, s.url, nil)
	req.Header.Set("Mcp-Session-Id", s.session)
	req.Header.Set("Accept", "text/event-stream")
	follow("stream of a session", req)
	req, _ = http.NewRequest(http.MethodGet, g.base+"/sse", nil)
	req.Header.Set("Accept", "text/event-stream")
	follow("stream of HTTP+SSE", req)
	k, err := newSock(ctx, g.addr, "/mcp", revModern)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.close)
	listening := make(chan struct{})
	e.work.Go(func() {
		close(listening)
		o := k.request(ctx, "subscriptions/listen", obj{"notifications": obj{"toolsListChanged": true}})
		e.note("subscription over WebSocket", fmt.Sprintf("%s %v", o.raw, o.err))
	})
	<-listening
	poll(t, patience, "the acknowledgement over WebSocket", func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return len(k.notes) > 0
	})
	return e
}

func (e *ending) check(t *testing.T) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		e.work.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Errorf("a stream is still open %s after the gateway has ended", patience)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for what, want := range map[string]string{
		"subscription over HTTP": `"result"`, "subscription over WebSocket": `"result"`,
		"stream of a session": "end after", "stream of HTTP+SSE": "end after",
	} {
		if got := e.said[what]; !strings.Contains(got, want) {
			t.Errorf("%s came to its end with %q, want %s", what, got, want)
		}
	}
}

func TestCallsBeyondTheDrainTimeoutEndWithAnError(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := start(t, "log: {level: info}\nshutdown: {drain_timeout: 1s}\ndefaults: {stop_timeout: 500ms}\n"+five(h))
	g.awaitReady(patience)
	pids := children(t, h)
	l := newLoad(t, h, clients(t, g, 1))
	outcomes := underWay(t, l, 60_000)
	term := time.Now()
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	_, _, ended := g.exit(patience)
	took := time.Since(term)
	if limit := time.Second + 3*500*time.Millisecond + 2*slack(); !ended || took > limit {
		t.Errorf("the gateway ended (%t) %s after SIGTERM, want at most %s with a drain timeout of 1 s", ended, took, limit)
	}
	if left := gone(time.Second+slack(), pids...); len(left) > 0 {
		t.Errorf("of the processes %v, %v are still there", pids, left)
	}
	for _, r := range outcomes() {
		if r.ok || strings.HasPrefix(r.failure, "no answer") {
			t.Errorf("a call to %s over %s ended after %s with %q, want an error that is an answer", r.server, r.client, r.took, r.failure)
		}
	}
	l.finish()
	t.Logf("ended %s after SIGTERM", took.Round(10*time.Millisecond))
}

func TestSecondSIGTERMDoesNotWait(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := start(t, "log: {level: info}\nshutdown: {drain_timeout: 60s}\n"+five(h))
	g.awaitReady(patience)
	pids := children(t, h)
	l := newLoad(t, h, clients(t, g, 1)[:1])
	outcomes := underWay(t, l, 60_000)
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	if _, _, ended := g.exit(500 * time.Millisecond); ended {
		t.Error("the gateway ended at the first SIGTERM, with calls under way")
	}
	second := time.Now()
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	code, signal, ended := g.exit(3*time.Second + slack())
	if !ended || code == 0 {
		t.Errorf("after the second SIGTERM the gateway ended (%t) with code %d and signal %v after %s, want an end that tells that it was forced",
			ended, code, signal, time.Since(second))
	}
	if left := gone(time.Second+slack(), pids...); len(left) > 0 {
		t.Errorf("of the processes %v, %v are still there a second later", pids, left)
	}
	outcomes()
	t.Logf("ended %s after the second SIGTERM", time.Since(second).Round(time.Millisecond))
}

func TestKilledGatewayLeavesNoProcess(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	g := start(t, "log: {level: info}\n"+five(h))
	g.awaitReady(patience)
	pids := children(t, h)
	l := newLoad(t, h, clients(t, g, 1)[:1])
	outcomes := underWay(t, l, 60_000)
	_ = g.cmd.Process.Kill()
	<-g.exited
	begin := time.Now()
	if left := gone(time.Second+slack(), pids...); len(left) > 0 {
		t.Errorf("a second after the gateway was killed, %v of its processes %v are still there", left, pids)
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	t.Logf("%d processes gone after %s", len(pids), time.Since(begin).Round(time.Millisecond))
	outcomes()
}
