package keys_test

import (
	"context"
	"errors"
	"iter"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/auth/keys"
	"github.com/dragoman-mcp/dragoman/internal/auth/users"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/internal/store/sqlite"
	"github.com/dragoman-mcp/dragoman/mcp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openStore(t *testing.T, path string) *store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// ring gives keys without any yet, and ann and root who may own some.
func ring(t *testing.T, o keys.Options) (*keys.Keys, *store.Store) {
	t.Helper()
	s := openStore(t, filepath.Join(t.TempDir(), "state.db"))
	for _, u := range []store.User{{Name: "ann", Role: users.RoleModelDeveloper}, {Name: "root", Role: users.RoleAdmin}} {
		if err := s.Users.Add(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	return keys.New(s, o), s
}

func create(t *testing.T, k *keys.Keys, w keys.Wanted) (string, store.Key) {
	t.Helper()
	secret, key, err := k.Create(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	return secret.Reveal(), key
}

func is(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

func TestAKeySaysWhoHoldsIt(t *testing.T) {
	k, _ := ring(t, keys.Options{})
	expires := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	for name, c := range map[string]struct {
		wanted keys.Wanted
		want   func(id string) mcp.Principal
	}{
		"a key that acts for itself": {keys.Wanted{Name: "ci", Servers: []string{"files", "web"}, Expires: expires}, func(id string) mcp.Principal {
			return mcp.Principal{ID: "key:" + id, Name: "ci", Roles: []string{"user"}, Servers: []string{"files", "web"}, Method: "key"}
		}},
		"a key of a user": {keys.Wanted{Name: "laptop", Owner: "ann", Role: "model_developer"}, func(string) mcp.Principal {
			return mcp.Principal{ID: "user:ann", Name: "ann", Roles: []string{"model_developer"}, Method: "key"}
		}},
		"a lesser key of an admin": {keys.Wanted{Name: "x", Owner: "root", Role: "user"}, func(string) mcp.Principal {
			return mcp.Principal{ID: "user:root", Name: "root", Roles: []string{"user"}, Method: "key"}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			secret, key := create(t, k, c.wanted)
			if !regexp.MustCompile(`^drg_[a-z2-7]{12}_[a-z2-7]{52}_[0-9a-f]{8}$`).MatchString(secret) {
				t.Errorf("key has the form %s", secret)
			}
			got, err := k.Identify(t.Context(), secret)
			if err != nil {
				t.Fatal(err)
			}
			want := auth.Identity{Principal: c.want(key.ID), Expires: c.wanted.Expires, TokenID: key.ID}
			got.Issued = time.Time{}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("identity (-want +got):\n%s", diff)
			}
			if !k.Holds(got) {
				t.Error("a key that was good a moment ago is not known to be")
			}
		})
	}
}

func TestTheSecretIsNotKept(t *testing.T) {
	k, s := ring(t, keys.Options{})
	secret, key := create(t, k, keys.Wanted{Name: "ci"})
	stored, err := s.Keys.Get(t.Context(), key.ID)
	if err != nil {
		t.Fatal(err)
	}
	part := strings.Split(secret, "_")[2]
	for _, text := range []string{stored.ID, stored.Name, string(stored.Hash), stored.Owner} {
		if strings.Contains(text, part) {
			t.Errorf("the store has the secret: %+v", stored)
		}
	}
	if len(stored.Hash) != 32 {
		t.Errorf("the hash has %d bytes, want 32", len(stored.Hash))
	}
}

func TestWhatIsNoKeyIsRefused(t *testing.T) {
	k, _ := ring(t, keys.Options{})
	secret, _ := create(t, k, keys.Wanted{Name: "ci"})
	other, _ := create(t, k, keys.Wanted{Name: "other"})
	parts, others := strings.Split(secret, "_"), strings.Split(other, "_")
	for name, c := range map[string]struct {
		credential string
		want       error
	}{
		"empty":                       {"", auth.ErrForeign},
		"a JWT":                       {"eyJhbGciOiJFZERTQSJ9.e30.AAAA", auth.ErrForeign},
		"capitals":                    {strings.ToUpper(secret), auth.ErrForeign},
		"only the prefix":             {"drg_", auth.ErrInvalid},
		"cut off":                     {secret[:len(secret)-1], auth.ErrInvalid},
		"with a space":                {secret + " ", auth.ErrInvalid},
		"one character wrong":         {secret[:20] + flip(secret[20]) + secret[21:], auth.ErrInvalid},
		"another's secret":            {keys.Sealed(parts[1], others[2]), auth.ErrInvalid},
		"nobody's id":                 {keys.Sealed("aaaaaaaaaaaa", parts[2]), auth.ErrInvalid},
		"an id that is SQL":           {keys.Sealed("' OR 1=1 -- ", parts[2]), auth.ErrInvalid},
		"an id with a NUL":            {keys.Sealed("aaaaaaaaaaa\x00", parts[2]), auth.ErrInvalid},
		"underscores at wrong places": {"drg_" + strings.Repeat("_", len(secret)-4), auth.ErrInvalid},
		"very long":                   {"drg_" + strings.Repeat("a", 1<<20), auth.ErrInvalid},
	} {
		_, err := k.Identify(t.Context(), c.credential)
		is(t, name, err, c.want)
	}
	if _, err := k.Identify(t.Context(), keys.Sealed(parts[1], parts[2])); err != nil {
		t.Errorf("the check that this test makes is not the one of the key: %v", err)
	}
}

func flip(c byte) string {
	if c == 'a' {
		return "b"
	}
	return "a"
}

func TestAKeyEndsWithWhatItStandsOn(t *testing.T) {
	for name, c := range map[string]struct {
		end func(t *testing.T, s *store.Store, u *users.Users, key store.Key) error
	}{
		"revoked": {func(t *testing.T, s *store.Store, _ *users.Users, key store.Key) error {
			return s.Keys.Revoke(t.Context(), key.ID, time.Now())
		}},
		"owner disabled": {func(t *testing.T, _ *store.Store, u *users.Users, _ store.Key) error {
			return u.SetDisabled(t.Context(), "ann", true)
		}},
		"owner is less": {func(t *testing.T, _ *store.Store, u *users.Users, _ store.Key) error {
			return u.SetRole(t.Context(), "ann", users.RoleUser)
		}},
		"owner gone": {func(t *testing.T, _ *store.Store, u *users.Users, _ store.Key) error {
			return u.Remove(t.Context(), "ann")
		}},
		"owner is another of that name": {func(t *testing.T, _ *store.Store, u *users.Users, _ store.Key) error {
			return errors.Join(u.Remove(t.Context(), "ann"), u.Add(t.Context(), store.User{Name: "ann", Role: users.RoleAdmin}, ""))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			k, s := ring(t, keys.Options{Fresh: time.Nanosecond})
			secret, key := create(t, k, keys.Wanted{Name: "ci", Owner: "ann", Role: users.RoleModelDeveloper})
			got, err := k.Identify(t.Context(), secret)
			is(t, "before", err, nil)
			if err := c.end(t, s, users.New(s.Users, s.Families, users.Options{}), key); err != nil {
				t.Fatal(err)
			}
			_, err = k.Identify(t.Context(), secret)
			is(t, "after", err, auth.ErrInvalid)
			if k.Holds(got) {
				t.Error("the key is still taken to hold")
			}
		})
	}
}

func TestAKeyExpiresToTheMoment(t *testing.T) {
	now := time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)
	k, _ := ring(t, keys.Options{Now: func() time.Time { return now }})
	secret, _ := create(t, k, keys.Wanted{Name: "ci", Expires: now.Add(time.Second)})
	now = now.Add(time.Second - time.Nanosecond)
	got, err := k.Identify(t.Context(), secret)
	is(t, "just before", err, nil)
	now = now.Add(time.Nanosecond)
	_, err = k.Identify(t.Context(), secret)
	is(t, "at the moment", err, auth.ErrInvalid)
	if k.Holds(got) {
		t.Error("the expired key is still taken to hold")
	}
}

// TestARevocationReachesTheOtherReplica ends a key on one replica; the other has it
// in memory and takes it for good for an hour, so that only the feed can tell.
func TestARevocationReachesTheOtherReplica(t *testing.T) {
	for name, end := range map[string]func(ctx context.Context, s *store.Store, k *keys.Keys, id string) error{
		"by itself": func(ctx context.Context, _ *store.Store, k *keys.Keys, id string) error { return k.Revoke(ctx, id) },
		"with its owner": func(ctx context.Context, s *store.Store, _ *keys.Keys, _ string) error {
			return users.New(s.Users, s.Families, users.Options{}).SetDisabled(ctx, "ann", true)
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "state.db")
			s := openStore(t, path)
			if err := s.Users.Add(t.Context(), store.User{Name: "ann", Role: users.RoleUser}); err != nil {
				t.Fatal(err)
			}
			here := keys.New(s, keys.Options{Fresh: time.Nanosecond})
			there := keys.New(openStore(t, path), keys.Options{Fresh: time.Hour})
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1) // what Run returns
			go func() { ended <- there.Run(ctx) }()
			secret, key := create(t, here, keys.Wanted{Name: "ci", Owner: "ann"})
			got, err := there.Identify(ctx, secret)
			is(t, "before", err, nil)
			awaitHolding(t, there, secret)
			begun := time.Now()
			if err := end(ctx, s, here, key.ID); err != nil {
				t.Fatal(err)
			}
			_, err = here.Identify(ctx, secret)
			is(t, "where it was ended", err, auth.ErrInvalid)
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for there.Holds(got) {
				if time.Since(begun) > time.Minute { // 5 s are promised, to a machine that has time
					t.Fatal("the key holds on the other replica a minute after it ended")
				}
				<-tick.C
			}
			_, err = there.Identify(ctx, secret)
			is(t, "on the other replica", err, auth.ErrInvalid)
			t.Logf("it took %v", time.Since(begun))
			stop()
			is(t, "end of Run", <-ended, context.Canceled)
		})
	}
}

// awaitHolding returns when the feed has begun and the key is in memory after that.
func awaitHolding(t *testing.T, k *keys.Keys, secret string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for held := 0; held < 50; {
		id, err := k.Identify(t.Context(), secret)
		if err != nil {
			t.Fatal(err)
		}
		<-tick.C
		if held++; !k.Holds(id) {
			held = 0
		}
	}
}

// deaf is a feed that nothing comes through.
type deaf struct{}

func (deaf) Changes(ctx context.Context) iter.Seq2[store.Change, error] {
	return func(func(store.Change, error) bool) { <-ctx.Done() }
}

// counted counts looks into the store, and can fail to write.
type counted struct {
	store.Keys
	mu    sync.Mutex // guards what follows
	looks int
	fails int // how many times Used fails from now on
}

func (c *counted) Used(ctx context.Context, at map[string]time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fails--; c.fails >= 0 {
		return errors.New("the disk is full")
	}
	return c.Keys.Used(ctx, at)
}

func (c *counted) Get(ctx context.Context, id string) (store.Key, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looks++
	return c.Keys.Get(ctx, id)
}

func TestWithoutTheFeedARevocationIsLateByLessThanFiveSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		looks := &counted{Keys: s.Keys, fails: 1} // what cannot be written after the first minute is written later
		alone := *s
		alone.Feed, alone.Keys = deaf{}, looks
		k := keys.New(&alone, keys.Options{})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1) // what Run returns
		go func() { ended <- k.Run(ctx) }()
		secret, key := create(t, k, keys.Wanted{Name: "ci"})
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for range 600 { // a minute of calls
			if _, err := k.Identify(ctx, secret); err != nil {
				t.Fatal(err)
			}
			<-tick.C
		}
		if looks.looks < 12 || looks.looks > 16 {
			t.Errorf("600 calls in a minute made %d looks into the store, want one every 4 s", looks.looks)
		}
		begun := time.Now()
		if err := s.Keys.Revoke(ctx, key.ID, time.Now()); err != nil {
			t.Fatal(err)
		}
		for {
			if _, err := k.Identify(ctx, secret); err != nil {
				is(t, "after the revocation", err, auth.ErrInvalid)
				break
			}
			<-tick.C
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("the revoked key held for %v, want less than 5 s", took)
		}
		stop()
		<-ended
		if got, err := s.Keys.Get(t.Context(), key.ID); err != nil || got.Used.IsZero() || time.Since(got.Used) > time.Minute {
			t.Errorf("used last at %v, error %v, want a moment ago", got.Used, err)
		}
	})
}

func TestCallersAtOnceShareALook(t *testing.T) {
	k0, s := ring(t, keys.Options{})
	secret, _ := create(t, k0, keys.Wanted{Name: "ci"})
	looks := &counted{Keys: s.Keys}
	alone := *s
	alone.Keys = looks
	k := keys.New(&alone, keys.Options{})
	looks.mu.Lock() // the first look waits here until all have come
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if _, err := k.Identify(t.Context(), secret); err != nil {
				t.Error(err)
			}
		})
	}
	looks.mu.Unlock()
	all.Wait()
	if looks.looks > 25 {
		t.Errorf("50 callers made %d looks, want few", looks.looks)
	}
}

func TestAStoreThatCannotBeReachedLetsNobodyInAndBlamesNobody(t *testing.T) {
	k, s := ring(t, keys.Options{})
	secret, _ := create(t, k, keys.Wanted{Name: "ci"})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := k.Identify(t.Context(), secret)
	if err == nil || errors.Is(err, auth.ErrInvalid) || errors.Is(err, auth.ErrForeign) {
		t.Errorf("got %v, want an error that is neither of those", err)
	}
}

func TestKeysThatWouldNeverHoldAreNotMade(t *testing.T) {
	k, _ := ring(t, keys.Options{})
	for name, c := range map[string]struct {
		wanted keys.Wanted
		want   string
	}{
		"no name":             {keys.Wanted{}, "1 to 64"},
		"space around it":     {keys.Wanted{Name: " x"}, "1 to 64"},
		"another role":        {keys.Wanted{Name: "x", Role: "root"}, "user, model_developer, admin"},
		"no servers":          {keys.Wanted{Name: "x", Servers: []string{}}, "leave them out"},
		"expired":             {keys.Wanted{Name: "x", Expires: time.Now().Add(-time.Second)}, "time to come"},
		"owner is not there":  {keys.Wanted{Name: "x", Owner: "bob"}, "find the owner bob"},
		"more than its owner": {keys.Wanted{Name: "x", Owner: "ann", Role: "admin"}, "cannot have a key for the role admin"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := k.Create(t.Context(), c.wanted)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
	if list, err := k.List(t.Context(), "", "", 10); err != nil || len(list) != 0 {
		t.Errorf("stored nevertheless: %v, %v", list, err)
	}
	is(t, "revoke what is not there", k.Revoke(t.Context(), "nothing"), store.ErrNotFound)

}

func BenchmarkIdentify(b *testing.B) {
	s, err := sqlite.Open(b.Context(), filepath.Join(b.TempDir(), "state.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	k := keys.New(s, keys.Options{})
	secret, _, err := k.Create(b.Context(), keys.Wanted{Name: "ci"})
	if err != nil {
		b.Fatal(err)
	}
	credential := secret.Reveal()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Identify(b.Context(), credential); err != nil {
			b.Fatal(err)
		}
	}
}
