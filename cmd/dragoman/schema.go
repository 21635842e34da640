package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/config/strict"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// schema is a JSON Schema as a server wrote it, or a part of one. Only what
// tells how a person's text becomes a value is read; what a value must be
// beyond that is for the server to judge. The zero schema allows anything.
type schema struct{ at, root jsonrpc.Object }

// maxRefs bounds the references that are followed one after the other.
const maxRefs = 8

func newSchema(text []byte) schema {
	o, _ := jsonrpc.Split(text)
	return schema{o, o}.follow()
}

func (s schema) part(text []byte) schema {
	o, _ := jsonrpc.Split(text)
	return schema{o, s.root}.follow()
}

// follow resolves references into the same document.
func (s schema) follow() schema {
	for range maxRefs {
		pointer, ok := s.at.String("$ref")
		if !ok || !strings.HasPrefix(pointer, "#") {
			return s
		}
		target := s.root
		for _, step := range strings.Split(strings.TrimPrefix(pointer, "#"), "/")[1:] {
			step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
			target, _ = jsonrpc.Split(target.Get(step))
		}
		s.at = target
	}
	return s
}

// text is a member that is a string; empty when it is none.
func (s schema) text(name string) string {
	text, _ := s.at.String(name)
	return text
}

// property is one member of an object that a schema describes.
type property struct {
	name string
	schema
	required bool
}

// label is a property's name for people.
func (p property) label() string {
	if title := p.text("title"); title != "" {
		return title
	}
	return p.name
}

// properties lists those that the schema names, in its order.
func (s schema) properties() []property {
	var required []string
	for element := range jsonrpc.Elements(s.at.Get("required")) {
		name, _ := jsonrpc.Unquote(element)
		required = append(required, name)
	}
	var out []property
	all, _ := jsonrpc.Split(s.at.Get("properties"))
	for _, m := range all.Members() {
		out = append(out, property{m.Name, s.part(m.Value), slices.Contains(required, m.Name)})
		required = slices.DeleteFunc(required, func(name string) bool { return name == m.Name })
	}
	for _, name := range required {
		out = append(out, property{name: name, required: true})
	}
	return out
}

// closed reports whether an object may have no other members.
func (s schema) closed() bool { return string(s.at.Get("additionalProperties")) == "false" }

// kinds are the JSON types that a value may have; none means any.
func (s schema) kinds() []string { return s.kindsAt(0) }

func (s schema) kindsAt(depth int) []string {
	if depth > maxRefs {
		return nil
	}
	if kind := s.text("type"); kind != "" {
		return []string{kind}
	}
	var out []string
	for element := range jsonrpc.Elements(s.at.Get("type")) {
		kind, _ := jsonrpc.Unquote(element)
		out = append(out, kind)
	}
	if len(out) > 0 {
		return out
	}
	for _, value := range s.ownChoices() {
		out = append(out, kindOf(value))
	}
	for _, word := range []string{"anyOf", "oneOf", "allOf"} {
		for element := range jsonrpc.Elements(s.at.Get(word)) {
			kinds := s.part(element).kindsAt(depth + 1)
			if kinds == nil && word != "allOf" {
				return nil
			}
			out = append(out, kinds...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func kindOf(value []byte) string {
	switch value[0] {
	case '"':
		return "string"
	case '{':
		return "object"
	case '[':
		return "array"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	return "number"
}

// ownChoices are the values of enum and const.
func (s schema) ownChoices() [][]byte {
	choices := slices.Collect(jsonrpc.Elements(s.at.Get("enum")))
	if value := s.at.Get("const"); value != nil {
		choices = append(choices, value)
	}
	return choices
}

// choices are the only values that are allowed; none when there are others.
func (s schema) choices() [][]byte {
	if own := s.ownChoices(); own != nil {
		return own
	}
	var out [][]byte
	for _, word := range []string{"anyOf", "oneOf"} {
		for element := range jsonrpc.Elements(s.at.Get(word)) {
			part := s.part(element)
			own := part.ownChoices()
			if own == nil && !slices.Equal(part.kinds(), []string{"null"}) {
				return nil
			}
			out = append(out, own...)
		}
	}
	return out
}

// typeName says in a few words what a value must be.
func (s schema) typeName() string {
	if choices := s.choices(); choices != nil {
		words := make([]string, len(choices))
		for i, c := range choices {
			words[i] = plain(c)
		}
		return strings.Join(words, "|")
	}
	kinds := s.kinds()
	if len(kinds) == 0 {
		return "any"
	}
	if items := s.part(s.at.Get("items")); len(kinds) == 1 && kinds[0] == "array" && len(items.kinds()) == 1 {
		return "array of " + items.kinds()[0]
	}
	return strings.Join(kinds, "|")
}

// plain is a value as a person writes it: text without quotes.
func plain(value []byte) string {
	if text, ok := jsonrpc.Unquote(value); ok {
		return text
	}
	return string(value)
}

// value makes a JSON value of a text. Where text is allowed, it is text: NAME:=JSON
// is for the rest.
func (s schema) value(text string) ([]byte, error) {
	if choices := s.choices(); choices != nil {
		return choose(text, choices, s.kinds())
	}
	kinds := s.kinds()
	if len(kinds) == 0 || slices.Contains(kinds, "string") {
		return jsonrpc.AppendString(nil, text), nil
	}
	var first error
	for _, kind := range kinds {
		value, err := convert(kind, text)
		if err == nil {
			return value, nil
		}
		if first == nil || kind != "null" {
			first = err
		}
	}
	return nil, first
}

func choose(text string, choices [][]byte, kinds []string) ([]byte, error) {
	words := make([]string, len(choices))
	for i, c := range choices {
		words[i] = plain(c)
		if words[i] == text {
			return c, nil
		}
	}
	if text == "null" && slices.Contains(kinds, "null") {
		return []byte(text), nil
	}
	err := fmt.Errorf("%q is not one of %s", text, strings.Join(words, ", "))
	if guess := strict.Suggest(text, words); guess != "" {
		err = fmt.Errorf("%w; did you mean %q?", err, guess)
	}
	return nil, err
}

// convert reads text as a value of one JSON type.
func convert(kind, text string) ([]byte, error) {
	raw := []byte(strings.TrimSpace(text))
	valid := json.Valid(raw)
	switch kind {
	case "integer", "number":
		if !valid || !isNumber(raw) {
			return nil, fmt.Errorf("%q is not a number", text)
		}
		if n, err := strconv.ParseFloat(string(raw), 64); kind == "integer" && (err != nil || n != math.Trunc(n)) {
			return nil, fmt.Errorf("%q is not a whole number", text)
		}
	case "boolean":
		if text != "true" && text != "false" {
			return nil, fmt.Errorf("%q is neither true nor false", text)
		}
	case "null":
		if text != "null" {
			return nil, fmt.Errorf("%q is not null", text)
		}
	case "array":
		if !valid || raw[0] != '[' {
			return nil, fmt.Errorf(`%q is not a JSON array, like '["a","b"]'`, text)
		}
	case "object":
		if !valid || raw[0] != '{' {
			return nil, fmt.Errorf(`%q is not a JSON object, like '{"a":1}'`, text)
		}
	default:
		return nil, fmt.Errorf("the tool wants a %s, which no text can be; write NAME:=JSON", kind)
	}
	return raw, nil
}

func isNumber(raw []byte) bool {
	return len(raw) > 0 && bytes.IndexByte([]byte("-0123456789"), raw[0]) >= 0
}
