package sqlite

import (
	"context"
	"fmt"

	lib "modernc.org/sqlite/lib"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
	"github.com/dragoman-mcp/dragoman/server/backend"
)

// Writer changes rows of one file, with a connection of its own.
type Writer struct{ pool *backend.Pool[*conn] }

var _ engine.Writer = (*Writer)(nil)

// OpenWriter returns a writer of a file that is there. It is opened when it is used.
func OpenWriter(path string) (*Writer, error) {
	return &Writer{backend.NewPool(backend.PoolOptions[*conn]{
		Open: func(context.Context) (*conn, error) {
			c, err := openConn(path, lib.SQLITE_OPEN_READWRITE)
			if err != nil {
				return nil, err
			}
			if err := c.guardWriting(); err != nil {
				c.close()
				return nil, err
			}
			return c, nil
		},
		Close: (*conn).close, Max: 1,
	})}, nil
}

func (c *conn) guardWriting() error {
	for option, on := range map[int32]int32{lib.SQLITE_DBCONFIG_DEFENSIVE: 1, lib.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION: 0} {
		if err := c.config(option, on); err != nil {
			return err
		}
	}
	c.writes = true
	if err := c.exec("PRAGMA foreign_keys = ON"); err != nil {
		return err
	}
	return c.guard()
}

// Write runs one INSERT, UPDATE or DELETE in a transaction, and commits when it
// has changed at most most rows.
func (w *Writer) Write(ctx context.Context, change engine.Change, most int64) (int64, error) {
	sql, n := change.SQL, int64(0)
	err := w.pool.Do(ctx, func(c *conn) error {
		defer c.watch(ctx)()
		statement, err := c.prepare(sql)
		if err != nil {
			return c.told(ctx, err)
		}
		n, err = c.change(statement, most)
		lib.Xsqlite3_finalize(c.tls, statement)
		if err == nil {
			err = c.transact("COMMIT")
		}
		if err == nil {
			return nil
		}
		if undone := c.transact("ROLLBACK"); undone != nil {
			return backend.Broken(fmt.Errorf("%w; %w", err, undone))
		}
		return c.told(ctx, err)
	})
	return n, err
}

// change begins a transaction and runs a prepared statement in it.
func (c *conn) change(statement uintptr, most int64) (int64, error) {
	if err := c.transact("BEGIN IMMEDIATE"); err != nil {
		return 0, err
	}
	if lib.Xsqlite3_stmt_readonly(c.tls, statement) != 0 {
		return 0, engine.Refuse("send one INSERT, UPDATE or DELETE", "this statement does not change rows")
	}
	before := lib.Xsqlite3_total_changes64(c.tls, c.db)
	for rc := int32(lib.SQLITE_ROW); rc != lib.SQLITE_DONE; {
		if rc = lib.Xsqlite3_step(c.tls, statement); rc != lib.SQLITE_ROW && rc != lib.SQLITE_DONE {
			return 0, c.fault("run the statement")
		}
	}
	n := lib.Xsqlite3_total_changes64(c.tls, c.db) - before
	if n > most {
		return 0, engine.Refuse("narrow the condition, or change them in parts",
			"this would change %d rows, and at most %d may be changed at once; nothing was changed", n, most)
	}
	return n, nil
}

// transact runs a statement of this package that the authorizer refuses to callers.
func (c *conn) transact(sql string) error {
	c.own = true
	defer func() { c.own = false }()
	return c.exec(sql)
}

// Posture says that there are no roles: whoever may write the file may do all that
// the authorizer lets through.
func (w *Writer) Posture(context.Context) (engine.Posture, error) {
	return engine.Posture{Role: "the owner of the process"}, nil
}

// Close closes the file.
func (w *Writer) Close() error { return w.pool.Close() }
