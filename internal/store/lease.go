package store

import (
	"context"
	"time"
)

// Leases let one of all replicas at a time do what must not be done twice at
// once. A lease ends by itself, so that a replica that dies holds up nobody for
// longer; the clocks of replicas have to agree to within a small part of it.
type Leases interface {
	// Take gives a holder the lease of a name until a time, also if it has it
	// already; ErrConflict while another has one that has not ended now.
	Take(ctx context.Context, name, holder string, now, until time.Time) error
	// Release gives a lease back. It is no error if it has ended, or is another's.
	Release(ctx context.Context, name, holder string) error
}
