package main

import (
	"bytes"
	"encoding"
	"encoding/json"
	"reflect"
	"strconv"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/strict"
)

// object is one JSON object; its keys come out sorted, so that the file only changes when the facts do.
type object map[string]any

const (
	reference    = `\$\{`
	serverNames  = "^[a-z0-9][a-z0-9_-]{0,31}$"
	durationForm = `^(0|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$`
	sizeForm     = `^[0-9]+(\.[0-9]+)? ?([KMGTkmgt]([iI]?[bB])?|[bB])?$`
)

// schemaFile makes the JSON Schema of the whole file.
func schemaFile(c comments) ([]byte, error) {
	s := schema{comments: c, defs: object{
		"duration": object{"description": "A number with a unit: 500ms, 30s, 5m, 1h30m.", "anyOf": []any{
			object{"type": "string", "pattern": durationForm}, object{"const": 0}, object{"type": "string", "pattern": reference}}},
		"size": object{"description": c["Size"], "anyOf": []any{object{"type": "integer", "minimum": 0},
			object{"type": "string", "pattern": sizeForm}, object{"type": "string", "pattern": reference}}},
	}}
	root, err := s.section(reflect.TypeFor[config.Config]())
	if err != nil {
		return nil, err
	}
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = "https://raw.githubusercontent.com/dragoman-mcp/dragoman/main/docs/dragoman.schema.json"
	root["$comment"] = "Made by go generate in internal/config; do not edit."
	root["title"] = "Configuration of Dragoman"
	root["patternProperties"] = object{"^x-": object{"description": "Anything, as a place for anchors."}}
	root["$defs"] = s.defs
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err = enc.Encode(root)
	return out.Bytes(), err
}

type schema struct {
	comments comments
	defs     object
}

// section describes a struct.
func (s schema) section(t reflect.Type) (object, error) {
	properties, required, short := object{}, []string{}, ""
	for _, f := range strict.Fields(t) {
		value, err := s.field(f)
		if err != nil {
			return nil, err
		}
		properties[f.Key] = value
		if f.Required {
			required = append(required, f.Key)
		}
		if f.Short {
			short = f.Key
		}
	}
	out := object{"type": "object", "additionalProperties": false, "properties": properties, "description": s.comments.section(t)}
	if len(required) > 0 {
		out["required"] = required
	}
	if t == reflect.TypeFor[config.Server]() {
		out["oneOf"] = []any{object{"required": []string{"command"}}, object{"required": []string{"url"}},
			object{"required": []string{"urls"}}, object{"required": []string{"builtin"}}}
	}
	if short != "" {
		out = object{"anyOf": []any{object{"type": "string", "description": "The " + short + " alone."}, out}}
	}
	return out, nil
}

// field describes one key.
func (s schema) field(f strict.Field) (object, error) {
	text, err := s.comments.of(f)
	if err != nil {
		return nil, err
	}
	out, err := s.value(f.Type, f)
	if err != nil {
		return nil, err
	}
	out["description"] = text
	if f.Default != "" && !f.Inherited {
		out["default"] = literal(f.Type, f.Default)
	}
	return out, nil
}

// literal gives a default the JSON type of its key.
func literal(t reflect.Type, text string) any {
	switch t.Kind() {
	case reflect.Bool:
		return text == "true"
	case reflect.Int:
		if n, err := strconv.Atoi(text); err == nil {
			return n
		}
	case reflect.Float64:
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			return n
		}
	}
	return text
}

// value describes what may stand for a type. A reference may stand for any single value.
func (s schema) value(t reflect.Type, f strict.Field) (object, error) {
	orReference := func(o object) object {
		return object{"anyOf": []any{o, object{"type": "string", "pattern": reference}}}
	}
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return object{"$ref": "#/$defs/duration"}, nil
	case t == reflect.TypeFor[json.RawMessage]():
		return object{"type": []string{"object", "null"}}, nil
	case t.Kind() == reflect.Int64 && reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return object{"$ref": "#/$defs/size"}, nil
	}
	switch t.Kind() {
	case reflect.Struct:
		return s.named(t)
	case reflect.Map:
		return s.table(t, f)
	case reflect.Slice:
		items, err := s.item(t.Elem())
		out := object{"type": []string{"array", "null"}, "items": items}
		if f.OrText {
			out["type"] = []string{"array", "string"}
		}
		return out, err
	case reflect.Bool:
		return orReference(object{"type": "boolean"}), nil
	case reflect.Int:
		return orReference(bounded(object{"type": "integer"}, f)), nil
	case reflect.Float64:
		number := orReference(bounded(object{"type": "number"}, f))
		if f.Unit != "" {
			number["anyOf"] = append(number["anyOf"].([]any), object{"type": "string", "pattern": `^[0-9]+(\.[0-9]+)? ?` + f.Unit + "$"})
		}
		return number, nil
	}
	if len(f.Enum) > 0 {
		return orReference(object{"enum": f.Enum}), nil
	}
	return object{"type": "string"}, nil
}

func bounded(o object, f strict.Field) object {
	if n, err := strconv.ParseFloat(f.Min, 64); err == nil {
		o["minimum"] = n
	}
	if n, err := strconv.ParseFloat(f.Max, 64); err == nil {
		o["maximum"] = n
	}
	return o
}

// named puts a struct into $defs once and refers to it.
func (s schema) named(t reflect.Type) (object, error) {
	if s.defs[t.Name()] == nil {
		s.defs[t.Name()] = true // against a struct inside itself
		def, err := s.section(t)
		if err != nil {
			return nil, err
		}
		if list, ok := def["type"].(string); ok && list == "object" && len(strict.Fields(t)) > 0 && def["required"] == nil {
			def["type"] = []string{"object", "null"}
		}
		s.defs[t.Name()] = def
	}
	return object{"$ref": "#/$defs/" + t.Name()}, nil
}

func (s schema) table(t reflect.Type, f strict.Field) (object, error) {
	items, err := s.item(t.Elem())
	out := object{"type": []string{"object", "null"}, "additionalProperties": items}
	if f.Key == "servers" || f.Key == "views" {
		out["propertyNames"] = object{"pattern": serverNames}
	}
	return out, err
}

// item describes an entry of a list or a map: text there may be written as a number or true, too.
func (s schema) item(t reflect.Type) (object, error) {
	if t.Kind() == reflect.String {
		return object{"type": []string{"string", "number", "boolean"}}, nil
	}
	return s.value(t, strict.Field{})
}
