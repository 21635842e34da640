package graphql

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// Limits bound a query, as a section of settings. Fragments count wherever they
// are used.
type Limits struct {
	// Most levels of fields. Default 12: three lists with edges and nodes, and a
	// field each.
	Depth int `yaml:"depth" default:"12" min:"1" max:"100"`
	// Most aliases, without those of __typename. Default 30.
	Aliases int `yaml:"aliases" default:"30" min:"0" max:"10000"`
	// Most fields at the root. Default 10.
	Roots int `yaml:"root_fields" default:"10" min:"1" max:"1000"`
	// Most directives. Default 20.
	Directives int `yaml:"directives" default:"20" min:"0" max:"1000"`
	// Most tokens of the text. Default 2000.
	Tokens int `yaml:"tokens" default:"2000" min:"10" max:"100000"`
	// Most fields. Default 1000.
	Fields int `yaml:"fields" default:"1000" min:"1" max:"100000"`
	// Most values that the answer may be estimated to have. Default 50000.
	Cost int `yaml:"cost" default:"50000" min:"1" max:"100000000"`
	// Cycles is how often lists of which nobody says how long they are may lead
	// back to a type that they come from; a list of a type in that type itself, as
	// in trees, counts half. Default 1.
	Cycles int `yaml:"cycles" default:"1" min:"0" max:"100"`
	// Most times that one field may stand in one place. Default 3.
	Repeats int `yaml:"repeats" default:"3" min:"1" max:"100000"`
	// Most bytes of the text. Default 65536.
	Bytes int `yaml:"bytes" default:"65536" min:"10" max:"1048576"`
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

// Values are the variables of a query, as they are sent. Nil means that they are
// not known yet.
type Values map[string]json.RawMessage

// Check judges a query of which the operation of a name, which may be empty if
// there is one only, is to be carried out. Its error may be shown to the caller.
func (s *Schema) Check(query, name string, v Values, l Limits) (*Operation, error) {
	if len(query) > l.Bytes {
		return nil, fmt.Errorf("the query is longer than %d bytes", l.Bytes)
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
		m := &measure{schema: s.schema, fragments: doc.Fragments, limits: l, values: v, variables: each.VariableDefinitions}
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
