// Package store is the platform's own state: who its users are, which keys and
// tokens stand for them, what was consented to, which tool definitions were
// approved, and which secrets are kept for whom, each behind a small interface.
// The implementations are below: store/sqlite for one process or a few on one
// machine, store/postgres for many replicas.
//
// It does not know what any of this is used for. What a role may do, what the
// states of a pin mean, how a password is hashed and what a ciphertext contains
// are for others to say; here they are text and bytes.
package store

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"
)

var (
	// ErrNotFound is what there is not.
	ErrNotFound = errors.New("not found")
	// ErrConflict is what somebody else was faster with: a record that exists
	// already, or that has another version than the one that was changed. Read
	// again, decide again.
	ErrConflict = errors.New("changed by somebody else meanwhile")
	// ErrNewer is a database that a newer version of the program has changed. It
	// was left as it is.
	ErrNewer = errors.New("database was written by a newer version")
)

// Store is everything that is kept. Its parts may be used concurrently, by
// several processes at once.
//
// When a method that writes has returned nil, the record is on disk: it is there
// after the process, or the machine, dies. Reads see every write that was
// acknowledged before, on any replica. Times come back in UTC, in microseconds;
// the zero time stays the zero time; of bytes, none may come back as nil or empty. A context that ends ends the operation; a
// write may then have happened or not.
//
// A record with a version is added as version 1, and each change makes it the
// next one: after a Put of version n that returned nil it is n+1.
//
// Records are small: a name has at most 512 bytes, any other field at most
// 4 MiB, else the write is refused.
type Store struct {
	Users       Users
	Keys        Keys
	Families    Families
	Denials     Denials
	SigningKeys SigningKeys
	Clients     Clients
	Consents    Consents
	Pins        Pins
	Credentials Credentials
	DataKeys    DataKeys
	// Leases let one of all replicas at a time do what must not be done twice at
	// once. A lease ends by itself, so that a replica that dies holds up nobody for
	// longer; the clocks of replicas have to agree to within a small part of it.
	Leases interface {
		// Take gives a holder the lease of a name until a time, also if it has it
		// already; ErrConflict while another has one that has not ended now.
		Take(ctx context.Context, name, holder string, now, until time.Time) error
		// Release gives a lease back. It is no error if it has ended, or is another's.
		Release(ctx context.Context, name, holder string) error
	}
	Feed Feed
	// Health answers nil if the database can be reached.
	Health interface {
		Ping(ctx context.Context) error
	}
	// Close waits for what is under way and gives everything back.
	io.Closer
}

// Change is something that others may remember and have to forget now.
type Change struct {
	// Domain is where: users, keys, families, denials, signing_keys, clients,
	// consents, pins, credentials or data_keys. Empty means that anything may
	// have changed, and everything remembered has to be forgotten.
	Domain string
	// Key is which: the name or id of the record; for families the subject if
	// all of them were revoked, else the id; for pins the server, for consents,
	// credentials and data keys the subject.
	Key string
}

// Feed tells what changed, here and on every other replica.
type Feed interface {
	// Changes goes on until ctx ends or the loop is left. It begins with an empty
	// Change when it has started to listen: what is read after that is followed
	// by every change to it. A change comes within 5 s, usually at once.
	//
	// While the database cannot be reached there is an error about every second;
	// who decides by what it remembers must not do so for longer than it could
	// bear to be wrong. Nothing is missed: afterwards the changes come late, or
	// an empty Change if there were too many.
	Changes(ctx context.Context) iter.Seq2[Change, error]
}
