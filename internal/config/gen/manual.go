package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/strict"
)

//go:embed preface.md
var preface string

//go:embed environment.md
var environmentText string

// manual collects the pages: the keys of a section first, then the sections inside it.
type manual struct {
	comments comments
	out      bytes.Buffer
	done     []reflect.Type
	// variables lists what the environment sets: name, key.
	variables [][2]string
}

// manualFile makes docs/config.md.
func manualFile(c comments) ([]byte, error) {
	m := &manual{comments: c}
	m.out.WriteString(preface)
	m.out.WriteString("\n## The keys\n")
	if err := m.section(reflect.TypeFor[config.Config](), ""); err != nil {
		return nil, err
	}
	m.environment()
	return m.out.Bytes(), nil
}

// section writes the keys of one struct. path is where it stands in the file, like servers.NAME.
func (m *manual) section(t reflect.Type, path string) error {
	m.done = append(m.done, t)
	if path != "" {
		fmt.Fprintf(&m.out, "\n### `%s`\n\n%s\n", path, m.comments.section(t))
	}
	type inner struct {
		t    reflect.Type
		path string
	}
	var inside []inner
	m.out.WriteByte('\n')
	for _, f := range strict.Fields(t) {
		here := strings.TrimPrefix(path+"."+f.Key, ".")
		if f.Inherited {
			continue
		}
		if err := m.key(f, here); err != nil {
			return err
		}
		if s, at := innerSection(f.Type, here); s != nil {
			inside = append(inside, inner{s, at})
		}
	}
	if t == reflect.TypeFor[config.Server]() {
		m.out.WriteString("- and every key of [`defaults`](#defaults), for this server alone\n")
	}
	for _, i := range inside {
		if slices.Contains(m.done, i.t) {
			continue
		}
		if err := m.section(i.t, i.path); err != nil {
			return err
		}
	}
	return nil
}

// innerSection gives the struct that a key holds, alone or in a list or map.
func innerSection(t reflect.Type, path string) (reflect.Type, string) {
	switch {
	case t.Kind() == reflect.Struct:
		return t, path
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Struct:
		return t.Elem(), path + ".NAME"
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		return t.Elem(), path + "[]"
	}
	return nil, ""
}

// key writes one key.
func (m *manual) key(f strict.Field, path string) error {
	text, err := m.comments.of(f)
	if err != nil {
		return err
	}
	var facts []string
	add := func(format, value string) {
		if value != "" {
			facts = append(facts, fmt.Sprintf(format, value))
		}
	}
	add("%s", m.form(f))
	add("default `%s`", f.Default)
	if f.Required {
		facts = append(facts, "required")
	}
	if f.Min != "" && f.Max != "" {
		facts = append(facts, fmt.Sprintf("`%s` to `%s`", f.Min, f.Max))
	}
	fmt.Fprintf(&m.out, "- **`%s`** (%s): %s", f.Key, strings.Join(facts, ", "), text)
	if f.Example != "" {
		fmt.Fprintf(&m.out, " Example: `%s: %s`", f.Key, f.Example)
	}
	m.out.WriteByte('\n')
	if f.Env != "" {
		m.variables = append(m.variables, [2]string{f.Env, path})
	}
	return nil
}

// form says what a value looks like.
func (m *manual) form(f strict.Field) string {
	if len(f.Enum) > 0 {
		return "`" + strings.Join(f.Enum, "`, `") + "`"
	}
	switch t := f.Type; {
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String && f.OrText:
		return "a list, or text"
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String:
		return "a list of text"
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.String:
		return "names and their text"
	case t.Kind() == reflect.Map:
		return "sections by name"
	case f.Unit != "":
		return "a number, also with " + f.Unit
	default:
		return strict.Expected(t)
	}
}

// environment lists the variables of other systems that are honoured.
func (m *manual) environment() {
	m.out.WriteString("\n" + environmentText + "\n| variable | sets |\n|---|---|\n")
	m.variables = append(m.variables, [2]string{"MCP_BIND_HOST", "the host of the default of listen"})
	slices.SortFunc(m.variables, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	for _, v := range m.variables {
		key := "`" + v[1] + "`"
		if strings.Contains(v[1], " ") {
			key = v[1]
		}
		fmt.Fprintf(&m.out, "| `%s` | %s |\n", v[0], key)
	}
}
