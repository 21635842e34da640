package mcp

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Bounds of the waits of subscriptions.
const (
	listenTimeout = time.Minute // for a request to be sent
	// endGrace is how long a server may take to answer a request that was cancelled,
	// before the next is sent in its place. It need not answer at all.
	endGrace = 250 * time.Millisecond
	// endPatience is that for a server that is known to answer, and for any how long
	// the answer is waited for.
	endPatience = 30 * time.Second
	// repairEvery is how often at most lists are subscribed to again at a server that
	// forgets subscriptions: each time they are fetched.
	repairEvery = time.Second
)

// listening shares the subscriptions on one channel among those who listen there.
//
// Some servers keep one subscription for each thing and connection, and not for each
// request (the Go SDK 1.8.0). With two requests for the same thing they tell the newest
// only; with the end of one they tell nothing more of its resources, nor of any list.
// So nothing is asked for twice: each topic is part of one request, a feed, whoever
// else wants it. Lists and resources are in different ones.
//
// A server has to say nothing more for a request that was cancelled, but such servers
// answer it. That tells them apart from others, and that they have forgotten by then:
// what they may have forgotten is asked for again, and those who listen are
// acknowledged once more.
type listening struct {
	ch     Channel
	cancel func(context.Context, jsonrpc.ID)
	work   sync.WaitGroup // of feeds

	mu       sync.Mutex // guards what follows, and what is said of feeds and subscriptions
	closed   bool
	count    int
	subs     map[*subscription]bool
	feeds    map[*feed]bool  // those that somebody wants
	owners   map[topic]*feed // which of them a topic is part of, unless the server does not grant it
	repair   *feed           // asks for lists again; not sent yet
	repaired time.Time
	answers  bool // the server answers what was cancelled
}

// feed is one subscriptions/listen at the server.
type feed struct {
	l    *listening
	sort sort
	req  *Request      // whose it is in the first place
	own  *subscription // which asks for exactly the same; nil if none does
	// again says that what it asks for was asked for before.
	again bool
	let   chan struct{} // closed when nobody wants it any more
	ended chan struct{} // closed when the server has nothing to do with it any more

	// What follows is guarded by listening.mu.
	after   []*feed // those that have to end first
	sent    bool
	gone    bool           // nobody wants it any more
	call    *Call          // nil before it is sent
	asked   map[topic]bool // when it was sent
	acked   bool
	ack     jsonrpc.Message
	granted map[topic]bool
	nothing bool // the server has ended it, since it grants nothing of it
}

func newListening(ch Channel, cancel func(context.Context, jsonrpc.ID)) *listening {
	return &listening{
		ch: ch, cancel: cancel,
		subs: make(map[*subscription]bool), feeds: make(map[*feed]bool), owners: make(map[topic]*feed),
	}
}

// handle follows a caller's subscription until it ends.
func (l *listening) handle(ctx context.Context, req *Request, pass func(*Request, jsonrpc.Message)) (Result, error) {
	sub, err := l.join(req)
	if err != nil {
		return Result{}, err
	}
	defer l.leave(ctx, sub)
	for {
		select {
		case msg, ok := <-sub.queue.Messages():
			if !ok {
				return Result{}, fmt.Errorf("call %s: %w", req.Method, sub.queue.Err())
			}
			if msg.IsResponse() {
				return ResponseOf(msg)
			}
			pass(req, msg)
		case <-ctx.Done():
			return Result{}, ctx.Err()
		}
	}
}

// join asks for what of a subscription nobody has asked for.
func (l *listening) join(req *Request) (*subscription, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, fmt.Errorf("%w: the connection is closed", ErrNotSent)
	}
	l.count++
	sub := newSubscription(req, strconv.Itoa(l.count))
	fresh := make(map[sort]*feed)
	var joined *feed
	for _, t := range sub.topics {
		f := l.owners[t]
		if f == nil {
			if f = fresh[t.sort]; f == nil {
				f = l.newFeed(t.sort, req)
				fresh[t.sort] = f
			}
			l.owners[t] = f
		} else {
			joined = f
		}
		sub.from[t] = f
	}
	l.subs[sub] = true
	for _, f := range fresh {
		if joined == nil && len(fresh) == 1 {
			f.own = sub
		}
		l.work.Go(f.run)
	}
	if len(fresh) == 0 {
		sub.acknowledge(joined, false)
	}
	return sub, nil
}

// newFeed is called with mu held.
func (l *listening) newFeed(s sort, req *Request) *feed {
	f := &feed{l: l, sort: s, req: req, let: make(chan struct{}), ended: make(chan struct{})}
	l.feeds[f] = true
	return f
}

// leave ends a subscription, and at the server what nobody else wants. It returns when
// the server was told.
func (l *listening) leave(ctx context.Context, sub *subscription) {
	sub.queue.Abandon()
	l.mu.Lock()
	delete(l.subs, sub)
	var told []*Call
	for _, f := range sub.feeds() {
		wanted := l.wanted(f)
		switch {
		case f.gone:
		case len(wanted) == 0:
			told = f.letGo(told)
		case f.sent && f.hasMoreThan(wanted) && !l.closed:
			told = l.renew(f, told)
		}
	}
	l.mu.Unlock()
	l.tell(ctx, told)
}

// tell has the server end calls.
func (l *listening) tell(ctx context.Context, calls []*Call) {
	for _, call := range calls {
		l.cancel(ctx, call.ID())
	}
}

// wanted are the topics of f that somebody wants, in no order. mu is held.
func (l *listening) wanted(f *feed) map[topic]bool {
	wanted := make(map[topic]bool)
	for sub := range l.subs {
		for t, from := range sub.from {
			if from == f {
				wanted[t] = true
			}
		}
	}
	return wanted
}

// feeds are those that a subscription is part of. listening.mu is held.
func (sub *subscription) feeds() []*feed {
	var all []*feed
	for _, f := range sub.from {
		if !slices.Contains(all, f) {
			all = append(all, f)
		}
	}
	return all
}

// hasMoreThan reports whether the server tells of more than is wanted.
func (f *feed) hasMoreThan(wanted map[topic]bool) bool {
	for t := range f.asked {
		if !wanted[t] && (!f.acked || f.granted[t]) {
			return true
		}
	}
	return false
}

// letGo forgets a feed; what of it the server has to be told is appended to told.
// listening.mu is held.
func (f *feed) letGo(told []*Call) []*Call {
	f.gone = true
	close(f.let)
	delete(f.l.feeds, f)
	for t, owner := range f.l.owners {
		if owner == f {
			delete(f.l.owners, t)
		}
	}
	if f.l.repair == f {
		f.l.repair = nil
	}
	if f.call != nil {
		told = append(told, f.call)
	}
	return told
}

// renew puts another feed in the place of old, which asks for what is wanted of it
// when old has ended. mu is held.
func (l *listening) renew(old *feed, told []*Call) []*Call {
	told = old.letGo(told)
	f := l.repair
	if f == nil || old.sort != lists {
		f = l.newFeed(old.sort, old.req)
		f.again = true
		defer l.work.Go(f.run)
	}
	if old.sort == lists {
		l.repair = f
	}
	f.after = append(f.after, old)
	for sub := range l.subs {
		for t, from := range sub.from {
			if from != old {
				continue
			}
			if l.owners[t] == nil {
				l.owners[t] = f
			}
			sub.from[t] = l.owners[t]
		}
	}
	return told
}

// forgotten is called when the server has answered f: by then it may have forgotten
// what else it was asked for.
func (l *listening) forgotten(f *feed, cancelled bool) {
	l.mu.Lock()
	l.answers = l.answers || cancelled
	var told []*Call
	for other := range l.feeds {
		if !l.closed && other != f && other.sent && (other.sort == lists || other.sharesWith(f)) {
			told = l.renew(other, told)
		}
	}
	l.mu.Unlock()
	l.tell(context.Background(), told)
}

func (f *feed) sharesWith(other *feed) bool {
	for t := range other.asked {
		if f.asked[t] {
			return true
		}
	}
	return false
}

// end takes it that the server has ended a subscription without a response to it
// (2026-07-28, basic/utilities/cancellation: over stdio with a notification).
func (l *listening) end(id jsonrpc.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for f := range l.feeds {
		if f.call != nil && f.call.ID() == id {
			f.call.Deliver(jsonrpc.Message{ID: id, Result: EmptyResult().Object})
		}
	}
}

// close waits for all feeds. The channel must have been closed.
func (l *listening) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.work.Wait()
}
