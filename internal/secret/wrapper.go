package secret

import (
	"context"
	"errors"
)

var (
	// ErrErased is what was encrypted with a key that is no longer there: what was
	// known of its subject has been erased.
	ErrErased = errors.New("the key of this data was erased")
	// ErrTampered is a ciphertext that was changed, or that was made for another
	// subject or place, or with another key.
	ErrTampered = errors.New("the ciphertext does not belong here, or was changed")
	// ErrUnknownKey is a master key that a Wrapper does not have.
	ErrUnknownKey = errors.New("the master key is not known")
)

// Wrapper encrypts data keys with a master key that never leaves it. It may be
// called concurrently.
type Wrapper interface {
	// Current names the master key that Wrap uses now.
	Current(ctx context.Context) (id string, err error)
	// Wrap encrypts a data key. about is bound to the result: without the same,
	// it cannot be unwrapped. It returns the id of the master key that it used.
	Wrap(ctx context.Context, key, about []byte) (wrapped []byte, id string, err error)
	// Unwrap decrypts a data key that was wrapped with the master key id;
	// ErrUnknownKey when it has no such key, ErrTampered when it cannot be.
	Unwrap(ctx context.Context, id string, wrapped, about []byte) ([]byte, error)
}
