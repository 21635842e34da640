// Package migrations brings the tables of the store up to date: numbered files
// for each kind of database, applied once each, in order, forward only. A
// migration adds; what an older replica still reads stays for one version, so
// that replicas can be replaced one after the other.
//
// It does not know what is in the tables, nor how a database is reached.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/dragoman-mcp/dragoman/internal/store"
)

//go:embed sqlite/*.sql postgres/*.sql
var files embed.FS

// attempts is how often migrating is tried where databases have no lock for it:
// of processes that start at once one migrates, and the others find it done when
// they look again.
const attempts = 3

// SQLite brings a SQLite database up to date.
func SQLite(ctx context.Context, db *sql.DB) error {
	var err error
	for range attempts {
		if err = up(ctx, goose.DialectSQLite3, db, "sqlite"); err == nil || errors.Is(err, store.ErrNewer) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// Postgres brings a PostgreSQL database up to date. One process does while others
// wait, at most a minute.
func Postgres(ctx context.Context, db *sql.DB) error {
	seconds := uint64(time.Minute / time.Second)
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, seconds), lock.WithUnlockTimeout(1, seconds))
	if err != nil {
		return err
	}
	return up(ctx, goose.DialectPostgres, db, "postgres", goose.WithSessionLocker(locker))
}

func up(ctx context.Context, dialect goose.Dialect, db *sql.DB, dir string, options ...goose.ProviderOption) error {
	sources, err := fs.Sub(files, dir)
	if err != nil {
		return err
	}
	options = append(options, goose.WithDisableGlobalRegistry(true), goose.WithTableName("schema_version"))
	provider, err := goose.NewProvider(dialect, db, sources, options...)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	all := provider.ListSources()
	known := all[len(all)-1].Version
	has, err := provider.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("read the version of the database: %w", err)
	}
	if has > known {
		return fmt.Errorf("%w: its version is %d, this program knows up to %d; start the newer program, or restore a backup from before it",
			store.ErrNewer, has, known)
	}
	if has == known {
		return nil // without waiting for the lock
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate the database from version %d to %d: %w", has, known, err)
	}
	return nil
}
