package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
)

// lines collects the plan of EXPLAIN QUERY PLAN: id, parent, unused, detail.
type lines struct {
	text  strings.Builder
	depth map[string]int
}

func (l *lines) Columns([]engine.Column) { l.depth = map[string]int{} }

func (l *lines) Row(array []byte) bool {
	var row []json.RawMessage
	var detail string
	if json.Unmarshal(array, &row) != nil || len(row) < 4 || json.Unmarshal(row[3], &detail) != nil {
		return true
	}
	depth := l.depth[string(row[1])]
	l.depth[string(row[0])] = depth + 1
	fmt.Fprintf(&l.text, "%s%s\n", strings.Repeat("  ", depth), detail)
	return true
}

const (
	maxObjects = 10_000
	maxFields  = 200_000

	objectsSQL = `SELECT name, type FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name`
	fieldsSQL  = `SELECT t.name, c.name, c.type, c."notnull", c.dflt_value, c.pk,
 (SELECT f."table" || '.' || coalesce(f."to", '') FROM pragma_foreign_key_list(t.name) f WHERE f."from" = c.name LIMIT 1)
 FROM sqlite_schema t JOIN pragma_table_xinfo(t.name) c WHERE t.type IN ('table', 'view') AND c.hidden != 1 ORDER BY t.name, c.cid`
	indexesSQL = `SELECT tbl_name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY name`
	statsSQL   = `SELECT tbl, max(CAST(stat AS INTEGER)) FROM sqlite_stat1 GROUP BY tbl`
)

func (s *Source) Objects(ctx context.Context) ([]engine.Object, error) {
	var names, fields, indexes, stats engine.Table
	if err := s.run(ctx, objectsSQL, engine.Query{Max: maxObjects}, &names); err != nil {
		return nil, err
	}
	if err := s.run(ctx, fieldsSQL, engine.Query{Max: maxFields}, &fields); err != nil {
		return nil, err
	}
	if err := s.run(ctx, indexesSQL, engine.Query{Max: maxObjects}, &indexes); err != nil {
		return nil, err
	}
	_ = s.run(ctx, statsSQL, engine.Query{Max: maxObjects}, &stats) // there only after ANALYZE
	objects := make([]engine.Object, len(names.Texts))
	at := map[string]*engine.Object{}
	for i, row := range names.Texts {
		objects[i] = engine.Object{Name: row[0], Kind: row[1], Rows: -1}
		at[row[0]] = &objects[i]
	}
	for _, row := range fields.Texts {
		if o := at[row[0]]; o != nil {
			o.Columns = append(o.Columns, engine.Field{Name: row[1], Type: strings.ToLower(row[2]), Required: row[3] == "1", Default: row[4],
				References: row[6]})
			if row[5] != "0" {
				o.Keys = append(o.Keys, row[1])
			}
		}
	}
	for _, row := range indexes.Texts {
		if o := at[row[0]]; o != nil {
			o.Indexes = append(o.Indexes, row[1])
		}
	}
	for _, row := range stats.Texts {
		if o := at[row[0]]; o != nil {
			_, _ = fmt.Sscan(row[1], &o.Rows)
		}
	}
	return objects, nil
}
