package mint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth/jwt"
	"github.com/dragoman-mcp/dragoman/internal/store"
)

// lead is how long a key is published before it signs: longer than anybody who
// checks tokens keeps the key set (jwksMaxAge), and than a replica needs to hear
// of it.
const lead = time.Hour

// JWKSMaxAge is how long those who check our tokens may keep the key set.
const JWKSMaxAge = 15 * time.Minute

// skew is how far the clocks of replicas may differ.
const skew = time.Minute

// ownKey is a key that verifies.
type ownKey struct {
	jwt.Key
	jwk             json.RawMessage
	active, expires time.Time
}

// rotate reads the keys, adds the next one when it is time, removes those that
// have ended, and takes the one that signs now.
func (m *Mint) rotate(ctx context.Context) error {
	for range 5 { // another replica may be faster each time; not more often than there are reasons to
		all, err := m.o.Keys.List(ctx)
		if err != nil {
			return fmt.Errorf("read signing keys: %w", err)
		}
		if next, due := m.due(all); due {
			err := m.add(ctx, all, next)
			if errors.Is(err, store.ErrConflict) {
				continue
			}
			if err != nil {
				return err
			}
			if all, err = m.o.Keys.List(ctx); err != nil {
				return fmt.Errorf("read signing keys: %w", err)
			}
		}
		return m.take(ctx, all)
	}
	return fmt.Errorf("add a signing key: %w", store.ErrConflict)
}

// due says whether a key has to be added, and from when on it will sign.
func (m *Mint) due(all []store.SigningKey) (active time.Time, due bool) {
	now := m.o.Now()
	if len(all) == 0 || !all[0].Expires.After(now) {
		return now, true
	}
	ends := all[0].Active.Add(m.o.KeyAge)
	if now.Before(ends.Add(-lead)) {
		return time.Time{}, false
	}
	if earliest := now.Add(lead); ends.Before(earliest) {
		ends = earliest
	}
	return ends, true
}

func (m *Mint) add(ctx context.Context, all []store.SigningKey, active time.Time) error {
	newest := ""
	if len(all) > 0 {
		newest = all[0].ID
	}
	private, err := jwt.NewPrivateKey(m.o.Algorithm)
	if err != nil {
		return err
	}
	signer, err := jwt.NewSigner(private)
	if err != nil {
		return err
	}
	sealed, err := m.o.Sealer.Seal(ctx, sealName(signer.ID()), private)
	if err != nil {
		return fmt.Errorf("encrypt signing key: %w", err)
	}
	// It signs until the next one does, and verifies until the last token that it
	// signed has expired. Should the next one be late it goes on for a lead more.
	expires := active.Add(m.o.KeyAge + m.o.MaxTTL + 2*lead)
	return m.o.Keys.Add(ctx, store.SigningKey{
		ID: signer.ID(), Algorithm: signer.Algorithm(), Public: signer.JWK(), Private: sealed,
		Created: m.o.Now(), Active: active, Expires: expires,
	}, newest)
}

func sealName(id string) string { return "signing-key/" + id }

// take makes the keys those that sign and verify from now on.
func (m *Mint) take(ctx context.Context, all []store.SigningKey) error {
	now := m.o.Now()
	var keys []ownKey
	var signing *store.SigningKey
	for i, k := range all {
		if !k.Expires.After(now) {
			if err := m.o.Keys.Remove(ctx, k.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
				m.o.Log.WarnContext(ctx, "signing key that has ended cannot be removed", "key", k.ID, "err", err)
			}
			continue
		}
		key, err := jwt.ParseKey(k.Public)
		if err != nil || key.ID != k.ID {
			m.o.Log.ErrorContext(ctx, "stored signing key cannot be read", "key", k.ID, "err", err)
			continue
		}
		keys = append(keys, ownKey{Key: key, jwk: k.Public, active: k.Active, expires: k.Expires})
		if signing == nil && !k.Active.After(now.Add(skew)) {
			signing = &all[i]
		}
	}
	if signing == nil {
		return errNoSigner
	}
	signer, err := m.unseal(ctx, signing)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys, m.signer, m.failure = keys, signer, err
	return err
}

func (m *Mint) unseal(ctx context.Context, k *store.SigningKey) (*jwt.Signer, error) {
	m.mu.Lock()
	current := m.signer
	m.mu.Unlock()
	if current != nil && current.ID() == k.ID {
		return current, nil
	}
	private, err := m.o.Sealer.Open(ctx, sealName(k.ID), k.Private)
	if _, local := m.o.Sealer.(localSealer); err != nil && local {
		return nil, fmt.Errorf("decrypt signing key %s: %w; put back the session.secret, or the file beside the database, that it was made with", k.ID, err)
	}
	if err != nil { // a key service that is away, for one: nothing is to be put back
		return nil, fmt.Errorf("decrypt signing key %s: %w", k.ID, err)
	}
	signer, err := jwt.NewSigner(private)
	if err != nil {
		return nil, err
	}
	if signer.ID() != k.ID {
		return nil, fmt.Errorf("signing key %s is another one", k.ID)
	}
	return signer, nil
}

// key gives a key that verifies now.
func (m *Mint) key(id string) (jwt.Key, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range m.keys {
		if k.ID == id && m.o.Now().Before(k.expires) {
			return k.Key, true
		}
	}
	return jwt.Key{}, false
}

// JWKS is the published key set: what signs, what did, and what will.
func (m *Mint) JWKS() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := []json.RawMessage{}
	for _, k := range m.keys {
		all = append(all, k.jwk)
	}
	out, err := json.Marshal(map[string]any{"keys": all})
	if err != nil {
		panic("mint: keys that were read do not marshal: " + err.Error())
	}
	return out
}
