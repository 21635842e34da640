package elicit

import (
	"fmt"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/policy/elicit/wording"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Bounds of a form that people shall fill in.
const (
	maxFields = 256
	maxLevels = 8
	// maxTexts is how many bytes the texts of a form have that can ask for secrets,
	// of one with a field that takes any text; none of them is read in part only.
	maxTexts = wording.MaxText
)

// form judges the fields of a form, and its message where there is a field that
// takes any text (2025-11-25, client/elicitation, "Servers MUST NOT use form mode
// elicitation to request sensitive information").
func (g *guard) form(params jsonrpc.Object) fault {
	if g.asks.Secrets == "pass" {
		return fault{}
	}
	raw := params.Get("requestedSchema")
	schema, ok := jsonrpc.Split(raw)
	r := reader{words: g.judge.words, free: raw != nil && !ok} // what a client makes of that is not known
	if ok {
		r.properties(schema, 0)
	}
	if r.fault.reason != "" || !r.free {
		return r.fault
	}
	texts := [...]string{"message", textOf(params, "message"), "title", textOf(schema, "title"), "description", textOf(schema, "description")}
	for i := 0; i < len(texts); i += 2 {
		if !r.takes(texts[i+1]) {
			return r.fault
		}
		if found := g.judge.words.Question(texts[i+1]); found != "" {
			return secret(fmt.Sprintf("the form's %s asks for a secret (%q)", texts[i], found))
		}
	}
	return fault{}
}

func secret(what string) fault {
	return fault{Secret, what + ", which a form must not: ask with mode \"url\", or without the secret"}
}

// reader reads the fields of a form.
type reader struct {
	words  *wording.Reader
	fields int
	texts  int  // bytes
	free   bool // some field takes any text
	fault  fault
}

// takes counts texts, and reports whether they can still be read.
func (r *reader) takes(texts ...string) bool {
	for _, text := range texts {
		r.texts += len(text)
	}
	if r.texts > maxTexts {
		r.fault = fault{Shape, fmt.Sprintf("the form has more than %d bytes of text: ask for less at once", maxTexts)}
	}
	return r.fault.reason == ""
}

// properties reads the fields of an object. Names are compared without regard to
// case, since some clients read them so.
func (r *reader) properties(schema jsonrpc.Object, level int) {
	for _, m := range schema.Members() {
		all, ok := jsonrpc.Split(m.Value)
		if !ok || r.fault.reason != "" {
			continue
		}
		switch strings.ToLower(m.Name) {
		case "properties", "patternproperties", "$defs", "definitions", "dependentschemas":
			for _, p := range all.Members() {
				r.field(p.Name, p.Value, level)
			}
		case "additionalproperties", "items", "if", "then", "else", "not", "contains":
			r.field("", m.Value, level)
		}
	}
	for _, name := range [...]string{"allOf", "anyOf", "oneOf", "prefixItems"} {
		for element := range jsonrpc.Elements(schema.Get(name)) {
			r.field("", element, level)
		}
	}
}

// field reads one field, and what is below it.
func (r *reader) field(name string, raw []byte, level int) {
	if r.fault.reason != "" {
		return
	}
	if r.fields++; r.fields > maxFields || level >= maxLevels {
		r.fault = fault{Shape, fmt.Sprintf("the form has more than %d fields or %d levels: ask for less at once", maxFields, maxLevels)}
		return
	}
	schema, ok := jsonrpc.Split(raw)
	if ok && fixed(schema) {
		return
	}
	r.free = true
	if format, _ := jsonrpc.Unquote(anyCase(schema, "format")); strings.EqualFold(format, "password") {
		r.fault = secret(fmt.Sprintf("the field %q has the format of a password", name))
		return
	}
	title, description := textOf(schema, "title"), textOf(schema, "description")
	if !r.takes(name, title, description) {
		return
	}
	if found := r.words.Field(wording.Field{Name: name, Title: title, Description: description}); found != "" {
		r.fault = secret(fmt.Sprintf("the field %q asks for a secret (%q)", name, found))
		return
	}
	r.properties(schema, level+1)
}

// fixed reports whether a field has no room for what the user knows: it is yes or
// no, or one of what the server lists.
func fixed(schema jsonrpc.Object) bool {
	if kind, _ := schema.String("type"); kind == "boolean" || kind == "null" {
		return true
	}
	if listed(schema.Get("enum")) || schema.Get("const") != nil || constants(schema.Get("oneOf")) || constants(schema.Get("anyOf")) {
		return true
	}
	items, ok := jsonrpc.Split(schema.Get("items"))
	kind, _ := schema.String("type")
	return ok && kind == "array" && fixed(items)
}

func listed(raw []byte) bool {
	for range jsonrpc.Elements(raw) {
		return true
	}
	return false
}

// constants reports whether raw is a list of schemas of one value each.
func constants(raw []byte) bool {
	n := 0
	for element := range jsonrpc.Elements(raw) {
		o, _ := jsonrpc.Split(element)
		if o.Get("const") == nil {
			return false
		}
		n++
	}
	return n > 0
}

func anyCase(o jsonrpc.Object, name string) []byte {
	for _, m := range o.Members() {
		if strings.EqualFold(m.Name, name) {
			return m.Value
		}
	}
	return nil
}

func textOf(o jsonrpc.Object, name string) string {
	text, _ := jsonrpc.Unquote(anyCase(o, name))
	return text
}
