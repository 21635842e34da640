package mysql

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/go-sql-driver/mysql"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
)

const (
	// keptStatements of a connection stay prepared, which saves a round trip when a
	// statement comes again, such as for the next page of its answer.
	keptStatements = 16
	// startRows is how many rows a statement may have that does not say so itself.
	startRows = 1001
	// unreadRows and unreadBytes are what is read and let go when no more rows are
	// wanted. With more left, the statement is ended and the connection with it.
	unreadRows  = 2000
	unreadBytes = 1 << 20
)

// conn is a connection with its number, by which another can end what it does.
type conn struct {
	driver.Conn
	id    int64
	limit int    // of rows, as the session has it
	kept  []kept // the last one was used last
}

type kept struct {
	sql       string
	statement driver.Stmt
}

func (s *Source) connect(ctx context.Context) (*conn, error) {
	raw, err := s.connector.Connect(ctx)
	if err != nil {
		return nil, unconnected(err)
	}
	c := &conn{Conn: raw}
	for _, statement := range s.session {
		if err := c.exec(ctx, statement); err != nil {
			return nil, errors.Join(err, raw.Close())
		}
	}
	err = c.query(ctx, "SELECT CONNECTION_ID()", nil, func(_ driver.Rows, row []driver.Value) bool {
		if row != nil {
			_, _ = fmt.Sscan(fmt.Sprint(row[0]), &c.id)
		}
		return true
	})
	if err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	return c, nil
}

// unconnected says why there is no connection: whoever logs in is not let in, or
// there is no such database, or there is no server.
func unconnected(err error) error {
	var fault *mysql.MySQLError
	if errors.As(err, &fault) && slices.Contains([]uint16{1044, 1045, 1049, 1130, 1698, 1862, 4151}, fault.Number) {
		return fmt.Errorf("%w: %w", engine.ErrLogin, err)
	}
	return fmt.Errorf("%w: %w", engine.ErrUnreachable, err)
}

func (c *conn) exec(ctx context.Context, sql string) error {
	_, err := c.Conn.(driver.ExecerContext).ExecContext(ctx, sql, nil)
	return err
}

// atMost lets a statement have n rows, unless it says itself how many (manual,
// sql_select_limit). So the server does not send what nobody takes, and the
// statement is left as it is.
func (c *conn) atMost(ctx context.Context, n int) error {
	n = max(n, startRows)
	if n == c.limit {
		return nil
	}
	err := c.exec(ctx, fmt.Sprintf("SET SESSION sql_select_limit = %d", n))
	if err == nil {
		c.limit = n
	}
	return err
}

// prepare returns a prepared statement, which may be one that was kept.
func (c *conn) prepare(ctx context.Context, sql string) (driver.Stmt, error) {
	if i := slices.IndexFunc(c.kept, func(k kept) bool { return k.sql == sql }); i >= 0 {
		k := c.kept[i]
		c.kept = append(slices.Delete(c.kept, i, i+1), k)
		return k.statement, nil
	}
	statement, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, sql)
	if err != nil {
		return nil, err
	}
	if len(c.kept) == keptStatements {
		if err := c.forget(c.kept[0].statement); err != nil {
			return nil, err
		}
	}
	c.kept = append(c.kept, kept{sql, statement})
	return statement, nil
}

func (c *conn) forget(statement driver.Stmt) error {
	c.kept = slices.DeleteFunc(c.kept, func(k kept) bool { return k.statement == statement })
	return statement.Close()
}

var errUnread = errors.New("there are rows that nobody reads")

// query runs one prepared statement. When take wants no more and many rows are
// left, the error is errUnread, and the connection has rows that nobody reads.
func (c *conn) query(ctx context.Context, sql string, args []any, take func(driver.Rows, []driver.Value) bool) error {
	statement, err := c.prepare(ctx, sql)
	if err != nil {
		return err
	}
	values := make([]driver.NamedValue, len(args))
	for i, arg := range args {
		values[i] = driver.NamedValue{Ordinal: i + 1, Value: arg}
	}
	rows, err := statement.(driver.StmtQueryContext).QueryContext(ctx, values)
	if err != nil {
		return errors.Join(err, c.forget(statement))
	}
	row := make([]driver.Value, len(rows.Columns()))
	wanted := take(rows, nil) // columns, before there are rows
	for unread, size := 0, 0; ; {
		switch err := rows.Next(row); {
		case errors.Is(err, io.EOF):
			return rows.Close()
		case err != nil:
			return errors.Join(err, c.forget(statement))
		case wanted:
			wanted = take(rows, row)
			continue
		}
		unread++
		if size += sizeOf(row); unread > unreadRows || size > unreadBytes {
			return errUnread
		}
	}
}

func sizeOf(row []driver.Value) (n int) {
	for _, cell := range row {
		if data, is := cell.([]byte); is {
			n += len(data)
		}
	}
	return n
}
