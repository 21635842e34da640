package auth

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/secret"
	"github.com/dragoman-mcp/dragoman/mcp"
)

const (
	// recheckEvery is how often the credential of a request that is still being
	// answered is looked at again: with the time that a revocation takes to reach
	// a replica, streams end within 5 s or little more.
	recheckEvery = 2 * time.Second
	// recheckTimeout bounds one look.
	recheckTimeout = 2 * time.Second
	// maxDoubt is how many looks in a row may end without an answer, because a
	// store or issuer is away, before what depends on it is ended.
	maxDoubt = 15
)

type lifetimeKey struct{}

// lifetime ends a request when its credential does: a revoked one at once, also
// in the middle of a call; an expired one if the request is a stream, which would
// go on for ever, and not if it is a call that was rightly begun.
//
// It is the context of the request itself, and knows who makes it and where it comes
// from, which saves three on the way of every call.
type lifetime struct {
	mcp.CallContext // ends with the credential and with the request
	watch           *watch
	given           string               // the token; empty if it was a certificate
	state           *tls.ConnectionState // of the certificate
	principal       mcp.Principal
	expires         time.Time
	stream          bool
	place           *netip.Addr // nil when nobody asks for it

	// lasting ends with the credential alone; nil before somebody needs it.
	lasting atomic.Pointer[mcp.CallContext]

	due        time.Time // of the next look; in watch
	prev, next *lifetime // in watch
	listed     bool      // in watch
	doubt      int       // of whoever looks
	closed     atomic.Bool
}

// Detached returns the context of what a request has begun and its client's
// departure does not end. It has the values of ctx, which is the request's or made
// of it, and ends when the request's credential is revoked, with [mcp.ErrRevoked].
func Detached(ctx context.Context) context.Context {
	held, ok := ctx.Value(lifetimeKey{}).(*lifetime)
	if !ok {
		return context.WithoutCancel(ctx)
	}
	return &detached{CallContext: held.beyond(), values: ctx, request: &held.CallContext}
}

// detached is a context with the values of another.
type detached struct {
	*mcp.CallContext
	values  context.Context
	request *mcp.CallContext
}

// Value implements context.Context. What is made of it ends with it, and not with
// the request.
func (d *detached) Value(key any) any {
	v := d.values.Value(key)
	if v == any(d.request) {
		return d.CallContext
	}
	return v
}

// Outlive has end called when the credential of a request is not good any more,
// also when the request's handler has returned, until stop is called. It is for
// streams: they end too when the credential expires. end must not wait.
func Outlive(ctx context.Context, end func()) (stop func()) {
	held, ok := ctx.Value(lifetimeKey{}).(*lifetime)
	if !ok {
		return func() {}
	}
	own := &lifetime{watch: held.watch, given: held.given, state: held.state, principal: held.principal, expires: held.expires, stream: true}
	own.Begin(context.Background())
	forget := own.AfterFunc(end)
	own.watch.add(own)
	return func() {
		forget()
		own.close()
	}
}

// beyond returns the context that ends with the credential alone.
func (l *lifetime) beyond() *mcp.CallContext {
	if c := l.lasting.Load(); c != nil {
		return c
	}
	l.lasting.CompareAndSwap(nil, mcp.NewCallContext(context.Background()))
	c := l.lasting.Load()
	if l.Cause() == mcp.ErrRevoked { // it may not have found c
		c.End(context.Canceled, mcp.ErrRevoked)
	}
	return c
}

// revoke ends what the credential was good for.
func (l *lifetime) revoke() {
	l.End(context.Canceled, mcp.ErrRevoked)
	if c := l.lasting.Load(); c != nil {
		c.End(context.Canceled, mcp.ErrRevoked)
	}
}

// over says whether nothing depends on the credential any more.
func (l *lifetime) over() bool {
	if l.Err() == nil {
		return false
	}
	c := l.lasting.Load()
	return c == nil || c.Err() != nil || l.closed.Load()
}

// Value makes the lifetime, its principal, and where its request comes from, found in what is made of it.
func (l *lifetime) Value(key any) any {
	if mcp.AsksForPrincipal(key) {
		return &l.principal
	}
	switch key {
	case lifetimeKey{}:
		return l
	case addressKey{}:
		if l.place != nil {
			return l.place
		}
	}
	return l.CallContext.Value(key)
}

// Shown gives the access token (JWT) that the caller of a request has shown, and
// until when it holds; false if it was another kind of credential. It is for who
// exchanges it for another (RFC 8693), and goes nowhere else.
func Shown(ctx context.Context) (token secret.Value, expires time.Time, ok bool) {
	held, ok := ctx.Value(lifetimeKey{}).(*lifetime)
	if !ok || held.given == "" || held.principal.Method != tokenMethod {
		return secret.Value{}, time.Time{}, false
	}
	return secret.NewValue([]byte(held.given)), held.expires, true
}

// isStream says whether a request stays open by its nature.
func isStream(r *http.Request) bool {
	return r.Method == http.MethodGet || strings.EqualFold(r.Header.Get("Mcp-Method"), "subscriptions/listen")
}

// close ends the watch over the request.
func (l *lifetime) close() {
	l.closed.Store(true)
	l.End(context.Canceled, nil) // first, so that a look that is under way does not ask for another
	l.watch.remove(l)
}

// check looks at the credential, and has it looked at again later if it holds.
func (l *lifetime) check() {
	now := time.Now()
	expired := !l.expires.IsZero() && !now.Before(l.expires)
	switch {
	case l.over():
		return
	case expired && l.stream:
		l.revoke()
		return
	case expired:
		return // it was rightly begun, and can only be ended by what it called
	}
	id, err := l.look()
	var scope *ScopeError
	switch {
	case l.over():
		return
	case errors.Is(err, ErrInvalid), errors.Is(err, errNone), errors.As(err, &scope), err == nil && !sameRights(id.Principal, l.principal):
		l.revoke()
		return
	case err != nil:
		if l.doubt++; l.doubt > maxDoubt {
			l.revoke()
			return
		}
	default:
		l.doubt = 0
	}
	l.watch.add(l)
}

// look asks who holds the credential now. The end of the request cuts it short.
func (l *lifetime) look() (Identity, error) {
	var parent context.Context = l
	if l.Err() != nil { // its client has gone, and left something under way
		parent = context.WithoutCancel(l)
	}
	ctx, cancel := context.WithTimeout(parent, recheckTimeout)
	defer cancel()
	return l.watch.guard.again(ctx, l)
}

// sameRights says whether a credential is still worth what it was: whoever has
// other roles now must come again to be treated by them.
func sameRights(a, b mcp.Principal) bool {
	return a.ID == b.ID && slices.Equal(a.Roles, b.Roles) && slices.Equal(a.Groups, b.Groups) && slices.Equal(a.Servers, b.Servers)
}

// watch looks at the credentials of all requests that are being answered for long.
// Most are answered before their time has come, so that they have one timer in
// common: it runs while there are any, and a little longer.
type watch struct {
	guard *Guard

	mu    sync.Mutex // guards what follows, and the places of lifetimes
	first *lifetime  // whose time comes first
	last  *lifetime
	armed bool
}

// add has the credential looked at in a while; not if the request is over.
func (w *watch) add(l *lifetime) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.over() {
		return
	}
	l.due, l.listed = time.Now().Add(recheckEvery), true
	if l.prev = w.last; l.prev != nil {
		l.prev.next = l
	} else {
		w.first = l
	}
	w.last = l
	if !w.armed {
		w.armed = true
		time.AfterFunc(recheckEvery, w.run)
	}
}

func (w *watch) remove(l *lifetime) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.listed {
		w.cut(l)
	}
}

// cut takes one out of the list. w.mu is held.
func (w *watch) cut(l *lifetime) {
	if l.prev != nil {
		l.prev.next = l.next
	} else {
		w.first = l.next
	}
	if l.next != nil {
		l.next.prev = l.prev
	} else {
		w.last = l.prev
	}
	l.prev, l.next, l.listed = nil, nil, false
}

// run looks at those whose time has come, each by itself: one may wait for a store.
func (w *watch) run() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for l := w.first; l != nil && !l.due.After(now); l = w.first {
		w.cut(l)
		go l.check()
	}
	if w.armed = w.first != nil; w.armed {
		time.AfterFunc(w.first.due.Sub(now), w.run)
	}
}
