package relational

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dragoman-mcp/dragoman/internal/store"
)

const (
	maxName  = 512
	maxField = 4 << 20
)

// name is an argument that a record is found by.
type name string

// values makes what a driver takes of what a domain has, and refuses what not
// every database can keep.
func values(args []any) ([]any, error) {
	made := make([]any, len(args))
	for i, arg := range args {
		switch v := arg.(type) {
		case name:
			if v == "" || len(v) > maxName {
				return nil, fmt.Errorf("a name or id of %d bytes cannot be stored, it needs 1 to %d", len(v), maxName)
			}
			arg = string(v)
		case time.Time:
			arg = micros(v)
		case bool:
			arg = int64(0)
			if v {
				arg = int64(1)
			}
		case []string:
			text, err := json.Marshal(v)
			if err != nil {
				return nil, err
			}
			arg = string(text)
		case []byte:
			if v == nil {
				arg = []byte{}
			}
			if len(v) > maxField {
				return nil, tooLong(len(v))
			}
		}
		if text, ok := arg.(string); ok {
			if len(text) > maxField {
				return nil, tooLong(len(text))
			}
			if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
				return nil, errors.New("text that is not UTF-8, or has a NUL, cannot be stored")
			}
		}
		made[i] = arg
	}
	return made, nil
}

func tooLong(n int) error {
	return fmt.Errorf("%d bytes cannot be stored, a field has at most %d", n, maxField)
}

// micros is a time as it is stored.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// moment reads a time as it is stored.
type moment struct{ to *time.Time }

func (m moment) Scan(value any) error {
	n, ok := value.(int64)
	if !ok {
		return fmt.Errorf("stored time is a %T, want a number", value)
	}
	*m.to = time.Time{}
	if n != 0 {
		*m.to = time.UnixMicro(n).UTC()
	}
	return nil
}

// list reads a list as it is stored.
type list struct{ to *[]string }

func (l list) Scan(value any) error {
	text, ok := value.(string)
	if !ok {
		return fmt.Errorf("stored list is a %T, want text", value)
	}
	return json.Unmarshal([]byte(text), l.to)
}

// record scans one row.
type record[T any] func(scan func(to ...any) error) (T, error)

// many reads rows.
func many[T any](ctx context.Context, d *database, read record[T], query string, args ...any) ([]T, error) {
	values, err := values(args)
	if err != nil {
		return nil, err
	}
	rows, err := d.Reader.QueryContext(ctx, query, values...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := read(rows.Scan)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// one reads a row. What could not have been stored is not found.
func one[T any](ctx context.Context, d *database, read record[T], query string, args ...any) (T, error) {
	var none T
	values, err := values(args)
	if err != nil {
		return none, store.ErrNotFound
	}
	found, err := read(d.Reader.QueryRowContext(ctx, query, values...).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return none, store.ErrNotFound
	}
	return found, err
}
