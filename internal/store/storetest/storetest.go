// Package storetest is what every store has to pass. An implementation runs it
// with a function that opens it; what a new method promises is written here first.
//
// It does not know which implementation it tests.
package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/internal/store"
)

// Opener opens an empty place to store in, once per replica: each call of the
// function that it returns opens the same place again, and the test closes it.
type Opener func(t *testing.T) func(t *testing.T) *store.Store

// Run runs the suite.
func Run(t *testing.T, place Opener) {
	for _, part := range []struct {
		name string
		test func(t *testing.T, open func(t *testing.T) *store.Store)
	}{
		{"users", users}, {"attempts", attempts}, {"keys", keys}, {"families", families}, {"denials", denials},
		{"signing keys", signingKeys}, {"clients", clients}, {"consents", consents}, {"pins", pins},
		{"credentials", credentials}, {"data keys", dataKeys}, {"leases", leases}, {"bounds", bounds},
		{"what is written stays", stays}, {"writers at once", writersAtOnce},
		{"feed", feed}, {"feed of one who is slow", slowFeed}, {"feed and close", feedAndClose},
	} {
		t.Run(part.name, func(t *testing.T) {
			open := place(t)
			part.test(t, func(t *testing.T) *store.Store {
				t.Helper()
				s := open(t)
				t.Cleanup(func() {
					if err := s.Close(); err != nil {
						t.Errorf("close: %v", err)
					}
				})
				return s
			})
		})
	}
}

// long bounds every wait; nothing takes so long unless it hangs.
const long = 30 * time.Second

// at is a time, given in minutes; with a part that a store of seconds would lose.
func at(minute int) time.Time {
	return time.Date(2026, 11, 21, 6, minute, 7, 123_456_000, time.UTC)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func is(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

func same[T any](t *testing.T, what string, got T, err error, want T) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func users(t *testing.T, open func(*testing.T) *store.Store) {
	ctx, s := t.Context(), open(t)
	ann := store.User{Name: "ann", FullName: "Ann Ó'Neill; DROP TABLE users", Email: "ann@example.org", Role: "admin",
		Password: "$argon2id$…", Created: at(0), Updated: at(1)}
	must(t, s.Users.Add(ctx, ann))
	is(t, "add a name that is taken", s.Users.Add(ctx, store.User{Name: "ann"}), store.ErrConflict)
	ann.Version = 1
	got, err := s.Users.Get(ctx, "ann")
	same(t, "what was added", got, err, ann)
	_, err = s.Users.Get(ctx, "Ann")
	is(t, "get another spelling", err, store.ErrNotFound)

	changed := ann
	changed.Disabled, changed.Role, changed.Updated = true, "user", at(2)
	must(t, s.Users.Put(ctx, changed))
	is(t, "put with an old version", s.Users.Put(ctx, ann), store.ErrConflict)
	is(t, "put who is not there", s.Users.Put(ctx, store.User{Name: "bob", Version: 1}), store.ErrNotFound)
	changed.Version = 2
	got, err = s.Users.Get(ctx, "ann")
	same(t, "what was changed", got, err, changed)

	for _, name := range []string{"zoë", "Bob", "_x", "bob"} {
		must(t, s.Users.Add(ctx, store.User{Name: name}))
	}
	var names []string
	for after := ""; ; {
		page, err := s.Users.List(ctx, after, 2)
		must(t, err)
		if len(page) == 0 {
			break
		}
		for _, u := range page {
			names, after = append(names, u.Name), u.Name
		}
	}
	same(t, "names, by their bytes", names, nil, []string{"Bob", "_x", "ann", "bob", "zoë"})

	must(t, s.Users.Remove(ctx, "ann"))
	is(t, "remove who is gone", s.Users.Remove(ctx, "ann"), store.ErrNotFound)
	_, err = s.Users.Get(ctx, "ann")
	is(t, "get who is gone", err, store.ErrNotFound)
}

func attempts(t *testing.T, open func(*testing.T) *store.Store) {
	ctx, s := t.Context(), open(t)
	must(t, s.Users.Add(ctx, store.User{Name: "ann", Role: "user"}))
	must(t, s.Users.Attempt(ctx, "ann", 0, at(1)))
	is(t, "attempt by one who has not seen the other", s.Users.Attempt(ctx, "ann", 0, at(2)), store.ErrConflict)
	must(t, s.Users.Attempt(ctx, "ann", 1, at(3)))
	is(t, "attempt of nobody", s.Users.Attempt(ctx, "bob", 0, at(3)), store.ErrNotFound)
	want := store.User{Name: "ann", Role: "user", Failures: 2, LastAttempt: at(3), Version: 1}
	got, err := s.Users.Get(ctx, "ann")
	same(t, "after two attempts", got, err, want)
	want.Role, want.Failures, want.LastAttempt = "admin", 0, time.Time{}
	must(t, s.Users.Put(ctx, want))
	must(t, s.Users.Succeed(ctx, "ann"))
	is(t, "success of nobody", s.Users.Succeed(ctx, "bob"), store.ErrNotFound)
	want.LastAttempt, want.Version = at(3), 2
	got, err = s.Users.Get(ctx, "ann")
	same(t, "after a success; a change does not touch attempts", got, err, want)

	// Of attempts made at once, each counts: one gets each number.
	won := make(chan bool, 20) // one for each
	for range cap(won) {
		go func() {
			err := s.Users.Attempt(ctx, "ann", 0, at(4))
			if err != nil && !errors.Is(err, store.ErrConflict) {
				t.Errorf("attempt: %v", err)
			}
			won <- err == nil
		}()
	}
	count := 0
	for range cap(won) {
		if <-won {
			count++
		}
	}
	if count != 1 {
		t.Errorf("%d of %d attempts that saw no failure were let through, want 1", count, cap(won))
	}
}

func keys(t *testing.T, open func(*testing.T) *store.Store) {
	ctx, s := t.Context(), open(t)
	one := store.Key{ID: "k1", Name: "ci", Owner: "ann", Hash: []byte{0, 1, 255}, Role: "user", Servers: []string{"files", "web"},
		Created: at(0), Expires: at(50)}
	must(t, s.Keys.Add(ctx, one))
	is(t, "add an id that is taken", s.Keys.Add(ctx, one), store.ErrConflict)
	two := store.Key{ID: "k2", Name: "laptop", Hash: []byte{2}, Role: "admin", Created: at(1)}
	must(t, s.Keys.Add(ctx, two))
	three := store.Key{ID: "k3", Hash: []byte{3}, Servers: []string{}, Created: at(1)}
	must(t, s.Keys.Add(ctx, three))
	for _, want := range []store.Key{one, two, three} {
		got, err := s.Keys.Get(ctx, want.ID)
		same(t, "key "+want.ID, got, err, want)
	}
	_, err := s.Keys.Get(ctx, "k4")
	is(t, "get what is not there", err, store.ErrNotFound)
	list, err := s.Keys.List(ctx, "", "k1", 10)
	same(t, "all after the first", list, err, []store.Key{two, three})
	list, err = s.Keys.List(ctx, "ann", "", 10)
	same(t, "those of ann", list, err, []store.Key{one})

	must(t, s.Keys.Revoke(ctx, "k1", at(5)))
	must(t, s.Keys.Revoke(ctx, "k1", at(9)))
	is(t, "revoke what is not there", s.Keys.Revoke(ctx, "k4", at(5)), store.ErrNotFound)
	must(t, s.Keys.Used(ctx, map[string]time.Time{"k1": at(7), "k2": at(8), "k4": at(8)}))
	must(t, s.Keys.Used(ctx, map[string]time.Time{"k1": at(6)}))
	one.Revoked, one.Used = at(5), at(7)
	got, err := s.Keys.Get(ctx, "k1")
	same(t, "revoked once and used later", got, err, one)
}

func bounds(t *testing.T, open func(*testing.T) *store.Store) {
	ctx, s := t.Context(), open(t)
	long := string(make([]rune, 513))
	for what, u := range map[string]store.User{
		"no name": {}, "a long name": {Name: "x" + long}, "a NUL": {Name: "a\x00b"}, "no UTF-8": {Name: "\xff"},
		"no UTF-8 elsewhere": {Name: "ann", FullName: "\xff"}, "a large field": {Name: "ann", FullName: string(make([]byte, 4<<20+1))},
	} {
		if err := s.Users.Add(ctx, u); err == nil || errors.Is(err, store.ErrConflict) {
			t.Errorf("add a user with %s: got %v, want a refusal", what, err)
		}
	}
	for _, name := range []string{"", "a\x00b", "\xff", "' OR 1=1 --", "x" + long} {
		_, err := s.Users.Get(ctx, name)
		is(t, "get "+name, err, store.ErrNotFound)
	}
	large := make([]byte, 4<<20)
	must(t, s.Clients.Put(ctx, store.Client{ID: "c", Data: large}))
	got, err := s.Clients.Get(ctx, "c")
	must(t, err)
	if len(got.Data) != len(large) {
		t.Errorf("got %d bytes, want %d", len(got.Data), len(large))
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	is(t, "write when nobody waits", s.Users.Add(ended, store.User{Name: "ann"}), context.Canceled)
	must(t, s.Health.Ping(ctx))
}
