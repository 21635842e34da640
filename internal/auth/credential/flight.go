package credential

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
)

const (
	// flightTimeout bounds one fetch: a request to the token endpoint, the wait for
	// another replica that makes it, and the store.
	flightTimeout = 40 * time.Second
	// maxWaiters bounds the calls of one server that wait for tokens.
	maxWaiters = 4096
)

// flights have each token fetched by one of all who want it.
type flights struct {
	work *sync.WaitGroup

	mu      sync.Mutex // guards what follows
	flying  map[string]*flight
	waiters int
}

// flight is a fetch under way.
type flight struct {
	done chan struct{}
	held held  // once done is closed
	err  error // likewise
}

// do returns what fetch does, or what it does already for somebody else. It goes
// on when those who wait have gone: what a token endpoint gives is lost if nobody
// takes it.
func (f *flights) do(ctx context.Context, who string, fetch func(context.Context, string) (held, error)) (held, error) {
	f.mu.Lock()
	if f.waiters >= maxWaiters {
		f.mu.Unlock()
		return held{}, mcp.Busy("too many calls wait for tokens", time.Second)
	}
	f.waiters++
	flight := f.flying[who]
	if flight == nil {
		flight = f.start(ctx, who, fetch)
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.waiters--
		f.mu.Unlock()
	}()
	select {
	case <-flight.done:
		return flight.held, flight.err
	case <-ctx.Done():
		return held{}, fmt.Errorf("wait for a token: %w", ctx.Err())
	}
}

// start begins a flight. f.mu is held.
func (f *flights) start(ctx context.Context, who string, fetch func(context.Context, string) (held, error)) *flight {
	started := &flight{done: make(chan struct{}), err: errors.New("the fetch of a token ended with a fault of ours")}
	f.flying[who] = started
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flightTimeout)
	f.work.Go(func() {
		defer cancel()
		defer func() {
			f.mu.Lock()
			delete(f.flying, who)
			f.mu.Unlock()
			close(started.done)
		}()
		started.held, started.err = fetch(ctx, who)
	})
	return started
}

// pause is how long an authorization server that failed is left in peace, longer
// each time.
type pause struct {
	failed int
	until  time.Time
	why    error
}

const (
	minPause = time.Second
	maxPause = 30 * time.Second
)

func (p *pause) fail(now time.Time, why error) {
	p.until, p.why = now.Add(min(minPause<<min(p.failed, 5), maxPause)), why
	p.failed++
}

func (p *pause) lasts(now time.Time) bool { return now.Before(p.until) }
