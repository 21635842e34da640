package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	exp "github.com/cedar-policy/cedar-go/x/exp/ast"
)

// shape is the type that a policy takes a part of context.arguments for, as far
// as what is done with it tells. The tools, whose schemas would tell, are not
// known when policies are loaded.
type shape struct {
	kind     string // in the words of the schema; empty for a record, or when nothing tells
	optional bool   // the policy asks whether it is there
	members  map[string]*shape
}

func (s *shape) member(name string) *shape {
	if s.members == nil {
		s.members = make(map[string]*shape)
	}
	if s.members[name] == nil {
		s.members[name] = &shape{}
	}
	return s.members[name]
}

// String is the type in the schema language.
func (s *shape) String() string {
	switch {
	case s.members != nil:
		var b strings.Builder
		b.WriteByte('{')
		for _, name := range slices.Sorted(maps.Keys(s.members)) {
			m, mark := s.members[name], ""
			if m.optional {
				mark = "?"
			}
			fmt.Fprintf(&b, "%s%s: %s, ", cedar.String(name).MarshalCedar(), mark, m)
		}
		b.WriteByte('}')
		return b.String()
	case s.kind == "":
		return "String"
	}
	return s.kind
}

// shapeOf reads what a policy takes the arguments for.
func shapeOf(p *exp.Policy) *shape {
	root := &shape{members: make(map[string]*shape)}
	for _, c := range p.Conditions {
		root.walk(c.Body, "Bool")
	}
	return root
}

// at returns the shape of context.arguments.A.B; nil for any other node.
func (s *shape) at(node exp.IsNode) *shape {
	access, ok := node.(exp.NodeTypeAccess)
	switch {
	case !ok:
		return nil
	case isArguments(access):
		return s
	case isArguments(access.Arg):
		return s.member(string(access.Value))
	}
	if outer := s.at(access.Arg); outer != nil {
		return outer.member(string(access.Value))
	}
	return nil
}

// walk notes what node tells; kind is what its place makes of it.
func (s *shape) walk(node exp.IsNode, kind string) {
	if here := s.at(node); here != nil && here != s {
		if here.kind == "" {
			here.kind = kind
		}
		return
	}
	switch n := node.(type) {
	case exp.NodeTypeAccess:
		if isArguments(n.Arg) {
			s.member(string(n.Value)).kind = kind
			return
		}
	case exp.NodeTypeHas:
		if isArguments(n.Arg) {
			s.member(string(n.Value)).optional = true
		} else if outer := s.at(n.Arg); outer != nil {
			outer.member(string(n.Value)).optional = true
		}
		return
	case exp.NodeTypeLike:
		s.walk(n.Arg, "String")
		return
	case exp.NodeTypeExtensionCall:
		s.call(n)
		return
	}
	if left, right, kinds := operands(node); left != nil {
		s.walk(left, kinds[0])
		s.walk(right, kinds[1])
		return
	}
	first := true
	exp.Inspect(exp.NewNode(node), func(child exp.IsNode) bool {
		if first {
			first = false
			return true
		}
		s.walk(child, inside(node))
		return false
	})
}

// inside is what an operator makes of its operands.
func inside(node exp.IsNode) string {
	switch node.(type) {
	case exp.NodeTypeAnd, exp.NodeTypeOr, exp.NodeTypeNot, exp.NodeTypeIfThenElse:
		return "Bool"
	case exp.NodeTypeAdd, exp.NodeTypeSub, exp.NodeTypeMult, exp.NodeTypeNegate:
		return "Long"
	}
	return ""
}

// operands returns both sides of a comparison, with what each makes of the other.
func operands(node exp.IsNode) (left, right exp.IsNode, kinds [2]string) {
	var b exp.BinaryNode
	fallback := ""
	switch n := node.(type) {
	case exp.NodeTypeLessThan:
		b, fallback = n.BinaryNode, "Long"
	case exp.NodeTypeLessThanOrEqual:
		b, fallback = n.BinaryNode, "Long"
	case exp.NodeTypeGreaterThan:
		b, fallback = n.BinaryNode, "Long"
	case exp.NodeTypeGreaterThanOrEqual:
		b, fallback = n.BinaryNode, "Long"
	case exp.NodeTypeEquals:
		b = n.BinaryNode
	case exp.NodeTypeNotEquals:
		b = n.BinaryNode
	case exp.NodeTypeContains:
		return setOf(n.BinaryNode, kindOf(n.Right), elementOf(n.Left))
	case exp.NodeTypeContainsAll:
		return setOf(n.BinaryNode, elementOf(n.Right), kindOf(n.Left))
	case exp.NodeTypeContainsAny:
		return setOf(n.BinaryNode, elementOf(n.Right), kindOf(n.Left))
	default:
		return nil, nil, kinds
	}
	kinds[0], kinds[1] = kindOf(b.Right), kindOf(b.Left)
	for i := range kinds {
		if kinds[i] == "" {
			kinds[i] = fallback
		}
	}
	return b.Left, b.Right, kinds
}

// setOf is an operator on a set whose elements are of a kind.
func setOf(b exp.BinaryNode, element, other string) (left, right exp.IsNode, kinds [2]string) {
	if element == "" {
		element = "String"
	}
	return b.Left, b.Right, [2]string{"Set<" + element + ">", other}
}

// kindOf is the type of a literal; empty for what is none.
func kindOf(node exp.IsNode) string {
	switch n := node.(type) {
	case exp.NodeValue:
		switch n.Value.(type) {
		case cedar.String:
			return "String"
		case cedar.Long:
			return "Long"
		case cedar.Boolean:
			return "Bool"
		case cedar.Decimal:
			return "decimal"
		}
	case exp.NodeTypeSet:
		return "Set<" + elementOf(n) + ">"
	}
	return ""
}

// elementOf is the type of the elements of a literal set; empty for what is none.
func elementOf(node exp.IsNode) string {
	if n, ok := node.(exp.NodeTypeSet); ok && len(n.Elements) > 0 {
		return kindOf(n.Elements[0])
	}
	return ""
}

// call notes what a function or method makes of its arguments.
func (s *shape) call(n exp.NodeTypeExtensionCall) {
	kind := ""
	switch n.Name {
	case "lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual":
		kind = "decimal"
	case "ip", "decimal", "datetime", "duration":
		kind = "String"
	}
	for _, arg := range n.Args {
		s.walk(arg, kind)
	}
}
