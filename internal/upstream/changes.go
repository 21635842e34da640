package upstream

import (
	"sync"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// changes tells who follows the server's lists that they have changed, whichever
// link has heard of it. A server with sessions has a process or a session for
// each set of kinds, and tells each only what has changed in it.
type changes struct {
	mu        sync.Mutex // guards what follows
	followers map[*follower]bool
}

// follower is a subscription to changed lists.
type follower struct {
	changes *changes
	owner   string          // whose links count: that of their keys
	wants   map[string]bool // methods of notifications; never changed
	due     map[string]bool // those to be told; guarded by changes.mu
	wake    chan struct{}   // has something when due has
}

// tell notes a change that a link of owner has heard of. It does not block.
func (c *changes) tell(owner, method string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for f := range c.followers {
		if f.owner == owner {
			f.note(method)
		}
	}
}

// tell notes a change for one that wants to hear of it.
func (f *follower) tell(method string) {
	f.changes.mu.Lock()
	defer f.changes.mu.Unlock()
	f.note(method)
}

// tellAll notes that anything may have changed.
func (f *follower) tellAll() {
	for method := range f.wants {
		f.tell(method)
	}
}

// note is called with changes.mu held.
func (f *follower) note(method string) {
	if !f.wants[method] {
		return
	}
	f.due[method] = true
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// follow lets emit hear of the lists that req, a subscriptions/listen, asks for,
// from all links of owner. It must be stopped before the answer to req is given.
func (c *changes) follow(owner string, req *mcp.Request, emit func(mcp.Notification)) (*follower, func()) {
	f := &follower{changes: c, owner: owner, wants: wantedLists(req), due: make(map[string]bool), wake: make(chan struct{}, 1)}
	c.mu.Lock()
	if c.followers == nil {
		c.followers = make(map[*follower]bool)
	}
	c.followers[f] = true
	c.mu.Unlock()
	stopped := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() { c.pass(f, stopped, emit) })
	return f, func() {
		c.mu.Lock()
		delete(c.followers, f)
		c.mu.Unlock()
		close(stopped)
		work.Wait()
	}
}

// wantedLists returns the notifications of changed lists that a subscription asks
// for.
func wantedLists(req *mcp.Request) map[string]bool {
	wants := make(map[string]bool)
	wanted, _ := jsonrpc.Split(req.Params.Get("notifications"))
	for _, l := range mcp.Lists() {
		if l.In(wanted) {
			wants[l.Changed] = true
		}
	}
	return wants
}

// inTurn returns a function that notifies the caller of req, which may be called
// concurrently.
func inTurn(req *mcp.Request) func(mcp.Notification) {
	var mu sync.Mutex // held while the caller is notified
	return func(n mcp.Notification) {
		mu.Lock()
		defer mu.Unlock()
		req.Emit(n)
	}
}

// merged returns a request in the place of req that hears of changed lists from
// all links, and from its own link of nothing else twice.
func (c *changes) merged(req *mcp.Request) (*mcp.Request, func()) {
	emit := inTurn(req)
	f, stop := c.follow("", req, emit)
	own := *req
	own.Notify = func(n mcp.Notification) {
		if !f.wants[n.Method] {
			emit(n)
		}
	}
	return &own, stop
}

// pass tells a follower what is due until stopped is closed.
func (c *changes) pass(f *follower, stopped <-chan struct{}, emit func(mcp.Notification)) {
	for {
		select {
		case <-f.wake:
		case <-stopped:
			return
		}
		c.mu.Lock()
		due := f.due
		f.due = make(map[string]bool)
		c.mu.Unlock()
		for method := range due {
			emit(mcp.Notification{Method: method})
		}
	}
}
