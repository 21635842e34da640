package mint_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/auth/jwt"
	"github.com/dragoman-mcp/dragoman/internal/auth/mint"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/internal/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const issuer = "https://gw.example"

// clock is a clock that tests move.
type clock struct {
	mu sync.Mutex // guards at
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func newClock() *clock { return &clock{at: time.Now().UTC()} }

// state opens the same database for each replica of a test.
func state(t *testing.T) func() *store.Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	return func() *store.Store {
		s, err := sqlite.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
}

func open(t *testing.T, s *store.Store, c *clock, change func(*mint.Options)) *mint.Mint {
	t.Helper()
	sealer, err := mint.NewSealer(bytes.Repeat([]byte("k"), 32))
	if err != nil {
		t.Fatal(err)
	}
	o := mint.Options{
		Issuer: issuer, Keys: s.SigningKeys, Denials: s.Denials, Users: s.Users, Feed: s.Feed, Sealer: sealer, Now: c.now,
		KeyAge: 48 * time.Hour, MaxTTL: time.Hour,
	}
	if change != nil {
		change(&o)
	}
	m, err := mint.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = m.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	return m
}

func add(t *testing.T, s *store.Store, name, role string) {
	t.Helper()
	if err := s.Users.Add(t.Context(), store.User{Name: name, Role: role}); err != nil {
		t.Fatal(err)
	}
}

func issue(t *testing.T, m *mint.Mint, g mint.Grant) string {
	t.Helper()
	if g.TTL == 0 {
		g.TTL = 30 * time.Minute
	}
	token, _, err := m.Issue(g)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// eventually waits until something is so, for longer than changes may take to
// arrive on a machine that has nothing else to do.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func TestTokensOfOurs(t *testing.T) {
	for _, alg := range []string{"EdDSA", "ES256"} {
		t.Run(alg, func(t *testing.T) {
			c, s := newClock(), state(t)()
			m := open(t, s, c, func(o *mint.Options) { o.Algorithm = alg })
			add(t, s, "alice", "admin")
			token := issue(t, m, mint.Grant{User: "alice", Client: "app", Scopes: []string{"mcp"}})
			id, err := m.Identify(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			if p := id.Principal; p.ID != "user:alice" || p.Name != "alice" || !slices.Equal(p.Roles, []string{"admin"}) || p.Servers != nil || id.Audience != nil {
				t.Errorf("identity %+v, want user:alice, admin, not bound", id)
			}
			eventually(t, "the token holds", func() bool { // the news of the new user makes it be looked at once more
				_, err := m.Identify(t.Context(), token)
				return err == nil && m.Holds(id)
			})
			bound, err := m.Identify(t.Context(), issue(t, m, mint.Grant{User: "alice", Audience: []string{issuer + "/mcp/files"}, Scopes: []string{"mcp:files", "x"}}))
			if err != nil || !slices.Equal(bound.Principal.Servers, []string{"files"}) || !slices.Equal(bound.Audience, []string{issuer + "/mcp/files"}) {
				t.Errorf("identity %+v, %v; want one that is bound to files", bound, err)
			}
			none, err := m.Identify(t.Context(), issue(t, m, mint.Grant{User: "alice"}))
			if err != nil || none.Principal.Servers == nil || len(none.Principal.Servers) > 0 {
				t.Errorf("identity %+v, %v; want one that is bound to no server", none, err)
			}
			long, expires, err := m.Issue(mint.Grant{User: "alice", TTL: 1000 * time.Hour})
			if err != nil || expires.After(c.now().Add(time.Hour)) {
				t.Errorf("token until %v, %v; want at most MaxTTL", expires, err)
			}
			c.pass(time.Hour + time.Second)
			if _, err := m.Identify(t.Context(), long); !errors.Is(err, auth.ErrInvalid) {
				t.Errorf("an expired token: %v, want ErrInvalid", err)
			}
		})
	}
}

func TestTokensThatAreNotOurs(t *testing.T) {
	c, s := newClock(), state(t)()
	m := open(t, s, c, nil)
	add(t, s, "alice", "user")
	if err := s.Users.Add(t.Context(), store.User{Name: "bob", Role: "user", Disabled: true}); err != nil {
		t.Fatal(err)
	}
	token := issue(t, m, mint.Grant{User: "alice"})
	parts := strings.Split(token, ".")
	der, err := jwt.NewPrivateKey("EdDSA")
	if err != nil {
		t.Fatal(err)
	}
	forger, err := jwt.NewSigner(der)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := forger.Sign("at+jwt", map[string]any{"iss": issuer, "sub": "alice", "aud": issuer, "exp": c.now().Unix() + 60})
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := forger.Sign("at+jwt", map[string]any{"iss": issuer + "/", "sub": "alice", "aud": issuer, "exp": c.now().Unix() + 60})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, token string
		want        error
	}{
		{"an opaque one", "0123456789abcdef", auth.ErrForeign},
		{"of another issuer", foreign, auth.ErrForeign},
		{"of another key", forged, auth.ErrInvalid},
		{"with another payload", parts[0] + "." + strings.Split(forged, ".")[1] + "." + parts[2], auth.ErrInvalid},
		{"of somebody who does not exist", issue(t, m, mint.Grant{User: "eve"}), auth.ErrInvalid},
		{"of somebody who is disabled", issue(t, m, mint.Grant{User: "bob"}), auth.ErrInvalid},
	} {
		if _, err := m.Identify(t.Context(), tc.token); !errors.Is(err, tc.want) {
			t.Errorf("a token %s: %v, want %v", tc.name, err, tc.want)
		}
	}
}

func TestRevocationReachesOtherReplicas(t *testing.T) {
	c, replica := newClock(), state(t)
	first, second := replica(), replica()
	here, there := open(t, first, c, nil), open(t, second, c, nil)
	add(t, first, "alice", "user")
	cached := auth.NewCached(there, auth.CacheOptions{Now: c.now})
	refused := func(token string) func() bool {
		return func() bool {
			_, err := cached.Identify(t.Context(), token)
			return errors.Is(err, auth.ErrInvalid)
		}
	}
	one, other := issue(t, here, mint.Grant{User: "alice", Family: "f1"}), issue(t, here, mint.Grant{User: "alice", Family: "f1"})
	stays := issue(t, here, mint.Grant{User: "alice", Family: "f2"})
	for _, token := range []string{one, other, stays} {
		if _, err := cached.Identify(t.Context(), token); err != nil {
			t.Fatal(err)
		}
	}
	id, err := here.Identify(t.Context(), one)
	if err != nil {
		t.Fatal(err)
	}
	if err := here.Revoke(t.Context(), id.TokenID); err != nil {
		t.Fatal(err)
	}
	if _, err := here.Identify(t.Context(), one); !errors.Is(err, auth.ErrInvalid) || here.Holds(id) {
		t.Errorf("a revoked token where it was revoked: %v, want ErrInvalid at once", err)
	}
	eventually(t, "the revoked token is refused by the other replica", refused(one))
	if refused(other)() {
		t.Error("a token that was not revoked is refused")
	}
	if err := here.RevokeFamily(t.Context(), "f1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the tokens of the family are refused by the other replica", refused(other))
	fresh := open(t, replica(), c, nil) // knows what was revoked before it began
	if _, err := fresh.Identify(t.Context(), one); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("a revoked token after a restart: %v, want ErrInvalid", err)
	}
	u, err := first.Users.Get(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	u.Role, u.Updated = "admin", c.now().Add(time.Second)
	c.pass(2 * time.Second)
	if err := first.Users.Put(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other replica refuses a token from before the change", refused(stays))
	stays = issue(t, here, mint.Grant{User: "alice"})
	eventually(t, "the other replica sees the new role", func() bool {
		id, err := cached.Identify(t.Context(), stays)
		return err == nil && slices.Equal(id.Principal.Roles, []string{"admin"})
	})
	if u, err = first.Users.Get(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	u.Disabled = true
	if err := first.Users.Put(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other replica refuses a disabled user", refused(stays))
}

func kids(t *testing.T, m *mint.Mint) []string {
	t.Helper()
	var set struct {
		Keys []struct {
			Kid string `json:"kid"`
			D   string `json:"d"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(m.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, k := range set.Keys {
		if k.D != "" {
			t.Error("the published key set has a private key")
		}
		out = append(out, k.Kid)
	}
	return out
}

func kid(t *testing.T, token string) string {
	t.Helper()
	parsed, err := jwt.Parse(token)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.KeyID
}

func TestKeysChangeInTime(t *testing.T) {
	c, replica := newClock(), state(t)
	s := replica()
	add(t, s, "alice", "user")
	m := open(t, s, c, nil)
	first := kids(t, m)
	token := issue(t, m, mint.Grant{User: "alice"})
	if len(first) != 1 || kid(t, token) != first[0] {
		t.Fatalf("keys %q, token of %q; want one", first, kid(t, token))
	}
	again := open(t, replica(), c, nil)
	if got := kids(t, again); !slices.Equal(got, first) {
		t.Errorf("another replica has the keys %q, want %q", got, first)
	}
	c.pass(47*time.Hour + time.Minute) // an hour before the end: the next one is published and does not sign yet
	next := open(t, replica(), c, nil)
	if got := kids(t, next); len(got) != 2 || got[1] != first[0] || kid(t, issue(t, next, mint.Grant{User: "alice"})) != first[0] {
		t.Errorf("keys %q before the end of %q, want two, and the old one signing", got, first)
	}
	c.pass(time.Hour)
	after := open(t, replica(), c, nil)
	if got := kids(t, after); len(got) != 2 || kid(t, issue(t, after, mint.Grant{User: "alice"})) != got[0] {
		t.Errorf("keys %q after the end of %q, want two, and the new one signing", got, first)
	}
	late := issue(t, m, mint.Grant{User: "alice"}) // a replica that has not heard yet
	if _, err := after.Identify(t.Context(), late); err != nil {
		t.Errorf("a token of the old key: %v, want it verified still", err)
	}
	c.pass(4 * time.Hour)
	if got := kids(t, open(t, replica(), c, nil)); len(got) != 1 || got[0] == first[0] {
		t.Errorf("keys %q long after the end of %q, want the new one alone", got, first)
	}
}

func TestPrivateKeysAreStoredEncrypted(t *testing.T) {
	c, replica := newClock(), state(t)
	s := replica()
	open(t, s, c, nil)
	all, err := s.SigningKeys.List(t.Context())
	if err != nil || len(all) != 1 {
		t.Fatalf("%d keys, %v; want 1", len(all), err)
	}
	if _, err := jwt.NewSigner(all[0].Private); err == nil {
		t.Error("the stored private key can be used as it is")
	}
	other, err := mint.NewSealer(bytes.Repeat([]byte("x"), 32))
	if err != nil {
		t.Fatal(err)
	}
	o := mint.Options{Issuer: issuer, Keys: s.SigningKeys, Denials: s.Denials, Users: s.Users, Feed: s.Feed, Sealer: other, Now: c.now}
	if _, err := mint.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "decrypt signing key") || !strings.Contains(err.Error(), "put back the session.secret") {
		t.Errorf("Open with another secret: %v, want an error that says so", err)
	}
	o.Sealer = away{}
	if _, err := mint.Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "the key service is sealed") || strings.Contains(err.Error(), "session.secret") {
		t.Errorf("Open while the key service is away: %v, want that alone", err)
	}
	if _, err := mint.NewSealer([]byte("short")); err == nil {
		t.Error("a short secret is taken")
	}
}

// away is a key service that does nothing.
type away struct{}

func (away) Seal(context.Context, string, []byte) ([]byte, error) {
	return nil, errors.New("the key service is sealed")
}

func (away) Open(context.Context, string, []byte) ([]byte, error) {
	return nil, errors.New("the key service is sealed")
}
