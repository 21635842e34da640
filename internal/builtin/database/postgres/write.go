package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
	"github.com/dragoman-mcp/dragoman/server/backend"
)

// Writer changes rows of one database, with a role and a pool of its own.
type Writer struct{ pool *backend.Pool[*pgconn.PgConn] }

var _ engine.Writer = (*Writer)(nil)

// OpenWriter returns a writer. Nothing is connected before it is used.
func OpenWriter(o Options) (*Writer, error) {
	config, err := configure(o)
	if err != nil {
		return nil, err
	}
	for name, value := range session() {
		if name != "default_transaction_read_only" {
			config.RuntimeParams[name] = value
		}
	}
	return &Writer{newPool(config, o.MaxConns)}, nil
}

// countSQL tells how many rows the session has changed in this transaction, those
// of WITH and of triggers among them, of which the tag of a statement says nothing.
// It is compared with what it was before, since a session may not yet have given
// away its earlier counts.
const countSQL = `SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::text FROM pg_catalog.pg_stat_xact_user_tables`

// Write runs one INSERT, UPDATE, DELETE or MERGE in a transaction, and commits
// when it has changed at most most rows.
func (w *Writer) Write(ctx context.Context, change engine.Change, most int64) (int64, error) {
	tokens, err := lex(change.SQL)
	if err != nil {
		return 0, err
	}
	if len(tokens) == 0 || !slices.Contains([]string{"insert", "update", "delete", "merge", "with"}, tokens[0].text) || tokens[0].quoted {
		return 0, engine.Refuse("send one INSERT, UPDATE, DELETE or MERGE", "this statement does not change rows")
	}
	var n int64
	err = w.pool.Do(ctx, func(c *pgconn.PgConn) error {
		var err error
		n, err = within(ctx, c, change.SQL, most)
		if ended := end(context.WithoutCancel(ctx), c); ended != nil {
			return backend.Broken(errors.Join(err, ended))
		}
		return err
	})
	if err != nil {
		return 0, told(ctx, err)
	}
	return n, nil
}

// within runs a statement in a transaction, and commits unless it has changed too
// much. Whatever it has left open is for the caller to end.
func within(ctx context.Context, c *pgconn.PgConn, sql string, most int64) (int64, error) {
	if _, err := c.ExecParams(ctx, "BEGIN", nil, nil, nil, nil).Close(); err != nil {
		return 0, backend.Broken(err)
	}
	before, err := count(ctx, c)
	if err != nil {
		return 0, err
	}
	tag, err := c.ExecParams(ctx, sql, nil, nil, nil, nil).Close()
	if err != nil {
		return 0, err
	}
	after, err := count(ctx, c)
	if err != nil {
		return 0, err
	}
	n := max(tag.RowsAffected(), after-before)
	if n > most {
		return 0, engine.Refuse("narrow the condition, or change them in parts", "this would change %d rows, and at most %d may be changed at once; nothing was changed", n, most)
	}
	_, err = c.ExecParams(ctx, "COMMIT", nil, nil, nil, nil).Close()
	return n, err
}

func count(ctx context.Context, c *pgconn.PgConn) (int64, error) {
	rows, err := texts(ctx, c, countSQL)
	if err != nil || len(rows) != 1 {
		return 0, fmt.Errorf("count the changed rows: %w", err)
	}
	return strconv.ParseInt(rows[0][0], 10, 64)
}

// texts runs a statement of this package.
func texts(ctx context.Context, c *pgconn.PgConn, sql string) ([][]string, error) {
	result := c.ExecParams(ctx, sql, nil, nil, nil, nil).Read()
	rows := make([][]string, len(result.Rows))
	for i, row := range result.Rows {
		for _, cell := range row {
			rows[i] = append(rows[i], string(cell))
		}
	}
	return rows, result.Err
}

// Posture looks at the role that writes: it should change rows and nothing else.
func (w *Writer) Posture(ctx context.Context) (engine.Posture, error) {
	var p engine.Posture
	err := w.pool.Do(ctx, func(c *pgconn.PgConn) error {
		var err error
		ask := func(sql string) ([][]string, error) { return texts(ctx, c, sql) }
		p, err = posture(ask, writerSQL, "dragoman_writer", "SELECT, INSERT, UPDATE, DELETE")
		return err
	})
	return p, told(ctx, err)
}

// Close closes the pool.
func (w *Writer) Close() error { return w.pool.Close() }
