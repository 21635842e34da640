package postgres

import (
	"context"
	"errors"
	"slices"

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

// Write runs one INSERT, UPDATE, DELETE or MERGE in a transaction, and commits
// when it has changed at most most rows.
func (w *Writer) Write(ctx context.Context, sql string, most int64) (int64, error) {
	tokens, err := lex(sql)
	if err != nil {
		return 0, err
	}
	if len(tokens) == 0 || !slices.Contains([]string{"insert", "update", "delete", "merge", "with"}, tokens[0].text) || tokens[0].quoted {
		return 0, engine.Refuse("send one INSERT, UPDATE, DELETE or MERGE", "this statement does not change rows")
	}
	var n int64
	err = w.pool.Do(ctx, func(c *pgconn.PgConn) error {
		if _, err := c.ExecParams(ctx, "BEGIN", nil, nil, nil, nil).Close(); err != nil {
			return backend.Broken(err)
		}
		tag, err := c.ExecParams(ctx, sql, nil, nil, nil, nil).Close()
		n = tag.RowsAffected()
		if err == nil && n > most {
			err = engine.Refuse("narrow the condition, or change them in parts", "this would change %d rows, and at most %d may be changed at once; nothing was changed", n, most)
		}
		if err == nil {
			_, err = c.ExecParams(ctx, "COMMIT", nil, nil, nil, nil).Close()
		}
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

// Close closes the pool.
func (w *Writer) Close() error { return w.pool.Close() }
