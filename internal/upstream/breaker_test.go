package upstream_test

import (
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/upstream"
)

func TestBreaker(t *testing.T) {
	fail := func(b *upstream.Breaker, n int) {
		for range n {
			b.Advance(time.Millisecond)
			a := b.Allow()
			b.Advance(time.Millisecond)
			a.Bad(errBroken)
		}
	}
	state := func(t *testing.T, b *upstream.Breaker, want string) {
		t.Helper()
		if got := b.State(); got != want {
			t.Errorf("breaker is %s, want %s", got, want)
		}
	}
	t.Run("opens after failures in a row", func(t *testing.T) {
		b := upstream.NewBreaker(3, time.Minute)
		fail(b, 2)
		b.Allow().Good()
		fail(b, 2)
		state(t, b, "closed")
		fail(b, 1)
		state(t, b, "open")
		if b.Allow() != nil {
			t.Error("a call was let through")
		}
	})
	t.Run("never opens with 0", func(t *testing.T) {
		b := upstream.NewBreaker(0, time.Minute)
		fail(b, 100)
		state(t, b, "closed")
	})
	t.Run("lets one call try after its time, which closes it or keeps it open", func(t *testing.T) {
		b := upstream.NewBreaker(1, time.Minute)
		fail(b, 1)
		b.Advance(time.Minute)
		state(t, b, "half-open")
		trial := b.Allow()
		if trial == nil || b.Allow() != nil {
			t.Fatal("not exactly one call was let through")
		}
		trial.Bad(errBroken)
		state(t, b, "open")
		b.Advance(time.Minute)
		b.Allow().Good()
		state(t, b, "closed")
	})
	t.Run("lets another try when the one was given up by its caller", func(t *testing.T) {
		b := upstream.NewBreaker(1, time.Minute)
		fail(b, 1)
		b.Advance(time.Minute)
		b.Allow().Drop()
		if b.Allow() == nil {
			t.Error("nobody may try any more")
		}
	})
	t.Run("an old call that ends does not make way for a second trial", func(t *testing.T) {
		b := upstream.NewBreaker(1, time.Minute)
		old := b.Allow()
		fail(b, 1)
		b.Advance(time.Minute)
		b.Allow()
		old.Drop()
		if b.Allow() != nil {
			t.Error("two calls try at once")
		}
	})
	t.Run("calls that fail together have failed once", func(t *testing.T) {
		b := upstream.NewBreaker(2, time.Minute)
		var together []*upstream.Attempt
		for range 100 {
			together = append(together, b.Allow())
		}
		b.Advance(time.Millisecond)
		for _, a := range together {
			a.Bad(errBroken)
		}
		state(t, b, "closed")
		fail(b, 1)
		state(t, b, "open")
	})
	t.Run("calls that waited in vain have failed one by one", func(t *testing.T) {
		b := upstream.NewBreaker(3, time.Minute)
		var together []*upstream.Attempt
		for range 3 {
			together = append(together, b.Allow())
		}
		b.Advance(time.Minute)
		for _, a := range together {
			a.Slow(errBroken)
		}
		state(t, b, "open")
	})
	t.Run("relents when the server is there again, unless it was there and did not answer", func(t *testing.T) {
		b := upstream.NewBreaker(1, time.Minute)
		fail(b, 1)
		b.Relent()
		state(t, b, "half-open")
		b.Allow().Slow(errBroken)
		b.Relent()
		state(t, b, "open")
	})
}

func TestBackoffDoublesUpToItsBoundAndIsRandomInItsUpperHalf(t *testing.T) {
	least, most := 100*time.Millisecond, time.Second
	for n, want := range map[int]time.Duration{1: least, 2: 2 * least, 3: 4 * least, 4: 8 * least, 5: most, 6: most, 50: most} {
		seen := make(map[time.Duration]bool)
		for range 200 {
			got := upstream.Backoff(n, least, most)
			seen[got] = true
			if got < want/2 || got > want {
				t.Fatalf("wait %d: got %s, want between %s and %s", n, got, want/2, want)
			}
		}
		if len(seen) < 10 {
			t.Errorf("wait %d takes only %d values, want many", n, len(seen))
		}
	}
}
