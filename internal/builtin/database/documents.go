package database

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
	"github.com/dragoman-mcp/dragoman/server"
)

const documentsOut = `{"type":"object","properties":{"documents":{"type":"array"},"truncated":{"type":"boolean"},"next_cursor":{"type":"string"}},"required":["documents","truncated"]}`

const findIn = `{"type":"object","properties":{"source":{"type":"string"},"collection":{"type":"string"},"filter":{"type":"object"},"projection":{"type":"object"},
"order":{"type":"array","description":"as in select"},"pipeline":{"type":"array","description":"of aggregate; alone"},"distinct":{"type":"string","description":"a field"},
"count":{"type":"boolean"},"limit":{"type":"integer","minimum":1},"cursor":{"type":"string"}},"required":["collection"],"additionalProperties":false}`

type findInput struct {
	Source     string          `json:"source"`
	Collection string          `json:"collection"`
	Filter     json.RawMessage `json:"filter"`
	Projection json.RawMessage `json:"projection"`
	Order      []string        `json:"order"`
	Pipeline   json.RawMessage `json:"pipeline"`
	Distinct   string          `json:"distinct"` // a field whose values are wanted
	Count      bool            `json:"count"`
	Limit      int             `json:"limit"`
	Cursor     string          `json:"cursor"`
}

func (in findInput) find() *engine.Find {
	return &engine.Find{Collection: in.Collection, Filter: in.Filter, Projection: in.Projection, Pipeline: in.Pipeline, Order: in.Order, Distinct: in.Distinct, Count: in.Count}
}

type documentsAnswer struct {
	Documents []json.RawMessage `json:"documents"`
	Elapsed   float64           `json:"elapsed_ms"`
	server.Page
}

func (d *database) addFind(s *server.Server) {
	server.AddTool(s, server.Tool{
		Name: "find", Title: "Query documents", Hints: reading(), Input: json.RawMessage(findIn), Output: json.RawMessage(documentsOut),
		Description: "Reads a collection of MongoDB, in Extended JSON.",
	}, d.find)
}

func (d *database) find(ctx context.Context, c *server.Call, in findInput) (documentsAnswer, error) {
	src, err := d.pick(in.Source)
	if err != nil {
		return documentsAnswer{}, err
	}
	if src.kind != documents {
		return documentsAnswer{}, server.Errorf("call query or select", "%s has tables, and no documents", src.name)
	}
	got, err := src.answer(ctx, c, engine.Query{Find: in.find()}, in.Limit, in.Cursor)
	if err == nil && len(got.Rows) == 0 && in.Cursor == "" {
		err = src.knows(ctx, in.Collection)
	}
	if err != nil {
		return documentsAnswer{}, err
	}
	return documentsAnswer{Documents: got.Rows, Elapsed: got.Elapsed, Page: got.Page}, nil
}

// knows says whether there is a collection, of which the server of one that is not
// there only says that it has no documents.
func (s *source) knows(ctx context.Context, name string) error {
	objects, err := s.list(ctx)
	if err != nil {
		return s.told(ctx, err)
	}
	_, err = (&translation{objects: objects}).collection(name)
	return err
}

// translation makes of a select a question about documents. Names become paths of
// fields, which cannot begin with $, and values stay values.
type translation struct {
	in      selectInput
	objects []engine.Object
	joined  map[string]string // collections to the fields that their documents are put in
}

func translate(in selectInput, objects []engine.Object) (*engine.Find, error) {
	if err := in.bounded(); err != nil {
		return nil, err
	}
	t := &translation{in: in, objects: objects, joined: map[string]string{}}
	main, err := t.collection(in.Table)
	if err != nil {
		return nil, err
	}
	if len(in.Columns) == 0 {
		t.in.Columns = topLevel(main)
	}
	stages, err := t.joins()
	if err != nil {
		return nil, err
	}
	filter, err := t.filter()
	if err != nil {
		return nil, err
	}
	grouped := len(in.Group) > 0 || slices.ContainsFunc(t.in.Columns, func(c string) bool { return strings.Contains(c, "(") })
	switch {
	case grouped && len(stages) == 0 && len(in.Group) == 0 && len(t.in.Columns) == 1 && t.in.Columns[0] == "count(*)":
		return &engine.Find{Collection: main.Name, Filter: text(filter), Count: true, Columns: t.in.Columns, Names: t.in.Columns}, nil
	case grouped:
		return t.group(append(stages, document{"$match": filter}))
	}
	return t.plain(stages, filter)
}

// document is one of MongoDB whose fields have no order.
type document map[string]any

func (t *translation) collection(name string) (engine.Object, error) {
	i := slices.IndexFunc(t.objects, func(o engine.Object) bool { return o.Name == name })
	if i < 0 {
		return engine.Object{}, server.Errorf("call schema to see the collections", "there is no collection %q", name)
	}
	return t.objects[i], nil
}

func topLevel(o engine.Object) []string {
	var names []string
	for _, f := range o.Columns {
		if !strings.Contains(f.Name, ".") {
			names = append(names, f.Name)
		}
	}
	if len(names) == 0 {
		return []string{"_id"}
	}
	return names
}

// path is where the value of a column is among joined documents.
func (t *translation) path(column string) (string, error) {
	path := strings.TrimPrefix(column, t.in.Table+".")
	for table, as := range t.joined {
		if rest, is := strings.CutPrefix(column, table+"."); is {
			path = as + "." + rest
		}
	}
	for part := range strings.SplitSeq(path, ".") {
		if part == "" || part[0] == '$' || strings.ContainsAny(part, "()\x00") {
			return "", server.Errorf("call schema with detail columns", "%q is no field", column)
		}
	}
	return path, nil
}

func (t *translation) joins() ([]any, error) {
	var stages []any
	for i, j := range t.in.Joins {
		other, err := t.collection(j.Table)
		if err != nil {
			return nil, err
		}
		left, err := t.path(j.Left)
		if err != nil {
			return nil, err
		}
		as := fmt.Sprintf("joined%d", i)
		t.joined[other.Name] = as
		right, err := t.path(other.Name + "." + strings.TrimPrefix(j.Right, other.Name+"."))
		if err != nil {
			return nil, err
		}
		stages = append(stages, document{"$lookup": document{"from": other.Name, "localField": left, "foreignField": strings.TrimPrefix(right, as+"."), "as": as}},
			document{"$unwind": document{"path": "$" + as, "preserveNullAndEmptyArrays": j.Outer}})
	}
	return stages, nil
}

func (t *translation) filter() (document, error) {
	all := []any{}
	for _, f := range t.in.Where {
		path, err := t.path(f.Column)
		if err != nil {
			return nil, err
		}
		condition, err := conditionOf(f)
		if err != nil {
			return nil, err
		}
		all = append(all, document{path: condition})
	}
	if len(all) == 0 {
		return document{}, nil
	}
	return document{"$and": all}, nil
}

func conditionOf(f filter) (document, error) {
	switch f.Op {
	case "null":
		return document{"$eq": nil}, nil
	case "not null":
		return document{"$ne": nil}, nil
	case "=", "<", "<=", ">", ">=":
		name := map[string]string{"=": "$eq", "<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}[f.Op]
		return document{name: f.Value}, nil
	case "!=": // as in SQL, what has no value is not other than one
		return document{"$nin": []any{f.Value, nil}}, nil
	case "like":
		pattern, is := f.Value.(string)
		if !is {
			return nil, server.Errorf("give a text with % and _", "like for %q needs a text", f.Column)
		}
		return document{"$regex": likeAsRegexp(pattern), "$options": "s"}, nil
	case "in":
		values, is := f.Value.([]any)
		if !is || len(values) == 0 || len(values) > maxList {
			return nil, server.Errorf("give 1 to 1000 values", "in for %q needs a list", f.Column)
		}
		return document{"$in": values}, nil
	}
	return nil, server.Errorf("take one that the tool's schema lists", "there is no operator %q", f.Op)
}

func likeAsRegexp(pattern string) string {
	return "^" + strings.NewReplacer("%", ".*", "_", ".").Replace(regexp.QuoteMeta(pattern)) + "$"
}

// plain asks for documents as they are.
func (t *translation) plain(stages []any, filter document) (*engine.Find, error) {
	out := &engine.Find{Collection: t.in.Table, Names: t.in.Columns}
	for _, column := range t.in.Columns {
		path, err := t.path(column)
		if err != nil {
			return nil, err
		}
		out.Columns = append(out.Columns, path)
	}
	var order []string
	for _, column := range t.in.Order {
		bare, descending := strings.CutPrefix(column, "-")
		path, err := t.path(bare)
		if err != nil {
			return nil, err
		}
		if descending {
			path = "-" + path
		}
		order = append(order, path)
	}
	if len(stages) == 0 {
		out.Filter, out.Order = text(filter), order
		return out, nil
	}
	stages = append(stages, document{"$match": filter})
	if len(order) > 0 {
		stages = append(stages, sorted(order))
	}
	out.Pipeline = text(stages)
	return out, nil
}

// sorted is a stage that sorts. The order of its fields is their rank.
func sorted(order []string) json.RawMessage {
	var b strings.Builder
	b.WriteString(`{"$sort":{`)
	for i, path := range order {
		path, descending := strings.CutPrefix(path, "-")
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(text(path))
		b.WriteString(map[bool]string{false: ":1", true: ":-1"}[descending])
	}
	return json.RawMessage(b.String() + "}}")
}

// group asks for groups and what is counted of them.
func (t *translation) group(stages []any) (*engine.Find, error) {
	key, paths, err := t.keys()
	if err != nil {
		return nil, err
	}
	group, after := document{"_id": key}, document{}
	place := func(column string) (string, error) {
		if i := slices.Index(t.in.Group, column); i >= 0 {
			return paths[i], nil
		}
		if !strings.Contains(column, "(") {
			return "", server.Errorf("put it into group, or take count, sum, avg, min or max of it", "the column %q is not one of a group", column)
		}
		name := fmt.Sprintf("value%d", len(group))
		value, unique, err := t.aggregate(column)
		if unique {
			after[name] = document{"$size": document{"$setDifference": []any{"$" + name, []any{nil}}}}
		}
		group[name] = value
		return name, err
	}
	out, places := &engine.Find{Collection: t.in.Table, Names: t.in.Columns}, map[string]string{}
	var order []string
	for _, column := range append(slices.Clone(t.in.Columns), t.in.Order...) {
		bare := strings.TrimPrefix(column, "-")
		if places[bare] == "" {
			if places[bare], err = place(bare); err != nil {
				return nil, err
			}
		}
		if len(out.Columns) < len(t.in.Columns) {
			out.Columns = append(out.Columns, places[bare])
			continue
		}
		order = append(order, column[:len(column)-len(bare)]+places[bare])
	}
	stages = append(stages, document{"$group": group})
	if len(after) > 0 {
		stages = append(stages, document{"$set": after})
	}
	if len(order) > 0 {
		stages = append(stages, sorted(order))
	}
	out.Pipeline = text(stages)
	return out, nil
}

// keys is what documents are grouped by, and where each part of it is afterwards.
func (t *translation) keys() (key any, paths []string, err error) {
	parts := document{}
	for i, column := range t.in.Group {
		path, err := t.path(column)
		if err != nil {
			return nil, nil, err
		}
		if len(t.in.Group) == 1 {
			return "$" + path, []string{"_id"}, nil
		}
		name := fmt.Sprintf("key%d", i)
		parts[name] = "$" + path
		paths = append(paths, "_id."+name)
	}
	if len(parts) == 0 {
		return nil, nil, nil
	}
	return parts, paths, nil
}

// aggregate is what makes one value of those of a group; unique says that it is
// the list of the different ones, which are to be counted.
func (t *translation) aggregate(column string) (value document, unique bool, err error) {
	name, inner, err := aggregateOf(column)
	if err != nil || inner == "*" {
		return document{"$sum": 1}, false, err
	}
	inner, unique = strings.CutPrefix(inner, "distinct ")
	path, err := t.path(inner)
	switch {
	case err != nil:
		return nil, false, err
	case unique && name == "count":
		return document{"$addToSet": "$" + path}, true, nil
	case unique:
		return nil, false, server.Errorf("write it with find and a pipeline", "only count takes distinct here, and not %s", name)
	case name == "count":
		return document{"$sum": document{"$cond": []any{document{"$gt": []any{"$" + path, nil}}, 1, 0}}}, false, nil
	}
	return document{"$" + name: "$" + path}, false, nil
}

// text is a value as JSON. All that is made here can be written so.
func text(value any) json.RawMessage {
	b, err := json.Marshal(value)
	if err != nil {
		return json.RawMessage("null")
	}
	return b
}
