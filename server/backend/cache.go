package backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"
)

// CacheOptions bound a Cache. Zero fields mean the defaults.
type CacheOptions[V any] struct {
	// MaxBytes bounds what is kept, in bytes as Bytes counts them. Default 64 MiB.
	MaxBytes int64
	// Bytes tells how large a value is. Each entry counts 128 bytes and its key
	// on top. Without it values count for nothing.
	Bytes func(V) int
	// TTL is how long a value is good when its load does not say. Default 1 minute.
	TTL time.Duration
	// LoadTimeout bounds a load, which goes on when the caller who began it has
	// gone and others wait for it. Default 30 s.
	LoadTimeout time.Duration
}

// Cache keeps values by key for a while. What is asked for by several at once
// is loaded once. It may be used concurrently. Who may see a value must be part
// of its key. Close it.
type Cache[V any] struct {
	o      CacheOptions[V]
	kept   *otter.Cache[string, entry[V]]
	flight singleflight.Group
	ctx    context.Context // of loads; ends with Close
	cancel context.CancelFunc

	mu     sync.Mutex // guards the beginning of loads
	loads  sync.WaitGroup
	closed bool
}

type entry[V any] struct {
	value V
	ttl   time.Duration
}

// entryBytes is what an entry costs besides its key and value.
const entryBytes = 128

// errClosed is the error of a cache or pool that is closed.
var errClosed = errors.New("closed")

// NewCache returns an empty cache.
func NewCache[V any](o CacheOptions[V]) *Cache[V] {
	o.MaxBytes = cmp.Or(o.MaxBytes, 64<<20)
	o.TTL = cmp.Or(o.TTL, time.Minute)
	o.LoadTimeout = cmp.Or(o.LoadTimeout, 30*time.Second)
	c := &Cache[V]{o: o}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.kept = otter.Must(&otter.Options[string, entry[V]]{
		MaximumWeight: uint64(max(0, o.MaxBytes)),
		Weigher: func(key string, e entry[V]) uint32 {
			size := entryBytes + len(key)
			if o.Bytes != nil {
				size += o.Bytes(e.value)
			}
			return uint32(min(max(size, 0), math.MaxUint32))
		},
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[string, entry[V]]) time.Duration { return e.Value.ttl }),
		Executor:         func(f func()) { f() }, // no goroutines but its own
	})
	return c
}

// Get returns the value of key, loading it if it is not there. load also tells
// how long the value is good: 0 means TTL, less means that it is not kept. Its
// error goes to all who wait, and is not kept.
func (c *Cache[V]) Get(ctx context.Context, key string, load func(ctx context.Context) (V, time.Duration, error)) (V, error) {
	if e, ok := c.kept.GetIfPresent(key); ok {
		return e.value, nil
	}
	var none V
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return none, errClosed
	}
	c.loads.Add(1)
	result := c.flight.DoChan(key, func() (any, error) {
		if e, ok := c.kept.GetIfPresent(key); ok { // another load has ended since the look above
			return e.value, nil
		}
		// The values of the first caller's context are kept: who asks is the same
		// for all of one key.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.o.LoadTimeout)
		defer cancel()
		defer context.AfterFunc(c.ctx, cancel)()
		v, ttl, err := contained(ctx, load)
		if err == nil && ttl >= 0 {
			c.Set(key, v, ttl)
		}
		return v, err
	})
	c.mu.Unlock()
	select {
	case r := <-result:
		c.loads.Done()
		v, _ := r.Val.(V)
		return v, r.Err
	case <-ctx.Done():
		go func() { // Close waits for it, and it for the load, which is bounded
			defer c.loads.Done()
			<-result
		}()
		return none, ctx.Err()
	}
}

// contained calls load; what panics there has a caller of its own no more.
func contained[V any](ctx context.Context, load func(context.Context) (V, time.Duration, error)) (v V, ttl time.Duration, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("load panicked: %v", p)
		}
	}()
	return load(ctx)
}

// Peek returns the value of key if it is there.
func (c *Cache[V]) Peek(key string) (V, bool) {
	e, ok := c.kept.GetIfPresent(key)
	return e.value, ok
}

// Set keeps a value for ttl; 0 means TTL.
func (c *Cache[V]) Set(key string, v V, ttl time.Duration) {
	c.kept.Set(key, entry[V]{v, cmp.Or(ttl, c.o.TTL)})
}

// Forget removes a value.
func (c *Cache[V]) Forget(key string) { c.kept.Invalidate(key) }

// Close ends the loads that are under way, waits for them, and forgets everything.
func (c *Cache[V]) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.loads.Wait()
	c.kept.StopAllGoroutines()
	c.kept.InvalidateAll()
	return nil
}
