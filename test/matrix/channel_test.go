package matrix

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
)

// quirk is how a server that does not know server/discover takes it.
type quirk int

const (
	quirkUnknown quirk = iota // answers that it does not know the method
	quirkSilent               // says nothing
	quirkDies                 // ends
	quirkOdd                  // answers with something else
)

// quirkOf spreads the ways of real servers over the revisions.
func quirkOf(rev string) quirk {
	return map[string]quirk{rev2024: quirkSilent, rev2503: quirkDies, rev2511: quirkOdd}[rev]
}

// revisionOf reads the revision from a server's name, like "stdio-20250618".
func revisionOf(name string) string {
	digits := name[len(name)-8:]
	return digits[:4] + "-" + digits[4:6] + "-" + digits[6:]
}

// channel is a server at one end of a lasting connection.
type channel struct {
	s     *script
	quirk quirk
	write func(msg any)
	die   func()

	old   *session // of revisions with a handshake
	ctx   context.Context
	stop  context.CancelFunc
	work  sync.WaitGroup
	mu    sync.Mutex // guards calls
	calls map[string]context.CancelCauseFunc
}

// newChannel makes the server; close it.
func newChannel(s *script, q quirk, write func(msg any), die func()) *channel {
	c := &channel{s: s, quirk: q, write: write, die: die, calls: map[string]context.CancelCauseFunc{}}
	c.ctx, c.stop = context.WithCancel(context.Background())
	if s.rev != revModern {
		c.old = s.newSession(func(msg obj) { write(msg) })
	}
	return c
}

func (c *channel) close() {
	c.stop()
	c.work.Wait()
	if c.old != nil {
		c.old.close()
	}
}

func (c *channel) receive(msg obj) {
	switch {
	case c.old == nil:
		c.receiveModern(msg)
	case msg["method"] == "server/discover":
		c.probed(msg)
	default:
		c.old.receive(msg, c.send, nil)
	}
}

// send writes a message. The server of 2025-03-26 sends responses as batches,
// as it may.
func (c *channel) send(msg obj) {
	if c.s.rev == rev2503 && msg["method"] == nil && msg["error"] == nil && objectAt(msg, "result", "protocolVersion") == nil {
		c.write(list{notification("notifications/acme/batched", nil), msg})
		return
	}
	c.write(msg)
}

func (c *channel) probed(msg obj) {
	switch c.quirk {
	case quirkSilent:
	case quirkDies:
		c.die()
	case quirkOdd:
		c.write(response(msg["id"], nil, fail(-32600, "Received request before initialization was complete")))
	default:
		c.write(response(msg["id"], nil, fail(-32601, "Method not found")))
	}
}

func (c *channel) receiveModern(msg obj) {
	id, isCall := msg["id"]
	switch {
	case msg["method"] == "notifications/cancelled":
		c.mu.Lock()
		defer c.mu.Unlock()
		if cancel := c.calls[key(at(msg, "params", "requestId"))]; cancel != nil {
			cancel(errCancelled)
		}
	case !isCall || msg["method"] == nil:
		c.s.fault("only requests and cancellations are sent to a server of %s: %s", c.s.rev, encode(msg))
	default:
		ctx, cancel := context.WithCancelCause(c.ctx)
		c.mu.Lock()
		c.calls[key(id)] = cancel
		c.mu.Unlock()
		c.work.Go(func() {
			defer cancel(nil)
			if response := c.s.stateless(ctx, msg, func(m obj) { c.write(m) }); response != nil {
				c.write(response)
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			delete(c.calls, key(id))
		})
	}
}

// serveStdio serves one client on two pipes until in ends.
func serveStdio(s *script, in io.Reader, out io.Writer) {
	var mu sync.Mutex // held while a line is written
	write := func(msg any) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = out.Write(append(encode(msg), '\n')) // a client that has gone closes in, too
	}
	fmt.Fprintln(os.Stderr, "scripted server", s.name)
	if s.rev == rev2024 {
		fmt.Fprintf(out, "Welcome to %s!\n\n", s.name) // what many servers do, and none may
	}
	c := newChannel(s, quirkOf(s.rev), write, func() { syscall.Exit(1) })
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		msg, err := decodeObject(line)
		if err != nil {
			s.fault("a line is no message: %v", err)
			continue
		}
		c.receive(msg)
	}
	c.close()
}
