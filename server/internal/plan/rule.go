package plan

import (
	"bytes"
	"reflect"
	"slices"
	"strconv"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// kind is what a JSON value can be, as a bit.
type kind uint8

const (
	null kind = 1 << iota
	boolean
	integer
	number
	text
	array
	object
	anything = null | boolean | integer | number | text | array | object
)

// rule is a schema of the common keywords. It says yes only where the schema
// would; where it says no the schema has the last word, and the better message.
type rule struct {
	kinds      kind
	enum       []string // of texts; nil for none
	min, max   *float64
	items      *rule // nil for any
	properties map[string]*rule
	required   []string
	open       bool  // other members may be there
	others     *rule // what those must be; nil for anything
}

// ruleOf is nil for a schema that says more than a rule can.
func ruleOf(s *jsonschema.Schema) *rule {
	if s == nil || !common(*s) {
		return nil
	}
	r := &rule{kinds: kindsOf(s), min: s.Minimum, max: s.Maximum, required: s.Required, open: !never(s.AdditionalProperties)}
	if r.open && s.AdditionalProperties != nil {
		if r.others = ruleOf(s.AdditionalProperties); r.others == nil {
			return nil
		}
	}
	for _, v := range s.Enum {
		word, ok := v.(string)
		if !ok {
			return nil
		}
		r.enum = append(r.enum, word)
	}
	if s.Enum != nil && r.kinds != text || (r.min != nil || r.max != nil) && r.kinds&^(integer|number) != 0 || r.kinds == 0 {
		return nil
	}
	if s.Items != nil {
		if r.items = ruleOf(s.Items); r.items == nil || s.Items.Default != nil {
			return nil
		}
	}
	if s.Properties != nil {
		r.properties = make(map[string]*rule, len(s.Properties))
	}
	for name, property := range s.Properties {
		inner := ruleOf(property)
		if inner == nil || slices.ContainsFunc(values(property.Properties), func(p *jsonschema.Schema) bool { return p.Default != nil }) {
			return nil
		}
		r.properties[name] = inner
	}
	return r
}

func values(m map[string]*jsonschema.Schema) (all []*jsonschema.Schema) {
	for _, s := range m {
		all = append(all, s)
	}
	return all
}

// common reports whether a schema has no other keywords than those of a rule, and
// those that say nothing about what is right.
func common(s jsonschema.Schema) bool {
	s.Title, s.Description, s.Default, s.Examples, s.Comment = "", "", nil, nil, ""
	s.Type, s.Types, s.Enum, s.Minimum, s.Maximum = "", nil, nil, nil, nil
	s.Items, s.Properties, s.Required, s.AdditionalProperties, s.PropertyOrder = nil, nil, nil, nil, nil
	return reflect.ValueOf(s).IsZero()
}

// never is the schema false.
func never(s *jsonschema.Schema) bool {
	if s == nil || s.Not == nil || !reflect.ValueOf(*s.Not).IsZero() {
		return false
	}
	rest := *s
	rest.Not = nil
	return reflect.ValueOf(rest).IsZero()
}

func kindsOf(s *jsonschema.Schema) (all kind) {
	names := s.Types
	if s.Type != "" {
		names = []string{s.Type}
	}
	if names == nil {
		return anything
	}
	for _, name := range names {
		switch name {
		case "null":
			all |= null
		case "boolean":
			all |= boolean
		case "integer":
			all |= integer
		case "number":
			all |= number | integer
		case "string":
			all |= text
		case "array":
			all |= array
		case "object":
			all |= object
		default:
			return 0
		}
	}
	return all
}

// kindOf is what checked JSON is. A whole number that is written with a point or
// an exponent is taken for one that is not whole, which no rule says yes to.
func kindOf(raw []byte) kind {
	switch raw[0] {
	case 'n':
		return null
	case 't', 'f':
		return boolean
	case '"':
		return text
	case '[':
		return array
	case '{':
		return object
	}
	if bytes.ContainsAny(raw, ".eE") {
		return number
	}
	return integer
}

// fits reports whether checked JSON surely fits.
func (r *rule) fits(raw []byte) bool {
	if len(raw) == 0 {
		return false
	}
	k := kindOf(raw)
	if r.kinds&k == 0 {
		return false
	}
	switch {
	case k == text && r.enum != nil:
		word, ok := jsonrpc.Unquote(raw)
		return ok && slices.Contains(r.enum, word)
	case k&(integer|number) != 0 && (r.min != nil || r.max != nil):
		n, err := strconv.ParseFloat(string(raw), 64)
		return err == nil && (r.min == nil || n >= *r.min) && (r.max == nil || n <= *r.max)
	case k == array && r.items != nil:
		for item := range jsonrpc.Elements(raw) {
			if !r.items.fits(item) {
				return false
			}
		}
	case k == object && (r.properties != nil || r.required != nil || r.others != nil || !r.open):
		o, ok := jsonrpc.Split(raw)
		return ok && r.members(o)
	}
	return true
}

func (r *rule) members(o jsonrpc.Object) bool {
	members := o.Members()
	for i, m := range members {
		inner, known := r.properties[m.Name]
		if !known {
			inner = r.others
		}
		if !known && !r.open || inner != nil && !inner.fits(m.Value) || again(members[:i], m.Name) {
			return false
		}
	}
	for _, name := range r.required {
		if o.Get(name) == nil {
			return false
		}
	}
	return true
}

func again(members []jsonrpc.Member, name string) bool {
	for _, m := range members {
		if m.Name == name {
			return true
		}
	}
	return false
}
