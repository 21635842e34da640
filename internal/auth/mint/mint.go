// Package mint makes the gateway's own access tokens and knows them again: it
// keeps the keys that they are signed with, publishes them, changes them in
// time, and forgets tokens and users that were revoked, on whichever replica.
//
// It does not know how users show who they are, nor what clients there are, nor
// where its keys are kept: that is the store's.
package mint

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/auth/jwt"
	"github.com/dragoman-mcp/dragoman/internal/auth/users"
	"github.com/dragoman-mcp/dragoman/internal/store"
)

// Scopes that our tokens are given for. ScopeAll is everything that the user
// may; ScopeServer and the name of a server is what the user may of that one.
const (
	ScopeAll    = "mcp"
	ScopeServer = "mcp:"
)

// Options are what a Mint works with. Keys, Denials, Users, Feed and Sealer are needed.
type Options struct {
	// Issuer is the address of the gateway, which tokens name as their issuer.
	Issuer  string
	Keys    store.SigningKeys
	Denials store.Denials
	Users   store.Users
	Feed    store.Feed
	// Sealer encrypts private keys before they are stored.
	Sealer Sealer
	// Algorithm of new keys: EdDSA, the default, or ES256.
	Algorithm string
	// KeyAge is how long a key signs. Default 30 days.
	KeyAge time.Duration
	// MaxTTL is the longest that a token is good for. Default 24 hours.
	MaxTTL time.Duration
	// Log takes what goes wrong; nil discards it.
	Log *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Sealer encrypts small things bound to what they are called.
type Sealer interface {
	Seal(ctx context.Context, name string, plain []byte) ([]byte, error)
	Open(ctx context.Context, name string, sealed []byte) ([]byte, error)
}

// Mint makes tokens and knows them again. It may be used concurrently.
type Mint struct {
	o     Options
	rules jwt.Rules

	mu      sync.Mutex // guards what follows
	keys    []ownKey   // newest first
	signer  *jwt.Signer
	denied  map[string]time.Time
	known   map[string]standing // of users that may come in
	epoch   uint64              // counts what made known be forgotten
	blind   blindness
	failure error // why there is no signer
}

// standing is what is remembered of a user.
type standing struct {
	role    string
	changed time.Time // by an administrator, or by being added
}

// maxKnown is the most users whose standing is remembered.
const maxKnown = 10_000

// Open reads the keys, and makes the first one if there is none. Run has to be
// called after it.
func Open(ctx context.Context, o Options) (*Mint, error) {
	if o.Algorithm == "" {
		o.Algorithm = "EdDSA"
	}
	if o.KeyAge == 0 {
		o.KeyAge = 30 * 24 * time.Hour
	}
	if o.MaxTTL == 0 {
		o.MaxTTL = 24 * time.Hour
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	m := &Mint{o: o, known: make(map[string]standing)}
	m.rules = jwt.Rules{Issuer: o.Issuer, Audience: func(string) bool { return true }}
	if err := m.rotate(ctx); err != nil {
		return nil, err
	}
	if err := m.loadDenials(ctx); err != nil {
		return nil, err
	}
	return m, nil
}

// Grant is what a token is given for.
type Grant struct {
	// User is the local user whom it stands for, Client the program that has it; may be empty.
	User, Client string
	// Audience are the resources that it is for. Empty means the whole gateway.
	Audience []string
	// Scopes bound what can be done with it.
	Scopes []string
	// Family is the id of the login that it came of, which ends with it; may be empty.
	Family string
	// TTL is how long it is good for, at most Options.MaxTTL.
	TTL time.Duration
}

// Issue makes a token, and says until when it is good.
func (m *Mint) Issue(g Grant) (token string, expires time.Time, err error) {
	m.mu.Lock()
	signer, failure := m.signer, m.failure
	m.mu.Unlock()
	if signer == nil {
		return "", time.Time{}, fmt.Errorf("make a token: %w", errors.Join(errNoSigner, failure))
	}
	now := m.o.Now()
	expires = now.Add(min(g.TTL, m.o.MaxTTL))
	audience := g.Audience
	if len(audience) == 0 {
		audience = []string{m.o.Issuer}
	}
	claims := map[string]any{
		"iss": m.o.Issuer, "sub": g.User, "aud": audience, "exp": expires.Unix(),
		"iat": float64(now.UnixMilli()) / 1000, // to tell what was changed before it from what was changed after
		"jti": g.Family + "." + rand.Text(), "scope": strings.Join(g.Scopes, " "), "client_id": g.Client,
	}
	token, err = signer.Sign("at+jwt", claims)
	return token, expires, err
}

var errNoSigner = errors.New("there is no key to sign with")

var _ auth.Revoker = (*Mint)(nil)

// Identify implements auth.Source for our own tokens.
func (m *Mint) Identify(ctx context.Context, credential string) (auth.Identity, error) {
	if strings.Count(credential, ".") != 2 {
		return auth.Identity{}, auth.ErrForeign
	}
	token, err := jwt.Parse(credential)
	if err != nil {
		return auth.Identity{}, auth.Invalid("%w", err)
	}
	if iss, _ := token.Claims.Text("iss"); iss != m.o.Issuer {
		return auth.Identity{}, auth.ErrForeign
	}
	key, ok := m.key(token.KeyID)
	if !ok {
		return auth.Identity{}, auth.Invalid("token is of the key %q, which is not ours any more", token.KeyID)
	}
	if err := key.Verify(token); err != nil {
		return auth.Identity{}, auth.Invalid("%w", err)
	}
	if err := m.rules.Check(token, m.o.Now()); err != nil {
		return auth.Identity{}, auth.Invalid("%w", err)
	}
	return m.identity(ctx, token)
}

// identity looks at what may have changed since the token was made.
func (m *Mint) identity(ctx context.Context, token *jwt.Token) (auth.Identity, error) {
	id := auth.Identity{KeyID: token.KeyID}
	id.TokenID, _ = token.Claims.Text("jti")
	id.Expires, _ = token.Claims.Time("exp") // Check has read both
	id.Issued, _ = token.Claims.Time("iat")
	if err := m.revoked(id.TokenID); err != nil {
		return auth.Identity{}, err
	}
	if aud, _ := token.Claims.Texts("aud"); !slices.Contains(aud, m.o.Issuer) {
		id.Audience = aud
	}
	name, _ := token.Claims.Text("sub")
	user, err := m.standing(ctx, name)
	if err != nil {
		return auth.Identity{}, err
	}
	if user.changed.Truncate(time.Millisecond).After(id.Issued) {
		// A new password, another role, or another user of that name: who has the
		// token shows anew who it is.
		return auth.Identity{}, auth.Invalid("user %q was changed after the token was made", name)
	}
	id.Principal = users.Principal(store.User{Name: name, Role: user.role}, "jwt")
	id.Principal.Servers = servers(token.Claims.Scopes())
	return id, nil
}

// servers gives the servers that scopes are bound to; nil if they are not bound.
func servers(scopes []string) []string {
	bound := []string{}
	for _, s := range scopes {
		if s == ScopeAll {
			return nil
		}
		if name, ok := strings.CutPrefix(s, ScopeServer); ok {
			bound = append(bound, name)
		}
	}
	return bound
}

// standing gives what a user who may come in is.
func (m *Mint) standing(ctx context.Context, name string) (standing, error) {
	m.mu.Lock()
	found, ok := m.known[name]
	epoch := m.epoch
	m.mu.Unlock()
	if ok {
		return found, nil
	}
	user, err := m.o.Users.Get(ctx, name)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return standing{}, auth.Invalid("user %q does not exist any more", name)
	case err != nil:
		return standing{}, fmt.Errorf("read user %q: %w", name, err)
	case user.Disabled:
		return standing{}, auth.Invalid("user %q is disabled", name)
	}
	found = standing{role: user.Role, changed: later(user.Created, user.Updated)}
	m.mu.Lock()
	defer m.mu.Unlock()
	if epoch != m.epoch {
		return found, nil // somebody was changed meanwhile, perhaps this one: ask again next time
	}
	if len(m.known) >= maxKnown {
		clear(m.known)
	}
	m.known[name] = found
	return found, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Holds implements auth.Revoker.
func (m *Mint) Holds(id auth.Identity) bool {
	if m.revoked(id.TokenID) != nil {
		return false
	}
	if _, ok := m.key(id.KeyID); !ok {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	user, ok := m.known[id.Principal.Name]
	return ok && !user.changed.Truncate(time.Millisecond).After(id.Issued)
}
