package legacy

import (
	"maps"
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
	p := &puzzle{msg: msg, kind: kind}
	if relatedTask(msg.Params) == "" {
		p.among = c.callsUnderWay()
	}
	if f, n := c.addressee(p); n != 1 {
		c.puzzle(p, n)
	} else {
		c.give(p, f)
	}
}

// callsUnderWay returns the calls to which a request that comes now can belong:
// one that begins later is none of them.
func (c *Client) callsUnderWay() map[*flight]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.flights)
}

// give lets a call have a request of the server.
func (c *Client) give(p *puzzle, f *flight) {
	if p.among != nil {
		c.noteAskers(f)
	}
	f.inject(p.msg)
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
	// maxAskers bounds the tools and the like that are known to ask without
	// saying for which call. Others are not told apart from those that do not ask.
	maxAskers = 1024
)

// puzzle is a request that does not say to which of several calls it belongs.
type puzzle struct {
	msg   jsonrpc.Message
	kind  mcp.Kinds
	among map[*flight]bool // the calls under way when it came; nil for what names a task
}

// puzzle handles a request that does not say to which of n calls it belongs. The
// call that it belongs to waits for its answer; so the only one that is left
// after a while is that.
func (c *Client) puzzle(p *puzzle, n int) {
	if n == 0 {
		c.refuse(p.msg, "no call is under way whose client could answer it")
		return
	}
	c.mu.Lock()
	full := len(c.puzzles) >= maxPuzzles
	if !full {
		c.puzzles = append(c.puzzles, p)
	}
	c.mu.Unlock()
	if full {
		c.refuse(p.msg, unclear)
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
		f, n := c.addressee(p)
		waits := time.Since(began)
		switch {
		case n == 0:
			c.refuse(p.msg, "its call has ended")
			return
		case n == 1:
			c.give(p, f)
			return
		case waits >= sortOut, waits >= deadlock && c.lastOf(p, n):
			c.noteAskers(c.candidates(p)...)
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

// candidates returns the calls of those that were under way when p came whose
// callers could be asked for it.
func (c *Client) candidates(p *puzzle) []*flight {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []*flight
	for f := range p.among {
		if c.flights[f] && f.interactive() && f.req.Client.Kinds.Has(p.kind) {
			found = append(found, f)
		}
	}
	return found
}

// asker is what a call is of, as far as it tells whether its server will ask.
type asker struct{ method, name string }

// noteAskers remembers that calls like these ask, or may do so. From then on they
// go one by one, so that it is clear which of them asks. Calls of what has never
// asked wait for nobody: one of them may be what another waits for.
func (c *Client) noteAskers(calls ...*flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range calls {
		if len(c.askers) < maxAskers {
			c.askers[asker{f.req.Method, f.req.Name}] = true
		}
	}
}

// asks reports whether calls like f are known to ask.
func (c *Client) asks(f *flight) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return f.interactive() && c.askers[asker{f.req.Method, f.req.Name}]
}
