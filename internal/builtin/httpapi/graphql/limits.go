package graphql

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// Limits bound a query, as a section of settings. Fragments count wherever they
// are used.
type Limits struct {
	// Most levels of fields. Default 8.
	Depth int `yaml:"depth" default:"8" min:"1" max:"100"`
	// Most aliases. Default 15.
	Aliases int `yaml:"aliases" default:"15" min:"0" max:"10000"`
	// Most fields at the root. Default 10.
	Roots int `yaml:"root_fields" default:"10" min:"1" max:"1000"`
	// Most directives. Default 20.
	Directives int `yaml:"directives" default:"20" min:"0" max:"1000"`
	// Most tokens of the text. Default 1000.
	Tokens int `yaml:"tokens" default:"1000" min:"10" max:"100000"`
	// Most fields. Default 500.
	Fields int `yaml:"fields" default:"500" min:"1" max:"100000"`
	// Most values that the answer may be estimated to have. Default 10000.
	Cost int `yaml:"cost" default:"10000" min:"1" max:"100000000"`
	// Introspection lets queries ask for __schema and __type.
	Introspection bool `yaml:"introspection" default:"false"`
}

// Operation is a query that was judged.
type Operation struct {
	// Name is empty for the only one of a text.
	Name string
	// Mutation says that it may change something.
	Mutation bool
	// Text is what to send.
	Text string
	// Cost is how many values the answer is estimated to have.
	Cost int

	definition *ast.OperationDefinition
}

// maxRepeats is how often the same field may stand in one place.
const maxRepeats = 5

const maxText = 64 << 10

// Check judges a query of which the operation of a name, which may be empty if
// there is one only, is to be carried out. Its error may be shown to the caller.
func (s *Schema) Check(query, name string, l Limits) (*Operation, error) {
	if len(query) > maxText {
		return nil, fmt.Errorf("the query is longer than %d bytes", maxText)
	}
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: query}, l.Tokens)
	if err != nil {
		return nil, fmt.Errorf("read the query: %s", short(err.Error()))
	}
	op, err := chosen(doc, name)
	if err != nil {
		return nil, err
	}
	// What is not meant to be carried out is judged, too: the API reads it all.
	var cost int
	for _, each := range doc.Operations {
		m := &measure{schema: s.schema, fragments: doc.Fragments, limits: l}
		root := s.root(each.Operation)
		if err := m.operation(each, root); err != nil {
			return nil, err
		}
		if each == op {
			cost = m.cost
		}
	}
	if errs := validator.ValidateWithRules(s.schema, doc, rules.NewDefaultRules()); len(errs) > 0 {
		var all []string
		for _, e := range errs[:min(len(errs), 5)] {
			all = append(all, short(e.Message))
		}
		return nil, fmt.Errorf("the query is not valid: %s", strings.Join(all, "; "))
	}
	return &Operation{Name: op.Name, Mutation: op.Operation == ast.Mutation, Text: query, Cost: cost, definition: op}, nil
}

func short(s string) string {
	if len(s) > 300 {
		return strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}

const maxOperations = 5

func chosen(doc *ast.QueryDocument, name string) (*ast.OperationDefinition, error) {
	switch {
	case len(doc.Operations) == 0:
		return nil, errors.New("the query has no operation")
	case len(doc.Operations) > maxOperations:
		return nil, fmt.Errorf("the query has %d operations, more than %d", len(doc.Operations), maxOperations)
	case len(doc.Operations) > 1 && name == "":
		return nil, errors.New("the query has several operations: name one")
	}
	for _, op := range doc.Operations {
		if op.Operation == ast.Subscription {
			return nil, errors.New("subscriptions are not supported")
		}
	}
	if name == "" {
		return doc.Operations[0], nil
	}
	for _, op := range doc.Operations {
		if op.Name == name {
			return op, nil
		}
	}
	return nil, fmt.Errorf("the query has no operation %q", short(name))
}

// measure counts what an operation has, with its fragments where they are used. It
// stops at the first limit, so that what grows without end costs nothing.
type measure struct {
	schema    *ast.Schema
	fragments ast.FragmentDefinitionList
	limits    Limits

	aliases, directives, fields, roots, cost int
	spreads                                  int
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
	return m.selections(op.SelectionSet, where{of: root, times: 1, depth: 1})
}

// where is the place in the answer that a selection is for.
type where struct {
	of    *ast.Definition // nil when the schema does not know
	times int             // how often it is in the answer
	depth int
	sized bool // the field above says how many its lists have
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
			if keys[f.Alias]++; keys[f.Alias] > maxRepeats {
				return fmt.Errorf("the query asks for %s more than %d times", short(f.Alias), maxRepeats)
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
	if t := m.schema.Types[of]; t != nil {
		at.of = t
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
	if m.fields++; m.fields > m.limits.Fields {
		return over("fields", m.limits.Fields)
	}
	if f.Alias != "" && f.Alias != f.Name {
		if m.aliases++; m.aliases > m.limits.Aliases {
			return over("aliases", m.limits.Aliases)
		}
	}
	if at.depth == 1 {
		if m.roots++; m.roots > m.limits.Roots {
			return over("fields at the root", m.limits.Roots)
		}
	}
	if (f.Name == "__schema" || f.Name == "__type") && !m.limits.Introspection {
		return errors.New("introspection is off: search and describe tell of the schema")
	}
	if err := m.directive(f.Directives); err != nil {
		return err
	}
	inner := where{times: at.times, depth: at.depth + 1}
	var kind *ast.Type
	if at.of != nil {
		if d := at.of.Fields.ForName(f.Name); d != nil {
			kind = d.Type
			inner.of = m.schema.Types[d.Type.Name()]
		}
	}
	size, sized := sizeOf(f.Arguments)
	inner.sized = sized
	switch isList := kind != nil && kind.Elem != nil; {
	case sized:
		inner.times *= size
	case isList && !at.sized:
		inner.times *= unsized
	}
	if m.cost += inner.times; m.cost > m.limits.Cost || inner.times > m.limits.Cost {
		return fmt.Errorf("the answer is estimated to have more than %d values: ask for fewer elements or fields", m.limits.Cost)
	}
	return m.selections(f.SelectionSet, inner)
}

const (
	// unsized is how many elements a list is taken to have of which nothing is
	// said, and variableSize one whose size is a variable.
	unsized, variableSize = 10, 100
	maxSize               = 1 << 20
)

// sizeOf is the most elements that the arguments of a field ask for.
func sizeOf(arguments ast.ArgumentList) (int, bool) {
	for _, a := range arguments {
		switch strings.ToLower(a.Name) {
		case "first", "last", "limit", "take", "top", "count", "size", "pagesize", "page_size", "perpage", "per_page", "maxresults":
		default:
			continue
		}
		if a.Value == nil {
			continue
		}
		if n, err := strconv.Atoi(a.Value.Raw); err == nil && a.Value.Kind == ast.IntValue {
			return min(max(n, 1), maxSize), true
		}
		if a.Value.Kind == ast.IntValue {
			return maxSize, true
		}
		return variableSize, true
	}
	return 0, false
}
