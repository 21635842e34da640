package guards

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/cedar-policy/cedar-go"
)

// permit is what a permit is for, and on what conditions. Its annotations say nothing of either.
type permit struct {
	place      string
	scope      [3]part  // principal, action, resource
	conditions []string // all of which have to hold, each as text; a && b is two
	always     bool     // no condition looks at anything of a call
}

// part is one of the three parts of a scope.
type part struct {
	Op         string            `json:"op"`
	Entity     json.RawMessage   `json:"entity"`
	Entities   []json.RawMessage `json:"entities"`
	EntityType string            `json:"entity_type"`
	In         *struct {
		Entity json.RawMessage `json:"entity"`
	} `json:"in"`
}

// permitOf reads a permit. One whose form is not known here is taken as one of everything.
func permitOf(p *cedar.Policy, place string) *permit {
	var form struct {
		Principal, Action, Resource part
		Conditions                  []struct {
			Kind string
			Body json.RawMessage
		}
	}
	if text, err := p.MarshalJSON(); err != nil || json.Unmarshal(text, &form) != nil {
		return &permit{place: place, scope: [3]part{{Op: "All"}, {Op: "All"}, {Op: "All"}}, always: true}
	}
	out := &permit{place: place, scope: [3]part{form.Principal, form.Action, form.Resource}, always: true}
	for _, c := range form.Conditions {
		out.always = out.always && !bytes.Contains(c.Body, []byte(`{"Var":`)) // in a text of a policy the quotes are escaped
		if c.Kind != "when" {
			out.conditions = append(out.conditions, c.Kind+string(c.Body))
			continue
		}
		out.conditions = append(out.conditions, conjuncts(c.Body)...)
	}
	return out
}

// conjuncts are what all has to hold for an expression to.
func conjuncts(body json.RawMessage) []string {
	var and struct {
		Both *struct{ Left, Right json.RawMessage } `json:"&&"`
	}
	if json.Unmarshal(body, &and) != nil || and.Both == nil {
		return []string{"when" + string(body)}
	}
	return append(conjuncts(and.Both.Left), conjuncts(and.Both.Right)...)
}

// opens says whether a permit is for everybody and everything, whatever the circumstances.
func (p *permit) opens() bool {
	return p.always && !slices.ContainsFunc(p.scope[:], func(s part) bool { return s.Op != "All" })
}

// covers says whether all that another permits is permitted by p too, as far as can be told: its scope is the same or a
// wider one, and it has no condition that the other does not have.
func (p *permit) covers(other *permit) bool {
	return p.about(other) && len(without(p.conditions, other.conditions)) == 0
}

// about says whether the scope of a permit is that of another, or a wider one.
func (p *permit) about(other *permit) bool {
	for i, mine := range p.scope {
		if !mine.holds(other.scope[i]) {
			return false
		}
	}
	return true
}

// apart says whether no call can be in both scopes: each names one, and not the same.
func (p *permit) apart(other *permit) bool {
	for i, mine := range p.scope {
		if theirs := other.scope[i]; mine.Op == "==" && theirs.Op == "==" && !bytes.Equal(mine.Entity, theirs.Entity) {
			return true
		}
	}
	return false
}

// holds says whether what is in another part is in this one; false when it cannot be told.
func (s part) holds(other part) bool {
	switch s.Op {
	case "All":
		return true
	case "==":
		return other.Op == "==" && bytes.Equal(s.Entity, other.Entity)
	case "in":
		return len(other.names()) > 0 && len(without(other.names(), s.names())) == 0
	case "is":
		return other.Op == "is" && s.EntityType == other.EntityType && (s.In == nil || other.In != nil && bytes.Equal(s.In.Entity, other.In.Entity))
	}
	return false
}

// names are the entities of which what is in a part is one, or below one.
func (s part) names() []string {
	all := s.Entities
	if s.Entity != nil {
		all = append(slices.Clone(all), s.Entity)
	}
	if s.In != nil {
		all = append(slices.Clone(all), s.In.Entity)
	}
	var names []string
	for _, entity := range all {
		names = append(names, string(entity))
	}
	return names
}

// conditions is about permits that hold on conditions. Another permit takes nothing of these away if one that was there
// covers it. Of others it cannot be told what they let through, so that two kinds count: a permit for all that is permitted
// on conditions, without all of these; and any that may be about some of it when the permit itself is gone, whose place it
// may have taken. A permit for some, beside one with conditions that stays, is a right that somebody is given, and does not.
func (c *comparison) conditions(was, now []*permit) {
	var others []*permit
	for _, p := range now {
		if !slices.ContainsFunc(was, func(before *permit) bool { return before.covers(p) }) {
			others = append(others, p)
		}
	}
	for _, before := range was {
		if len(before.conditions) == 0 {
			continue
		}
		stays := slices.ContainsFunc(now, func(p *permit) bool { return p.covers(before) && before.covers(p) })
		at := slices.IndexFunc(others, func(p *permit) bool { return p.about(before) || !stays && !p.apart(before) })
		if at >= 0 {
			c.less("access.policies", "have another permit at "+others[at].place+" for what was permitted on conditions at "+before.place+
				": only the same conditions, or more of them, surely permit no more")
		}
	}
}
