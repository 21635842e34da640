package legacy

import (
	"slices"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// assign gives a request of the server to the call that it must belong to.
func (c *Client) assign(msg jsonrpc.Message) {
	kind, ok := kindOf(msg.Method, msg.Params)
	if !ok {
		if msg.Method == "ping" {
			c.refuse(msg, "")
			return
		}
		c.reply(jsonrpc.Message{ID: msg.ID, Error: mcp.MethodNotFound(msg.Method)})
		return
	}
	if f, n := c.addressee(msg, kind); n != 1 {
		c.puzzle(msg, kind, n)
	} else {
		f.inject(msg)
	}
}

func (f *flight) inject(msg jsonrpc.Message) {
	select {
	case f.injected <- &msg:
	default:
		f.client.refuse(msg, "too many requests are open for this call")
	}
}

// Bounds of requests of which it is not clear yet to which call they belong.
const (
	sortOut    = 30 * time.Second // for the others to end, which do not wait for an answer
	deadlock   = 3 * time.Second  // when as many wait as there are calls, so that none will end
	sortEvery  = 10 * time.Millisecond
	maxPuzzles = 16
)

// puzzle is a request that does not say to which of several calls it belongs.
type puzzle struct {
	msg  jsonrpc.Message
	kind mcp.Kinds
}

// puzzle handles a request that does not say to which of n calls it belongs. The
// call that it belongs to waits for its answer; so the only one that is left
// after a while is that.
func (c *Client) puzzle(msg jsonrpc.Message, kind mcp.Kinds, n int) {
	if n == 0 {
		c.refuse(msg, "no call is under way whose client could answer it")
		return
	}
	p := &puzzle{msg, kind}
	c.mu.Lock()
	full := len(c.puzzles) >= maxPuzzles
	if !full {
		c.puzzles = append(c.puzzles, p)
	}
	c.mu.Unlock()
	if full {
		c.refuse(msg, unclear)
		return
	}
	c.sorting.Go(func() {
		defer c.solved(p)
		c.solve(p)
	})
}

// unclear is why a request is refused that could belong to several calls.
const unclear = "several calls are under way and it does not say to which it belongs; try again"

func (c *Client) solved(p *puzzle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.puzzles = slices.DeleteFunc(c.puzzles, func(q *puzzle) bool { return q == p })
}

// solve waits until it is clear whose p is. Of requests that wait for each other's
// calls, the one that came last is refused, so that its call ends and the rest
// becomes clear.
func (c *Client) solve(p *puzzle) {
	tick := time.NewTicker(sortEvery)
	defer tick.Stop()
	began := time.Now()
	for {
		select {
		case <-tick.C:
		case <-c.Done():
			return
		}
		f, n := c.addressee(p.msg, p.kind)
		waits := time.Since(began)
		switch {
		case n == 0:
			c.refuse(p.msg, "its call has ended")
			return
		case n == 1:
			f.inject(p.msg)
			return
		case waits >= sortOut, waits >= deadlock && c.lastOf(p, n):
			c.refuse(p.msg, unclear)
			return
		}
	}
}

// lastOf reports whether p has come last of as many requests as there are calls
// that they could belong to.
func (c *Client) lastOf(p *puzzle, calls int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.puzzles) >= calls && c.puzzles[len(c.puzzles)-1] == p
}

// candidate returns the only call whose caller could be asked for kind, and how
// many there are. From the first ambiguity on, interactive calls go one by one.
func (c *Client) candidate(kind mcp.Kinds) (*flight, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found *flight
	n := 0
	for f := range c.flights {
		if f.interactive() && f.req.Client.Kinds.Has(kind) {
			found = f
			n++
		}
	}
	if n > 1 {
		c.exclusive = true
	}
	return found, n
}
