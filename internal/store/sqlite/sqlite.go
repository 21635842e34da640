// Package sqlite is the store in a SQLite file: for one process, or a few on one
// machine, such as a gateway that runs and a command that revokes a key.
//
// A write is acknowledged after fsync (WAL with synchronous=FULL). There is one
// connection that writes, so that writers of a process wait in line instead of
// for SQLite's lock, and several that read. What is removed is overwritten with
// zeros (secure_delete).
//
// It does not know the tables; see store/migrations and store/relational. It must
// not be used on a network file system, where the locks of WAL do not work.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver called sqlite

	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/internal/store/migrations"
	"github.com/dragoman-mcp/dragoman/internal/store/relational"
)

const (
	readers = 4
	// lockWait is how long a writer waits for another process, in milliseconds.
	lockWait = 10_000
	// look is how often the feed asks whether something was committed. Asking takes microseconds.
	look = 250 * time.Millisecond
	// openLimit bounds opening, with migrations.
	openLimit = time.Minute
)

// Open opens the store in a file, which is made with its directory if it is not
// there, for nobody but the user. Who opened it closes it.
func Open(ctx context.Context, path string) (*store.Store, error) {
	ctx, cancel := context.WithTimeout(ctx, openLimit)
	defer cancel()
	if err := prepare(path); err != nil {
		return nil, err
	}
	d, err := open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open the store in %s: %w", path, err)
	}
	return d, nil
}

func open(ctx context.Context, path string) (*store.Store, error) {
	writer, err := pool(path, 1, "_txlock=immediate")
	if err != nil {
		return nil, err
	}
	if err := migrations.SQLite(ctx, writer); err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	reader, err := pool(path, readers, "_pragma=query_only(1)")
	if err != nil {
		return nil, errors.Join(err, writer.Close())
	}
	ears, err := pool(path, 1, "_pragma=query_only(1)")
	if err != nil {
		return nil, errors.Join(err, writer.Close(), reader.Close())
	}
	return relational.New(relational.Database{
		Reader: reader,
		Writer: writer,
		Erased: func(ctx context.Context) error { return erase(ctx, writer) },
		Listen: func(ctx context.Context) (relational.Bell, error) { return listen(ctx, ears) },
		Closed: ears.Close,
	}), nil
}

// prepare makes the file before SQLite does, which would let others read it; the
// files beside it get the rights that it has.
func prepare(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the directory of the store: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open the file of the store: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("open the store: %s is not a file", path)
	}
	if info.Mode()&(fs.ModePerm&0o007) != 0 && os.PathSeparator == '/' {
		return fmt.Errorf("open the store: every user of this machine may use %s (mode %04o): run chmod 600 on it", path, info.Mode().Perm())
	}
	return nil
}

// pool is at most n connections to the file, each set up in the same way.
func pool(path string, n int, more string) (*sql.DB, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	location := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(absolute)}
	db, err := sql.Open("sqlite", fmt.Sprintf("%s?_pragma=busy_timeout(%d)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"+
		"&_pragma=secure_delete(1)&_pragma=trusted_schema(0)&%s", location.String(), lockWait, more))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// erase moves what was written into the main file, where removed rows were
// overwritten, and empties the log, where they still stand. While somebody reads
// an older state the log cannot be emptied, and after lockWait that is an error.
func erase(ctx context.Context, writer *sql.DB) error {
	var busy, frames, moved int
	if err := writer.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &moved); err != nil {
		return err
	}
	if busy != 0 {
		return errors.New("somebody is reading for long; remove it again, or close the store")
	}
	return nil
}

// bell asks SQLite for a number that changes whenever another connection, of this
// or another process, has committed.
type bell struct {
	conn *sql.Conn
	seen int64
}

func listen(ctx context.Context, db *sql.DB) (relational.Bell, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	b := &bell{conn: conn}
	if b.seen, err = b.version(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return b, nil
}

func (b *bell) Close() error { return b.conn.Close() }

func (b *bell) version(ctx context.Context) (n int64, err error) {
	err = b.conn.QueryRowContext(ctx, "PRAGMA data_version").Scan(&n)
	return n, err
}

// Wait returns when the number has changed, or after relational.Poll.
func (b *bell) Wait(ctx context.Context) error {
	enough := time.NewTimer(relational.Poll)
	defer enough.Stop()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		n, err := b.version(ctx)
		if err != nil {
			return err
		}
		if n != b.seen {
			b.seen = n
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-enough.C:
			return nil
		case <-tick.C:
		}
	}
}
