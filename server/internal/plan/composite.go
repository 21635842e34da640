package plan

import (
	"cmp"
	"reflect"
	"slices"
	"strings"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

func (p *Plans) list(t reflect.Type) encoder {
	if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 {
		if elem := reflect.PointerTo(t.Elem()); elem.Implements(marshaler) || elem.Implements(textMarshaler) {
			return encodeOther
		}
		return encodeBytes
	}
	elem := p.of(t.Elem())
	return func(t *Text, v reflect.Value) error {
		if v.Kind() == reflect.Slice && v.IsNil() {
			t.Bytes = append(t.Bytes, "null"...)
			return nil
		}
		t.Bytes = append(t.Bytes, '[')
		for i := range v.Len() {
			if i > 0 {
				t.Bytes = append(t.Bytes, ',')
			}
			if err := t.deeper(elem, v.Index(i)); err != nil {
				return err
			}
		}
		t.Bytes = append(t.Bytes, ']')
		return nil
	}
}

func (p *Plans) object(t reflect.Type) encoder {
	key := t.Key()
	if key.Kind() != reflect.String || key.Implements(textMarshaler) {
		return encodeOther
	}
	elem := p.of(t.Elem())
	return func(t *Text, v reflect.Value) error {
		if v.IsNil() {
			t.Bytes = append(t.Bytes, "null"...)
			return nil
		}
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) })
		t.Bytes = append(t.Bytes, '{')
		for i, k := range keys {
			if i > 0 {
				t.Bytes = append(t.Bytes, ',')
			}
			t.Bytes = append(jsonrpc.AppendString(t.Bytes, k.String()), ':')
			if err := t.deeper(elem, v.MapIndex(k)); err != nil {
				return err
			}
		}
		t.Bytes = append(t.Bytes, '}')
		return nil
	}
}

// member is a field of a struct as a member of an object.
type member struct {
	name      string
	index     []int
	typ       reflect.Type
	omitEmpty bool
	omitZero  bool
}

// members are those that encoding/json writes for a struct; false when its rules
// say more than this: two fields with one name, embedded pointers, numbers as
// strings.
func members(t reflect.Type) (all []member, plain bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		embedded := f.Anonymous && name == ""
		switch {
		case tag == "-":
			continue
		case embedded && f.Type.Kind() == reflect.Struct:
			inner, plain := members(f.Type)
			if !plain {
				return nil, false
			}
			for _, m := range inner {
				m.index = append([]int{i}, m.index...)
				all = append(all, m)
			}
			continue
		case embedded && !f.IsExported() || f.Anonymous && f.Type.Kind() == reflect.Pointer:
			return nil, false
		case !f.IsExported():
			continue
		}
		m := member{name: cmp.Or(name, f.Name), index: []int{i}, typ: f.Type}
		for option := range strings.SplitSeq(options, ",") {
			switch option {
			case "omitempty":
				m.omitEmpty = true
			case "omitzero":
				m.omitZero = true
			case "string":
				return nil, false
			}
		}
		if !validName(m.name) || m.omitZero && hasIsZero(f.Type) {
			return nil, false
		}
		all = append(all, m)
	}
	for i, m := range all {
		if slices.ContainsFunc(all[:i], func(o member) bool { return o.name == m.name }) {
			return nil, false
		}
	}
	return all, true
}

// validName reports whether a name needs no escaping and is not replaced by
// encoding/json, as odd ones in tags are.
func validName(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && r != '-' && r != '.' && r != '$' && r != '@' && r != '/' && (r < '0' || r > '9') && (r|0x20 < 'a' || r|0x20 > 'z')
	})
}

func hasIsZero(t reflect.Type) bool {
	_, own := t.MethodByName("IsZero")
	_, ofPointer := reflect.PointerTo(t).MethodByName("IsZero")
	return own || ofPointer
}

func (p *Plans) structure(t reflect.Type) encoder {
	all, plain := members(t)
	if !plain {
		return encodeOther
	}
	type step struct {
		member
		head   []byte
		encode encoder
	}
	steps := make([]step, len(all))
	for i, m := range all {
		steps[i] = step{m, []byte(`"` + m.name + `":`), p.of(m.typ)}
	}
	return func(t *Text, v reflect.Value) error {
		t.Bytes = append(t.Bytes, '{')
		begin := len(t.Bytes)
		for i := range steps {
			s := &steps[i]
			f := v.Field(s.index[0])
			for _, j := range s.index[1:] {
				f = f.Field(j)
			}
			if s.omitEmpty && empty(f) || s.omitZero && f.IsZero() {
				continue
			}
			if len(t.Bytes) > begin {
				t.Bytes = append(t.Bytes, ',')
			}
			t.Bytes = append(t.Bytes, s.head...)
			if err := s.encode(t, f); err != nil {
				return err
			}
		}
		t.Bytes = append(t.Bytes, '}')
		return nil
	}
}

// empty is what omitempty leaves out.
func empty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}
