package credential

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/store"
)

// Kept is what can be told of a credential without decrypting it.
type Kept struct {
	Principal, Server, Address string
	// Updated is when it was written last: by a login or a refresh.
	Updated time.Time
	// Expires is when it ends; zero if it is renewed, or does not.
	Expires time.Time
}

// List gives the credentials of a principal, or with an empty one everybody's.
func List(ctx context.Context, state *store.Store, principal string) ([]Kept, error) {
	var all []Kept
	for c, err := range state.Credentials.All(ctx, principal) {
		if err != nil {
			return nil, err
		}
		if c.Principal == registrar {
			continue
		}
		server, address, _ := strings.Cut(c.Issuer, " ")
		if strings.HasPrefix(server, asidePrefix) {
			continue // nobody's yet
		}
		all = append(all, Kept{Principal: c.Principal, Server: server, Address: address, Updated: c.Updated, Expires: c.Expires})
	}
	return all, nil
}

// Remove removes the credentials of a principal at a server, or with an empty one at
// all, and says how many those were. Gateways stop showing them within 5 s.
func Remove(ctx context.Context, state *store.Store, principal, server string) (int, error) {
	n := 0
	for c, err := range state.Credentials.All(ctx, principal) {
		if err != nil {
			return n, err
		}
		name, _, _ := strings.Cut(c.Issuer, " ")
		name, aside := strings.CutPrefix(name, asidePrefix)
		if c.Principal == registrar || server != "" && name != server {
			continue
		}
		if err := state.Credentials.Remove(ctx, c.Principal, c.Issuer); err != nil && !errors.Is(err, store.ErrNotFound) {
			return n, err
		}
		if !aside {
			n++
		}
	}
	return n, nil
}

// Erase removes all that is kept for a principal, and the keys that it was encrypted
// with: what is in backups cannot be read any more either.
func Erase(ctx context.Context, state *store.Store, principal string) error {
	if _, err := state.DataKeys.Remove(ctx, principal); err != nil {
		return fmt.Errorf("remove the keys of %s: %w", principal, err)
	}
	if _, err := state.Credentials.RemoveAll(ctx, principal); err != nil {
		return fmt.Errorf("remove the credentials of %s: %w", principal, err)
	}
	return nil
}
