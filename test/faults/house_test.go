//go:build linux

package faults

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// house has the servers of a test.
type house struct {
	t      testing.TB
	ctx    context.Context
	ledger *ledger
	late   time.Duration // how late a late answer is
	pipes  net.Listener  // where the processes before servers on pipes introduce themselves
	work   sync.WaitGroup
	peers  []*peer
	byName map[string]*peer

	mu      sync.Mutex // guards what follows
	conns   map[net.Conn]bool
	inboxes map[string]chan []byte // of streams of HTTP+SSE
}

func newHouse(t testing.TB) *house {
	ctx, cancel := context.WithCancel(context.Background())
	h := &house{t: t, ctx: ctx, ledger: &ledger{}, late: time.Second, byName: map[string]*peer{}, conns: map[net.Conn]bool{}, inboxes: map[string]chan []byte{}}
	var err error
	if h.pipes, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	h.work.Go(h.acceptPipes)
	t.Cleanup(func() {
		cancel()
		_ = h.pipes.Close()
		h.mu.Lock()
		for conn := range h.conns {
			_ = conn.Close()
		}
		h.mu.Unlock()
		h.work.Wait()
	})
	return h
}

// keep lets a connection end with the house.
func (h *house) keep(conn net.Conn) (release func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conns[conn] = true
	if h.ctx.Err() != nil {
		_ = conn.Close()
	}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.conns, conn)
		_ = conn.Close()
	}
}

func (h *house) acceptPipes() {
	for {
		conn, err := h.pipes.Accept()
		if err != nil {
			return
		}
		h.work.Go(func() { h.pipe(conn) })
	}
}

// pipe serves the process that has called.
func (h *house) pipe(conn net.Conn) {
	defer h.keep(conn)()
	in := bufio.NewReader(conn)
	hello, err := in.ReadString('\n')
	if err != nil {
		return
	}
	var name string
	var pid int
	if _, err := fmt.Sscanf(hello, "%s %d\n", &name, &pid); err != nil {
		h.t.Errorf("a process introduces itself as %q", hello)
		return
	}
	name, child, _ := strings.Cut(name, "/")
	p := h.byName[name]
	if p == nil {
		h.t.Errorf("a process introduces itself as %q, whom nobody knows", name)
		return
	}
	p.mu.Lock()
	p.pids = append(p.pids, pid)
	p.mu.Unlock()
	if child != "" {
		_, _ = in.ReadByte() // until it goes
		return
	}
	l := &line{frame: func(m []byte) []byte { return append(m, '\n') }, write: writer(conn), cut: func() { _ = conn.Close() }}
	p.serve(l, func() ([]byte, error) { return in.ReadBytes('\n') })
}

// serve answers the requests on a line until it ends.
func (p *peer) serve(l *line, read func() ([]byte, error)) {
	ctx, cancel := context.WithCancel(p.house.ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	defer p.dropFeeds(l, nil)
	if !p.isModern() {
		p.addFeed(&feed{line: l})
	}
	for {
		raw, err := read()
		if err != nil {
			return
		}
		msg, err := decode(raw)
		if err != nil {
			p.house.t.Errorf("%s was sent what is no message: %v", p.name, err)
			return
		}
		p.receive(ctx, l, msg, &work)
	}
}

// receive takes a message from a line.
func (p *peer) receive(ctx context.Context, l *line, msg obj, work *sync.WaitGroup) {
	method := text(msg, "method")
	params, _ := msg["params"].(obj)
	if method == "notifications/cancelled" {
		p.dropFeeds(l, params["requestId"])
	}
	if msg["id"] == nil || method == "" {
		return
	}
	c := &call{ctx: ctx, id: msg["id"], method: method, params: params, notify: func(o obj) { _ = l.send(o) }}
	if method == "subscriptions/listen" && p.isModern() {
		p.addFeed(&feed{line: l, tag: c.id})
		_ = l.send(acknowledged(c))
		return
	}
	work.Go(func() { p.reply(l, c, withID(p.answer(c), c.id)) })
}

// acknowledged grants a subscription all that it asks for.
func acknowledged(c *call) obj {
	return notification("notifications/subscriptions/acknowledged", obj{
		"notifications": dig(c.params, "notifications"), "_meta": obj{metaSubscription: c.id},
	})
}

// add makes a peer. before says what stands before one that has a port: "proxy"
// or "process".
func (h *house) add(name, how, rev, before string) *peer {
	p := &peer{name: name, how: how, rev: rev, house: h, feeds: map[*feed]bool{}, sessions: map[string]*webSession{}}
	p.events = rev == rev2511 || len(h.peers)%2 == 1
	h.peers = append(h.peers, p)
	h.byName[name] = p
	if how == pipe || how == builtin {
		return p
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		h.t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(p.serveHTTP), BaseContext: func(net.Listener) context.Context { return h.ctx }}
	h.work.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			h.t.Errorf("server %s: %v", name, err)
		}
	})
	h.t.Cleanup(func() { _ = server.Close() })
	if before == "process" {
		p.relay = newPortRelay(h.t, l.Addr().String())
	} else {
		p.proxy = newProxy(h.t, l.Addr().String())
	}
	return p
}

// command is the program of a peer on a pipe.
func (h *house) command(p *peer, role string) []string {
	return []string{os.Args[0], "relay", role, h.pipes.Addr().String(), p.name}
}

// address is where a peer with a port is reached.
func (p *peer) address() string {
	addr := ""
	if p.relay != nil {
		addr = p.relay.addr
	} else {
		addr = p.proxy.addr
	}
	switch p.how {
	case socket:
		return "ws://" + addr + "/mcp"
	case sse:
		return "http://" + addr + "/sse"
	}
	return "http://" + addr + "/mcp"
}

// section is the peer's part of the configuration, on one line.
func (p *peer) section() string {
	switch p.how {
	case builtin:
		return "{builtin: time}"
	case pipe:
		return fmt.Sprintf("{command: %s, read_only: [look]}", encode(p.house.command(p, "pipe")))
	case sse:
		return fmt.Sprintf("{url: %q, transport: sse, read_only: [look]}", p.address())
	}
	return fmt.Sprintf("{url: %q, read_only: [look]}", p.address())
}
