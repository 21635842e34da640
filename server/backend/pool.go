package backend

import (
	"cmp"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/puddle/v2"
)

// ErrBusy is the error of a pool that has too many callers waiting already:
// nothing has happened.
var ErrBusy = errors.New("too many calls wait for a connection")

// PoolOptions say how a Pool opens, keeps and closes. Open must be there; zero
// fields mean the defaults.
type PoolOptions[T any] struct {
	// Open makes one. It goes on when the caller who needs it has gone: its context
	// has a bound of its own.
	Open func(ctx context.Context) (T, error)
	// Close releases one; may be nil.
	Close func(T)
	// Max is how many there are at once. Default 8.
	Max int
	// MaxWaiting is how many callers may wait for one. Default 256.
	MaxWaiting int
	// MaxIdle is for how long one is kept unused, MaxAge for how long at all.
	// Default 5 minutes and 1 hour.
	MaxIdle, MaxAge time.Duration
	// OpenTimeout bounds Open. Default 10 s.
	OpenTimeout time.Duration
}

// Pool keeps connections, or whatever is expensive to make and can serve one
// call at a time. It may be used concurrently. Close it.
type Pool[T any] struct {
	o       PoolOptions[T]
	pool    *puddle.Pool[T]
	waiting atomic.Int64
}

// NewPool returns an empty pool.
func NewPool[T any](o PoolOptions[T]) *Pool[T] {
	o.Max = max(1, cmp.Or(o.Max, 8))
	o.MaxWaiting = cmp.Or(o.MaxWaiting, 256)
	o.MaxIdle = cmp.Or(o.MaxIdle, 5*time.Minute)
	o.MaxAge = cmp.Or(o.MaxAge, time.Hour)
	o.OpenTimeout = cmp.Or(o.OpenTimeout, 10*time.Second)
	open := func(ctx context.Context) (T, error) {
		ctx, cancel := context.WithTimeout(ctx, o.OpenTimeout)
		defer cancel()
		return o.Open(ctx)
	}
	if o.Close == nil {
		o.Close = func(T) {}
	}
	pool, err := puddle.NewPool(&puddle.Config[T]{
		Constructor: open, Destructor: o.Close, MaxSize: int32(min(o.Max, 1<<20)),
	})
	if err != nil {
		panic("backend: " + err.Error()) // only for a size below 1
	}
	return &Pool[T]{o: o, pool: pool}
}

// Do calls f with one from the pool, which f must not keep. When f panics, or
// its error is marked with [Broken], that one is not used again.
func (p *Pool[T]) Do(ctx context.Context, f func(T) error) error {
	r, err := p.take(ctx)
	if err != nil {
		return err
	}
	whole := false
	defer func() {
		if whole {
			r.Release()
			return
		}
		r.Destroy()
	}()
	err = f(r.Value())
	var marked *broken
	if errors.As(err, &marked) {
		return marked.error
	}
	whole = true
	return err
}

// take takes one that is not too old.
func (p *Pool[T]) take(ctx context.Context) (*puddle.Resource[T], error) {
	if p.waiting.Add(1) > int64(p.o.MaxWaiting+p.o.Max) {
		p.waiting.Add(-1)
		return nil, ErrBusy
	}
	defer p.waiting.Add(-1)
	for {
		r, err := p.pool.Acquire(ctx)
		if errors.Is(err, puddle.ErrClosedPool) {
			return nil, errClosed
		}
		if err != nil {
			return nil, err
		}
		if r.IdleDuration() < p.o.MaxIdle && time.Since(r.CreationTime()) < p.o.MaxAge {
			return r, nil
		}
		r.Destroy()
	}
}

// Trim closes those that are unused for longer than MaxIdle or older than MaxAge.
// A server that wants idle connections closed when nobody calls has it called
// now and then.
func (p *Pool[T]) Trim() {
	for _, r := range p.pool.AcquireAllIdle() {
		if r.IdleDuration() >= p.o.MaxIdle || time.Since(r.CreationTime()) >= p.o.MaxAge {
			r.Destroy()
			continue
		}
		r.ReleaseUnused()
	}
}

// Len says how many there are.
func (p *Pool[T]) Len() int { return int(p.pool.Stat().TotalResources()) }

// Close closes all, those in use when they are given back, and waits for that.
func (p *Pool[T]) Close() error {
	p.pool.Close()
	return nil
}

// broken is an error after which a connection is not used again.
type broken struct{ error }

func (b *broken) Unwrap() error { return b.error }

// Broken marks err, of a call in [Pool.Do], as one that has left the connection
// in a state that nobody knows.
func Broken(err error) error {
	if err == nil {
		return nil
	}
	return &broken{err}
}
