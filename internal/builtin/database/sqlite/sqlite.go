// Package sqlite reads databases of SQLite in files, and the sample that comes
// with Dragoman. What only reads is held three times: the file is opened for
// reading, an authorizer refuses all but reading when a statement is compiled,
// and SQLite itself must say of the statement that it is read-only.
//
// It does not know MCP, nor who asks.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
	"github.com/dragoman-mcp/dragoman/server/backend"
)

// Options say which database, and bound it.
type Options struct {
	Path     string // of the file; empty for the sample
	MaxConns int    // 4 when 0
	MaxCell  int    // bytes of one value at most; 16 MiB when 0
}

// Source is one file, read through a pool.
type Source struct {
	pool *backend.Pool[*conn]
}

var _ engine.Source = (*Source)(nil)

// Open returns a source. Nothing is opened before it is used.
func Open(o Options) *Source {
	if o.MaxConns == 0 {
		o.MaxConns = 4
	}
	if o.MaxCell == 0 {
		o.MaxCell = 16 << 20
	}
	return &Source{pool: backend.NewPool(backend.PoolOptions[*conn]{
		Open:  func(context.Context) (*conn, error) { return open(o) },
		Close: (*conn).close,
		Max:   o.MaxConns,
	})}
}

func open(o Options) (*conn, error) {
	flags := int32(lib.SQLITE_OPEN_READONLY)
	if o.Path == "" {
		flags = lib.SQLITE_OPEN_READWRITE | lib.SQLITE_OPEN_CREATE | lib.SQLITE_OPEN_MEMORY
	}
	c, err := openConn(o.Path, flags)
	if err != nil {
		return nil, err
	}
	if err := c.harden(o); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *conn) harden(o Options) error {
	for option, on := range map[int32]int32{lib.SQLITE_DBCONFIG_DEFENSIVE: 1, lib.SQLITE_DBCONFIG_TRUSTED_SCHEMA: 0,
		lib.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION: 0, lib.SQLITE_DBCONFIG_DQS_DML: 0, lib.SQLITE_DBCONFIG_DQS_DDL: 0} {
		if err := c.config(option, on); err != nil {
			return err
		}
	}
	for limit, most := range map[int32]int32{lib.SQLITE_LIMIT_LENGTH: int32(o.MaxCell), lib.SQLITE_LIMIT_SQL_LENGTH: maxSQL,
		lib.SQLITE_LIMIT_ATTACHED: 0, lib.SQLITE_LIMIT_EXPR_DEPTH: 500, lib.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 10000,
		lib.SQLITE_LIMIT_WORKER_THREADS: 0} {
		lib.Xsqlite3_limit(c.tls, c.db, limit, most)
	}
	if o.Path == "" {
		for _, statement := range sampleStatements() {
			if err := c.exec(statement); err != nil {
				return fmt.Errorf("make the sample: %w", err)
			}
		}
	}
	if err := c.exec("PRAGMA query_only = ON"); err != nil {
		return err
	}
	return c.guard()
}

// config sets an option of the connection; what sqlite3_db_config takes after it,
// (int, int *), is a list of variable arguments.
func (c *conn) config(option, on int32) error {
	list := libc.NewVaList(on, uintptr(0))
	if list == 0 {
		return errors.New("set an option of the connection: there is no memory")
	}
	defer libc.Xfree(c.tls, list)
	if rc := lib.Xsqlite3_db_config(c.tls, c.db, option, list); rc != lib.SQLITE_OK {
		return fmt.Errorf("set option %d of the connection: %d", option, rc)
	}
	return nil
}

func (s *Source) Run(ctx context.Context, q engine.Query, rows engine.Rows) error {
	return s.run(ctx, q.SQL, q, rows)
}

func (s *Source) run(ctx context.Context, sql string, q engine.Query, rows engine.Rows) error {
	return s.pool.Do(ctx, func(c *conn) error {
		defer c.watch(ctx)()
		statement, err := c.prepare(sql)
		if err != nil {
			return c.told(ctx, err)
		}
		defer lib.Xsqlite3_finalize(c.tls, statement)
		if lib.Xsqlite3_stmt_readonly(c.tls, statement) == 0 {
			return engine.Refuse("send a SELECT", "this statement does more than read")
		}
		if err := c.bind(statement, q.Args); err != nil {
			return c.told(ctx, err)
		}
		if err := c.each(statement, q.Skip, q.Max, rows); err != nil {
			return c.told(ctx, err)
		}
		return ctx.Err()
	})
}

// told makes of what went wrong something that the caller can act on.
func (c *conn) told(ctx context.Context, err error) error {
	var refused *engine.Error
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &refused):
		return err
	case c.refused != "" && c.writes:
		return engine.Refuse("send one INSERT, UPDATE or DELETE", "%s", c.refused)
	case c.refused != "":
		return engine.Refuse("send one statement that only reads", "%s", c.refused)
	case errors.Is(err, errTail):
		return engine.Refuse("send them one by one", "%s", err)
	case strings.Contains(err.Error(), "disk I/O") || strings.Contains(err.Error(), "malformed"):
		return err
	}
	if strings.Contains(err.Error(), "syntax error") || strings.Contains(err.Error(), "incomplete input") {
		return engine.Refuse("correct the statement", "%s", err)
	}
	return engine.Refuse("look at the tables and columns with schema", "%s", err)
}

func (s *Source) Explain(ctx context.Context, q engine.Query) (string, error) {
	var plan lines
	if err := s.run(ctx, "EXPLAIN QUERY PLAN "+q.SQL, engine.Query{Args: q.Args, Max: 1000}, &plan); err != nil {
		return "", err
	}
	return plan.text.String(), nil
}

// Posture has nothing to find: what opens the file for reading cannot write.
func (s *Source) Posture(context.Context) (engine.Posture, error) {
	return engine.Posture{Role: "reader of the file"}, nil
}

func (s *Source) Dialect() engine.Dialect { return engine.Dialect{Name: "sqlite", Quote: '"'} }

func (s *Source) Ping(ctx context.Context) error {
	return s.run(ctx, "SELECT 1", engine.Query{Max: 1}, &lines{})
}

func (s *Source) Close() error { return s.pool.Close() }
