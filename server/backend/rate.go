package backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// ErrRate is wrapped by the errors of those that would have to wait for too long.
var ErrRate = errors.New("too many calls in a short time")

// Rate is a pace, as a section of settings: a bucket of Burst tokens that fills
// with PerSecond tokens a second, of which each call takes one.
type Rate struct {
	// Calls per second in the long run. 0 means no limit.
	PerSecond float64 `yaml:"per_second" default:"0" min:"0" max:"1000000"`
	// Calls that may be made at once. Default 1.
	Burst int `yaml:"burst" default:"1" min:"1" max:"1000000"`
	// Longest that a call waits for its turn; when it would be longer, it is
	// refused at once. Default 10 s.
	MaxWait time.Duration `yaml:"max_wait" default:"10s" min:"1ms" max:"1h"`
}

// Limiter keeps to a Rate. It may be used concurrently.
type Limiter struct {
	bucket  *rate.Limiter
	maxWait time.Duration

	mu     sync.Mutex // guards closed
	closed time.Time  // nothing goes before this
}

// Limiter returns a Limiter whose bucket is full.
func (r Rate) Limiter() *Limiter {
	pace := rate.Limit(r.PerSecond)
	if r.PerSecond <= 0 {
		pace = rate.Inf
	}
	return &Limiter{bucket: rate.NewLimiter(pace, cmp.Or(r.Burst, 1)), maxWait: cmp.Or(r.MaxWait, 10*time.Second)}
}

// Wait takes a token, waiting for it if it must. It refuses, with [ErrRate] and
// the time that it would take, when it would have waited longer than MaxWait or
// than ctx lasts.
//
// Who waits for the end of a pause takes no token before: those who have waited
// go at the pace that holds for all, and not all at once.
func (l *Limiter) Wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	latest := time.Now().Add(l.maxWait)
	if until, bounded := ctx.Deadline(); bounded && until.Before(latest) {
		latest = until
	}
	for {
		now := time.Now()
		turn := (*rate.Reservation)(nil)
		wait := l.pause(now)
		if wait <= 0 {
			turn = l.bucket.ReserveN(now, 1)
			wait = turn.DelayFrom(now)
		}
		if err := l.rest(ctx, now, wait, latest); err != nil {
			if turn != nil {
				turn.Cancel()
			}
			return err
		}
		// A pause may have begun while the turn came. The token is lost then, which
		// errs on the side of the one who has asked for patience.
		if turn != nil && l.pause(time.Now()) <= 0 {
			return nil
		}
	}
}

// rest waits, unless that would end later than it may.
func (l *Limiter) rest(ctx context.Context, now time.Time, wait time.Duration, latest time.Time) error {
	if wait <= 0 {
		return nil
	}
	if now.Add(wait).After(latest) {
		return fmt.Errorf("%w: come again in %s", ErrRate, wait.Round(time.Millisecond))
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pause is how much of a pause is left; 0 or less when there is none.
func (l *Limiter) pause(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed.Sub(now)
}

// Pause lets nothing through for d, as the other side has asked (Retry-After). A
// longer pause that is there already stays.
func (l *Limiter) Pause(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at := time.Now().Add(d); at.After(l.closed) {
		l.closed = at
	}
}
