package mysql

import (
	"context"
	"database/sql/driver"
	"errors"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
	"github.com/dragoman-mcp/dragoman/server/backend"
)

// Writer changes rows of one database, with a role and a pool of its own.
type Writer struct{ source *Source }

var _ engine.Writer = (*Writer)(nil)

// OpenWriter returns a writer. Nothing is connected before it is used.
func OpenWriter(o Options) (*Writer, error) {
	s, err := Open(o)
	if err != nil {
		return nil, err
	}
	s.session = []string{modeSQL, "SET SESSION TRANSACTION READ WRITE", "SET SESSION autocommit = 1"}
	return &Writer{s}, nil
}

// forbidden are words that no statement of a writer has: what reaches files, waits,
// locks or hands back rows, of which the server does not say how many were changed.
const forbidden = `outfile dumpfile load_file sleep benchmark get_lock release_lock release_all_locks master_pos_wait master_gtid_wait
 wait_for_executed_gtid_set procedure returning sys_exec sys_eval`

// changes refuses what is not one INSERT, UPDATE, DELETE or REPLACE.
func changes(sql string) (string, error) {
	tokens, err := lex(sql)
	if err != nil {
		return "", err
	}
	for len(tokens) > 0 && tokens[len(tokens)-1].text == ";" {
		tokens = tokens[:len(tokens)-1]
	}
	if first := at(tokens, 0); first.quoted || !engine.Listed("insert update delete replace with", first.text) {
		return "", engine.Refuse("send one INSERT, UPDATE or DELETE", "this statement does not change rows")
	}
	for _, t := range tokens {
		switch {
		case t.text == ";":
			return "", engine.Refuse("send them one by one", "there is more than one statement")
		case t.text == ":=":
			return "", engine.Refuse("leave it out", "variables are not set here")
		case t.word && engine.Listed(forbidden, t.text):
			return "", engine.Refuse("leave it out", "%s is not for statements that change rows", strings.ToUpper(t.text))
		}
	}
	return strings.TrimRight(sql, spaces+";"), nil
}

// Write runs one INSERT, UPDATE, DELETE or REPLACE in a transaction, and commits
// when it has changed at most most rows.
func (w *Writer) Write(ctx context.Context, change engine.Change, most int64) (int64, error) {
	sql, err := changes(change.SQL)
	if err != nil {
		return 0, err
	}
	var n int64
	err = w.source.pool.Do(ctx, func(c *conn) error {
		if err := c.exec(ctx, "START TRANSACTION"); err != nil {
			return backend.Broken(err)
		}
		n, err = c.change(ctx, sql)
		if ctx.Err() != nil {
			w.source.kill(context.WithoutCancel(ctx), c.id) // and the server undoes it
			return backend.Broken(ctx.Err())
		}
		if err == nil && n > most {
			err = engine.Refuse("narrow the condition, or change them in parts", "this would change %d rows, and at most %d may be changed at once; nothing was changed", n, most)
		}
		if err == nil {
			if err := c.exec(ctx, "COMMIT"); err != nil {
				return backend.Broken(err)
			}
			return nil
		}
		if kept := c.undo(ctx); kept != nil {
			return kept
		}
		return err
	})
	if err != nil {
		return 0, told(ctx, err)
	}
	return n, nil
}

// change runs one prepared statement that changes rows.
func (c *conn) change(ctx context.Context, sql string) (int64, error) {
	statement, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, sql)
	if err != nil {
		return 0, err
	}
	result, err := statement.(driver.StmtExecContext).ExecContext(ctx, nil)
	if err != nil {
		return 0, errors.Join(err, statement.Close())
	}
	n, err := result.RowsAffected()
	return n, errors.Join(err, statement.Close())
}

// undo rolls back. Tables of engines without transactions stay changed, which the
// server warns of with 1196 (manual, "Server Error Message Reference").
func (c *conn) undo(ctx context.Context) error {
	if err := c.exec(ctx, "ROLLBACK"); err != nil {
		return backend.Broken(err)
	}
	kept := false
	err := c.query(ctx, "SHOW WARNINGS", nil, func(_ driver.Rows, row []driver.Value) bool {
		for _, cell := range row {
			code, is := cell.(int64)
			kept = kept || is && code == 1196
			text, is := cell.([]byte)
			kept = kept || is && string(text) == "1196"
		}
		return true
	})
	if err != nil {
		return backend.Broken(err)
	}
	if kept {
		return engine.Refuse("look at the rows, and ask an administrator for a table of InnoDB", "the table cannot undo changes: they were made")
	}
	return nil
}

// Posture reads the grants of the role that writes.
func (w *Writer) Posture(ctx context.Context) (engine.Posture, error) {
	return w.source.posture(ctx, readingRights+" insert update delete", "dragoman_writer", "SELECT, INSERT, UPDATE, DELETE")
}

// Close closes the pool.
func (w *Writer) Close() error { return w.source.Close() }
