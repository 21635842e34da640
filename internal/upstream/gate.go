package upstream

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// errFull is why a call was refused that found no place to wait.
var errFull = errors.New("too many calls wait")

// gate lets a bounded number of calls run and a bounded number wait.
type gate struct {
	slots   chan struct{}
	waiting atomic.Int64
	queue   int64
}

func newGate(concurrency, queue int) *gate {
	return &gate{slots: make(chan struct{}, max(concurrency, 1)), queue: int64(queue)}
}

func (g *gate) enter(ctx context.Context) error {
	select {
	case g.slots <- struct{}{}:
		return nil
	default:
	}
	if g.waiting.Add(1) > g.queue {
		g.waiting.Add(-1)
		return errFull
	}
	defer g.waiting.Add(-1)
	select {
	case g.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gate) leave() { <-g.slots }

// breaker refuses calls for a while after failures in a row, then lets one try.
type breaker struct {
	failures int           // that open it; 0 for never
	openFor  time.Duration // before one call may try
	now      func() time.Time

	mu      sync.Mutex // guards what follows
	row     int
	until   time.Time // closed while zero
	trial   bool      // the one call is under way
	because error
}

// allow reports whether a call may go.
func (b *breaker) allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.until.IsZero() {
		return true
	}
	if b.trial || b.now().Before(b.until) {
		return false
	}
	b.trial = true
	return true
}

// note records how a call that was allowed ended.
func (b *breaker) note(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trial = false
	if err == nil {
		b.row, b.until, b.because = 0, time.Time{}, nil
		return
	}
	b.row++
	b.because = err
	if b.failures > 0 && b.row >= b.failures {
		b.until = b.now().Add(b.openFor)
	}
}

// cancel records that the call that was allowed says nothing about the server.
func (b *breaker) cancel() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trial = false
}

// state is "closed", "open" or "half-open", and why.
func (b *breaker) state() (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.until.IsZero():
		return "closed", nil
	case b.trial || !b.now().Before(b.until):
		return "half-open", b.because
	}
	return "open", b.because
}

// budget bounds retries to a share of the calls, so that they do not bury a
// server that struggles.
type budget struct {
	mu     sync.Mutex // guards tokens
	tokens float64
	share  float64
}

// maxSaved is how many retries a quiet time saves up.
const maxSaved = 10

func newBudget(percent float64) *budget {
	return &budget{tokens: maxSaved, share: percent / 100}
}

// earn counts a call that may be repeated.
func (b *budget) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.tokens+b.share, maxSaved)
}

// spend takes one retry, if there is one.
func (b *budget) spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// backoff is the wait before the n-th repetition: it doubles, and is random
// between half and the whole.
func backoff(n int, least, most time.Duration) time.Duration {
	d := least << min(n-1, 30)
	if d <= 0 || d > most {
		d = most
	}
	return d/2 + rand.N(d/2+1)
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
