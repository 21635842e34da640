// Package keys knows API keys: it makes them, and says who holds one. A key is
//
//	drg_ID_SECRET_CHECK
//
// where SECRET is 256 random bits in base32 and CHECK the CRC-32 of what stands
// before it, so that a key that was copied badly is told from a wrong one, and
// that scanners for leaked secrets can be sure. Only the SHA-256 of it is kept.
//
// A key that is revoked, whose owner is disabled or who lost the role, ends
// everywhere within Fresh: no answer is given from memory that is older, and what
// the store's feed tells of is forgotten at once.
//
// It does not know what a role may do, nor which servers there are.
package keys

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/singleflight"

	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/auth/users"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/mcp"
)

const (
	prefix     = "drg_"
	idLength   = 12
	keyLength  = len(prefix) + idLength + 1 + 52 + 1 + 8
	maxName    = 64
	maxServers = 256
	// remembered is how many keys are kept in memory; then all are forgotten.
	remembered = 10_000
	// noteEvery is how often it is written down when keys were used last.
	noteEvery = time.Minute
	noteLimit = 5 * time.Second
)

// Options are what Keys may be told. The zero value is ready to use.
type Options struct {
	// Fresh is how old an answer may be. Default 4 s, which with the time of one
	// look into the store stays below the 5 s within which a revocation reaches
	// every replica.
	Fresh time.Duration
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Keys are the API keys. It may be used concurrently.
type Keys struct {
	keys   store.Keys
	users  store.Users
	feed   store.Feed
	o      Options
	flight singleflight.Group

	mu    sync.Mutex // guards what follows
	known map[string]answer
	used  map[string]time.Time // not written down yet
	epoch int                  // counts what was forgotten, so that what was read before is not remembered after
}

// answer is what was found about a key.
type answer struct {
	key       store.Key
	principal mcp.Principal
	refusal   error // why it holds no longer; nil if it holds
	at        time.Time
}

var _ auth.Revoker = (*Keys)(nil)

// New returns the keys in a store. Run has to run beside it.
func New(s *store.Store, o Options) *Keys {
	o.Fresh = cmp.Or(o.Fresh, 4*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Keys{keys: s.Keys, users: s.Users, feed: s.Feed, o: o, known: map[string]answer{}, used: map[string]time.Time{}}
}

// Wanted is a key that is asked for.
type Wanted struct {
	Name    string    // what people call it
	Owner   string    // user on whose behalf it acts; empty if it acts for itself
	Role    string    // empty: user
	Servers []string  // names of servers it is bound to; nil if it is not bound
	Expires time.Time // zero: never
}

// Create makes a key. What it returns first is the key itself, which cannot be
// had again.
func (k *Keys) Create(ctx context.Context, w Wanted) (config.Secret, store.Key, error) {
	w.Role = cmp.Or(w.Role, users.RoleUser)
	if err := k.check(ctx, w); err != nil {
		return "", store.Key{}, err
	}
	id := strings.ToLower(rand.Text()[:idLength])
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	stem := prefix + id + "_" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret))
	sum := sha256.Sum256([]byte(stem))
	key := store.Key{
		ID: id, Name: w.Name, Owner: w.Owner, Hash: sum[:], Role: w.Role, Servers: w.Servers,
		Created: k.o.Now().UTC(), Expires: w.Expires,
	}
	if err := k.keys.Add(ctx, key); err != nil {
		return "", store.Key{}, fmt.Errorf("add key %s: %w", w.Name, err)
	}
	return config.Secret(stem + "_" + check(stem)), key, nil
}

// check refuses a key that would never hold.
func (k *Keys) check(ctx context.Context, w Wanted) error {
	switch {
	case w.Name == "" || utf8.RuneCountInString(w.Name) > maxName || strings.TrimSpace(w.Name) != w.Name:
		return fmt.Errorf("%q is not a name for a key: use 1 to %d characters without space around them", w.Name, maxName)
	case !slices.Contains(users.Roles(), w.Role):
		return fmt.Errorf("%q is not a role: use %s", w.Role, strings.Join(users.Roles(), ", "))
	case w.Servers != nil && len(w.Servers) == 0 || len(w.Servers) > maxServers:
		return fmt.Errorf("a key for %d servers: name 1 to %d, or leave them out for all", len(w.Servers), maxServers)
	case !w.Expires.IsZero() && !k.o.Now().Before(w.Expires):
		return fmt.Errorf("the key would have expired at %s: choose a time to come", w.Expires.UTC().Format(time.RFC3339))
	}
	if w.Owner == "" {
		return nil
	}
	owner, err := k.users.Get(ctx, w.Owner)
	if err != nil {
		return fmt.Errorf("find the owner %s: %w", w.Owner, err)
	}
	if !users.Covers(owner.Role, w.Role) {
		return fmt.Errorf("%s is %s, and cannot have a key for the role %s", w.Owner, owner.Role, w.Role)
	}
	return nil
}

// List gives the keys of an owner, or with an empty owner all, by id, those after
// an id, at most limit.
func (k *Keys) List(ctx context.Context, owner, after string, limit int) ([]store.Key, error) {
	return k.keys.List(ctx, owner, after, limit)
}

// Revoke ends a key, here at once and elsewhere within Fresh.
func (k *Keys) Revoke(ctx context.Context, id string) error {
	if err := k.keys.Revoke(ctx, id, k.o.Now()); err != nil {
		return fmt.Errorf("revoke key %s: %w", id, err)
	}
	k.forgetKey(id)
	return nil
}

// Identify says who holds a key; see auth.Source.
func (k *Keys) Identify(ctx context.Context, credential string) (auth.Identity, error) {
	if !strings.HasPrefix(credential, prefix) {
		return auth.Identity{}, auth.ErrForeign
	}
	if len(credential) != keyLength {
		return auth.Identity{}, auth.Invalid("key has %d characters, want %d", len(credential), keyLength)
	}
	stem := credential[:keyLength-9]
	if credential[len(stem):] != "_"+check(stem) {
		return auth.Identity{}, auth.Invalid("key was not copied as it was given: its check does not fit")
	}
	id := stem[len(prefix) : len(prefix)+idLength]
	found, err := k.find(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return auth.Identity{}, auth.Invalid("there is no key %s", id)
	}
	if err != nil {
		return auth.Identity{}, fmt.Errorf("look for key %s: %w", id, err)
	}
	sum := sha256.Sum256([]byte(stem))
	if subtle.ConstantTimeCompare(sum[:], found.key.Hash) != 1 {
		return auth.Identity{}, auth.Invalid("key %s has another secret", id)
	}
	if err := k.holds(found); err != nil {
		return auth.Identity{}, err
	}
	k.note(id)
	return auth.Identity{Principal: found.principal, Expires: found.key.Expires, TokenID: id, Issued: found.key.Created}, nil
}

// check is the CRC-32 of what stands before it in a key.
func check(stem string) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(stem))) }

// Holds says whether a key that was good is still known to be; see auth.Revoker.
func (k *Keys) Holds(identity auth.Identity) bool {
	found, ok := k.fresh(identity.TokenID)
	if !ok || k.holds(found) != nil {
		return false
	}
	k.note(identity.TokenID)
	return true
}

func (k *Keys) holds(a answer) error {
	if a.refusal == nil && !a.key.Expires.IsZero() && !k.o.Now().Before(a.key.Expires) {
		return auth.Invalid("key %s has expired", a.key.ID)
	}
	return a.refusal
}
