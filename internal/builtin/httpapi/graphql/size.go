package graphql

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

const (
	// unsized is how many elements a list is taken to have of which nothing is
	// said, or which a variable says that is not known yet. Inside another such
	// list it is taken to have fewer: the lists of elements are mostly short, and
	// guesses that are multiplied become wrong.
	unsized = 10
	// maxSize stands for all that is larger, and for less than none, which some
	// APIs take for everything.
	maxSize = 1 << 20
	// maxInside is how deep sizes are looked for in arguments that are objects.
	maxInside = 4
)

// size is what arguments say of the length of a list. Zero means nothing.
type size struct {
	n int
	// vague is a size that may mean another list: it was said in a filter, or a type
	// is between the arguments and the list.
	vague bool
}

// known reports whether the caller has said how long the list is.
func (s size) known() bool { return s.n > 0 && !s.vague }

// elements is how many elements a list has, by estimate, inside a number of others of
// which nothing is said. What is vague can only make it longer.
func (s size) elements(inside int) int {
	if s.known() {
		return s.n
	}
	return max(s.n, [...]int{unsized, unsized / 2, 3}[min(inside, 2)])
}

// beyond is what a size says of lists one type further on.
func (s size) beyond() size { return size{s.n, true} }

func (s size) most(other size) size {
	switch {
	case s.known() != other.known():
		if s.known() {
			return s
		}
		return other
	case other.n > s.n:
		return other
	}
	return s
}

// size is the most elements that the arguments of a field ask for.
func (m *measure) size(arguments ast.ArgumentList) size {
	var out size
	for _, a := range arguments {
		out = out.most(m.argument(a.Name, a.Value, maxInside))
	}
	return out
}

// argument is the size that an argument, or a part of one, says.
func (m *measure) argument(name string, v *ast.Value, depth int) size {
	if v == nil || depth == 0 {
		return size{}
	}
	switch v.Kind {
	case ast.IntValue, ast.FloatValue, ast.StringValue:
		return number(name, v.Raw)
	case ast.ObjectValue:
		var out size
		for _, c := range v.Children {
			out = out.most(m.argument(c.Name, c.Value, depth-1))
		}
		return pages(name, out)
	case ast.Variable:
		return m.variable(name, v.Raw, depth)
	}
	return size{}
}

// use is a variable as an argument of a name, so deep inside others.
type use struct {
	name, variable string
	depth          int
}

// variable is the size that a variable says: its value, or its default, or that of
// any list while no values are known. It looks once, since a value may be large and
// be used in each field.
func (m *measure) variable(name, variable string, depth int) size {
	u := use{name, variable, depth}
	out, seen := m.said[u]
	if !seen {
		out = m.worth(u)
		if m.said == nil {
			m.said = map[use]size{}
		}
		m.said[u] = out
	}
	return out
}

func (m *measure) worth(u use) size {
	if value, ok := m.values[u.variable]; ok {
		var v any
		if err := json.Unmarshal(value, &v); err != nil {
			return size{}
		}
		return part(u.name, v, u.depth)
	}
	if d := m.variables.ForName(u.variable); d != nil && d.DefaultValue != nil && d.DefaultValue.Kind != ast.Variable {
		return m.argument(u.name, d.DefaultValue, u.depth)
	}
	if m.values == nil && sizes(u.name) {
		return size{n: unsized}
	}
	return size{}
}

// part is the size that a part of a variable's value says.
func part(name string, v any, depth int) size {
	if depth == 0 {
		return size{}
	}
	switch v := v.(type) {
	case float64:
		return number(name, strconv.FormatFloat(v, 'g', -1, 64))
	case string:
		return number(name, v)
	case map[string]any:
		var out size
		for key, inner := range v {
			out = out.most(part(key, inner, depth-1))
		}
		return pages(name, out)
	}
	return size{}
}

func number(name, text string) size {
	n, err := strconv.ParseFloat(text, 64)
	switch {
	case !sizes(name) || n == 0 || err != nil && !math.IsInf(n, 0) || math.IsNaN(n):
		return size{}
	case n < 0 || n > maxSize:
		return size{n: maxSize}
	}
	return size{n: int(math.Ceil(n))}
}

// pages is a size that was said inside an object.
func pages(name string, s size) size {
	if slices.Contains([]string{"pagination", "paginate", "paging", "page", "pager", "options", "input"}, plain(name)) {
		return s
	}
	return s.beyond()
}

// sizes reports whether an argument of a name says how many elements there are.
func sizes(name string) bool {
	switch plain(name) {
	case "first", "last", "limit", "take", "top", "count", "size", "rows", "num", "pagesize", "pagelimit", "perpage",
		"itemsperpage", "resultsperpage", "maxresults", "maxitems", "numresults", "numitems":
		return true
	}
	return false
}

// plain is a name without what conventions put between its words.
func plain(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
}
