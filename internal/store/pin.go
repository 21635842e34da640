package store

import (
	"context"
	"time"
)

// Pin is one definition that a server gave of one of its things, and what was
// decided about it.
type Pin struct {
	Server     string
	Kind       string // tool, prompt, resource, …
	Name       string
	Hash       string    // of Definition
	Definition []byte    // canonical JSON
	State      string    // pending, approved, quarantined, rejected, …
	By         string    // who decided; empty if nobody has
	At         time.Time // when the state became what it is
	Created    time.Time // when it was seen first
	Version    int64
}

// Pins are the definitions that were seen, told apart by server, kind, name and
// hash; so what was approved and what it became stand side by side.
type Pins interface {
	// Put writes all or none: a pin is added if its version is 0, and else
	// changed; ErrConflict if one exists already, or has another version.
	Put(ctx context.Context, pins ...Pin) error
	// List gives the pins of a server, or with an empty server all of them, by
	// server, kind, name and creation.
	List(ctx context.Context, server string) ([]Pin, error)
	// Remove forgets one pin.
	Remove(ctx context.Context, p Pin) error
}
