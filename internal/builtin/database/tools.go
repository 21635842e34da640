package database

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
	"github.com/dragoman-mcp/dragoman/server"
)

// reading are the hints of all tools but write.
func reading() server.Hints {
	return server.Hints{ReadOnly: server.Yes, Destructive: server.No, Idempotent: server.Yes, OpenWorld: server.No}
}

const (
	explainIn = `{"type":"object","properties":{"source":{"type":"string"},"sql":{"type":"string"},"find":{"type":"object","description":"arguments of find"}}}`
	rowsOut   = `{"type":"object","properties":{"columns":{"type":"array"},"rows":{"type":"array"},"truncated":{"type":"boolean"},"next_cursor":{"type":"string"}},"required":["columns","rows","truncated"]}`
	textOut   = `{"type":"object","properties":{"plan":{"type":"string"}},"required":["plan"]}`
)

type queryInput struct {
	Source string `json:"source,omitempty" jsonschema:"which database, when there are several"`
	SQL    string `json:"sql" jsonschema:"one SELECT, in the database's dialect"`
	Limit  int    `json:"limit,omitempty" min:"1"`
	Cursor string `json:"cursor,omitempty" jsonschema:"next_cursor of the same call"`
}

type explainInput struct {
	Source string `json:"source,omitempty"`
	SQL    string `json:"sql"`
}

// explainEither is explainInput where there are documents, too.
type explainEither struct {
	Source string     `json:"source,omitempty"`
	SQL    string     `json:"sql,omitempty"`
	Find   *findInput `json:"find,omitempty"`
}

type answer struct {
	Columns []engine.Column   `json:"columns"`
	Rows    []json.RawMessage `json:"rows"`
	Elapsed float64           `json:"elapsed_ms"`
	server.Page
}

type planned struct {
	Plan string `json:"plan"`
}

// position is where a cut answer goes on: the rows that were shown, of the call
// that hashes to Of.
type position struct {
	Skip int    `json:"s"`
	Of   uint64 `json:"q"`
}

func (d *database) addTools(s *server.Server) {
	tables, collections := d.kinds()
	if collections {
		d.addFind(s)
	}
	if tables {
		d.addQuery(s)
	}
	server.AddTool(s, server.Tool{
		Name: "select", Title: "Query by parts", Hints: reading(), Input: json.RawMessage(selectIn), Output: json.RawMessage(rowsOut),
		Description: "Reads a table without SQL: columns may be name, table.name, count(*), or sum, avg, min, max, count of a column.",
	}, d.selectRows)
	server.AddTool(s, server.Tool{
		Name: "schema", Title: "Search the schema", Hints: reading(), Output: json.RawMessage(schemaOut),
		Description: "Finds tables, views and collections by words in their names or columns.",
	}, d.schema)
	explain := server.Tool{
		Name: "explain", Title: "Explain a query", Hints: reading(), Output: json.RawMessage(textOut),
		Description: "Shows the plan of a SELECT, which is not run.",
	}
	if !collections {
		server.AddTool(s, explain, func(ctx context.Context, c *server.Call, in explainInput) (planned, error) {
			return d.explain(ctx, c, explainEither{Source: in.Source, SQL: in.SQL})
		})
		return
	}
	explain.Description = "Shows the plan of a SELECT or find, which is not run."
	explain.Input = json.RawMessage(explainIn)
	server.AddTool(s, explain, d.explain)
}

// kinds says whether there are sources with tables and such with documents.
func (d *database) kinds() (tables, collections bool) {
	for _, src := range d.sources {
		tables, collections = tables || src.kind != documents, collections || src.kind == documents
	}
	return tables, collections
}

func (d *database) addQuery(s *server.Server) {
	server.AddTool(s, server.Tool{
		Name: "query", Title: "Query with SQL", Hints: reading(), Output: json.RawMessage(rowsOut),
		Description: "Runs one SQL statement that only reads. Large integers and decimals are texts, bytes are {base64}.",
	}, d.query)
}

func (d *database) query(ctx context.Context, c *server.Call, in queryInput) (answer, error) {
	src, err := d.pick(in.Source)
	if err != nil {
		return answer{}, err
	}
	if src.kind == documents {
		return answer{}, server.Errorf("call find or select", "%s has documents, and takes no SQL", src.name)
	}
	return src.answer(ctx, c, engine.Query{SQL: in.SQL}, in.Limit, in.Cursor)
}

func (d *database) explain(ctx context.Context, _ *server.Call, in explainEither) (planned, error) {
	src, err := d.pick(in.Source)
	if err != nil {
		return planned{}, err
	}
	q := engine.Query{SQL: in.SQL}
	if in.Find != nil {
		q.Find = in.Find.find()
	}
	if (q.Find != nil) != (src.kind == documents) || (q.Find != nil) == (in.SQL != "") {
		return planned{}, server.Errorf("give sql where there are tables, and find where there are documents", "%s is a database of %s", src.name, src.kind)
	}
	if err := src.ready(ctx); err != nil {
		return planned{}, src.told(ctx, err)
	}
	plan, err := src.Explain(ctx, q)
	return planned{plan}, src.told(ctx, err)
}

// answer runs a query within the budget of the call.
func (s *source) answer(ctx context.Context, c *server.Call, q engine.Query, limit int, cursor string) (answer, error) {
	began := time.Now()
	at := position{Of: fingerprint(s.name, q)}
	if cursor != "" {
		var from position
		if err := c.Resume(cursor, &from); err != nil {
			return answer{}, err
		}
		if from.Of != at.Of {
			return answer{}, server.Errorf("call again without cursor", "this cursor belongs to another query")
		}
		at.Skip = from.Skip
	}
	if err := s.ready(ctx); err != nil {
		return answer{}, s.told(ctx, err)
	}
	c.Budget.Lower(server.Limits{Rows: limit})
	take := &taking{budget: c.Budget, rows: []json.RawMessage{}, columns: []engine.Column{}}
	q.Skip, q.Max = at.Skip, s.maxRows+1
	if limit > 0 && limit < s.maxRows {
		q.Max = limit + 1
	}
	if err := s.Run(ctx, q, take); err != nil {
		return answer{}, s.told(ctx, err)
	}
	out := answer{Columns: take.columns, Rows: take.rows}
	if take.full {
		if len(take.rows) == 0 {
			return answer{}, server.Errorf("ask for fewer columns, or for a part of long values", "one row is larger than an answer may be")
		}
		at.Skip += len(take.rows)
		out.Page = c.More(at)
	}
	out.Elapsed = float64(time.Since(began).Microseconds()) / 1000
	c.Untrusted("rows of " + s.name)
	return out, nil
}

// taking takes rows as long as they fit.
type taking struct {
	budget  *server.Budget
	columns []engine.Column
	rows    []json.RawMessage
	full    bool // there was a row that did not fit
}

func (t *taking) Columns(columns []engine.Column) { t.columns = columns }

func (t *taking) Row(array []byte) bool {
	if !t.budget.Row(array) {
		t.full = true
		return false
	}
	t.rows = append(t.rows, append(make(json.RawMessage, 0, len(array)), array...))
	return true
}

func fingerprint(source string, q engine.Query) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s\x00%s\x00%q", source, q.SQL, q.Args)
	if q.Find != nil {
		fmt.Fprintf(h, "\x00%s", text(q.Find))
	}
	return h.Sum64()
}

// words splits what somebody searches for.
func words(text string) []string { return strings.Fields(strings.ToLower(text)) }
