package secret

import (
	"context"
	"errors"
	"fmt"
)

// Among is a Wrapper of several: it wraps with the first, and unwraps with the one
// that knows the key. With it the master key can move from one to another while
// everything is in use; see [Box.Rewrap].
type Among []Wrapper

var _ Wrapper = Among(nil)

// Current implements Wrapper.
func (a Among) Current(ctx context.Context) (string, error) { return a[0].Current(ctx) }

// Wrap implements Wrapper.
func (a Among) Wrap(ctx context.Context, key, about []byte) ([]byte, string, error) {
	return a[0].Wrap(ctx, key, about)
}

// Unwrap implements Wrapper.
func (a Among) Unwrap(ctx context.Context, id string, wrapped, about []byte) ([]byte, error) {
	for _, w := range a {
		key, err := w.Unwrap(ctx, id, wrapped, about)
		if !errors.Is(err, ErrUnknownKey) {
			return key, err
		}
	}
	return nil, fmt.Errorf("%w: %s", ErrUnknownKey, id)
}
