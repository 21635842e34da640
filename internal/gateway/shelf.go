package gateway

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// maxBooks bounds the lists kept of one server, each as a different class of
// callers sees them; beyond it, the one unused for longest is forgotten.
const maxBooks = 64

// Bounds of how often a subscription to a server is opened again.
const (
	watchMin = time.Second
	watchMax = time.Minute
	// ackPatience is how long the first lists wait for the subscription to begin.
	ackPatience = 2 * time.Second
)

// class tells callers apart that may see different lists: by what they can be
// asked for, and where the server is not shared, by who they are.
type class struct {
	kinds   mcp.Kinds
	modern  bool
	owner   string // principal or session; empty when the server is shared
	session bool   // owner is a session
	// audience is who sees the same of an endpoint's lists; the servers' own lists
	// are the same for all.
	audience string
}

// shelf has the lists of one server, for as long as a set has it.
type shelf struct {
	gateway *Gateway
	server  Server
	ctx     context.Context // ends with the shelf
	cancel  context.CancelFunc

	troubles troubles

	mu       sync.Mutex // guards what follows
	books    map[class]*book
	settling [kindCount]bool // changes that were announced, and are left to settle
}

func newShelf(g *Gateway, s Server) *shelf {
	sh := &shelf{gateway: g, server: s, books: make(map[class]*book)}
	sh.ctx, sh.cancel = context.WithCancel(g.ctx)
	return sh
}

func (sh *shelf) start() {
	if sh.private() {
		return // nobody to ask for yet
	}
	sh.gateway.work.Go(sh.watch)
}

func (sh *shelf) stop() { sh.cancel() }

// sharedClass returns the class of a caller at servers that are shared.
func sharedClass(c *mcp.Client) class {
	if c == nil {
		return class{}
	}
	return class{kinds: c.Kinds, modern: c.Revision.Modern()}
}

// classOf returns the class of who asks.
func (sh *shelf) classOf(ctx context.Context, c *mcp.Client) class {
	cl := sharedClass(c)
	principal := mcp.PrincipalOf(ctx).ID
	switch sh.server.Isolation {
	case PerPrincipal:
		cl.owner = "p:" + principal
	case PerSession:
		cl.owner = "p:" + principal
		if c != nil && c.Session != "" {
			cl.owner, cl.session = "s:"+c.Session, true
		}
	}
	return cl
}

// book returns the lists as the class of the caller sees them.
func (sh *shelf) book(ctx context.Context, c *mcp.Client) *book {
	cl := sh.classOf(ctx, c)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if b := sh.books[cl]; b != nil {
		b.used = sh.gateway.o.Now()
		return b
	}
	if len(sh.books) >= maxBooks {
		sh.forgetOldest()
	}
	b := newBook(sh, cl, mcp.PrincipalOf(ctx))
	if cl.session {
		b.client = c
	}
	sh.books[cl] = b
	return b
}

func (sh *shelf) forgetOldest() {
	var oldest *book
	for _, b := range sh.books {
		if oldest == nil || b.used.Before(oldest.used) {
			oldest = b
		}
	}
	delete(sh.books, oldest.class)
}

func (sh *shelf) all() []*book {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	out := make([]*book, 0, len(sh.books))
	for _, b := range sh.books {
		out = append(out, b)
	}
	return out
}

// itself is who the gateway asks as of its own accord.
func (g *Gateway) itself() *mcp.Client {
	return mcp.NewClient(mcp.Revision20260728, g.o.Info, jsonrpc.Object{})
}

// watch keeps the lists of a shared server known and current: it subscribes to
// their changes, fetches them, and does so again when the subscription ends.
func (sh *shelf) watch() {
	for delay := watchMin; sh.ctx.Err() == nil; delay = min(2*delay, watchMax) {
		b := sh.book(sh.ctx, sh.gateway.itself())
		if b.meet(sh.ctx) && sh.listen(b) {
			delay = watchMin
		}
		if !pause(sh.ctx, delay) {
			return
		}
	}
}

// listen follows the server's list changes until the subscription ends. The lists
// are fetched when it has begun: what has changed before was not heard of. It
// reports whether the server did what was asked of it.
func (sh *shelf) listen(b *book) bool {
	defer sh.invalidate(kindCount) // what happens from then on is not known
	filter := b.filter()
	if filter.IsZero() {
		// Nothing to subscribe to: look again when the lists no longer hold.
		sh.recheck(b)
		pause(sh.ctx, sh.gateway.o.TTL)
		return true
	}
	var begun atomic.Bool
	late := time.AfterFunc(ackPatience, func() {
		if !begun.Load() {
			sh.recheck(b)
		}
	})
	defer late.Stop()
	req := &mcp.Request{Method: "subscriptions/listen", Params: filter, Client: sh.gateway.itself()}
	req.Notify = func(n mcp.Notification) {
		if n.Method == "notifications/subscriptions/acknowledged" {
			begun.Store(true)
			sh.recheck(b)
		}
		sh.heard(n.Method)
	}
	b.setWatched(true)
	defer b.setWatched(false)
	_, err := sh.server.Handler.Handle(sh.ctx, req)
	if err != nil && sh.ctx.Err() == nil {
		sh.gateway.o.Log.Debug("subscription to server ended", "server", sh.server.Name, "err", err)
	}
	if !begun.Load() {
		sh.recheck(b)
	}
	return begun.Load()
}

// heard takes a notification of the server.
func (sh *shelf) heard(method string) {
	for _, k := range []kind{tools, prompts, resources} { // templates go with resources
		if k.changed() == method {
			sh.invalidate(k)
			sh.settle(k)
		}
	}
}

// settle renews a list that was announced to have changed when that has settled.
func (sh *shelf) settle(k kind) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.settling[k] || sh.ctx.Err() != nil {
		return
	}
	sh.settling[k] = true
	sh.gateway.work.Go(func() {
		pause(sh.ctx, settleTime)
		sh.mu.Lock()
		sh.settling[k] = false
		sh.mu.Unlock()
		sh.renew(k)
	})
}

// recheck fetches all lists for the gateway itself, whose book own is, and for
// others those that they have used. Who listens is told of those that differ.
func (sh *shelf) recheck(own *book) {
	if sh.ctx.Err() != nil {
		return
	}
	for _, b := range sh.all() {
		for k := range kindCount {
			b.recheck(k, b == own)
		}
	}
	sh.gateway.changed()
}

// invalidate makes a list, or with kindCount all, unfit for use until it has
// been fetched again.
func (sh *shelf) invalidate(k kind) {
	for _, b := range sh.all() {
		for other := range kindCount {
			if k == kindCount || other.changed() == k.changed() {
				b.invalidate(other)
			}
		}
	}
	sh.gateway.changed()
}

// renew fetches what has changed, for who has used it, and tells who listens.
func (sh *shelf) renew(k kind) {
	for _, b := range sh.all() {
		for other := range kindCount {
			if other.changed() == k.changed() {
				b.renew(other)
			}
		}
	}
}

// pause waits; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
