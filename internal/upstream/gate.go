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

// gate lets a bounded number of calls run and a bounded number wait, who are let
// in in the order in which they came.
type gate struct {
	slots   chan struct{}
	waiting atomic.Int64
	queue   int64
}

func newGate(concurrency, queue int) *gate {
	return &gate{slots: make(chan struct{}, max(concurrency, 1)), queue: int64(queue)}
}

// enter waits for a place to run; it is errFull when there is none to wait.
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

// budget bounds retries to a share of the calls, so that they do not bury a
// server that struggles.
type budget struct {
	share float64

	mu     sync.Mutex // guards tokens
	tokens float64
}

// maxSaved is how many retries a quiet time saves up.
const maxSaved = 10

func newBudget(percent float64) *budget {
	b := &budget{share: percent / 100}
	if percent > 0 {
		b.tokens = maxSaved
	}
	return b
}

// earn counts a call.
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
