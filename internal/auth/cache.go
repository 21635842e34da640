package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"
)

// CacheOptions bound what a Cached source remembers. Zero fields mean the default.
type CacheOptions struct {
	// Max is the most credentials that are remembered as good; as many again are
	// remembered as bad, so that who tries many cannot push out the good. Default 10,000.
	Max int
	// TTL is how long a good one is remembered at most, Refusal how long a bad
	// one. Defaults 5 minutes and 10 seconds.
	TTL, Refusal time.Duration
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Cached is a Source that remembers what another said, by the digest of the
// credential: to check a signature costs as much as the rest of a call. What it
// remembers as good never outlives the credential, and is asked about again if
// the other is a Revoker.
type Cached struct {
	source  Source
	revoker Revoker // source, or nil
	o       CacheOptions

	mu        sync.Mutex // guards what follows
	good, bad generations
}

type digest = [sha256.Size]byte

type verdict struct {
	identity Identity
	err      error
	until    time.Time
}

// generations is a bounded map that forgets what was not used for long: when
// the young one is full it becomes the old one, whose entries are forgotten.
type generations struct{ young, old map[digest]verdict }

func (g *generations) get(d digest, limit int) (verdict, bool) {
	v, ok := g.young[d]
	if ok {
		return v, true
	}
	if v, ok = g.old[d]; ok {
		g.put(d, v, limit)
	}
	return v, ok
}

func (g *generations) put(d digest, v verdict, limit int) {
	if len(g.young) >= max(limit/2, 1) {
		g.old, g.young = g.young, nil
	}
	if g.young == nil {
		g.young = make(map[digest]verdict)
	}
	g.young[d] = v
}

func (g *generations) forget(d digest) {
	delete(g.young, d)
	delete(g.old, d)
}

// NewCached returns a Source that remembers what source says.
func NewCached(source Source, o CacheOptions) *Cached {
	if o.Max == 0 {
		o.Max = 10_000
	}
	if o.TTL == 0 {
		o.TTL = 5 * time.Minute
	}
	if o.Refusal == 0 {
		o.Refusal = 10 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	c := &Cached{source: source, o: o}
	c.revoker, _ = source.(Revoker)
	return c
}

var _ Source = (*Cached)(nil)

// Identify implements Source.
func (c *Cached) Identify(ctx context.Context, credential string) (Identity, error) {
	d := digestOf(credential)
	now := c.o.Now()
	if v, ok := c.remembered(d, now); ok {
		return v.identity, v.err
	}
	identity, err := c.source.Identify(ctx, credential)
	var scopes *ScopeError
	switch {
	case err == nil:
		c.remember(&c.good, d, verdict{identity: identity, until: earlier(now.Add(c.o.TTL), identity.Expires)})
	case errors.Is(err, ErrInvalid), errors.Is(err, ErrForeign), errors.As(err, &scopes):
		c.remember(&c.bad, d, verdict{err: err, until: now.Add(c.o.Refusal)})
	}
	return identity, err
}

// digestOf hashes a credential; one of usual length without a copy on the heap.
func digestOf(credential string) digest {
	var buffer [2048]byte
	if len(credential) > len(buffer) {
		return sha256.Sum256([]byte(credential))
	}
	return sha256.Sum256(buffer[:copy(buffer[:], credential)])
}

// Forget makes every credential be looked at anew.
func (c *Cached) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.good, c.bad = generations{}, generations{}
}

func (c *Cached) remembered(d digest, now time.Time) (verdict, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok := c.good.get(d, c.o.Max); ok {
		if now.Before(v.until) && (c.revoker == nil || c.revoker.Holds(v.identity)) {
			return v, true
		}
		c.good.forget(d)
	}
	v, ok := c.bad.get(d, c.o.Max)
	return v, ok && now.Before(v.until)
}

func (c *Cached) remember(in *generations, d digest, v verdict) {
	c.mu.Lock()
	defer c.mu.Unlock()
	in.put(d, v, c.o.Max)
}

// earlier is the first of two moments, of which the second may be zero: never.
func earlier(a, b time.Time) time.Time {
	if !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
