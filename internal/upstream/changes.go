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
	wants map[string]bool // methods of notifications
	due   map[string]bool // those to be told; guarded by changes.mu
	wake  chan struct{}   // has something when due has
}

// tell notes a change for all that want to hear of it. It does not block.
func (c *changes) tell(method string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for f := range c.followers {
		if !f.wants[method] {
			continue
		}
		f.due[method] = true
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
}

// follow returns a request in the place of req, a subscriptions/listen, that
// hears of changed lists from all links, and from its own link of nothing else
// twice. It must be stopped before the answer to req is given.
func (c *changes) follow(req *mcp.Request) (*mcp.Request, func()) {
	wanted, _ := jsonrpc.Split(req.Params.Get("notifications"))
	f := &follower{wants: make(map[string]bool), due: make(map[string]bool), wake: make(chan struct{}, 1)}
	for filter, method := range map[string]string{
		"toolsListChanged":     "notifications/tools/list_changed",
		"promptsListChanged":   "notifications/prompts/list_changed",
		"resourcesListChanged": "notifications/resources/list_changed",
	} {
		if string(wanted.Get(filter)) == "true" {
			f.wants[method] = true
		}
	}
	var mu sync.Mutex // held while req is notified
	emit := func(n mcp.Notification) {
		mu.Lock()
		defer mu.Unlock()
		req.Emit(n)
	}
	c.mu.Lock()
	if c.followers == nil {
		c.followers = make(map[*follower]bool)
	}
	c.followers[f] = true
	c.mu.Unlock()
	stopped := make(chan struct{})
	var work sync.WaitGroup
	work.Go(func() { c.pass(f, stopped, emit) })
	own := *req
	own.Notify = func(n mcp.Notification) {
		if !f.wants[n.Method] {
			emit(n)
		}
	}
	return &own, func() {
		c.mu.Lock()
		delete(c.followers, f)
		c.mu.Unlock()
		close(stopped)
		work.Wait()
	}
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
