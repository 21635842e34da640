package storetest

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/store"
)

func leases(t *testing.T, open func(*testing.T) *store.Store) {
	ctx, a, b := t.Context(), open(t), open(t)
	must(t, a.Leases.Take(ctx, "refresh", "a", at(0), at(10)))
	must(t, a.Leases.Take(ctx, "refresh", "a", at(1), at(11)))
	is(t, "take what another has", b.Leases.Take(ctx, "refresh", "b", at(2), at(12)), store.ErrConflict)
	must(t, b.Leases.Take(ctx, "other", "b", at(2), at(12)))
	must(t, b.Leases.Release(ctx, "refresh", "b"))
	is(t, "take what somebody else gave back in vain", b.Leases.Take(ctx, "refresh", "b", at(2), at(12)), store.ErrConflict)
	must(t, b.Leases.Take(ctx, "refresh", "b", at(11), at(20)))
	must(t, a.Leases.Release(ctx, "refresh", "a"))
	is(t, "take what was lost because it had ended", a.Leases.Take(ctx, "refresh", "a", at(12), at(20)), store.ErrConflict)
	must(t, b.Leases.Release(ctx, "refresh", "b"))
	must(t, b.Leases.Release(ctx, "never taken", "b"))

	// Of many that take one at once, on two replicas, one has it.
	var taken atomic.Int64
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			holder := string(rune('a' + i))
			if []*store.Store{a, b}[i%2].Leases.Take(ctx, "refresh", holder, at(1), at(2)) == nil {
				taken.Add(1)
			}
		})
	}
	all.Wait()
	if n := taken.Load(); n != 1 {
		t.Errorf("%d of 8 have taken one lease, want 1", n)
	}
}
