package policy

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
)

// ruleset is what is in force. It never changes; another takes its place.
type ruleset struct {
	// closed says that access control is configured: what no policy permits is refused.
	closed   bool
	defaults []string // roles of who has none
	rules    []*rule
	views    []shownBy
	actions  map[cedar.EntityUID]cedar.Entity
	groups   map[Action][]cedar.EntityUID // that an action is in
	version  string

	people *memory[string, *person]
	things *memory[thingKey, *thing]
}

func (r *ruleset) decide(q *Question, now time.Time) Decision {
	if !r.closed {
		return Decision{Allow: true, Rule: RuleOpen}
	}
	if q.Principal.Servers != nil && q.Resource.Server != "" && !slices.Contains(q.Principal.Servers, q.Resource.Server) {
		return q.refuse(RuleCredential, "the credential is bound to other servers: "+strings.Join(q.Principal.Servers, ", "))
	}
	if _, ok := r.actions[cedar.NewEntityUID("Action", cedar.String(q.Action))]; !ok {
		return q.fail(RuleDefault, "there is no action "+string(q.Action))
	}
	who, what := r.person(q), r.thing(q)
	s := selection{who: who, rules: what.rules, listing: q.Listing}
	n := s.survey()
	if s.count == 0 {
		return q.refuse(RuleDefault, q.unpermitted(who))
	}
	context, err := q.context(n, now)
	if err != nil {
		return q.fail(RuleDefault, err.Error())
	}
	verdict, why := cedar.Authorize(&s, &scene{who: who, what: what, actions: r.actions},
		cedar.Request{Principal: who.uid, Action: what.action, Resource: what.uid, Context: context})
	// A forbid that cannot be evaluated counts for nothing in Cedar. Here it
	// counts: an error, in whatever policy, is a no.
	if len(why.Errors) > 0 {
		e := why.Errors[0]
		return q.fail(string(e.PolicyID), e.Message)
	}
	if len(why.Reasons) == 0 {
		return q.refuse(RuleDefault, q.unpermitted(who))
	}
	d := Decision{Allow: verdict == cedar.Allow, Rule: string(why.Reasons[0].PolicyID)}
	if q.Explain {
		d.Reasons = r.explain(d.Allow, why.Reasons)
	}
	return d
}

func (q *Question) refuse(rule, reason string) Decision {
	d := Decision{Rule: rule}
	if q.Explain {
		d.Reasons = []string{reason}
	}
	return d
}

func (q *Question) fail(rule, fault string) Decision {
	d := q.refuse(rule, "a policy could not be evaluated, which is a refusal: "+fault)
	d.Fault = fault
	return d
}

// unpermitted is the reason of a refusal that nobody wrote down.
func (q *Question) unpermitted(who *person) string {
	if !q.Explain {
		return ""
	}
	var in []string
	for _, uid := range who.in {
		in = append(in, uid.String())
	}
	return fmt.Sprintf("no policy permits %s (in %s) to %s it", who.uid, strings.Join(in, ", "), q.Action)
}

func (r *ruleset) explain(allowed bool, reasons []types.DiagnosticReason) []string {
	word := "forbidden"
	if allowed {
		word = "permitted"
	}
	var out []string
	for _, reason := range reasons {
		out = append(out, fmt.Sprintf("%s by %s (%s:%d)", word, reason.PolicyID, reason.Position.Filename, reason.Position.Line))
	}
	return out
}

// person returns the principal as policies see it.
func (r *ruleset) person(q *Question) *person {
	if who, ok := r.people.get(q.Principal.ID); ok && who.is(q.Principal) {
		return who
	}
	who := newPerson(q.Principal, r.defaults)
	r.people.put(q.Principal.ID, who)
	return who
}

// thing returns what the question is about, with the rules that can be about it.
func (r *ruleset) thing(q *Question) *thing {
	key := thingKey{q.Action, q.Resource}
	if t, ok := r.things.get(key); ok {
		return t
	}
	t := newThing(key, r.views)
	for _, rule := range r.rules {
		if rule.fits(t, r.groups[q.Action]) {
			t.rules = append(t.rules, rule)
		}
	}
	if len(q.Resource.Name)+len(q.Resource.Owner) <= maxRemembered {
		r.things.put(key, t)
	}
	return t
}

// selection is the rules that can be about a person and a thing.
type selection struct {
	who     *person
	rules   []*rule
	listing bool
	count   int
}

// survey counts them, and gathers what they need.
func (s *selection) survey() needs {
	var n needs
	for _, r := range s.rules {
		if !r.about(s.who) || s.listing && r.listing == nil {
			continue
		}
		s.count++
		if s.listing || !r.needs.context {
			continue
		}
		n.context = true
		n.all = n.all || r.needs.all
		if len(n.names) == 0 {
			n.names = r.needs.names
		} else {
			n.names = append(n.names[:len(n.names):len(n.names)], r.needs.names...)
		}
	}
	return n
}

// All implements cedar.PolicyIterator.
func (s *selection) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, r := range s.rules {
			p := r.policy
			if s.listing {
				p = r.listing
			}
			if p == nil || !r.about(s.who) {
				continue
			}
			if !yield(r.id, p) {
				return
			}
		}
	}
}
