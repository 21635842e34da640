package users_test

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/auth/users"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/internal/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const right, wrong = "four words are enough", "four words are not right"

// clock is moved by the test.
type clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func openStore(t *testing.T) *store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
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

// local gives users among whom is ann.
func local(t *testing.T) (*users.Users, *store.Store, *clock) {
	t.Helper()
	s, c := openStore(t), &clock{now: time.Date(2026, 11, 21, 6, 0, 0, 0, time.UTC)}
	u := users.New(s.Users, s.Families, users.Options{Now: c.Now, Floor: time.Microsecond})
	if err := u.Add(t.Context(), store.User{Name: "ann", Role: users.RoleUser}, right); err != nil {
		t.Fatal(err)
	}
	return u, s, c
}

func is(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

func TestTheRightPasswordLetsInAndNothingElse(t *testing.T) {
	u, s, _ := local(t)
	ctx := t.Context()
	got, err := u.Verify(ctx, "ann", right)
	if err != nil || got.Name != "ann" || got.Role != users.RoleUser {
		t.Errorf("right password: got %v, %v, want ann", got, err)
	}
	if stored, _ := s.Users.Get(ctx, "ann"); stored.Failures != 0 || !strings.HasPrefix(stored.Password, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("stored after the login: %d failures, hash %.40s…, want 0 and Argon2id", stored.Failures, stored.Password)
	}
	for _, c := range []struct{ name, password string }{
		{"ann", wrong}, {"ann", ""}, {"ann", right + " "}, {"bob", right}, {"", right}, {"' OR 1=1 --", right}, {"ann\x00", right},
		{"ANN", right}, {"ann", strings.Repeat("x", 1<<20)},
	} {
		_, err := u.Verify(ctx, c.name, c.password)
		is(t, "login as "+c.name, err, users.ErrRefused)
		if err := u.Unlock(ctx, "ann"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheSamePasswordTypedInAnotherWayLetsIn(t *testing.T) {
	u, _, _ := local(t)
	if err := u.SetPassword(t.Context(), "ann", "caf\u00e9 au lait s'il"); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Verify(t.Context(), "ann", "cafe\u0301 au lait s'il"); err != nil {
		t.Errorf("composed and decomposed é: %v", err)
	}
}

func TestGuessingIsMadeSlow(t *testing.T) {
	u, s, c := local(t)
	ctx := t.Context()
	guess := func(want int) {
		t.Helper()
		_, err := u.Verify(ctx, "ann", wrong)
		is(t, "guess", err, users.ErrRefused)
		if got, _ := s.Users.Get(ctx, "ann"); got.Failures != want {
			t.Fatalf("%d guesses were looked at, want %d", got.Failures, want)
		}
	}
	for i := range 5 {
		guess(i + 1)
	}
	wait := time.Second
	for i := 5; i < 18; i++ {
		c.pass(wait - time.Millisecond)
		guess(i) // too early: not looked at, and the wait does not begin anew
		if _, err := u.Verify(ctx, "ann", right); !errors.Is(err, users.ErrRefused) {
			t.Fatalf("the right password while locked: got %v, want %v", err, users.ErrRefused)
		}
		c.pass(time.Millisecond)
		guess(i + 1)
		wait = min(2*wait, 15*time.Minute)
	}
	c.pass(15 * time.Minute)
	if _, err := u.Verify(ctx, "ann", right); err != nil {
		t.Errorf("the right password after the wait: %v", err)
	}
	if got, _ := s.Users.Get(ctx, "ann"); got.Failures != 0 {
		t.Errorf("%d failures after a login, want 0", got.Failures)
	}
}

func TestAHundredThousandGuessesAMinuteAreElevenThatCount(t *testing.T) {
	u, s, c := local(t)
	const perMinute, tried = 100_000, 10_000 // every tenth, to be done sooner
	for range tried {
		if _, err := u.Verify(t.Context(), "ann", wrong); !errors.Is(err, users.ErrRefused) {
			t.Fatal(err)
		}
		c.pass(time.Minute / perMinute * (perMinute / tried))
	}
	// 5 are free; the others are let through after 1, 2, 4, 8, 16 s and so on.
	if got, _ := s.Users.Get(t.Context(), "ann"); got.Failures > 11 {
		t.Errorf("%d guesses were looked at in a minute, want at most 11", got.Failures)
	}
}

func TestGuessesAtOnceAllCount(t *testing.T) {
	u, s, _ := local(t)
	var all sync.WaitGroup
	for range 40 {
		all.Go(func() {
			_, err := u.Verify(t.Context(), "ann", wrong)
			if !errors.Is(err, users.ErrRefused) && !errors.Is(err, users.ErrBusy) {
				t.Errorf("guess: got %v", err)
			}
		})
	}
	all.Wait()
	if got, _ := s.Users.Get(t.Context(), "ann"); got.Failures > 5 {
		t.Errorf("%d guesses were looked at without a wait, want at most 5", got.Failures)
	}
}

func TestTheTimeOfARefusalTellsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const floor = 400 * time.Millisecond
		s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		u := users.New(s.Users, s.Families, users.Options{Floor: floor})
		for _, name := range []string{"ann", "locked"} {
			if err := u.Add(t.Context(), store.User{Name: name, Role: users.RoleUser}, right); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 20 {
			if err := s.Users.Attempt(t.Context(), "locked", i, time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		for what, name := range map[string]string{"wrong password": "ann", "no such user": "bob", "too many attempts": "locked", "no name": "'"} {
			begun := time.Now()
			_, err := u.Verify(t.Context(), name, wrong)
			is(t, what, err, users.ErrRefused)
			if took := time.Since(begun); took != floor {
				t.Errorf("%s: refused after %v, want %v as every other", what, took, floor)
			}
		}
	})
}

func TestWhoIsDisabledIsToldOnlyWithTheRightPassword(t *testing.T) {
	u, s, _ := local(t)
	ctx := t.Context()
	if err := s.Families.Add(ctx, store.Family{ID: "f", Subject: "ann", Expires: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if err := u.SetDisabled(ctx, "ann", true); err != nil {
		t.Fatal(err)
	}
	_, err := u.Verify(ctx, "ann", wrong)
	is(t, "wrong password", err, users.ErrRefused)
	_, err = u.Verify(ctx, "ann", right)
	is(t, "right password", err, users.ErrDisabled)
	if f, err := s.Families.Get(ctx, "f"); err != nil || f.Revoked.IsZero() {
		t.Errorf("a login from before: revoked %v, error %v, want it revoked", f.Revoked, err)
	}
	if err := u.SetDisabled(ctx, "ann", false); err != nil {
		t.Fatal(err)
	}
	_, err = u.Verify(ctx, "ann", right)
	is(t, "right password when enabled again", err, nil)
}

func TestANewPasswordEndsTheOldOneAndItsLogins(t *testing.T) {
	u, s, _ := local(t)
	ctx := t.Context()
	if err := s.Families.Add(ctx, store.Family{ID: "f", Subject: "ann", Expires: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if err := u.SetPassword(ctx, "ann", "another four words"); err != nil {
		t.Fatal(err)
	}
	_, err := u.Verify(ctx, "ann", right)
	is(t, "old password", err, users.ErrRefused)
	_, err = u.Verify(ctx, "ann", "another four words")
	is(t, "new password", err, nil)
	if f, _ := s.Families.Get(ctx, "f"); f.Revoked.IsZero() {
		t.Error("a login with the old password still holds")
	}
	if err := u.SetPassword(ctx, "ann", ""); err != nil {
		t.Fatal(err)
	}
	_, err = u.Verify(ctx, "ann", "")
	is(t, "no password where there is none", err, users.ErrRefused)
}

func TestAHashOfAnotherCostIsMadeAnewAtTheNextLogin(t *testing.T) {
	u, s, _ := local(t)
	ctx := t.Context()
	ann, err := s.Users.Get(ctx, "ann")
	if err != nil {
		t.Fatal(err)
	}
	ann.Password = oldHash
	if err := s.Users.Put(ctx, ann); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := u.Verify(ctx, "ann", right); err != nil {
			t.Fatalf("login: %v", err)
		}
	}
	if ann, _ = s.Users.Get(ctx, "ann"); !strings.HasPrefix(ann.Password, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash after a login is %s, want a new one", ann.Password)
	}
}

func TestAStoredHashThatIsNoneLetsNobodyIn(t *testing.T) {
	u, s, _ := local(t)
	ctx := t.Context()
	for _, stored := range []string{"x", right, "$2b$12$abcdefghijklmnopqrstuv", "$argon2i$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=19456,t=0,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA",
		"$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$", "$argon2id$v=19$m=19456,t=2,p=1x$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAA"} {
		ann, err := s.Users.Get(ctx, "ann")
		if err != nil {
			t.Fatal(err)
		}
		ann.Password = stored
		if err := s.Users.Put(ctx, ann); err != nil {
			t.Fatal(err)
		}
		if _, err := u.Verify(ctx, "ann", right); err == nil {
			t.Errorf("hash %q lets in", stored)
		}
		if err := u.Unlock(ctx, "ann"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatMakesNoUserSaysWhy(t *testing.T) {
	u, _, _ := local(t)
	for name, c := range map[string]struct {
		user     store.User
		password string
		want     string
	}{
		"taken":           {store.User{Name: "ann", Role: "user"}, right, "changed by somebody else"},
		"capitals":        {store.User{Name: "Ann", Role: "user"}, right, "use 1 to 64"},
		"path":            {store.User{Name: "../x", Role: "user"}, right, "use 1 to 64"},
		"no role":         {store.User{Name: "bob"}, right, "user, model_developer, admin"},
		"other role":      {store.User{Name: "bob", Role: "root"}, right, "user, model_developer, admin"},
		"short":           {store.User{Name: "bob", Role: "user"}, "secret", "at least 12"},
		"long":            {store.User{Name: "bob", Role: "user"}, strings.Repeat("abcd", 257), "at most 1024"},
		"the name":        {store.User{Name: "annabella", Role: "user"}, "Annabella2026", "user's name"},
		"all the same":    {store.User{Name: "bob", Role: "user"}, "aaaaaaaaaaaaaa", "over and over"},
		"not text":        {store.User{Name: "bob", Role: "user"}, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "not text"},
		"password is NUL": {store.User{Name: "bob", Role: "user"}, "abcdefghijkl\x00", "not text"},
	} {
		t.Run(name, func(t *testing.T) {
			err := u.Add(t.Context(), c.user, c.password)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestUsersAreListedChangedAndRemoved(t *testing.T) {
	u, _, c := local(t)
	ctx := t.Context()
	if err := u.Add(ctx, store.User{Name: "bob", Role: users.RoleModelDeveloper, Email: "bob@example.org"}, ""); err != nil {
		t.Fatal(err)
	}
	c.pass(time.Minute)
	if err := u.SetRole(ctx, "bob", users.RoleAdmin); err != nil {
		t.Fatal(err)
	}
	is(t, "role of nobody", u.SetRole(ctx, "eve", users.RoleAdmin), store.ErrNotFound)
	list, err := u.List(ctx, "ann", 10)
	if err != nil {
		t.Fatal(err)
	}
	want := []store.User{{Name: "bob", Role: "admin", Email: "bob@example.org", Created: c.now.Add(-time.Minute), Updated: c.now, Version: 2}}
	if diff := cmp.Diff(want, list); diff != "" {
		t.Errorf("after ann (-want +got):\n%s", diff)
	}
	_, err = u.Verify(ctx, "bob", "")
	is(t, "login without a password", err, users.ErrRefused)
	p := users.Principal(list[0], "password")
	if p.ID != "user:bob" || p.Name != "bob" || len(p.Roles) != 1 || p.Roles[0] != "admin" || p.Method != "password" {
		t.Errorf("got principal %+v", p)
	}
	if err := u.Remove(ctx, "bob"); err != nil {
		t.Fatal(err)
	}
	is(t, "remove twice", u.Remove(ctx, "bob"), store.ErrNotFound)
}

// oldHash was not made by us: printf 'four words are enough' | argon2 somesaltsomesalt -id -t 3 -k 4096 -p 2 -l 32 -e
const oldHash = "$argon2id$v=19$m=4096,t=3,p=2$c29tZXNhbHRzb21lc2FsdA$VM+aHMUsJUuMQvIPeWMctLiX51C9Fe1mkJ16tz530N4"
