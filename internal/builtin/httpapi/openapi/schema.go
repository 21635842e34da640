package openapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Schemas of documents are written anew as JSON Schema 2020-12 that stands alone:
// references are followed to a depth, and what is deeper, or leads back to where
// it came from, is left open and named. Only keywords with the right kind of value
// are taken, so that a schema that a tool gets can always be read.

// View says how schemas are written.
type View struct {
	// Depth is how many levels of properties are written. 0 means 6.
	Depth int
	// Answer leaves out what is only written (passwords), and not what is only
	// read.
	Answer bool
	// Words bounds descriptions, in bytes each; 0 means 300, less than 0 none.
	Words int
}

const maxSchemaNodes = 3000

// renderer writes one schema.
type renderer struct {
	d     *Document
	view  View
	nodes int
	path  []string // the names of the references that lead here
}

func (d *Document) renderer(v View) *renderer {
	if v.Depth == 0 {
		v.Depth = 6
	}
	if v.Words == 0 {
		v.Words = 300
	}
	return &renderer{d: d, view: v}
}

// Input is the schema of the arguments.
func (op *Operation) Input(v View) map[string]any {
	r := op.doc.renderer(v)
	properties, required := object{}, []any{}
	for _, p := range op.Parameters {
		s := r.schema(p.schema, r.view.Depth)
		words := p.Description
		if p.media != "" {
			words = strings.TrimSpace(words + " (sent as " + p.media + ")")
		}
		r.describe(s, words)
		properties[p.Arg] = s
		if p.Required {
			required = append(required, p.Arg)
		}
	}
	if b := op.Body; b != nil {
		s := r.schema(b.schema, r.view.Depth)
		words := b.description
		if !isJSON(b.Type) {
			words = strings.TrimSpace(words + " (sent as " + b.Type + b.filesHint() + ")")
		}
		r.describe(s, words)
		properties["body"] = s
		if b.Required {
			required = append(required, "body")
		}
	}
	out := object{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		out["required"] = required
	}
	return out
}

func (b *Body) filesHint() string {
	switch {
	case strings.HasPrefix(b.Type, "multipart/"):
		return `; a file is {"text" or "base64", "filename", "type"}`
	case b.Type == formType || strings.HasPrefix(b.Type, "text/"):
		return ""
	}
	return `; a text, or {"base64": …}`
}

// Answers are the statuses that the document tells of, with their description
// and the schema of their JSON, if they have one.
func (op *Operation) Answers(v View) map[string]any {
	v.Answer = true
	r := op.doc.renderer(v)
	out := map[string]any{}
	for status, node := range inner(op.node, "responses") {
		o, _, err := op.doc.resolved(node)
		if err != nil {
			continue // what is answered is seen then
		}
		answer := object{}
		if words := Clean(text(o, "description"), max(v.Words, 80)); words != "" {
			answer["description"] = words
		}
		schema := o["schema"]
		for media, node := range inner(o, "content") {
			if content, _, err := op.doc.resolved(node); err == nil && (schema == nil || isJSON(media)) {
				schema = content["schema"]
			}
		}
		if schema != nil && (strings.HasPrefix(status, "2") || status == "default") {
			answer["schema"] = r.schema(schema, r.view.Depth)
		}
		out[status] = answer
	}
	return out
}

// Schema is one of the document's named schemas; nil when there is none.
func (d *Document) Schema(name string, v View) map[string]any {
	all := inner(inner(d.root, "components"), "schemas")
	if d.old {
		all = inner(d.root, "definitions")
	}
	s, there := all[name]
	if !there {
		return nil
	}
	r := d.renderer(v)
	r.path = append(r.path, name)
	return r.schema(s, r.view.Depth)
}

func (r *renderer) describe(s object, words string) {
	if words = Clean(words, r.view.Words); words != "" && r.view.Words > 0 {
		s["description"] = words
	}
}

// open is a schema that takes everything, with the name of what it stands for.
func (r *renderer) open(name string) object {
	if name == "" {
		return object{}
	}
	return object{"description": Clean("a "+name+", described by its own name", 120)}
}

func (r *renderer) schema(v any, depth int) object {
	if v == nil || v == true {
		return object{}
	}
	if v == false {
		return object{"not": object{}}
	}
	o, name, err := r.d.resolved(v)
	if err != nil {
		return object{"description": Clean(err.Error(), 200)}
	}
	if r.nodes++; r.nodes > maxSchemaNodes || depth < 0 || name != "" && slices.Contains(r.path, name) {
		return r.open(name)
	}
	if name != "" {
		r.path = append(r.path, name)
		defer func() { r.path = r.path[:len(r.path)-1] }()
	}
	out := object{}
	r.kind(o, out)
	r.plainKeywords(o, out)
	r.members(o, out, depth)
	r.combined(o, out, depth)
	r.describe(out, strings.TrimSpace(text(o, "description")+r.byDefault(o)))
	return out
}

func (r *renderer) byDefault(o object) string {
	v, there := o["default"]
	if !there || v == nil {
		return ""
	}
	s := scalar(v)
	if len(s) > 60 || s == "" {
		return ""
	}
	return " (default " + s + ")"
}

// kinds are the types of JSON Schema.
func kindOK(s string) bool {
	switch s {
	case "string", "number", "integer", "boolean", "array", "object", "null":
		return true
	}
	return false
}

// kind writes type, with null where 3.0 says nullable.
func (r *renderer) kind(o, out object) {
	var kinds []any
	switch t := o["type"].(type) {
	case string:
		if t == "file" {
			return // a text, or an object with the file
		}
		if kindOK(t) {
			kinds = append(kinds, t)
		}
	case []any:
		for _, s := range texts(t) {
			if kindOK(s) && !slices.Contains(kinds, any(s)) {
				kinds = append(kinds, s)
			}
		}
	}
	if isBinary(o) {
		return
	}
	nullable := truth(o, "nullable") || truth(o, "x-nullable")
	if nullable && len(kinds) > 0 && !slices.Contains(kinds, any("null")) {
		kinds = append(kinds, "null")
	}
	switch len(kinds) {
	case 0:
	case 1:
		out["type"] = kinds[0]
	default:
		out["type"] = kinds
	}
	if enum := list(o, "enum"); len(enum) > 0 && len(enum) <= 500 {
		if nullable && !slices.Contains(enum, nil) {
			enum = append(slices.Clone(enum), nil)
		}
		out["enum"] = enum
	}
	if c, there := o["const"]; there && c != nil {
		out["const"] = c
	}
}

func isBinary(o object) bool { return text(o, "format") == "binary" || text(o, "type") == "file" }

// isFile reports whether the member of a form is a file.
func (d *Document) isFile(schema any, member string) bool {
	o, _, err := d.resolved(schema)
	if err != nil {
		return false
	}
	m, _, err := d.resolved(inner(o, "properties")[member])
	if err != nil {
		return false
	}
	if items, there := m["items"]; there {
		if m, _, err = d.resolved(items); err != nil {
			return false
		}
	}
	return isBinary(m) || m["type"] == nil && text(m, "contentMediaType") != ""
}

// plainKeywords copies the keywords that are numbers and texts.
func (r *renderer) plainKeywords(o, out object) {
	for _, key := range [...]string{"minimum", "maximum", "multipleOf", "exclusiveMinimum", "exclusiveMaximum"} {
		if n, ok := o[key].(json.Number); ok {
			out[key] = n
		}
	}
	for _, key := range [...]string{"minimum", "maximum"} { // 3.0: a boolean beside it
		exclusive := "exclusive" + strings.ToUpper(key[:1]) + key[1:]
		if n, there := out[key]; there && truth(o, exclusive) {
			delete(out, key)
			out[exclusive] = n
		}
	}
	for _, key := range [...]string{"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"} {
		n, ok := o[key].(json.Number)
		if !ok {
			continue
		}
		if i, err := n.Int64(); err == nil && i >= 0 && i < 1<<31 {
			out[key] = i
		}
	}
	if truth(o, "uniqueItems") {
		out["uniqueItems"] = true
	}
	if f := text(o, "format"); f != "" && !isBinary(o) {
		out["format"] = Clean(f, 40)
	}
	if p := text(o, "pattern"); p != "" && len(p) <= 200 {
		if _, err := regexp.Compile(p); err == nil {
			out["pattern"] = p
		}
	}
}

// members writes what objects and lists consist of.
func (r *renderer) members(o, out object, depth int) {
	if items, there := o["items"]; there {
		out["items"] = r.schema(items, depth-1)
	}
	properties := inner(o, "properties")
	if len(properties) == 0 {
		return
	}
	if depth == 0 {
		out["description"] = fmt.Sprintf("with %s", Clean(strings.Join(slices.Sorted(maps.Keys(properties)), ", "), 200))
		return
	}
	written := object{}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		p, _, err := r.d.resolved(properties[name])
		hidden := "readOnly"
		if r.view.Answer {
			hidden = "writeOnly"
		}
		if err == nil && truth(p, hidden) {
			continue
		}
		written[name] = r.schema(properties[name], depth-1)
	}
	out["properties"] = written
	required := []any{}
	for _, name := range texts(list(o, "required")) {
		if _, there := written[name]; there && !slices.Contains(required, any(name)) {
			required = append(required, name)
		}
	}
	if len(required) > 0 {
		out["required"] = required
	}
	switch additional := o["additionalProperties"].(type) {
	case bool:
		if !additional && o["allOf"] == nil && len(written) == len(properties) {
			out["additionalProperties"] = false
		}
	case object:
		out["additionalProperties"] = r.schema(additional, depth-1)
	}
}

// combined writes allOf, anyOf and oneOf. One of several becomes any of them: what
// was left open would make the others match, too.
func (r *renderer) combined(o, out object, depth int) {
	for _, key := range [...]string{"allOf", "anyOf", "oneOf"} {
		var parts []any
		for _, v := range list(o, key) {
			s := r.schema(v, depth)
			if key == "allOf" {
				delete(s, "additionalProperties") // it would forbid what the others have
			}
			parts = append(parts, s)
		}
		if len(parts) == 0 {
			continue
		}
		if key == "oneOf" {
			key = "anyOf"
		}
		if before, there := out[key].([]any); there {
			out["allOf"] = append(list(out, "allOf"), object{"anyOf": parts})
			_ = before
			continue
		}
		out[key] = parts
	}
}
