package store

import (
	"context"
	"time"
)

// Family is a refresh token and all that came and will come of it by rotation.
type Family struct {
	ID      string
	Subject string
	Client  string
	Hash    []byte // SHA-256 of the one refresh token that holds
	Data    []byte // what was granted, in the words of who granted it
	Created time.Time
	Expires time.Time
	Revoked time.Time // zero: not revoked
}

// Families are the families of refresh tokens.
type Families interface {
	// Add returns ErrConflict if the id is taken.
	Add(ctx context.Context, f Family) error
	Get(ctx context.Context, id string) (Family, error)
	// Rotate replaces the token that holds, if it is still old and the family is
	// not revoked, else ErrConflict: the token was used before, by somebody.
	Rotate(ctx context.Context, id string, old, hash []byte) error
	// Revoke says since when a family holds no longer; the first time counts.
	Revoke(ctx context.Context, id string, at time.Time) error
	// RevokeAll revokes every family of a subject, and says how many that were.
	RevokeAll(ctx context.Context, subject string, at time.Time) (int, error)
	// Purge removes families that expired before a time, and says how many.
	Purge(ctx context.Context, before time.Time) (int, error)
}

// Denials are ids of tokens and sessions that no longer hold though they have
// not expired, and of what holds only once.
type Denials interface {
	// Deny refuses an id until a time, when it would have expired anyway.
	Deny(ctx context.Context, id string, until time.Time) error
	// Denied gives the ids that are refused at a time and until when, at most
	// 100,000 of those that last longest.
	Denied(ctx context.Context, at time.Time) (map[string]time.Time, error)
	// Spend uses up an id that holds once, a nonce or an authorization code; a
	// second time, on any replica, it is ErrConflict.
	Spend(ctx context.Context, id string, until time.Time) error
	// Purge forgets what lasted until before a time, and says how many.
	Purge(ctx context.Context, before time.Time) (int, error)
}

// SigningKey is a key that tokens are signed with.
type SigningKey struct {
	ID        string // kid
	Algorithm string
	Public    []byte
	Private   []byte // ciphertext
	Created   time.Time
	Active    time.Time // from when on it signs; it verifies before
	Expires   time.Time // from when on it does not even verify
}

// SigningKeys are the keys that tokens are signed with, all that verify.
type SigningKeys interface {
	// Add puts a key beside the others if newest is the id of the one that was
	// added last (empty: if there is none), else ErrConflict: of replicas that
	// rotate at once, one does.
	Add(ctx context.Context, k SigningKey, newest string) error
	// List gives all keys, the one that was added last first.
	List(ctx context.Context) ([]SigningKey, error)
	Remove(ctx context.Context, id string) error
}

// Client is a program that was registered with the authorization server, or
// whose metadata document it has read.
type Client struct {
	ID      string
	Data    []byte // its metadata
	Created time.Time
	Expires time.Time // zero: never
	Version int64
}

// Clients are the clients of the built-in authorization server.
type Clients interface {
	// Put adds a client if its version is 0, and else changes it; ErrConflict if
	// it exists already, or has another version.
	Put(ctx context.Context, c Client) error
	Get(ctx context.Context, id string) (Client, error)
	// List gives clients by id, those after an id, at most limit.
	List(ctx context.Context, after string, limit int) ([]Client, error)
	Remove(ctx context.Context, id string) error
}

// Consent is what a user allowed a client.
type Consent struct {
	Subject  string
	Client   string
	Redirect string
	Scopes   []string
	Granted  time.Time
	Expires  time.Time // zero: never
}

// Consents are what users allowed clients.
type Consents interface {
	// Put adds or replaces what a subject allows a client with a redirect URI.
	Put(ctx context.Context, c Consent) error
	Get(ctx context.Context, subject, client, redirect string) (Consent, error)
	// List gives all of a subject, at most 1,000.
	List(ctx context.Context, subject string) ([]Consent, error)
	// Remove takes back everything that a subject allowed a client.
	Remove(ctx context.Context, subject, client string) error
}
