package openapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Styles write values that are lists and objects into places that know texts
// only (OpenAPI 3.1.1 §4.8.12.3, RFC 6570).

// pair is a name and value that are encoded already.
type pair struct{ name, value string }

// style says how a value is written.
type style struct {
	name    string // of the parameter, as it is
	kind    string
	explode bool
	encode  func(string) string
}

// scalar is a value as text; lists and objects where only texts can be are
// written as JSON.
func scalar(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(text)
}

// members are the members of an object as scalars, sorted, so that the same
// arguments make the same request.
func members(o object) []pair {
	out := make([]pair, 0, len(o))
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if o[name] != nil {
			out = append(out, pair{name, scalar(o[name])})
		}
	}
	return out
}

// joined writes a list or an object into one text.
func (s style) joined(v any, between, assign string) string {
	var parts []string
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			parts = append(parts, s.encode(scalar(item)))
		}
	case object:
		for _, m := range members(v) {
			parts = append(parts, s.encode(m.name)+assign+s.encode(m.value))
		}
	default:
		return s.encode(scalar(v))
	}
	return strings.Join(parts, between)
}

// path writes a value for the path.
func (s style) path(v any) string {
	name := s.encode(s.name)
	_, isList := v.([]any)
	_, isObject := v.(object)
	assign := ","
	if s.explode {
		assign = "="
	}
	switch {
	case s.kind == "label" && s.explode:
		return "." + s.joined(v, ".", assign)
	case s.kind == "label":
		return "." + s.joined(v, ",", assign)
	case s.kind == "matrix" && s.explode && isList:
		var out strings.Builder
		for _, item := range v.([]any) {
			out.WriteString(";" + name + "=" + s.encode(scalar(item)))
		}
		return out.String()
	case s.kind == "matrix" && s.explode && isObject:
		return ";" + s.joined(v, ";", "=")
	case s.kind == "matrix":
		return ";" + name + "=" + s.joined(v, ",", assign)
	}
	return s.joined(v, ",", assign)
}

// errDepth is the error of objects that nest deeper than a query can.
var errDepth = errors.New("it nests too deep for a query")

// query writes a value for a query or a form.
func (s style) query(v any) ([]pair, error) {
	name := s.encode(s.name)
	if v == nil {
		return nil, nil
	}
	l, isList := v.([]any)
	o, isObject := v.(object)
	switch {
	case s.kind == "deepObject" && (isObject || isList):
		return s.deep(nil, name, v, 0)
	case !isList && !isObject:
		return []pair{{name, s.encode(scalar(v))}}, nil
	case isList && s.explode:
		out := make([]pair, 0, len(l))
		for _, item := range l {
			out = append(out, pair{name, s.encode(scalar(item))})
		}
		return out, nil
	case isObject && s.explode:
		var out []pair
		for _, m := range members(o) {
			out = append(out, pair{s.encode(m.name), s.encode(m.value)})
		}
		return out, nil
	}
	between := map[string]string{"spaceDelimited": "%20", "pipeDelimited": "%7C", "tabDelimited": "%09"}[s.kind]
	if between == "" {
		between = ","
	}
	return []pair{{name, s.joined(v, between, between)}}, nil
}

// deep writes name[member]=value for each member. The specification leaves what
// is deeper open; it is written as most libraries do, lists by their index.
func (s style) deep(out []pair, name string, v any, depth int) ([]pair, error) {
	if depth > 16 {
		return nil, errDepth
	}
	var err error
	switch v := v.(type) {
	case nil:
	case object:
		for _, member := range slices.Sorted(maps.Keys(v)) {
			if out, err = s.deep(out, name+"%5B"+s.encode(member)+"%5D", v[member], depth+1); err != nil {
				return nil, err
			}
		}
	case []any:
		for i, item := range v {
			if out, err = s.deep(out, name+"%5B"+strconv.Itoa(i)+"%5D", item, depth+1); err != nil {
				return nil, err
			}
		}
	default:
		out = append(out, pair{name, s.encode(scalar(v))})
	}
	return out, nil
}

// header writes a value for a header.
func (s style) header(v any) (string, error) {
	assign := ","
	if s.explode {
		assign = "="
	}
	out := s.joined(v, ",", assign)
	if err := harmless(out); err != nil {
		return "", err
	}
	return strings.TrimSpace(out), nil
}

// written says what a parameter's value is as JSON, if that is how it is sent.
func (p *Parameter) written(v any) (any, error) {
	if p.media == "" {
		return v, nil
	}
	if s, ok := v.(string); ok && !isJSON(p.media) {
		return s, nil
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write it as JSON: %w", err)
	}
	return string(text), nil
}
