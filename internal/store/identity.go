package store

import (
	"context"
	"time"
)

// User is a person or program that logs in here with a password.
type User struct {
	Name     string // unique, and never another user's later in the same audit log
	FullName string
	Email    string
	Role     string
	Disabled bool
	Password string // the hash in PHC form; empty if the user has no password
	// Failures is how many attempts to log in there were since the last one that
	// succeeded, and LastAttempt when the latest was.
	Failures    int
	LastAttempt time.Time
	Created     time.Time
	Updated     time.Time
	Version     int64
}

// Users are the local users.
type Users interface {
	// Add returns ErrConflict if the name is taken.
	Add(ctx context.Context, u User) error
	Get(ctx context.Context, name string) (User, error)
	// List gives users by name, those after a name, at most limit.
	List(ctx context.Context, after string, limit int) ([]User, error)
	// Put changes a user, all but Failures and LastAttempt, if its version is
	// still u.Version, else ErrConflict.
	Put(ctx context.Context, u User) error
	Remove(ctx context.Context, name string) error
	// Attempt counts an attempt to log in, before the password is looked at. If
	// there were others since the caller saw how many, ErrConflict: of attempts
	// made at once, each counts.
	Attempt(ctx context.Context, name string, seen int, at time.Time) error
	// Succeed sets the count of attempts back to 0.
	Succeed(ctx context.Context, name string) error
}

// Key is an API key; its secret part is not kept.
type Key struct {
	ID      string
	Name    string   // what people call it
	Owner   string   // the user on whose behalf it acts; empty if it acts for itself
	Hash    []byte   // SHA-256 of the secret part
	Role    string   // what the key may be
	Servers []string // names of servers it is bound to; nil if it is not bound
	Created time.Time
	Expires time.Time // zero: never
	Used    time.Time // about when it was used last; zero: not yet
	Revoked time.Time // zero: not revoked
}

// Keys are the API keys. A revoked one stays, so that it can be told what a
// caller tried.
type Keys interface {
	// Add returns ErrConflict if the id is taken.
	Add(ctx context.Context, k Key) error
	Get(ctx context.Context, id string) (Key, error)
	// List gives the keys of an owner, or with an empty owner all of them, by id,
	// those after an id, at most limit.
	List(ctx context.Context, owner, after string, limit int) ([]Key, error)
	// Revoke says since when a key holds no longer; the first time counts.
	Revoke(ctx context.Context, id string, at time.Time) error
	// Used notes when keys were used last. An id that is not there is left out,
	// and a time that is earlier than the known one changes nothing.
	Used(ctx context.Context, at map[string]time.Time) error
}
