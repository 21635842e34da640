package auth

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/secret"
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
// It is the context of the request itself, which saves one on the way of every call.
type lifetime struct {
	context.Context
	again  func(context.Context) (Identity, error)
	first  Identity
	stream bool
	given  string // the access token that was shown; empty for other credentials
	end    context.CancelCauseFunc

	mu    sync.Mutex // guards what follows
	timer *time.Timer
	doubt int
	over  bool
}

// hold begins the watch over a request of an identity, which close ends. again
// looks at the credential anew.
func hold(r *http.Request, id Identity, again func(context.Context) (Identity, error)) *lifetime {
	l := &lifetime{again: again, first: id, stream: isStream(r)}
	l.Context, l.end = context.WithCancelCause(r.Context())
	l.mu.Lock()
	l.timer = time.AfterFunc(recheckEvery, l.check)
	l.mu.Unlock()
	return l
}

// Shown gives the access token (JWT) that the caller of a request has shown, and
// until when it holds; false if it was another kind of credential. It is for who
// exchanges it for another (RFC 8693), and goes nowhere else.
func Shown(ctx context.Context) (token secret.Value, expires time.Time, ok bool) {
	held, ok := ctx.Value(lifetimeKey{}).(*lifetime)
	if !ok || held.given == "" {
		return secret.Value{}, time.Time{}, false
	}
	return secret.NewValue([]byte(held.given)), held.first.Expires, true
}

// Value makes the lifetime found in what is made of it.
func (l *lifetime) Value(key any) any {
	if key == (lifetimeKey{}) {
		return l
	}
	return l.Context.Value(key)
}

// isStream says whether a request stays open by its nature.
func isStream(r *http.Request) bool {
	return r.Method == http.MethodGet || strings.EqualFold(r.Header.Get("Mcp-Method"), "subscriptions/listen")
}

func (l *lifetime) close() {
	l.mu.Lock()
	l.over = true
	l.timer.Stop()
	l.mu.Unlock()
	l.end(nil)
}

func (l *lifetime) check() {
	ctx, cancel := context.WithTimeout(l, recheckTimeout)
	defer cancel()
	now := time.Now()
	expired := !l.first.Expires.IsZero() && !now.Before(l.first.Expires)
	switch {
	case expired && l.stream:
		l.end(errEnded)
		return
	case expired:
		return // it was rightly begun, and can only be ended by what it called
	}
	id, err := l.again(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	var scope *ScopeError
	switch {
	case l.over:
		return
	case errors.Is(err, ErrInvalid), errors.Is(err, errNone), errors.As(err, &scope), err == nil && id.Principal.ID != l.first.Principal.ID:
		l.end(errEnded)
		return
	case err != nil:
		if l.doubt++; l.doubt > maxDoubt {
			l.end(errEnded)
			return
		}
	default:
		l.doubt = 0
	}
	l.timer.Reset(recheckEvery)
}
