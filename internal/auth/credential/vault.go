package credential

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth/oauth"
	"github.com/dragoman-mcp/dragoman/internal/secret"
	"github.com/dragoman-mcp/dragoman/internal/store"
)

// credential is what somebody has at a server, as it is kept.
type credential struct {
	Server   string         `json:"server"`
	Issuer   string         `json:"issuer"`
	Resource string         `json:"resource,omitempty"`
	Token    string         `json:"token_endpoint"`
	Revoke   string         `json:"revocation_endpoint,omitempty"`
	Methods  []string       `json:"methods,omitempty"`
	Client   oauth.ClientID `json:"client"`
	Scopes   []string       `json:"scopes,omitempty"`
	Access   string         `json:"access_token"`
	Refresh  string         `json:"refresh_token,omitempty"`
	Expires  time.Time      `json:"expires,omitzero"`
	Obtained time.Time      `json:"obtained"`
	Ended    string         `json:"ended,omitempty"` // why it holds no longer; empty while it does
	Login    string         `json:"login,omitempty"` // of which login it is, through all refreshes
	Over     bool           `json:"over,omitempty"`  // the login before it at the same authorization server was taken back, and it was not refreshed since
	Proof    *proof         `json:"proof,omitempty"` // of a login that is put aside: what has to be shown for it
}

func (c credential) held() held {
	return held{value: c.Access, obtained: c.Obtained, expires: c.Expires}
}

// place is where its tokens come from.
func (c credential) place() oauth.Place {
	return oauth.Place{Issuer: c.Issuer, Token: c.Token, Revocation: c.Revoke, Methods: c.Methods, Resource: c.Resource}
}

// vault keeps credentials, encrypted for whom they belong to and bound to their rows.
type vault struct{ b *Broker }

// kept is a credential with its version in the store.
type kept struct {
	credential
	version int64
}

// maxKey bounds the key of a row, in bytes.
const maxKey = 400

// rowOf is the key of a credential: the server by its name, and what it is called,
// so that a token goes nowhere else when a name is given to another server.
func rowOf(server, address string) string {
	if row := server + " " + address; len(row) <= maxKey {
		return row
	}
	sum := sha256.Sum256([]byte(address))
	return server + " " + hex.EncodeToString(sum[:])
}

func place(who, row string, version int64) secret.Place {
	return secret.Place{Table: "credentials", Row: who + "\n" + row, Column: "ciphertext", Version: version}
}

// load gives a credential; store.ErrNotFound if there is none, or none that can be
// read any more because its key was erased. Its version is there even so.
func (v vault) load(ctx context.Context, who, row string) (kept, error) {
	found, err := v.b.keeper.Load().State.Credentials.Get(ctx, who, row)
	if err != nil {
		return kept{}, err
	}
	k := kept{version: found.Version}
	plain, _, err := v.b.keeper.Load().Box.Open(ctx, who, place(who, row, found.Version), found.Ciphertext)
	if errors.Is(err, secret.ErrErased) {
		return k, store.ErrNotFound
	}
	if err != nil {
		return kept{}, err
	}
	if err := json.Unmarshal(plain, &k.credential); err != nil {
		return kept{}, fmt.Errorf("read credential: %w", err)
	}
	return k, nil
}

// save writes a credential in the place of the one with k's version, 0 if there is
// none; store.ErrConflict if somebody else has changed it. It returns the new one.
func (v vault) save(ctx context.Context, who, row string, k kept) (kept, error) {
	plain, err := json.Marshal(k.credential)
	if err != nil {
		return kept{}, err
	}
	sealed, err := v.b.keeper.Load().Box.Seal(ctx, who, place(who, row, k.version+1), plain)
	if err != nil {
		return kept{}, err
	}
	record := store.Credential{Principal: who, Issuer: row, Ciphertext: sealed, Key: secret.KeyOf(sealed), Updated: v.b.o.Now(), Version: k.version}
	switch {
	case k.Proof != nil:
		record.Expires = k.Proof.Until
	case k.Refresh == "":
		record.Expires = k.Expires
	}
	if err := v.b.keeper.Load().State.Credentials.Put(ctx, record); err != nil {
		return kept{}, err
	}
	k.version++
	return k, nil
}

// maxTries is how often a write is tried again that others were faster than.
const maxTries = 5

// replace writes a credential over whatever there is, and returns what that was.
func (v vault) replace(ctx context.Context, who, row string, c credential) (credential, error) {
	over, err := c.Over, store.ErrConflict
	var was kept
	for range maxTries {
		if !errors.Is(err, store.ErrConflict) {
			break
		}
		was, err = v.load(ctx, who, row)
		if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, secret.ErrTampered) {
			return credential{}, err
		}
		if errors.Is(err, secret.ErrTampered) { // what nobody can read may be written over
			found, err := v.b.keeper.Load().State.Credentials.Get(ctx, who, row)
			if err != nil {
				return credential{}, err
			}
			was.version = found.Version
		}
		c.Over = over || was.revocable() && was.Issuer == c.Issuer
		_, err = v.save(ctx, who, row, kept{c, was.version})
	}
	return was.credential, err
}
