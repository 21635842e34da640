package policy

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	exp "github.com/cedar-policy/cedar-go/x/exp/ast"
)

// Hint is what one policy speaks of: of that the questions are made that are likely to tell two sets of policies apart.
// Values are those that are written in the policy, not those around them. Lists may name a thing twice.
type Hint struct {
	// Rule is the policy's id, and Text all of it in one form, so that equal policies have equal texts.
	Rule, Text string

	Users, Roles, Groups []string
	Actions              []Action // and groups of them
	Servers, Views       []string
	// Things are tools, prompts, resources, models, contexts and areas of the platform.
	Things []Resource

	// Arguments are the names of arguments of calls, with dots where they lead into objects, and what the policy takes each
	// for: String, Long, Bool, decimal, Set<String> or so.
	Arguments map[string]string
	// Texts are literals, and texts that its patterns match.
	Texts     []string
	Numbers   []int64
	Decimals  []string
	Networks  []netip.Prefix
	Times     []time.Time
	Durations []time.Duration
}

// Hints lists what the policies in force speak of, those of the roles included, in their order.
func (p *Policy) Hints() []Hint {
	var all []Hint
	for _, r := range p.rules.Load().rules {
		h := Hint{Rule: string(r.id), Text: string(r.policy.MarshalCedar()), Arguments: make(map[string]string)}
		for _, uid := range append(entitiesOf(r.tree), actionsOf(r.tree)...) {
			h.entity(uid)
		}
		for _, c := range r.tree.Conditions {
			h.read(c.Body)
		}
		h.arguments("", shapeOf(r.tree))
		all = append(all, h)
	}
	return all
}

// actionsOf lists the actions that a scope names.
func actionsOf(p *exp.Policy) []cedar.EntityUID {
	switch s := p.Action.(type) {
	case exp.ScopeTypeEq:
		return []cedar.EntityUID{s.Entity}
	case exp.ScopeTypeIn:
		return []cedar.EntityUID{s.Entity}
	case exp.ScopeTypeInSet:
		return s.Entities
	}
	return nil
}

func (h *Hint) entity(uid cedar.EntityUID) {
	id := string(uid.ID)
	switch uid.Type {
	case "User":
		h.Users = append(h.Users, id)
	case "Role":
		h.Roles = append(h.Roles, id)
	case "Group":
		h.Groups = append(h.Groups, id)
	case "Action":
		h.Actions = append(h.Actions, Action(id))
	case "Server":
		h.Servers = append(h.Servers, id)
	case "View":
		h.Views = append(h.Views, id)
	case "Tool", "Prompt", "Resource":
		server, name, _ := strings.Cut(id, "/")
		h.Things = append(h.Things, Resource{Kind: Kind(uid.Type), Server: server, Name: name})
	case "Model", "Context", "Platform":
		h.Things = append(h.Things, Resource{Kind: Kind(uid.Type), Name: id})
	}
}

// read gathers the literals of a condition.
func (h *Hint) read(body exp.IsNode) {
	exp.Inspect(exp.NewNode(body), func(node exp.IsNode) bool {
		switch n := node.(type) {
		case exp.NodeTypeExtensionCall:
			return !h.extension(n)
		case exp.NodeTypeLike:
			h.Texts = append(h.Texts, matched(n.Value)...)
		case exp.NodeValue:
			h.literal(n.Value)
		}
		return true
	})
}

func (h *Hint) literal(v types.Value) {
	switch v := v.(type) {
	case cedar.String:
		h.Texts = append(h.Texts, string(v))
	case cedar.Long:
		h.Numbers = append(h.Numbers, int64(v))
	case cedar.Decimal:
		h.Decimals = append(h.Decimals, v.String())
	case cedar.Datetime:
		h.Times = append(h.Times, v.Time())
	case cedar.Duration:
		if d, err := v.Duration(); err == nil {
			h.Durations = append(h.Durations, d)
		}
	case cedar.IPAddr:
		h.Networks = append(h.Networks, v.Prefix())
	}
}

// extension reads decimal("1.5") and its kind; false for what is no value.
func (h *Hint) extension(n exp.NodeTypeExtensionCall) bool {
	if len(n.Args) != 1 {
		return false
	}
	v, ok := n.Args[0].(exp.NodeValue)
	if !ok {
		return false
	}
	text, ok := v.Value.(cedar.String)
	if !ok {
		return false
	}
	var value types.Value
	var err error
	switch n.Name {
	case "decimal":
		value, err = types.ParseDecimal(string(text))
	case "datetime":
		value, err = types.ParseDatetime(string(text))
	case "duration":
		value, err = types.ParseDuration(string(text))
	case "ip":
		value, err = types.ParseIPAddr(string(text))
	default:
		return false
	}
	if err == nil {
		h.literal(value)
	}
	return true
}

// matched gives texts that a pattern matches.
func matched(p types.Pattern) []string {
	form, err := p.MarshalJSON()
	var parts []json.RawMessage
	if err != nil || json.Unmarshal(form, &parts) != nil {
		return nil
	}
	all := make([]string, 3)
	for _, part := range parts {
		var literal struct{ Literal string }
		wild := json.Unmarshal(part, &literal) != nil // "Wildcard" is a text
		for i, filling := range []string{"", "x", "x/y.z"} {
			if !wild {
				filling = literal.Literal
			}
			all[i] += filling
		}
	}
	return slices.Compact(all)
}

// arguments names the arguments that a policy looks at.
func (h *Hint) arguments(path string, s *shape) {
	for name, m := range s.members {
		if path != "" {
			name = path + "." + name
		}
		if m.members != nil {
			h.arguments(name, m)
			continue
		}
		h.Arguments[name] = m.String()
	}
}
