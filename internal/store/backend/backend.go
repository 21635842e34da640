// Package backend opens the store that the configuration names.
//
// It does not know how any of them keeps what it is given.
package backend

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/egress"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/internal/store/postgres"
	"github.com/dragoman-mcp/dragoman/internal/store/sqlite"
)

// Open opens the store that a section of the configuration names, and brings its
// tables up to date. Who opened it closes it.
func Open(ctx context.Context, state config.State) (*store.Store, error) {
	switch state.Driver {
	case "sqlite":
		if state.Path == "" {
			return nil, errors.New("open the store: no file is named, and this user has no home directory: set state.path")
		}
		return sqlite.Open(ctx, state.Path)
	case "postgres":
		return overNetwork(ctx, state.DSN)
	}
	return nil, fmt.Errorf("open the store: there is no driver %q, use sqlite or postgres", state.Driver)
}

// overNetwork opens a database where the operator says that it is, which usually
// is a private address. The network is its own, and goes when the store does.
func overNetwork(ctx context.Context, dsn config.Secret) (*store.Store, error) {
	guard, err := egress.NewGuard(egress.Policy{Name: "state", Private: true}, nil)
	if err != nil {
		return nil, err
	}
	network := egress.New(egress.Options{Guard: guard})
	s, err := postgres.Open(ctx, dsn.Reveal(), network)
	if err != nil {
		return nil, errors.Join(err, network.Close())
	}
	s.Closer = both{s.Closer, network}
	return s, nil
}

type both struct{ first, second io.Closer }

func (b both) Close() error { return errors.Join(b.first.Close(), b.second.Close()) }
