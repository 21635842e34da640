package graphql

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/formatter"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
)

// Schema is what an API offers. It may be used concurrently.
type Schema struct {
	// Hash is sha256: and the digest of the schema's definitions, sorted.
	Hash   string
	schema *ast.Schema
}

// Introspection is the query that asks an API for its schema.
const Introspection = `query Introspection { __schema { queryType { name } mutationType { name } types { kind name description
 fields(includeDeprecated: true) { name description args { ...input } type { ...ref } }
 inputFields { ...input } interfaces { name } enumValues(includeDeprecated: true) { name description } possibleTypes { name } }
 directives { name locations args { ...input } } } }
fragment input on __InputValue { name description type { ...ref } defaultValue }
fragment ref on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name } } } } } } }`

// Read reads a schema: its definitions, or the answer to Introspection.
func Read(text []byte) (*Schema, error) {
	source := string(text)
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && trimmed[0] == '{' {
		var err error
		if source, err = written(trimmed); err != nil {
			return nil, err
		}
	}
	doc, err := parser.ParseSchemas(validator.Prelude, &ast.Source{Name: "schema", Input: source})
	if err != nil {
		return nil, fmt.Errorf("read the schema: %s", short(err.Error()))
	}
	once(doc)
	s, err := validator.ValidateSchemaDocument(doc)
	if err != nil {
		return nil, fmt.Errorf("read the schema: %s", short(err.Error()))
	}
	if s.Query == nil {
		return nil, errors.New("read the schema: it has no type Query")
	}
	out := &Schema{schema: s}
	var all strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.Types)) {
		all.WriteString(out.definition(s.Types[name], true))
	}
	digest := sha256.Sum256([]byte(all.String()))
	out.Hash = "sha256:" + hex.EncodeToString(digest[:])
	return out, nil
}

// once drops what a type has a second time, as GitHub's published schema does: the
// first is what the API's answers follow.
func once(doc *ast.SchemaDocument) {
	for _, d := range doc.Definitions {
		fields, values := map[string]bool{}, map[string]bool{}
		d.Fields = slices.DeleteFunc(d.Fields, func(f *ast.FieldDefinition) bool { return again(fields, f.Name) })
		d.EnumValues = slices.DeleteFunc(d.EnumValues, func(v *ast.EnumValueDefinition) bool { return again(values, v.Name) })
	}
}

func again(seen map[string]bool, name string) bool {
	was := seen[name]
	seen[name] = true
	return was
}

// Keep takes out of the schema the fields, named Type.field, that keep does not
// want: to callers they are not there. It is for before the schema is used.
func (s *Schema) Keep(keep func(field string, root bool) bool) {
	for _, d := range s.schema.Types {
		if d.Kind != ast.Object && d.Kind != ast.Interface {
			continue
		}
		root := d == s.schema.Query || d == s.schema.Mutation
		d.Fields = slices.DeleteFunc(d.Fields, func(f *ast.FieldDefinition) bool {
			return !strings.HasPrefix(f.Name, "__") && !keep(d.Name+"."+f.Name, root)
		})
	}
}

func (s *Schema) root(kind ast.Operation) *ast.Definition {
	if kind == ast.Mutation {
		return s.schema.Mutation
	}
	return s.schema.Query
}

// definition writes a type.
func (s *Schema) definition(d *ast.Definition, words bool) string {
	var out bytes.Buffer
	options := []formatter.FormatterOption{formatter.WithIndent(" ")}
	if !words {
		options = append(options, formatter.WithoutDescription())
	}
	one := *d
	one.BuiltIn = false
	one.Fields = slices.DeleteFunc(slices.Clone(d.Fields), func(f *ast.FieldDefinition) bool { return strings.HasPrefix(f.Name, "__") })
	formatter.NewFormatter(&out, options...).FormatSchemaDocument(&ast.SchemaDocument{Definitions: ast.DefinitionList{&one}})
	return out.String()
}

// Describe writes a type and those that it leads to, to a depth; it ends when
// fits says that the text is too long. Empty means that there is no such type.
func (s *Schema) Describe(name string, depth int, words bool, fits func(string) bool) (text string, whole bool) {
	first := s.schema.Types[name]
	if first == nil {
		return "", true
	}
	seen := map[string]bool{name: true}
	level := []*ast.Definition{first}
	for ; len(level) > 0 && depth > 0; depth-- {
		var next []*ast.Definition
		for _, d := range level {
			more := text + s.definition(d, words)
			if !fits(more) {
				return text, false
			}
			text = more
			next = append(next, s.unseen(d, seen)...)
		}
		level = next
	}
	return text, true
}

// unseen are the types that a type leads to and that are not in seen yet.
func (s *Schema) unseen(d *ast.Definition, seen map[string]bool) []*ast.Definition {
	var next []*ast.Definition
	for _, to := range leadsTo(d) {
		if t := s.schema.Types[to]; t != nil && !seen[to] && !t.BuiltIn {
			seen[to] = true
			next = append(next, t)
		}
	}
	return next
}

func leadsTo(d *ast.Definition) []string {
	names := append(slices.Clone(d.Types), d.Interfaces...)
	for _, f := range d.Fields {
		names = append(names, f.Type.Name())
		for _, a := range f.Arguments {
			names = append(names, a.Type.Name())
		}
	}
	return names
}

// Found is a field or type that search has found.
type Found struct {
	Name      string `json:"name"`
	Signature string `json:"signature"`
	About     string `json:"about,omitempty"`
}

// All are the fields of the roots, then the types that they lead to with their
// fields: what only mutations have, or nothing, is not there without mutations.
func (s *Schema) All(mutations bool) []Found {
	reached := s.reached(mutations)
	var out []Found
	add := func(d *ast.Definition, fields bool) {
		if d == nil || d.BuiltIn && d != s.schema.Query && d != s.schema.Mutation || strings.HasPrefix(d.Name, "__") {
			return
		}
		if !fields {
			out = append(out, Found{d.Name, strings.ToLower(string(d.Kind)) + " " + d.Name, d.Description})
		}
		for _, f := range d.Fields {
			if !strings.HasPrefix(f.Name, "__") {
				out = append(out, Found{d.Name + "." + f.Name, signature(f), f.Description})
			}
		}
	}
	add(s.schema.Query, true)
	if mutations {
		add(s.schema.Mutation, true)
	}
	for _, name := range slices.Sorted(maps.Keys(s.schema.Types)) {
		if d := s.schema.Types[name]; d != s.schema.Query && d != s.schema.Mutation && reached[name] {
			add(d, false)
		}
	}
	return out
}

// reached are the names of the types that the roots lead to.
func (s *Schema) reached(mutations bool) map[string]bool {
	level := []*ast.Definition{s.schema.Query}
	if mutations && s.schema.Mutation != nil {
		level = append(level, s.schema.Mutation)
	}
	reached := map[string]bool{}
	for len(level) > 0 {
		d := level[0]
		level = append(level[1:], s.unseen(d, reached)...)
		for _, p := range s.schema.PossibleTypes[d.Name] {
			if !reached[p.Name] {
				reached[p.Name] = true
				level = append(level, p)
			}
		}
	}
	return reached
}

func signature(f *ast.FieldDefinition) string {
	var args []string
	for _, a := range f.Arguments {
		args = append(args, a.Name+": "+a.Type.String())
	}
	if len(args) == 0 {
		return f.Name + ": " + f.Type.String()
	}
	return f.Name + "(" + strings.Join(args, ", ") + "): " + f.Type.String()
}

// Introspected types, as an API answers.
type (
	ref struct {
		Kind, Name string
		OfType     *ref
	}
	input struct {
		Name, Description string
		Type              ref
		DefaultValue      *string
	}
	field struct {
		Name, Description string
		Args              []input
		Type              ref
	}
	named struct{ Name, Description string }
	kind  struct {
		Kind, Name, Description   string
		Fields                    []field
		InputFields               []input
		Interfaces, PossibleTypes []named
		EnumValues                []named
	}
	answer struct {
		Data struct {
			Schema *described `json:"__schema"`
		} `json:"data"`
		Schema *described `json:"__schema"`
	}
	described struct {
		QueryType, MutationType *named
		Types                   []kind
		Directives              []struct {
			Name      string
			Locations []string
			Args      []input
		}
	}
)

// written turns an answer to Introspection into definitions.
func written(text []byte) (string, error) {
	var a answer
	if err := json.Unmarshal(text, &a); err != nil {
		return "", fmt.Errorf("read the schema: %w", err)
	}
	s := a.Schema
	if a.Data.Schema != nil {
		s = a.Data.Schema
	}
	if s == nil || s.QueryType == nil {
		return "", errors.New("read the schema: the answer has no __schema")
	}
	w := &sdl{word: regexp.MustCompile(`^[_A-Za-z][_0-9A-Za-z]*$`)}
	w.add("schema { query: ", w.name(s.QueryType.Name))
	if s.MutationType != nil {
		w.add(" mutation: ", w.name(s.MutationType.Name))
	}
	w.add(" }\n")
	for _, t := range s.Types {
		w.kind(t)
	}
	for _, d := range s.Directives {
		switch d.Name {
		case "skip", "include", "deprecated", "specifiedBy", "oneOf", "defer":
			continue
		}
		w.add("directive @", w.name(d.Name), w.inputs("(", d.Args, ")"), " on ")
		for i, l := range d.Locations {
			if i > 0 {
				w.add(" | ")
			}
			w.add(w.name(l))
		}
		w.add("\n")
	}
	return w.out.String(), w.fault
}

// sdl writes definitions, of names that are names.
type sdl struct {
	out   strings.Builder
	word  *regexp.Regexp
	fault error
}

func (w *sdl) add(parts ...string) {
	for _, p := range parts {
		w.out.WriteString(p)
	}
}

func (w *sdl) name(s string) string {
	if !w.word.MatchString(s) && w.fault == nil {
		w.fault = fmt.Errorf("read the schema: %q is no name", short(s))
	}
	return s
}

func (w *sdl) words(s string) string {
	if s == "" {
		return ""
	}
	text, err := json.Marshal(strings.ToValidUTF8(s, ""))
	if err != nil {
		return ""
	}
	return string(text) + " "
}

func (w *sdl) ref(r *ref) string {
	before, after := "", ""
	for depth := 0; r != nil && depth < maxWrapped; depth++ {
		switch {
		case r.Kind == "NON_NULL" && r.OfType != nil:
			after = "!" + after
		case r.Kind == "LIST" && r.OfType != nil:
			before, after = before+"[", "]"+after
		default:
			return before + w.name(r.Name) + after
		}
		r = r.OfType
	}
	return before + w.name("") + after
}

// maxWrapped bounds how deep a type is wrapped in lists and "not null".
const maxWrapped = 16

func (w *sdl) inputs(begin string, all []input, end string) string {
	if len(all) == 0 {
		return ""
	}
	var out strings.Builder
	out.WriteString(begin)
	for _, i := range all {
		out.WriteString(" " + w.words(i.Description) + w.name(i.Name) + ": " + w.ref(&i.Type))
		if i.DefaultValue != nil {
			out.WriteString(" = " + *i.DefaultValue)
		}
		out.WriteString(" ")
	}
	out.WriteString(end)
	return out.String()
}

func (w *sdl) kind(t kind) {
	switch t.Name {
	case "String", "Int", "Float", "Boolean", "ID":
		return
	}
	if strings.HasPrefix(t.Name, "__") {
		return
	}
	w.add(w.words(t.Description))
	switch t.Kind {
	case "SCALAR":
		w.add("scalar ", w.name(t.Name))
	case "ENUM":
		w.add("enum ", w.name(t.Name), " {")
		for _, v := range t.EnumValues {
			w.add(" ", w.words(v.Description), w.name(v.Name))
		}
		w.add(" }")
	case "UNION":
		w.add("union ", w.name(t.Name), " = ")
		for i, v := range t.PossibleTypes {
			if i > 0 {
				w.add(" | ")
			}
			w.add(w.name(v.Name))
		}
	case "INPUT_OBJECT":
		w.add("input ", w.name(t.Name), w.inputs(" {", t.InputFields, "}"))
	case "OBJECT", "INTERFACE":
		w.add(map[string]string{"OBJECT": "type ", "INTERFACE": "interface "}[t.Kind], w.name(t.Name))
		for i, v := range t.Interfaces {
			w.add(map[bool]string{true: " implements ", false: " & "}[i == 0], w.name(v.Name))
		}
		w.add(" {")
		for _, f := range t.Fields {
			w.add("\n ", w.words(f.Description), w.name(f.Name), w.inputs("(", f.Args, ")"), ": ", w.ref(&f.Type))
		}
		w.add("\n}")
	}
	w.add("\n")
}
