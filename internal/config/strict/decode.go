package strict

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

var textualType = reflect.TypeFor[encoding.TextUnmarshaler]()

// Options say how a document is read.
type Options struct {
	// File names the document in faults.
	File string
	// Dir is where relative paths of the document begin. Empty is the working directory.
	Dir string
	// Env looks up an environment variable. With nil none is set.
	Env func(string) (string, bool)
	// EnvPrefix, when set, lets PREFIX_SECTION_KEY in the environment win over section.key of the document, for every
	// key that is not inside a list or a map.
	EnvPrefix string
	// Verbatim keeps references as they are written.
	Verbatim bool
}

// Result tells about a document that was read.
type Result struct {
	// Faults is all that is wrong; the struct must not be used unless it is empty.
	Faults Faults
	// Places tells where each key and list entry that is set was written, by path.
	Places map[string]Place
	// Origins tells for each value where it came from: a place, "environment NAME" or "default".
	Origins map[string]string
}

// Decode fills the struct that into points to from a node, which may be nil for an empty document. What the document
// does not set gets its default.
func Decode(n *yaml.Node, into any, opts Options) Result {
	d := &decoder{Options: opts, places: map[string]Place{}, origins: map[string]string{}}
	d.section(n, reflect.ValueOf(into).Elem(), spot{fixed: opts.EnvPrefix != ""})
	return Result{Faults: d.faults, Places: d.places, Origins: d.origins}
}

type decoder struct {
	Options
	faults  Faults
	places  map[string]Place
	origins map[string]string
	nodes   int  // values seen
	depth   int  // of the value being read
	full    bool // nodes went over its bound, which was reported
}

// spot is where in the target the decoder is.
type spot struct {
	path string
	// fixed: no list or map on the way here, so that the environment can name this value.
	fixed bool
	// bare: what is not set stays zero, to be inherited later.
	bare bool
}

func (s spot) under(f Field) spot {
	return spot{path: join(s.path, f.Key), fixed: s.fixed, bare: s.bare || f.Inherited}
}

func (d *decoder) place(n *yaml.Node) Place {
	if n == nil {
		return Place{File: d.File, Line: 1, Column: 1}
	}
	return Place{File: d.File, Line: n.Line, Column: n.Column}
}

func (d *decoder) fault(n *yaml.Node, path, what, remedy string) {
	d.faults = append(d.faults, Fault{Place: d.place(n), Path: path, Problem: what, Remedy: remedy})
}

// value reads one node into v. n is not nil.
func (d *decoder) value(n *yaml.Node, v reflect.Value, f Field, at spot) {
	if !d.enter(n, at.path) {
		return
	}
	defer func() { d.depth-- }()
	d.places[at.path] = d.place(n)
	target := follow(n)
	if known := map[string]bool{"!!binary": true, "!!set": true, "!!omap": true}; known[target.Tag] ||
		strings.HasPrefix(target.Tag, "!") && !strings.HasPrefix(target.Tag, "!!") {
		d.fault(n, at.path, "the tag "+target.Tag+" is not known here", "remove it")
		return
	}
	switch {
	case v.Type() == rawType:
		d.settings(n, v, at)
	case v.Kind() == reflect.Struct:
		d.section(n, v, at)
	case v.Kind() == reflect.Map:
		d.table(n, v, f, at)
	case v.Kind() == reflect.Slice:
		d.list(n, v, f, at)
	default:
		d.scalar(n, v, f, at)
	}
}

// settings keeps a section as JSON.
func (d *decoder) settings(n *yaml.Node, v reflect.Value, at spot) {
	switch target := follow(n); {
	case isNull(target):
	case target.Kind != yaml.MappingNode:
		d.fault(n, at.path, "must be a section of keys and values, not "+describe(n), "")
	default:
		v.SetBytes(d.raw(n, at.path))
		d.origins[at.path] = d.place(n).String()
	}
}

// section reads a mapping into a struct. n may be nil or null: then only defaults and the environment count.
func (d *decoder) section(n *yaml.Node, v reflect.Value, at spot) {
	fields := Fields(v.Type())
	given := make(map[string]*yaml.Node)
	switch target := follow(n); {
	case isNull(target):
	case target.Kind == yaml.MappingNode:
		given = d.keys(target, fields, at)
	case target.Kind == yaml.ScalarNode && shorthand(fields) != "":
		given[shorthand(fields)] = n
	default:
		d.fault(n, at.path, "must be a section of keys and values, not "+describe(n), example(fields, at.path))
		return
	}
	for _, f := range fields {
		member, here := v.FieldByIndex(f.Index), at.under(f)
		if node := given[f.Key]; node != nil {
			d.value(node, member, f, here)
		} else {
			d.absent(n, member, f, here)
		}
		d.override(member, f, here)
	}
}

func shorthand(fields []Field) string {
	for _, f := range fields {
		if f.Short {
			return f.Key
		}
	}
	return ""
}

func example(fields []Field, path string) string {
	if len(fields) == 0 || path == "" {
		return ""
	}
	if strings.HasSuffix(path, "]") {
		return fmt.Sprintf("write it as {%s: …}", fields[0].Key)
	}
	return fmt.Sprintf("write it as %s: {%s: …}", path[strings.LastIndexByte(path, '.')+1:], fields[0].Key)
}

// keys pairs the keys of a mapping with the fields of a struct and reports those that fit none.
func (d *decoder) keys(n *yaml.Node, fields []Field, at spot) map[string]*yaml.Node {
	given := make(map[string]*yaml.Node, len(fields))
	for _, p := range d.pairs(n, at.path) {
		key := follow(p.key).Value
		known := slices.ContainsFunc(fields, func(f Field) bool { return f.Key == key })
		switch {
		case known:
			given[key] = p.value
		case at.path == "" && strings.HasPrefix(key, "x-"):
			// A place for anchors, as in other YAML files: x-common: &common {…}
		default:
			d.fault(p.key, join(at.path, key), "unknown key", meant(key, fields))
		}
	}
	return given
}

// meant is the remedy for an unknown key.
func meant(key string, fields []Field) string {
	var names []string
	for _, f := range fields {
		if slices.ContainsFunc(f.Aka, func(a string) bool { return plain(a) == plain(key) }) {
			return fmt.Sprintf("did you mean %q?", f.Key)
		}
		names = append(names, f.Key)
	}
	if guess := Suggest(key, names); guess != "" {
		return fmt.Sprintf("did you mean %q?", guess)
	}
	if len(names) == 0 {
		return "remove it; there are no keys here"
	}
	slices.Sort(names)
	return "the keys known here are " + strings.Join(names, ", ")
}

// absent gives a value that the document does not have its default.
func (d *decoder) absent(parent *yaml.Node, v reflect.Value, f Field, at spot) {
	switch {
	case v.Kind() == reflect.Struct:
		d.section(nil, v, at)
	case f.Required:
		d.fault(parent, at.path, "is missing", "")
	case at.bare:
	case f.Env != "" && d.fromEnvironment(f.Env, v, f, at):
	case f.Default != "":
		if p := setText(v, f, f.Default, false); p.what != "" {
			panic(fmt.Sprintf("strict: default %q of %s %s", f.Default, at.path, p.what)) // a slip in a struct tag
		}
		d.origins[at.path] = "default"
	}
}

// override lets the environment win over the document.
func (d *decoder) override(v reflect.Value, f Field, at spot) {
	if at.fixed && v.Kind() != reflect.Struct && v.Type() != rawType {
		name := strings.ToUpper(strings.ReplaceAll(d.EnvPrefix+"."+at.path, ".", "_"))
		d.fromEnvironment(name, v, f, at)
	}
}

// table reads a mapping with free keys.
func (d *decoder) table(n *yaml.Node, v reflect.Value, f Field, at spot) {
	target := follow(n)
	if isNull(target) {
		return
	}
	if target.Kind != yaml.MappingNode {
		d.fault(n, at.path, "must be a section of names and values, not "+describe(n), "")
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	for _, p := range d.pairs(target, at.path) {
		key, item := follow(p.key).Value, reflect.New(v.Type().Elem()).Elem()
		here := spot{path: join(at.path, key)}
		d.value(p.value, item, Field{Key: key, Type: item.Type(), Enum: f.Enum}, here)
		// The name is what a fault about the entry as a whole is about.
		if item.Kind() == reflect.Struct {
			d.places[here.path] = d.place(p.key)
		}
		v.SetMapIndex(reflect.ValueOf(key), item)
	}
}

// list reads a sequence, or one text where that may stand for a list of one.
func (d *decoder) list(n *yaml.Node, v reflect.Value, f Field, at spot) {
	target, items := follow(n), []*yaml.Node(nil)
	switch {
	case isNull(target):
		return
	case target.Kind == yaml.SequenceNode:
		items = target.Content
	case target.Kind == yaml.ScalarNode && f.OrText:
		items = []*yaml.Node{n}
	default:
		d.fault(n, at.path, "must be a list, not "+describe(n), "write it in brackets, [like, this], or with a dash per line")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		here := spot{path: at.path + "[" + strconv.Itoa(i) + "]"}
		d.value(item, v.Index(i), Field{Type: v.Type().Elem(), Path: f.Path, Enum: f.Enum}, here)
	}
	d.origins[at.path] = d.place(n).String()
}
