// Package relational is the store in SQL: the statements, which are the same for
// SQLite and PostgreSQL, and the feed of changes. The parts in which databases
// differ are in Database.
//
// It does not know which database it speaks to, and opens no connections.
package relational

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/store"
)

// Database is an open database that has the tables of store/migrations. Reader
// and Writer may be the same.
type Database struct {
	Reader *sql.DB
	Writer *sql.DB // its transactions see what was committed when their statements begin
	// Lock is a statement after which a transaction is alone with the table of
	// changes until it ends; empty where transactions that write are alone anyway.
	Lock string
	// Notify is a statement that rings the bell of others when the transaction is
	// committed; empty where the bell hears that by itself.
	Notify string
	// Erased does what is needed so that rows which were removed are not in the
	// database's files any more; nil if nothing is.
	Erased func(ctx context.Context) error
	// Listen makes a bell. What is committed after it has returned rings it.
	Listen func(ctx context.Context) (Bell, error)
	// Closed gives back what else there is after the connections are closed; nil
	// if there is nothing.
	Closed func() error
}

// Bell tells when to look for changes.
type Bell interface {
	// Wait returns when something may have changed, and after Poll at the latest.
	Wait(ctx context.Context) error
	Close() error
}

// Poll is how long a bell may stay silent, so that a change which it has not
// heard is found within the five seconds that store.Feed promises.
const Poll = 2 * time.Second

// New is the store in a database, which belongs to it from now on.
func New(db Database) *store.Store {
	d := &database{Database: db}
	h := newHub(d)
	return &store.Store{
		Users: users{d}, Keys: keys{d}, Families: families{d}, Denials: denials{d}, SigningKeys: signingKeys{d},
		Clients: clients{d}, Consents: consents{d}, Pins: pins{d}, Credentials: credentials{d}, DataKeys: dataKeys{d}, Leases: leases{d},
		Feed: h, Health: d, Closer: closer{h, d},
	}
}

type database struct{ Database }

// Ping answers nil if the database can be reached, for writing and for reading.
func (d *database) Ping(ctx context.Context) error {
	if err := d.Writer.PingContext(ctx); err != nil {
		return err
	}
	var one int
	return d.Reader.QueryRowContext(ctx, "SELECT 1").Scan(&one)
}

type closer struct {
	hub *hub
	*database
}

func (c closer) Close() error {
	c.hub.close()
	err := c.Reader.Close()
	if c.Writer != c.Reader {
		err = errors.Join(err, c.Writer.Close())
	}
	if c.Closed != nil {
		err = errors.Join(err, c.Closed())
	}
	return err
}

// transaction writes, and remembers what others have to be told.
type transaction struct {
	*sql.Tx
	changes []store.Change
}

// changed says that others have to forget something.
func (t *transaction) changed(domain, key string) {
	c := store.Change{Domain: domain, Key: key}
	for _, known := range t.changes {
		if known == c {
			return
		}
	}
	t.changes = append(t.changes, c)
}

// exec runs a statement and says how many rows it has changed.
func (t *transaction) exec(ctx context.Context, query string, args ...any) (int64, error) {
	values, err := values(args)
	if err != nil {
		return 0, err
	}
	result, err := t.ExecContext(ctx, query, values...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// must is exec for a statement that changes exactly one row; if it does not, that is the error.
func (t *transaction) must(ctx context.Context, otherwise error, query string, args ...any) error {
	n, err := t.exec(ctx, query, args...)
	if err == nil && n != 1 {
		err = otherwise
	}
	return err
}

// write does something in a transaction; when it returns nil that is on disk, and
// others will be told.
func (d *database) write(ctx context.Context, do func(t *transaction) error) error {
	begun, err := d.Writer.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin to write: %w", err)
	}
	t := &transaction{Tx: begun}
	err = do(t)
	if err == nil {
		err = d.announce(ctx, t)
	}
	if err != nil {
		return errors.Join(err, ignoreDone(begun.Rollback()))
	}
	if err := begun.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// ignoreDone leaves out that a transaction was rolled back before, because its
// context has ended.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// kept is how many changes can be read again. A replica that has missed more is
// told to forget everything.
const kept = 10_000

// announce numbers the changes of a transaction. It is the last thing that the
// transaction does: until it ends, others that announce wait.
func (d *database) announce(ctx context.Context, t *transaction) error {
	if len(t.changes) == 0 {
		return nil
	}
	for _, statement := range []string{d.Lock, d.Notify} {
		if statement == "" {
			continue
		}
		if _, err := t.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("announce changes: %w", err)
		}
	}
	for _, c := range t.changes {
		if _, err := t.exec(ctx, `INSERT INTO changes (position, domain, key)
			SELECT COALESCE(MAX(position), 0) + 1, $1, $2 FROM changes`, c.Domain, c.Key); err != nil {
			return fmt.Errorf("announce changes: %w", err)
		}
	}
	_, err := t.exec(ctx, `DELETE FROM changes WHERE position <= (SELECT MAX(position) FROM changes) - $1`, kept)
	if err != nil {
		return fmt.Errorf("forget old changes: %w", err)
	}
	return nil
}

// staleOr is why a change of a row with a version found none: it has another
// version, or there is no such row, which is otherwise.
func (t *transaction) staleOr(ctx context.Context, otherwise error, query string, args ...any) error {
	values, err := values(args)
	if err != nil {
		return err
	}
	var there int
	err = t.QueryRowContext(ctx, query, values...).Scan(&there)
	if errors.Is(err, sql.ErrNoRows) {
		return otherwise
	}
	if err != nil {
		return err
	}
	return store.ErrConflict
}

// count is write for what changes any number of rows.
func (d *database) count(ctx context.Context, do func(t *transaction) (int64, error)) (int, error) {
	var n int64
	err := d.write(ctx, func(t *transaction) error {
		var err error
		n, err = do(t)
		return err
	})
	if err != nil {
		return 0, err
	}
	return int(n), nil
}

// erased sees to it that what was removed is gone from the files too.
func (d *database) erased(ctx context.Context) error {
	if d.Erased == nil {
		return nil
	}
	if err := d.Erased(ctx); err != nil {
		return fmt.Errorf("removed, but not yet from the files of the database: %w", err)
	}
	return nil
}
