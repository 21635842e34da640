package auth

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"sync"
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

// errEnded is the cause of contexts of requests whose credential has ended.
var errEnded = errors.New("the credential was revoked or has expired")

type lifetimeKey struct{}

// Lifetime returns a context that ends when the credential of a request does, for
// what outlives the request's own context. ctx is the request's, or made of it.
func Lifetime(ctx context.Context) context.Context {
	if held, ok := ctx.Value(lifetimeKey{}).(*lifetime); ok {
		return held
	}
	return context.Background()
}

// lifetime ends a request when its credential does: a revoked one at once, also
// in the middle of a call; an expired one if the request is a stream, which would
// go on for ever, and not if it is a call that was rightly begun.
//
// It is the context of the request itself, and knows where the request comes from,
// which saves two on the way of every call.
type lifetime struct {
	*mcp.CallContext
	watch  *watch
	given  string               // the token; empty if it was a certificate
	state  *tls.ConnectionState // of the certificate
	first  Identity
	stream bool
	place  *netip.Addr // nil when nobody asks for it

	due        time.Time // of the next look; in watch
	prev, next *lifetime // in watch
	listed     bool      // in watch
	doubt      int       // of whoever looks
}

// Value makes the lifetime, and where its request comes from, found in what is made of it.
func (l *lifetime) Value(key any) any {
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
	if !ok || held.given == "" || held.first.Principal.Method != tokenMethod {
		return secret.Value{}, time.Time{}, false
	}
	return secret.NewValue([]byte(held.given)), held.first.Expires, true
}

// isStream says whether a request stays open by its nature.
func isStream(r *http.Request) bool {
	return r.Method == http.MethodGet || strings.EqualFold(r.Header.Get("Mcp-Method"), "subscriptions/listen")
}

// close ends the watch over the request.
func (l *lifetime) close() {
	l.End(context.Canceled, nil) // first, so that a look that is under way does not ask for another
	l.watch.remove(l)
}

// check looks at the credential, and has it looked at again later if it holds.
func (l *lifetime) check() {
	now := time.Now()
	expired := !l.first.Expires.IsZero() && !now.Before(l.first.Expires)
	switch {
	case expired && l.stream:
		l.End(context.Canceled, errEnded)
		return
	case expired:
		return // it was rightly begun, and can only be ended by what it called
	}
	ctx, cancel := context.WithTimeout(l, recheckTimeout)
	defer cancel()
	id, err := l.watch.guard.again(ctx, l)
	var scope *ScopeError
	switch {
	case l.Err() != nil:
		return
	case errors.Is(err, ErrInvalid), errors.Is(err, errNone), errors.As(err, &scope), err == nil && id.Principal.ID != l.first.Principal.ID:
		l.End(context.Canceled, errEnded)
		return
	case err != nil:
		if l.doubt++; l.doubt > maxDoubt {
			l.End(context.Canceled, errEnded)
			return
		}
	default:
		l.doubt = 0
	}
	l.watch.add(l)
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
	if l.Err() != nil {
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
