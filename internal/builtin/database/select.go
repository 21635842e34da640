package database

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
	"github.com/dragoman-mcp/dragoman/server"
)

// selectIn is the schema of selectInput, by hand: what is inferred costs a quarter
// more tokens.
const selectIn = `{"type":"object","properties":{"source":{"type":"string"},"table":{"type":"string","description":"as schema tells it"},
"columns":{"type":"array","items":{"type":"string"},"description":"all when left out"},
"joins":{"type":"array","items":{"type":"object","properties":{"table":{"type":"string"},"left":{"type":"string","description":"column of a table before"},
"right":{"type":"string","description":"column of this table that equals it"},"outer":{"type":"boolean"}},"required":["table","left","right"],"additionalProperties":false}},
"where":{"type":"array","items":{"type":"object","properties":{"column":{"type":"string"},"op":{"enum":["=","!=","<","<=",">",">=","like","in","null","not null"]},
"value":{"description":"a list for in"}},"required":["column","op"],"additionalProperties":false},"description":"all must hold"},
"group":{"type":"array"},"order":{"type":"array","description":"columns; - before one for descending"},
"limit":{"type":"integer","minimum":1},"cursor":{"type":"string"}},"required":["table"],"additionalProperties":false}`

type selectInput struct {
	Source  string   `json:"source"`
	Table   string   `json:"table"`
	Columns []string `json:"columns"`
	Joins   []join   `json:"joins"`
	Where   []filter `json:"where"`
	Group   []string `json:"group"`
	Order   []string `json:"order"`
	Limit   int      `json:"limit"`
	Cursor  string   `json:"cursor"`
}

type join struct {
	Table string `json:"table"`
	Left  string `json:"left"`
	Right string `json:"right"`
	Outer bool   `json:"outer"` // keep rows without a match
}

type filter struct {
	Column string `json:"column"`
	Op     string `json:"op"`
	Value  any    `json:"value"`
}

const (
	maxParts = 100  // columns, joins, filters and so on of one select, each
	maxList  = 1000 // values of one in
)

func (d *database) selectRows(ctx context.Context, c *server.Call, in selectInput) (answer, error) {
	src, err := d.pick(in.Source)
	if err != nil {
		return answer{}, err
	}
	objects, err := src.list(ctx)
	if err != nil {
		return answer{}, src.told(ctx, err)
	}
	if src.kind == documents {
		find, err := translate(in, objects)
		if err != nil {
			return answer{}, err
		}
		return src.answer(ctx, c, engine.Query{Find: find}, in.Limit, in.Cursor)
	}
	b := &builder{dialect: src.Dialect(), objects: objects}
	sql, err := b.build(in)
	if err != nil {
		return answer{}, err
	}
	return src.answer(ctx, c, engine.Query{SQL: sql, Args: b.args, Trusted: true}, in.Limit, in.Cursor)
}

// builder makes a SELECT of which each name is one that the schema has, quoted,
// and each value an argument. Nothing that a caller writes is pasted.
type builder struct {
	dialect engine.Dialect
	objects []engine.Object
	tables  []engine.Object // of this statement, the first that of FROM
	args    []any
}

func (in selectInput) bounded() error {
	for _, n := range []int{len(in.Columns), len(in.Joins), len(in.Where), len(in.Group), len(in.Order)} {
		if n > maxParts {
			return server.Errorf("say it with less", "no part of a select may have more than %d entries", maxParts)
		}
	}
	return nil
}

func (b *builder) build(in selectInput) (string, error) {
	if err := in.bounded(); err != nil {
		return "", err
	}
	from, err := b.from(in)
	if err != nil {
		return "", err
	}
	columns, err := b.list(in.Columns, b.expression)
	if err != nil {
		return "", err
	}
	if err := b.single(in); err != nil {
		return "", err
	}
	if len(in.Columns) == 0 {
		columns = "*"
	}
	where, err := b.where(in.Where)
	if err != nil {
		return "", err
	}
	group, err := b.list(in.Group, b.column)
	if err != nil {
		return "", err
	}
	order, err := b.list(in.Order, b.ordered)
	if err != nil {
		return "", err
	}
	sql := "SELECT " + columns + " FROM " + from + where
	if group != "" {
		sql += " GROUP BY " + group
	}
	if order != "" {
		sql += " ORDER BY " + order
	}
	return sql, nil
}

// single refuses columns beside aggregates of all rows: some databases would give the value of any row.
func (b *builder) single(in selectInput) error {
	bare, aggregate := "", ""
	for _, text := range in.Columns {
		if _, err := b.column(text); err == nil {
			bare = text
		} else {
			aggregate = text
		}
	}
	if len(in.Group) > 0 || bare == "" || aggregate == "" {
		return nil
	}
	return server.Errorf("add it to group, or leave it out", "%q has a value for each row, and %s one for all of them", bare, aggregate)
}

func (b *builder) from(in selectInput) (string, error) {
	text, err := b.table(in.Table)
	if err != nil {
		return "", err
	}
	for _, j := range in.Joins {
		left, err := b.column(j.Left)
		if err != nil {
			return "", err
		}
		name, err := b.table(j.Table)
		if err != nil {
			return "", err
		}
		last := b.tables[len(b.tables)-1]
		right, err := b.columnOf(last, strings.TrimPrefix(strings.TrimPrefix(j.Right, qualified(last)+"."), last.Name+"."))
		if err != nil {
			return "", err
		}
		kind := " JOIN "
		if j.Outer {
			kind = " LEFT JOIN "
		}
		text += kind + name + " ON " + left + " = " + right
	}
	return text, nil
}

func (b *builder) table(name string) (string, error) {
	i := slices.IndexFunc(b.objects, func(o engine.Object) bool { return qualified(o) == name || o.Name == name })
	if i < 0 {
		return "", server.Errorf("call schema to see the tables", "there is no table %q", name)
	}
	o := b.objects[i]
	if slices.ContainsFunc(b.tables, func(before engine.Object) bool { return qualified(before) == qualified(o) }) {
		return "", server.Errorf("write this one with query", "the table %s is there twice", name)
	}
	b.tables = append(b.tables, o)
	return b.qualify(o), nil
}

func (b *builder) qualify(o engine.Object) string {
	if o.Schema == "" {
		return b.quote(o.Name)
	}
	return b.quote(o.Schema) + "." + b.quote(o.Name)
}

func (b *builder) quote(name string) string {
	q := string(b.dialect.Quote)
	return q + strings.ReplaceAll(name, q, q+q) + q
}

// column finds name, table.name or schema.table.name among the tables of the statement.
func (b *builder) column(name string) (string, error) {
	for _, o := range b.tables {
		for _, prefix := range []string{"", o.Name + ".", qualified(o) + "."} {
			bare, found := strings.CutPrefix(name, prefix)
			if !found {
				continue
			}
			if text, err := b.columnOf(o, bare); err == nil {
				return text, nil
			}
		}
	}
	return "", server.Errorf("call schema with detail columns", "no table of this select has a column %q", name)
}

func (b *builder) columnOf(o engine.Object, name string) (string, error) {
	for _, f := range o.Columns {
		if f.Name == name {
			return b.qualify(o) + "." + b.quote(f.Name), nil
		}
	}
	return "", server.Errorf("call schema with detail columns", "%s has no column %q", qualified(o), name)
}

// expression is a column or an aggregate of one.
func (b *builder) expression(text string) (string, error) {
	if column, err := b.column(text); err == nil {
		return column, nil
	}
	if !strings.Contains(text, "(") {
		return b.column(text)
	}
	function, inner, err := aggregateOf(text)
	if err != nil {
		return "", err
	}
	if inner == "*" {
		return "count(*)", nil
	}
	distinct := ""
	if bare, is := strings.CutPrefix(inner, "distinct "); is {
		inner, distinct = bare, "DISTINCT "
	}
	column, err := b.column(inner)
	return function + "(" + distinct + column + ")", err
}

// aggregateOf reads function(column), and count(*).
func aggregateOf(text string) (function, inner string, err error) {
	function, rest, _ := strings.Cut(text, "(")
	inner, closed := strings.CutSuffix(rest, ")")
	switch function {
	case "count", "sum", "avg", "min", "max":
	default:
		return "", "", server.Errorf("take count, sum, avg, min or max, or write it with query", "the function %q is not for select", function)
	}
	if !closed || inner == "*" && function != "count" {
		return "", "", server.Errorf("write it as sum(column) or count(*)", "%q is no aggregate", text)
	}
	return function, inner, nil
}

func (b *builder) ordered(text string) (string, error) {
	bare, descending := strings.CutPrefix(text, "-")
	sql, err := b.expression(bare)
	if descending {
		sql += " DESC"
	}
	return sql, err
}

func (b *builder) list(names []string, each func(string) (string, error)) (string, error) {
	parts := make([]string, len(names))
	for i, name := range names {
		text, err := each(name)
		if err != nil {
			return "", err
		}
		parts[i] = text
	}
	return strings.Join(parts, ", "), nil
}

func (b *builder) where(filters []filter) (string, error) {
	parts := make([]string, len(filters))
	for i, f := range filters {
		column, err := b.column(f.Column)
		if err != nil {
			return "", err
		}
		condition, err := b.condition(f)
		if err != nil {
			return "", err
		}
		parts[i] = column + " " + condition
	}
	if len(parts) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(parts, " AND "), nil
}

func (b *builder) condition(f filter) (string, error) {
	switch f.Op {
	case "null":
		return "IS NULL", nil
	case "not null":
		return "IS NOT NULL", nil
	case "=", "!=", "<", "<=", ">", ">=", "like":
		mark, err := b.argument(f.Value)
		if f.Op == "!=" {
			return "<> " + mark, err
		}
		return strings.ToUpper(f.Op) + " " + mark, err
	case "in":
		values, is := f.Value.([]any)
		if !is || len(values) == 0 || len(values) > maxList {
			return "", server.Errorf("give 1 to 1000 values", "in for %q needs a list", f.Column)
		}
		marks := make([]string, len(values))
		for i, value := range values {
			mark, err := b.argument(value)
			if err != nil {
				return "", err
			}
			marks[i] = mark
		}
		return "IN (" + strings.Join(marks, ", ") + ")", nil
	}
	return "", server.Errorf("take one that the tool's schema lists", "there is no operator %q", f.Op)
}

// argument takes a value out of the statement and returns its placeholder.
func (b *builder) argument(value any) (string, error) {
	switch v := value.(type) {
	case string, bool, int64:
		b.args = append(b.args, v)
	case float64:
		if v == float64(int64(v)) && v < 1<<53 && v > -1<<53 {
			b.args = append(b.args, int64(v))
		} else {
			b.args = append(b.args, v)
		}
	case json.Number:
		b.args = append(b.args, string(v))
	default:
		return "", server.Errorf("use the operator null, or a text, number or boolean", "a value of type %T cannot be compared with", value)
	}
	if b.dialect.Numbered {
		return fmt.Sprintf("$%d", len(b.args)), nil
	}
	return "?", nil
}
