package store

import (
	"context"
	"iter"
	"time"
)

// Credential is what a principal has at another server.
type Credential struct {
	Principal  string
	Issuer     string // who gave it
	Ciphertext []byte
	Key        string    // id of the key that it is encrypted with
	Expires    time.Time // zero: not known
	Updated    time.Time
	Version    int64
}

// Credentials are what principals have at other servers.
type Credentials interface {
	// Put adds a credential if its version is 0, and else changes it; ErrConflict
	// if it exists already, or has another version.
	Put(ctx context.Context, c Credential) error
	Get(ctx context.Context, principal, issuer string) (Credential, error)
	// All gives those of a principal, or with an empty principal everybody's, by
	// principal and issuer. What is changed meanwhile may come old or new.
	All(ctx context.Context, principal string) iter.Seq2[Credential, error]
	Remove(ctx context.Context, principal, issuer string) error
	// RemoveAll removes those of a principal, and says how many that were.
	RemoveAll(ctx context.Context, principal string) (int, error)
}

// DataKey is a key that data about a subject is encrypted with, itself
// encrypted with a key that is not here.
type DataKey struct {
	Subject string
	ID      string
	Wrapped []byte
	Wrapper string // id of the key that it is wrapped with
	Created time.Time
	Version int64
}

// DataKeys are the keys that data is encrypted with.
type DataKeys interface {
	// Put adds a key if its version is 0, and else changes it; ErrConflict if it
	// exists already, or has another version.
	Put(ctx context.Context, k DataKey) error
	Get(ctx context.Context, subject, id string) (DataKey, error)
	// Newest gives the one of a subject that was added last.
	Newest(ctx context.Context, subject string) (DataKey, error)
	// All gives every key, by subject and id. What is changed meanwhile may come
	// old or new.
	All(ctx context.Context) iter.Seq2[DataKey, error]
	// Remove removes the keys of a subject so that they cannot be had back from
	// the database's files, and says how many that were. See the implementation
	// for how far that reaches.
	Remove(ctx context.Context, subject string) (int, error)
}
