package storetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/store"
)

func stays(t *testing.T, open func(*testing.T) *store.Store) {
	ctx := t.Context()
	t.Run("first opening", func(t *testing.T) { must(t, open(t).Users.Add(ctx, store.User{Name: "ann"})) })
	t.Run("second opening", func(t *testing.T) {
		got, err := open(t).Users.Get(ctx, "ann")
		same(t, "who was added before", got, err, store.User{Name: "ann", Version: 1})
	})
}

// writersAtOnce has two replicas with several writers each that count together:
// with optimistic versions no step is lost.
func writersAtOnce(t *testing.T, open func(*testing.T) *store.Store) {
	const writers, steps = 4, 10
	ctx, cancel := context.WithTimeout(t.Context(), 2*long)
	defer cancel()
	replicas := []*store.Store{open(t), open(t)}
	must(t, replicas[0].Clients.Put(ctx, store.Client{ID: "counter", Data: []byte{0}}))
	var all sync.WaitGroup
	for i := range writers * len(replicas) {
		all.Go(func() {
			for range steps {
				if err := step(ctx, replicas[i%len(replicas)]); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	got, err := replicas[1].Clients.Get(ctx, "counter")
	same(t, "steps", got, err, store.Client{ID: "counter", Data: []byte{2 * writers * steps}, Version: 1 + 2*writers*steps})
}

func step(ctx context.Context, s *store.Store) error {
	for {
		c, err := s.Clients.Get(ctx, "counter")
		if err != nil {
			return err
		}
		c.Data[0]++
		if err := s.Clients.Put(ctx, c); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// follower takes changes one by one, with a bound on each wait.
type follower struct {
	*testing.T
	next func() (store.Change, error, bool)
}

func follow(t *testing.T, s *store.Store) follower {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	next, stop := iter.Pull2(s.Feed.Changes(ctx))
	t.Cleanup(func() { stop(); cancel() })
	f := follower{t, next}
	f.expect(store.Change{})
	return f
}

func (f follower) expect(want store.Change) {
	f.Helper()
	got, err, ok := f.next()
	if !ok || err != nil || got != want {
		f.Fatalf("got change %+v, error %v, going on %v; want %+v", got, err, ok, want)
	}
}

// feed has two replicas; what each changes, both hear of, in order and within the
// time that is promised.
func feed(t *testing.T, open func(*testing.T) *store.Store) {
	const promised = 5 * time.Second
	ctx, here, there := t.Context(), open(t), open(t)
	heard, echo := follow(t, there), follow(t, here)
	for i, change := range changes(ctx, here, there) {
		begun := time.Now()
		must(t, change.do())
		heard.expect(change.want)
		if took := time.Since(begun); took > promised {
			t.Errorf("change %d took %v to the other replica, want at most %v", i, took, promised)
		}
		echo.expect(change.want)
	}
	is(t, "a change that does not happen", here.Users.Remove(ctx, "bob"), store.ErrNotFound)
	must(t, here.Users.Remove(ctx, "ann"))
	heard.expect(store.Change{Domain: "users", Key: "ann"})

	// Writers at once, on both: each change comes exactly once, and to both in the same order.
	const each = 40
	var writers sync.WaitGroup
	for _, s := range []*store.Store{here, there, here, there} {
		writers.Go(func() {
			for range each {
				if err := s.Denials.Deny(ctx, fmt.Sprintf("%p", s), at(1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	echo.expect(store.Change{Domain: "users", Key: "ann"})
	for i := range 4 * each {
		got, err, _ := heard.next()
		if err != nil {
			t.Fatalf("change %d: %v", i, err)
		}
		echo.expect(got)
	}
	writers.Wait()
	must(t, here.Denials.Deny(ctx, "last", at(1)))
	heard.expect(store.Change{Domain: "denials", Key: "last"})
}

type change struct {
	do   func() error
	want store.Change
}

func changes(ctx context.Context, here, there *store.Store) []change {
	return []change{
		{func() error { return here.Users.Add(ctx, store.User{Name: "ann"}) }, store.Change{Domain: "users", Key: "ann"}},
		{func() error { return here.Users.Put(ctx, store.User{Name: "ann", Version: 1, Disabled: true}) }, store.Change{Domain: "users", Key: "ann"}},
		{func() error { return here.Keys.Add(ctx, store.Key{ID: "k"}) }, store.Change{Domain: "keys", Key: "k"}},
		{func() error { return here.Keys.Revoke(ctx, "k", at(0)) }, store.Change{Domain: "keys", Key: "k"}},
		{func() error {
			return errors.Join(here.Families.Add(ctx, store.Family{ID: "f"}), here.Families.Revoke(ctx, "f", at(0)))
		}, store.Change{Domain: "families", Key: "f"}},
		{func() error { _, err := there.Families.RevokeAll(ctx, "ann", at(0)); return err }, store.Change{Domain: "families", Key: "ann"}},
		{func() error { return there.Denials.Deny(ctx, "jti", at(0)) }, store.Change{Domain: "denials", Key: "jti"}},
		{func() error { return there.SigningKeys.Add(ctx, store.SigningKey{ID: "kid"}, "") }, store.Change{Domain: "signing_keys", Key: "kid"}},
		{func() error { return here.Clients.Put(ctx, store.Client{ID: "c"}) }, store.Change{Domain: "clients", Key: "c"}},
		{func() error { return here.Consents.Put(ctx, store.Consent{Subject: "ann", Client: "c"}) }, store.Change{Domain: "consents", Key: "ann"}},
		{func() error {
			return here.Pins.Put(ctx, store.Pin{Server: "s", Kind: "tool", Name: "a", Hash: "1"}, store.Pin{Server: "s", Kind: "tool", Name: "b", Hash: "1"})
		}, store.Change{Domain: "pins", Key: "s"}},
		{func() error { return here.Credentials.Put(ctx, store.Credential{Principal: "ann", Issuer: "i"}) }, store.Change{Domain: "credentials", Key: "ann"}},
		{func() error { _, err := here.DataKeys.Remove(ctx, "ann"); return err }, store.Change{Domain: "data_keys", Key: "ann"}},
	}
}

// slowFeed has a reader that takes nothing while more happens than is kept for it.
func slowFeed(t *testing.T, open func(*testing.T) *store.Store) {
	const many = 1500
	ctx, s := t.Context(), open(t)
	slow := follow(t, s)
	var pins []store.Pin
	for i := range many {
		pins = append(pins, store.Pin{Server: fmt.Sprint("s", i), Kind: "tool", Name: "a", Hash: "1"})
	}
	must(t, s.Pins.Put(ctx, pins...))
	for i := 0; ; i++ {
		got, err, ok := slow.next()
		if !ok || err != nil {
			t.Fatalf("after %d changes: error %v, going on %v", i, err, ok)
		}
		if got == (store.Change{}) {
			return // told to forget everything, as it has to be if it was not told of each
		}
		if i == many-1 {
			return
		}
	}
}

func feedAndClose(t *testing.T, open func(*testing.T) *store.Store) {
	s := open(t)
	ended := make(chan struct{})
	begun := make(chan struct{})
	go func() {
		defer close(ended)
		for range s.Feed.Changes(t.Context()) {
			close(begun)
		}
	}()
	<-begun
	must(t, s.Close())
	select {
	case <-ended:
	case <-time.After(long):
		t.Error("the feed goes on after the store was closed")
	}
	for change, err := range s.Feed.Changes(t.Context()) {
		t.Errorf("a closed store tells of %v, %v", change, err)
	}
	if err := s.Health.Ping(t.Context()); err == nil {
		t.Error("a closed store says that it is well")
	}
}
