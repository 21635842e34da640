// Package engine is what the database server asks of every kind of database: to
// run one reading statement with bounds, to describe what is there, to explain,
// and to say what its role may do. It holds how values become JSON without loss.
//
// It does not know MCP, budgets or settings, and no database in particular.
package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Column is one column of an answer, with its type as the database calls it.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type,omitempty"`
}

// Query is one statement with its arguments.
type Query struct {
	SQL  string
	Args []any // string, int64, float64, bool or nil, for the placeholders of the dialect
	Skip int   // rows that are passed over
	Max  int   // rows that are wanted at most; the engine need not fetch more
	// Trusted statements are made by this program out of checked names; they are
	// not judged for the functions that they call. All else holds for them, too.
	Trusted bool
	// Find takes the place of SQL where there are documents.
	Find *Find
}

// Find is a question about the documents of one collection. Filter, Projection
// and Pipeline are Extended JSON; a pipeline is asked alone. Distinct asks for the
// values of a field, and Count for the number of documents.
type Find struct {
	Collection                   string
	Filter, Projection, Pipeline json.RawMessage
	Order                        []string // fields; - before one for descending
	Distinct                     string
	Count                        bool
	// Columns are paths of fields. When there are any, a row is the list of their
	// values, with Names as the columns; otherwise it is a document.
	Columns, Names []string
}

// Change is one statement that changes rows, or one change of a collection:
// documents to insert, or a filter with what is set in the documents that it
// finds, or that they are deleted. All but Collection and SQL is Extended JSON.
type Change struct {
	SQL            string
	Collection     string
	Insert         []json.RawMessage
	Filter, Update json.RawMessage
	Delete         bool
}

// Rows takes an answer.
type Rows interface {
	// Columns is called once, before the first row.
	Columns([]Column)
	// Row takes one row as a JSON array, which it must not keep, and says whether
	// another is wanted.
	Row(array []byte) bool
}

// Object is a table, a view or a collection.
type Object struct {
	Schema, Name, Kind, Comment string
	Rows                        int64 // an estimate; negative when it is not known
	Columns                     []Field
	Indexes, Keys               []string // as their definitions read
}

// Field is one column of an object.
type Field struct {
	Name, Type, Comment, References, Default string
	Required                                 bool
}

// Posture is what a role may do beyond what it is for.
type Posture struct {
	Role   string
	Excess []string // what it may do and should not; empty when all is well
	Remedy string   // statements for an administrator that make a role as it should be
}

// Source is one database that is only read. Everything may be called concurrently.
type Source interface {
	// Run runs one reading statement. Nothing that it does stays.
	Run(ctx context.Context, q Query, rows Rows) error
	// Objects lists what may be read, at most 10,000 objects, with columns.
	Objects(ctx context.Context) ([]Object, error)
	// Explain returns the plan of a reading statement, which is not run.
	Explain(ctx context.Context, q Query) (string, error)
	// Posture looks at the role.
	Posture(ctx context.Context) (Posture, error)
	// Dialect says how names and arguments are written.
	Dialect() Dialect
	Ping(ctx context.Context) error
	Close() error
}

// Writer is one database that is written, with a role and a pool of its own.
type Writer interface {
	// Write makes one change and returns how many rows it changed. When there
	// would be more than most, none is.
	Write(ctx context.Context, change Change, most int64) (int64, error)
	// Posture looks at the role: Excess is what it may do beyond changing rows.
	Posture(ctx context.Context) (Posture, error)
	Close() error
}

// Dialect is how one kind of database writes statements.
type Dialect struct {
	Name     string
	Quote    byte // around names; inside it is doubled
	Numbered bool // placeholders are $1, $2; otherwise ?
}

// What an engine wraps when it is not the statement that is at fault.
var (
	ErrLogin       = errors.New("the database does not let the role in")
	ErrUnreachable = errors.New("the database cannot be reached")
)

// Error is what the caller is told: what is wrong, and what to do next.
type Error struct{ Message, Next string }

func (e *Error) Error() string { return e.Message + "; " + e.Next }

// Refuse makes the Error for a statement that is not let through.
func Refuse(next, format string, args ...any) *Error {
	return &Error{Message: fmt.Sprintf(format, args...), Next: next}
}
