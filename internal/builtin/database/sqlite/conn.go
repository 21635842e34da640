package sqlite

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"unsafe"

	"modernc.org/libc"
	lib "modernc.org/sqlite/lib"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
)

const (
	// progressEvery is after how many steps of SQLite's machine the context is
	// looked at: some 50 µs.
	progressEvery = 4000
	busyMillis    = 5000
	maxSQL        = 256 << 10 // bytes of one statement
	// copies tells SQLite to copy what is bound (SQLITE_TRANSIENT).
	copies = ^uintptr(0)
)

// conn is one connection by the C interface, since the driver for database/sql
// has no authorizer. It is used by one goroutine at a time.
type conn struct {
	tls *libc.TLS
	db  uintptr
	// out is where calls put pointers. It is in the heap for as long as conn is,
	// which does not move.
	out struct{ a, b uintptr }
	// stop is set when the call under way shall end.
	stop atomic.Bool
	// writes lets rows be changed; own is set while this package's own statements
	// are compiled.
	writes, own bool
	// refused is what the authorizer has refused last.
	refused string
	// Functions that SQLite calls are kept from being collected.
	progress func(*libc.TLS, uintptr) int32
	judge    any // of a type with seven parameters, see guard
}

// openConn opens a file; an empty name is a database in memory.
func openConn(name string, flags int32) (*conn, error) {
	c := &conn{tls: libc.NewTLS()}
	if name == "" {
		name = ":memory:"
	}
	text, err := libc.CString(name)
	if err != nil {
		return nil, err
	}
	defer libc.Xfree(c.tls, text)
	rc := lib.Xsqlite3_open_v2(c.tls, text, c.at(&c.out.a), flags|lib.SQLITE_OPEN_NOMUTEX|lib.SQLITE_OPEN_EXRESCODE, 0)
	c.db = c.out.a
	if rc != lib.SQLITE_OK {
		err := fmt.Errorf("%w: %w", engine.ErrUnreachable, c.fault("open the database"))
		c.close()
		return nil, err
	}
	lib.Xsqlite3_busy_timeout(c.tls, c.db, busyMillis)
	c.progress = func(*libc.TLS, uintptr) int32 {
		if c.stop.Load() {
			return 1
		}
		return 0
	}
	lib.Xsqlite3_progress_handler(c.tls, c.db, progressEvery, function(&c.progress), 0)
	return c, nil
}

// function is a Go function as the address that the translated C calls.
func function[F any](f *F) uintptr { return *(*uintptr)(unsafe.Pointer(f)) }

func (c *conn) at(p *uintptr) uintptr { return uintptr(unsafe.Pointer(p)) }

func (c *conn) close() {
	if c.db != 0 {
		lib.Xsqlite3_close_v2(c.tls, c.db)
	}
	c.tls.Close()
	runtime.KeepAlive(c)
}

// fault is the last error of the connection.
func (c *conn) fault(doing string) error {
	return fmt.Errorf("%s: %s", doing, libc.GoString(lib.Xsqlite3_errmsg(c.tls, c.db)))
}

var errTail = errors.New("there is more than one statement")

// prepare compiles exactly one statement.
func (c *conn) prepare(sql string) (uintptr, error) {
	if strings.IndexByte(sql, 0) >= 0 {
		return 0, errors.New("the statement has a zero byte")
	}
	text, err := libc.CString(sql)
	if err != nil {
		return 0, err
	}
	defer libc.Xfree(c.tls, text)
	c.refused = ""
	c.out.a, c.out.b = 0, 0
	rc := lib.Xsqlite3_prepare_v2(c.tls, c.db, text, int32(len(sql)+1), c.at(&c.out.a), c.at(&c.out.b))
	if rc != lib.SQLITE_OK {
		return 0, c.fault("read the statement")
	}
	statement := c.out.a
	if rest := c.out.b - text; statement == 0 || !empty(sql[min(int(rest), len(sql)):]) {
		lib.Xsqlite3_finalize(c.tls, statement)
		if statement == 0 {
			return 0, errors.New("there is no statement")
		}
		return 0, errTail
	}
	return statement, nil
}

// empty says whether only white space, semicolons and comments are left.
func empty(sql string) bool {
	for {
		sql = strings.TrimLeft(sql, " \t\r\n\f;")
		switch {
		case sql == "":
			return true
		case strings.HasPrefix(sql, "--"):
			_, sql, _ = strings.Cut(sql, "\n")
		case strings.HasPrefix(sql, "/*"):
			_, sql, _ = strings.Cut(sql[2:], "*/")
		default:
			return false
		}
	}
}

func (c *conn) bind(statement uintptr, args []any) error {
	for i, arg := range args {
		at, rc := int32(i+1), int32(lib.SQLITE_OK)
		switch arg := arg.(type) {
		case nil:
			rc = lib.Xsqlite3_bind_null(c.tls, statement, at)
		case bool:
			n := int64(0)
			if arg {
				n = 1
			}
			rc = lib.Xsqlite3_bind_int64(c.tls, statement, at, n)
		case int64:
			rc = lib.Xsqlite3_bind_int64(c.tls, statement, at, arg)
		case float64:
			rc = lib.Xsqlite3_bind_double(c.tls, statement, at, arg)
		case string:
			text, err := libc.CString(arg)
			if err != nil {
				return err
			}
			rc = lib.Xsqlite3_bind_text(c.tls, statement, at, text, int32(len(arg)), copies)
			libc.Xfree(c.tls, text)
		default:
			return fmt.Errorf("bind argument %d: a %T cannot be bound", i+1, arg)
		}
		if rc != lib.SQLITE_OK {
			return c.fault("bind an argument")
		}
	}
	return nil
}

// exec runs a constant statement whose rows nobody wants.
func (c *conn) exec(sql string) error {
	statement, err := c.prepare(sql)
	if err != nil {
		return err
	}
	defer lib.Xsqlite3_finalize(c.tls, statement)
	for {
		switch lib.Xsqlite3_step(c.tls, statement) {
		case lib.SQLITE_ROW:
		case lib.SQLITE_DONE:
			return nil
		default:
			return c.fault("run the statement")
		}
	}
}

// watch lets ctx end what the connection does; the function that it returns
// ends the watch.
func (c *conn) watch(ctx context.Context) func() {
	c.stop.Store(false)
	end := context.AfterFunc(ctx, func() { c.stop.Store(true) })
	return func() { end() }
}

// each runs a prepared statement from the row after skip until take says no.
func (c *conn) each(statement uintptr, skip, most int, rows engine.Rows) error {
	n := lib.Xsqlite3_column_count(c.tls, statement)
	columns := make([]engine.Column, n)
	for i := range n {
		columns[i] = engine.Column{Name: libc.GoString(lib.Xsqlite3_column_name(c.tls, statement, i)),
			Type: strings.ToLower(libc.GoString(lib.Xsqlite3_column_decltype(c.tls, statement, i)))}
	}
	rows.Columns(columns)
	var row []byte
	for taken := 0; taken < most; {
		switch lib.Xsqlite3_step(c.tls, statement) {
		case lib.SQLITE_DONE:
			return nil
		case lib.SQLITE_ROW:
		default:
			return c.fault("run the statement")
		}
		if skip > 0 {
			skip--
			continue
		}
		row = append(row[:0], '[')
		for i := range n {
			if i > 0 {
				row = append(row, ',')
			}
			row = c.cell(row, statement, i)
		}
		taken++
		if !rows.Row(append(row, ']')) {
			return nil
		}
	}
	return nil
}

// cell appends a value by the type that it has, which in SQLite need not be its column's.
func (c *conn) cell(row []byte, statement uintptr, i int32) []byte {
	switch lib.Xsqlite3_column_type(c.tls, statement, i) {
	case lib.SQLITE_INTEGER:
		return engine.AppendInt(row, lib.Xsqlite3_column_int64(c.tls, statement, i))
	case lib.SQLITE_FLOAT:
		return engine.AppendFloat(row, lib.Xsqlite3_column_double(c.tls, statement, i), 64)
	case lib.SQLITE_TEXT:
		p := lib.Xsqlite3_column_text(c.tls, statement, i)
		return engine.AppendText(row, libc.GoBytes(p, int(lib.Xsqlite3_column_bytes(c.tls, statement, i))))
	case lib.SQLITE_BLOB:
		p := lib.Xsqlite3_column_blob(c.tls, statement, i)
		return engine.AppendBytes(row, libc.GoBytes(p, int(lib.Xsqlite3_column_bytes(c.tls, statement, i))))
	}
	return append(row, "null"...)
}
