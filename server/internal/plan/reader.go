package plan

import (
	"bytes"
	"encoding"
	"encoding/json"
	"reflect"
	"strconv"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// A Reader judges the arguments of a tool and reads them into a struct in one go.
// It may be used concurrently.
type Reader struct {
	rule     *rule
	fields   map[string]*field
	defaults []*field
}

// field is a member of the arguments and where it goes.
type field struct {
	name  string
	index []int
	read  func(raw []byte, into reflect.Value) bool
	value []byte // by default; nil for none
}

// maxMembers bounds the members of arguments that a Reader takes: names are
// compared with each other.
const maxMembers = 64

var (
	unmarshaler     = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	rawsType        = reflect.TypeFor[map[string]json.RawMessage]()
)

// NewReader returns the reader of arguments of a type with a schema; nil when
// there is none for these two.
func NewReader(schema *jsonschema.Schema, t reflect.Type) *Reader {
	r := &Reader{rule: ruleOf(schema), fields: map[string]*field{}}
	if r.rule == nil || r.rule.kinds != object || t.Kind() != reflect.Struct || reads(t) || schema.Default != nil {
		return nil
	}
	all, plain := members(t)
	if !plain {
		return nil
	}
	for _, m := range all {
		r.fields[m.name] = &field{name: m.name, index: m.index, read: readerOf(m.typ)}
	}
	for name, property := range schema.Properties {
		f := r.fields[name]
		if f == nil {
			return nil
		}
		if f.value = property.Default; f.value != nil && !again(asMembers(schema.Required), name) {
			r.defaults = append(r.defaults, f)
		}
	}
	return r
}

func asMembers(names []string) (all []jsonrpc.Member) {
	for _, name := range names {
		all = append(all, jsonrpc.Member{Name: name})
	}
	return all
}

// reads reports whether a type reads itself.
func reads(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(unmarshaler) || p.Implements(textUnmarshaler)
}

// Read reads JSON that has been checked into a struct that can be set and is
// zero. When it returns false, the arguments do not fit or need a closer look,
// and some of them may have been read.
func (r *Reader) Read(raw []byte, into reflect.Value) bool {
	o, ok := jsonrpc.Split(raw)
	if !ok || len(o.Members()) > maxMembers || !r.rule.members(o) {
		return false
	}
	for _, m := range o.Members() {
		f := r.fields[m.Name]
		if f == nil || !f.read(m.Value, into.FieldByIndex(f.index)) {
			return false
		}
	}
	for _, f := range r.defaults {
		if o.Get(f.name) == nil && !f.read(f.value, into.FieldByIndex(f.index)) {
			return false
		}
	}
	return true
}

func readerOf(t reflect.Type) func([]byte, reflect.Value) bool {
	switch {
	case reads(t):
		return readOther
	case t.Kind() == reflect.String && t != numberType:
		return readString
	case t.Kind() == reflect.Bool:
		return readBool
	case t.Kind() >= reflect.Int && t.Kind() <= reflect.Int64:
		return readInt
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String && !reads(t.Elem()) && t.Elem() != numberType:
		return readStrings
	case t == rawsType:
		return readRaws
	}
	return readOther
}

// readOther leaves a value to encoding/json.
func readOther(raw []byte, into reflect.Value) bool {
	return json.Unmarshal(raw, into.Addr().Interface()) == nil
}

func readString(raw []byte, into reflect.Value) bool {
	s, ok := jsonrpc.Unquote(raw)
	if ok {
		into.SetString(s)
	}
	return ok
}

func readBool(raw []byte, into reflect.Value) bool {
	into.SetBool(string(raw) == "true")
	return string(raw) == "true" || string(raw) == "false"
}

func readInt(raw []byte, into reflect.Value) bool {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || into.OverflowInt(n) {
		return false
	}
	into.SetInt(n)
	return true
}

func readStrings(raw []byte, into reflect.Value) bool {
	if len(raw) == 0 || raw[0] != '[' {
		return false
	}
	list := reflect.MakeSlice(into.Type(), 0, 4)
	for item := range jsonrpc.Elements(raw) {
		s, ok := jsonrpc.Unquote(item)
		if !ok {
			return false
		}
		list = reflect.Append(list, reflect.ValueOf(s).Convert(into.Type().Elem()))
	}
	into.Set(list)
	return true
}

// readRaws copies the members of an object, as encoding/json does: who gets them may keep them.
func readRaws(raw []byte, into reflect.Value) bool {
	o, ok := jsonrpc.Split(bytes.Clone(raw))
	if !ok || len(o.Members()) > maxMembers {
		return readOther(raw, into)
	}
	all := make(map[string]json.RawMessage, len(o.Members()))
	for _, m := range o.Members() {
		all[m.Name] = m.Value[:len(m.Value):len(m.Value)]
	}
	into.Set(reflect.ValueOf(all))
	return true
}
