package policy

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"github.com/dragoman-mcp/dragoman/internal/policy/flow"
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
	trial    *trial // of policies that are asked besides; nil when there are none
	flows    flow.Rules
	looks    bool            // a policy looks at what conversations have read
	askable  map[string]bool // policies whose refusal is up to the user, by their ids

	people  *memory[string, []*person] // by id; there are several of those with credentials that say different things
	things  *memory[thingKey, *thing]
	answers *memory[pair, *settled]
}

// permits answers a question without regard to flows.
func (r *ruleset) permits(q *Question, now time.Time) Decision {
	if !r.closed {
		return Decision{Allow: true, Rule: RuleOpen}
	}
	if q.Principal.Servers != nil && q.Resource.Server != "" && !slices.Contains(q.Principal.Servers, q.Resource.Server) {
		return q.refuse(RuleCredential, "the credential is bound to other servers: "+strings.Join(q.Principal.Servers, ", "))
	}
	who, what := r.person(q), r.thing(q)
	if !what.known {
		return q.fail(RuleDefault, "there is no action "+string(q.Action))
	}
	d := r.answer(q, who, what, now)
	if d.Approval == ApprovalWanted && !r.inFull(q, &selection{who: who, rules: what.rules, without: r.askable}, what, now).Allow {
		d.Approval = "" // nobody permits it, so that there is nothing to approve
	}
	return d
}

// answer asks the rules that can be about the question.
func (r *ruleset) answer(q *Question, who *person, what *thing, now time.Time) Decision {
	if !q.Explain {
		s := r.settled(q, who, what)
		switch {
		case s.whole:
			return s.decision
		case !s.doubt:
			return r.complete(q, s, who, what, now)
		}
	}
	return r.inFull(q, &selection{who: who, rules: what.rules}, what, now)
}

// inFull asks every rule of s.
func (r *ruleset) inFull(q *Question, s *selection, what *thing, now time.Time) Decision {
	who := s.who
	s.listing = q.Listing
	n := s.survey()
	if s.count == 0 {
		return q.refuse(RuleDefault, q.unpermitted(who))
	}
	context, err := q.context(n, now)
	if err != nil {
		return q.fail(RuleDefault, err.Error())
	}
	verdict, why := cedar.Authorize(s, &scene{who: who, what: what, actions: r.actions},
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
	d.Approval = r.approval(verdict, why.Reasons)
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
	name, groups := who.uid.String(), strings.Join(in, ", ")
	if who.uid.ID == "" {
		name = "somebody who has not shown who they are"
	}
	if groups == "" {
		groups = "no role and no group"
	}
	return fmt.Sprintf("no policy permits %s (in %s) to %s it", name, groups, q.Action)
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
	known, _ := r.people.get(q.Principal.ID)
	for _, who := range known {
		if who.is(q.Principal) {
			return who
		}
	}
	who := newPerson(q.Principal, r.defaults)
	if len(known) >= maxSelves {
		known = nil
	}
	r.people.put(q.Principal.ID, append(known[:len(known):len(known)], who))
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
			t.placed = t.placed || rule.needs.placed()
		}
	}
	_, t.known = r.actions[t.action]
	if t.kept = len(q.Resource.Name)+len(q.Resource.Owner) <= maxRemembered; t.kept {
		r.things.put(key, t)
	}
	return t
}

// selection is the rules that can be about a person and a thing.
type selection struct {
	who     *person
	rules   []*rule
	without map[string]bool // policies that are left out, by their ids
	listing bool
	count   int
}

func (s *selection) has(r *rule) bool {
	return r.about(s.who) && (len(s.without) == 0 || !s.without[string(r.id)])
}

// survey counts them, and gathers what they need.
func (s *selection) survey() needs {
	var n needs
	for _, r := range s.rules {
		if !s.has(r) || s.listing && r.listing == nil {
			continue
		}
		s.count++
		if !s.listing {
			n.add(&r.needs)
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
			if p == nil || !s.has(r) {
				continue
			}
			if !yield(r.id, p) {
				return
			}
		}
	}
}
