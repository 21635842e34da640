package upstream

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// key tells apart the callers that may not share a link: by whom the link is
// for, and at a server with sessions by what they can be asked for, which a
// session declares once for all its calls.
type key struct {
	owner string
	kinds mcp.Kinds
}

// era is one of the two shapes of the protocol.
type era int

const (
	unknown era = iota
	stateless
	sessions
)

// opener knows how one replica is reached.
type opener interface {
	// open makes a link. ctx bounds the opening; the link lasts until it is closed.
	open(ctx context.Context, client *mcp.Client) (*opened, error)
	// address names the replica for people; it holds no secret.
	address() string
	weight() int
	// reset forgets what was found out of the server.
	reset()
	// close releases what is kept between links.
	close() error
}

// opened is what an opener has made.
type opened struct {
	handler  mcp.Handler
	revision mcp.Revision
	how      string          // transport, in the words of the configuration
	done     <-chan struct{} // closed when it has ended by itself; nil for never
	ping     func(ctx context.Context) error
	busy     func() bool           // holds something that closing would lose; nil for never
	heard    func() int64          // messages that have come; nil when nobody counts
	kill     func(reason error)    // ends its process at once; nil when it has none
	flush    func(context.Context) // waits until the server has heard what it is being told; nil for nothing
	memory   func() uint64         // bytes that its process and what that started hold; nil likewise
	close    func(context.Context) error
	bury     func(context.Context) error // in the place of close when it has ended by itself; returns why. nil for close
}

// era is the shape of the protocol that is spoken on it.
func (o *opened) era() era {
	if o.revision.Modern() {
		return stateless
	}
	return sessions
}

// link is an open way to a replica, shared by callers of one key. It begins with
// an opening, ends by itself or is retired, and is closed by the goroutine that
// tends it:
//
//	opening ──► in use ──retired──► drains ──────────────► closed
//	               └────done──────► cleared (makes room) ──┘
type link struct {
	*opened
	key     key
	since   time.Time
	retired context.Context // ends when no new call may use it
	retire  context.CancelFunc
	ended   context.Context // ends when it is closed
	end     context.CancelFunc
	roster  roster
	cleared *attempt // done when one that has ended by itself is out of the way

	calls     atomic.Int64 // under way
	own       atomic.Int64 // those of them that the gateway makes for itself
	listed    atomic.Int64 // the longest time until a list was there that it had asked for, in nanoseconds
	followers atomic.Int64 // of subscriptions to resources
	called    atomic.Bool  // by somebody else than the gateway itself
	used      atomic.Int64 // when the last such call ended, in nanoseconds
	answers   atomic.Int64
	slowest   atomic.Int64 // the longest time until an answer, in nanoseconds
	state     health       // of a process; replicas at a URL have their own
	doomed    atomic.Bool  // it is being ended for that

	askMu sync.Mutex // guards asked
	asked *question
}

func newLink(o *opened, k key, now time.Time) *link {
	l := &link{opened: o, key: k, since: now, cleared: &attempt{done: make(chan struct{})}}
	l.retired, l.retire = context.WithCancel(context.Background())
	l.ended, l.end = context.WithCancel(context.Background())
	l.used.Store(now.UnixNano())
	return l
}

// over reports whether it has ended by itself, or is about to.
func (l *link) over() bool {
	if l.doomed.Load() {
		return true
	}
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// severed waits a moment for the end of a link whose channel is broken. It reports
// whether the link has ended by itself: then it is cleared away by whoever tends it.
func (l *link) severed(ctx context.Context) bool {
	timer := time.NewTimer(severWait)
	defer timer.Stop()
	select {
	case <-l.done:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// holds reports whether closing it now would lose something.
func (l *link) holds() bool {
	return l.calls.Load() > 0 || l.followers.Load() > 0 || l.busy != nil && l.busy()
}

// asker is who wants a link.
type asker struct {
	client *mcp.Client
	// own says that the gateway asks for itself. What it asks for then can go
	// over any link, so that it needs none of its own beside those of callers.
	own bool
	// open says that a link may be opened.
	open bool
}

// askerOf returns who makes a call.
func (u *Upstream) askerOf(req *mcp.Request) asker {
	return asker{client: req.Client, own: u.isOwn(req), open: true}
}

// isOwn reports whether a request is the gateway's own, by what it asks for and
// that it names the gateway, or nobody.
func (u *Upstream) isOwn(req *mcp.Request) bool {
	c := req.Client
	if c != nil && (c.Kinds != 0 || c.Session != "" || c.Info != nil && !bytes.Equal(c.Info, u.around.Info)) {
		return false
	}
	switch req.Method {
	case "server/discover", "subscriptions/listen",
		"tools/list", "prompts/list", "resources/list", "resources/templates/list":
		return true
	}
	return false
}

// itself is who the gateway itself asks as.
func (u *Upstream) itself() *mcp.Client {
	return mcp.NewClient(mcp.Revision20260728, u.around.Info, jsonrpc.Object{})
}

// call is one call on its way.
type call struct {
	req   *mcp.Request
	who   asker
	began time.Time
	own   *mcp.CallContext

	next, prev    *call // under way on the same link; guarded by the link's roster
	before, after *call // with the same time to answer; guarded by their patience
	waits         bool  // likewise: it stands in that line
}

// cancel ends the call's context.
func (c *call) cancel() { c.own.End(context.Canceled, nil) }

// roster is the calls under way on a link, which end when it is closed, before its
// process has: that may take its time. It costs a call less than a context of both
// its caller and the link.
type roster struct {
	mu    sync.Mutex // guards what follows
	first *call
	over  bool
}

func (r *roster) add(c *call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		c.cancel()
		return
	}
	if c.next = r.first; c.next != nil {
		c.next.prev = c
	}
	r.first = c
}

func (r *roster) remove(c *call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.next != nil {
		c.next.prev = c.prev
	}
	switch {
	case c.prev != nil:
		c.prev.next = c.next
	case r.first == c:
		r.first = c.next
	}
	c.next, c.prev = nil, nil
}

// end cancels all, and those that still come.
func (r *roster) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	for c := r.first; c != nil; c = c.next {
		c.cancel()
	}
}

// handle makes a call on a link that was got for it, and lets that go.
func (l *link) handle(ctx context.Context, c *call) (mcp.Result, error) {
	defer l.leave(c.who)
	l.roster.add(c)
	defer l.roster.remove(c)
	result, err := l.handler.Handle(ctx, c.req)
	now := time.Now()
	if !c.who.own {
		l.called.Store(true)
		l.used.Store(now.UnixNano())
	}
	if fateOf(err) == answered {
		l.answers.Add(1)
		storeMax(&l.slowest, int64(now.Sub(c.began)))
		if c.who.own && c.req.Method != "server/discover" { // which need not reach the server
			storeMax(&l.listed, int64(now.Sub(c.began)))
		}
	}
	return result, err
}

// leave ends the use of a link that was got for who.
func (l *link) leave(who asker) {
	l.calls.Add(-1)
	if who.own {
		l.own.Add(-1)
	}
}

// doubts reports whether an error looks like the answer of a server of the other
// era than that of the link.
func (l *link) doubts(err error) bool {
	st, hasStatus := statusOf(err)
	var wire *mcp.Error
	said := errors.As(err, &wire)
	switch {
	case l.ping == nil:
		return false
	case said && wire.Code == mcp.CodeUnsupportedVersion:
		return speaksModern(wire) != (l.era() == stateless)
	case !hasStatus || !slices.Contains(foreignStatuses(), st.code):
		return false
	case l.era() == sessions || st.body == nil:
		return true
	}
	// -32000 is what the TypeScript SDK 1.x answers to who has no session.
	return st.body.Code == jsonrpc.CodeInvalidRequest || st.body.Code == -32000
}

func storeMax(a *atomic.Int64, v int64) {
	for {
		was := a.Load()
		if v <= was || a.CompareAndSwap(was, v) {
			return
		}
	}
}
