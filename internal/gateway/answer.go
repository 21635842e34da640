package gateway

import (
	"context"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
)

// itsOwn is the class of the gateway itself: see Gateway.itself.
var itsOwn = class{modern: true}

// lendPoll is how often who has lost patience looks whether the server has shown
// others something.
const lendPoll = 100 * time.Millisecond

// get returns a list that may be used. One that has expired, unannounced, is
// still returned and fetched behind the caller's back; one that is not known,
// or known to have changed, is waited for until ctx ends. What comes back then
// is what was known last, with the reason in err.
func (b *book) get(ctx context.Context, k kind) list {
	g := b.shelf.gateway
	b.mu.Lock()
	l := &b.lists[k]
	now := g.o.Now()
	usable := l.loaded && l.valid && now.Before(l.expires)
	if usable || l.err != nil && now.Sub(l.tried) < retryFetch {
		b.mu.Unlock()
		return b.answer(k, nil)
	}
	wait := !l.loaded || !l.valid || l.hinted
	done := b.fetch(k)
	patience := l.began.Add(g.o.ListDeadline).Sub(now)
	b.mu.Unlock()
	if wait && !b.await(ctx, k, done, patience) {
		return b.answer(k, mcp.Errorf(mcp.CodeTimeout, "did not answer %s in time", k.method()))
	}
	return b.answer(k, nil)
}

// await waits for a fetch until ctx ends. When that takes longer than patience, what
// the server has shown others will do. It reports whether the fetch has ended.
func (b *book) await(ctx context.Context, k kind, done <-chan struct{}, patience time.Duration) bool {
	late := time.NewTimer(patience)
	defer late.Stop()
	for {
		select {
		case <-done:
			return true
		case <-ctx.Done():
			return false
		case <-late.C:
		}
		if b.shelf.lend(b.class, k).loaded {
			return false
		}
		late.Reset(lendPoll)
	}
}

// answer returns what a reader gets now: the list, or what the server has shown
// others, and notes it. why is the reason if that is not what it should be.
func (b *book) answer(k kind, why error) list {
	var lent list
	if !b.snapshot(k).loaded {
		lent = b.shelf.lend(b.class, k)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	l := &b.lists[k]
	out := *l
	if out.err == nil && !(l.loaded && l.valid) {
		out.err = why
	}
	if !l.loaded && lent.loaded {
		out.entries, out.digest, out.loaded = lent.entries, lent.digest, true
	}
	l.given, l.gave = true, out.digest
	return out
}

// forget notes that what readers have is no longer good, which they have been told.
func (b *book) forget(k kind) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lists[k].given = false
}

// lend returns the list as the server has shown it to the gateway, for callers of a
// class of which it is not known yet: a process that is being started for what they
// can be asked for takes its time, and will hardly show anything else. What nobody
// knows is not loaded.
func (sh *shelf) lend(to class, k kind) list {
	if to.owner != "" || to == itsOwn {
		return list{}
	}
	for _, b := range sh.all() {
		if b.class == itsOwn {
			return b.snapshot(k)
		}
	}
	return list{}
}
