package policy

import (
	"fmt"
	"slices"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/ast"
	"github.com/cedar-policy/cedar-go/types"
	exp "github.com/cedar-policy/cedar-go/x/exp/ast"
)

// rule is one policy, prepared so that it is only evaluated for who and what
// it can be about.
type rule struct {
	id     cedar.PolicyID
	place  string
	policy *cedar.Policy
	// listing is the policy for questions whose arguments, time and address are
	// open: a permit without its conditions on them, and no forbid that has any.
	listing *cedar.Policy
	tree    *exp.Policy
	needs   needs
}

// needs is what of a call's context a policy looks at.
type needs struct {
	context bool
	all     bool     // everything: the context itself, or arguments, as a whole
	members []string // of the context; arguments are among them if any is named
	names   []string // arguments at the top
}

// add adds what another policy looks at.
func (n *needs) add(o *needs) {
	n.context = n.context || o.context
	n.all = n.all || o.all
	n.members = with(n.members, o.members...)
	n.names = with(n.names, o.names...)
}

// with adds what is not there yet. It never writes into memory that it was given.
func with(list []string, more ...string) []string {
	for _, name := range more {
		if !slices.Contains(list, name) {
			list = append(list[:len(list):len(list)], name)
		}
	}
	return list
}

// wants tells whether a member of the context is looked at.
func (n *needs) wants(member string) bool { return n.all || slices.Contains(n.members, member) }

// placed tells that of a call nothing is looked at but where it comes from.
func (n *needs) placed() bool {
	return n.context && !n.all && len(n.members) == 1 && n.members[0] == address
}

func newRule(p *cedar.Policy, id cedar.PolicyID) *rule {
	position := p.Position()
	r := &rule{id: id, policy: p, place: fmt.Sprintf("%s:%d", position.Filename, position.Line), tree: (*exp.Policy)(p.AST())}
	for _, c := range r.tree.Conditions {
		r.needs.look(c.Body)
	}
	r.listing = r.open()
	return r
}

// look finds what a condition takes from the context.
func (n *needs) look(body exp.IsNode) {
	exp.Inspect(exp.NewNode(body), func(node exp.IsNode) bool {
		if name, ok := argument(node); ok {
			n.context = true
			n.members, n.names = with(n.members, arguments), with(n.names, name)
			return false
		}
		if access, ok := node.(exp.NodeTypeAccess); ok && isContext(access.Arg) {
			n.context = true
			n.members = with(n.members, string(access.Value))
			n.all = n.all || access.Value == arguments
			return false
		}
		if isContext(node) {
			n.context, n.all = true, true
		}
		return true
	})
}

// argument returns the name in context.arguments.NAME and in context.arguments has NAME.
func argument(node exp.IsNode) (string, bool) {
	switch n := node.(type) {
	case exp.NodeTypeAccess:
		return string(n.Value), isArguments(n.Arg)
	case exp.NodeTypeHas:
		return string(n.Value), isArguments(n.Arg)
	}
	return "", false
}

// arguments is the member of the context that holds those of the call, address that
// of where it comes from.
const (
	arguments = "arguments"
	address   = "address"
)

func isArguments(node exp.IsNode) bool {
	access, ok := node.(exp.NodeTypeAccess)
	return ok && access.Value == arguments && isContext(access.Arg)
}

func isContext(node exp.IsNode) bool {
	v, ok := node.(exp.NodeTypeVariable)
	return ok && v.Name == "context"
}

// open makes the policy for listing; nil when it says nothing there.
func (r *rule) open() *cedar.Policy {
	if !r.needs.context {
		return r.policy
	}
	if r.tree.Effect == exp.EffectForbid {
		return nil
	}
	tree := *r.tree
	tree.Conditions = nil
	for _, c := range r.tree.Conditions {
		for _, part := range conjuncts(c) {
			var n needs
			if n.look(part.Body); !n.context {
				tree.Conditions = append(tree.Conditions, part)
			}
		}
	}
	return cedar.NewPolicyFromAST((*ast.Policy)(&tree))
}

// conjuncts cuts "when { a && b }" in two conditions, which is the same.
func conjuncts(c exp.ConditionType) []exp.ConditionType {
	and, ok := c.Body.(exp.NodeTypeAnd)
	if !ok || c.Condition != exp.ConditionWhen {
		return []exp.ConditionType{c}
	}
	left := conjuncts(exp.ConditionType{Condition: c.Condition, Body: and.Left})
	return append(left, conjuncts(exp.ConditionType{Condition: c.Condition, Body: and.Right})...)
}

// fits reports whether the rule's scope can be about what is done to the thing.
func (r *rule) fits(t *thing, groups []cedar.EntityUID) bool {
	action := true
	switch s := r.tree.Action.(type) {
	case exp.ScopeTypeEq:
		action = s.Entity == t.action
	case exp.ScopeTypeIn:
		action = within(s.Entity, t.action, groups)
	case exp.ScopeTypeInSet:
		action = slices.ContainsFunc(s.Entities, func(e types.EntityUID) bool { return within(e, t.action, groups) })
	}
	return action && inScope(r.tree.Resource, t.uid, t.in)
}

// about reports whether the rule's scope has the person.
func (r *rule) about(who *person) bool { return inScope(r.tree.Principal, who.uid, who.in) }

// inScope evaluates a scope, with parents of one level, which is all that there is.
func inScope(scope exp.IsScopeNode, uid cedar.EntityUID, parents []cedar.EntityUID) bool {
	switch s := scope.(type) {
	case exp.ScopeTypeEq:
		return s.Entity == uid
	case exp.ScopeTypeIn:
		return within(s.Entity, uid, parents)
	case exp.ScopeTypeIs:
		return s.Type == uid.Type
	case exp.ScopeTypeIsIn:
		return s.Type == uid.Type && within(s.Entity, uid, parents)
	}
	return true // everything, or a scope that the evaluation itself must look at
}

func within(group, uid cedar.EntityUID, parents []cedar.EntityUID) bool {
	return group == uid || slices.Contains(parents, group)
}
