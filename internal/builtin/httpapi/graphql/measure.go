package graphql

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/formatter"
)

// measure counts what an operation has, with its fragments where they are used. It
// stops at the first limit, so that what grows without end costs nothing.
type measure struct {
	schema    *ast.Schema
	fragments ast.FragmentDefinitionList
	variables ast.VariableDefinitionList
	values    Values
	limits    Limits

	aliases, directives, fields, roots, cost int
	spreads                                  int
	said                                     map[use]size
	within                                   []string // the fragments that lead here
}

func (m *measure) operation(op *ast.OperationDefinition, root *ast.Definition) error {
	if err := m.directive(op.Directives); err != nil {
		return err
	}
	for _, v := range op.VariableDefinitions {
		if err := m.directive(v.Directives); err != nil {
			return err
		}
	}
	return m.selections(op.SelectionSet, where{of: root, times: 1, depth: 1, twins: twins{}})
}

// where is the place in the answer that a selection is for.
type where struct {
	of    *ast.Definition // nil when the schema does not know
	times int             // how often it is in the answer
	// guessed is how many of the lists around it nobody has said the length of.
	guessed int
	depth   int
	size    size // what arguments above say of a list that is yet to come
	above   *step
	twins   twins
}

// step is a type on the way from the root to a place.
type step struct {
	name  string
	back  int // what it counts against Cycles, in halves
	above *step
}

// twins are the names under which a field, with its arguments and with what it is
// asked for, stands in one place, with fragments.
type twins map[string]map[string]bool

// maxTwins is under how many other names the very same may be asked for in one
// place: each is worked out anew and says nothing more.
const maxTwins = 2

func (t twins) add(f *ast.Field, of *ast.Definition) error {
	if !renamed(f) {
		return nil
	}
	same := *f
	same.Alias = f.Name
	var text strings.Builder
	if of != nil {
		text.WriteString(of.Name + ".")
	}
	formatter.NewFormatter(&text, formatter.WithIndent("")).FormatQueryDocument(&ast.QueryDocument{
		Operations: ast.OperationList{{Operation: ast.Query, SelectionSet: ast.SelectionSet{&same}}},
	})
	names := t[text.String()]
	if names == nil {
		names = map[string]bool{}
		t[text.String()] = names
	}
	if names[f.Alias] = true; len(names) > maxTwins {
		return fmt.Errorf("the query asks for the same %s under more than %d names", short(f.Name), maxTwins)
	}
	return nil
}

// renamed reports whether a field has an alias. That of __typename costs nothing.
func renamed(f *ast.Field) bool {
	return f.Alias != "" && f.Alias != f.Name && f.Name != "__typename"
}

func over(what string, most int) error {
	return fmt.Errorf("the query has more than %d %s", most, what)
}

func (m *measure) directive(l ast.DirectiveList) error {
	if m.directives += len(l); m.directives > m.limits.Directives {
		return over("directives", m.limits.Directives)
	}
	return nil
}

func (m *measure) selections(set ast.SelectionSet, at where) error {
	if at.depth > m.limits.Depth && len(set) > 0 {
		return over("levels of fields", m.limits.Depth)
	}
	keys := map[string]int{}
	for _, selection := range set {
		if f, ok := selection.(*ast.Field); ok {
			if keys[f.Alias]++; keys[f.Alias] > m.limits.Repeats {
				return fmt.Errorf("the query asks for %s more than %d times", short(f.Alias), m.limits.Repeats)
			}
		}
		var err error
		switch s := selection.(type) {
		case *ast.Field:
			err = m.field(s, at)
		case *ast.InlineFragment:
			err = m.fragment(s.Directives, s.TypeCondition, s.SelectionSet, at)
		case *ast.FragmentSpread:
			err = m.spread(s, at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *measure) fragment(l ast.DirectiveList, of string, set ast.SelectionSet, at where) error {
	if m.spreads++; m.spreads > m.limits.Fields {
		return over("fragments", m.limits.Fields)
	}
	if err := m.directive(l); err != nil {
		return err
	}
	if t := m.schema.Types[of]; t != nil && t != at.of {
		at.of = t
		at.above = &step{name: t.Name, above: at.above}
	}
	return m.selections(set, at)
}

func (m *measure) spread(s *ast.FragmentSpread, at where) error {
	if slices.Contains(m.within, s.Name) {
		return fmt.Errorf("the fragment %s leads back to itself", short(s.Name))
	}
	f := m.fragments.ForName(s.Name)
	if f == nil {
		return fmt.Errorf("there is no fragment %s", short(s.Name))
	}
	if err := m.directive(s.Directives); err != nil {
		return err
	}
	m.within = append(m.within, s.Name)
	defer func() { m.within = m.within[:len(m.within)-1] }()
	return m.fragment(f.Directives, f.TypeCondition, f.SelectionSet, at)
}

func (m *measure) field(f *ast.Field, at where) error {
	if err := m.count(f, at); err != nil {
		return err
	}
	inner := where{times: at.times, guessed: at.guessed, depth: at.depth + 1, above: at.above, twins: twins{}}
	own := m.size(f.Arguments)
	said := own
	if own.n == 0 {
		said = at.size
	}
	isList := false
	if at.of != nil {
		if d := at.of.Fields.ForName(f.Name); d != nil {
			isList = d.Type.Elem != nil
			inner.of = m.schema.Types[d.Type.Name()]
		}
	}
	if inner.of == nil { // a wrong field, of which the limits know nothing
		return m.selections(f.SelectionSet, inner)
	}
	switch {
	case isList:
		inner.times *= said.elements(at.guessed)
		if !said.known() {
			inner.guessed++
		}
	case own.n > 0:
		inner.size = own
	default:
		inner.size = at.size.beyond()
	}
	if m.cost += inner.times; m.cost > m.limits.Cost || inner.times > m.limits.Cost {
		return fmt.Errorf("the answer is estimated to have more than %d values: ask for fewer elements or fields", m.limits.Cost)
	}
	if !inner.of.IsCompositeType() {
		return nil
	}
	inner.above = &step{name: element(inner.of), above: at.above}
	if isList && !said.known() {
		if err := m.back(f, inner.above); err != nil {
			return err
		}
	}
	return m.selections(f.SelectionSet, inner)
}

// count counts what a field is, whatever its type.
func (m *measure) count(f *ast.Field, at where) error {
	if m.fields++; m.fields > m.limits.Fields {
		return over("fields", m.limits.Fields)
	}
	if renamed(f) {
		if m.aliases++; m.aliases > m.limits.Aliases {
			return over("aliases", m.limits.Aliases)
		}
	}
	if err := at.twins.add(f, at.of); err != nil {
		return err
	}
	if at.depth == 1 {
		if m.roots++; m.roots > m.limits.Roots {
			return over("fields at the root", m.limits.Roots)
		}
	}
	if (f.Name == "__schema" || f.Name == "__type") && !m.limits.Introspection {
		return errors.New("introspection is off: search and describe tell of the schema")
	}
	return m.directive(f.Directives)
}

// back judges a list of a type that is on the way to it already. Each such list is
// as much longer than the one before as there are elements to each, and nobody
// said how many.
func (m *measure) back(f *ast.Field, here *step) error {
	total, straight := 0, true
	for s := here.above; s != nil; s = s.above {
		if s.name == here.name && here.back == 0 {
			here.back = 2
			if straight {
				here.back = 1
			}
		}
		if s.name == here.name {
			total += s.back
		}
		straight = straight && wraps(s.name)
	}
	if total += here.back; total > 2*m.limits.Cycles {
		return fmt.Errorf("%s leads back to lists of %s once too often, and nothing says how long they are: give a length, such as first or limit, or ask in a second query", short(f.Name), here.name)
	}
	return nil
}

// element is the name of a type, or of what an edge leads to.
func element(d *ast.Definition) string {
	if node := d.Fields.ForName("node"); node != nil && strings.HasSuffix(d.Name, "Edge") {
		return node.Type.Name()
	}
	return d.Name
}

// wraps reports whether a type only stands between a list and its elements.
func wraps(name string) bool {
	for _, end := range []string{"Connection", "Edge", "Collection", "Page"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}
