package policy

import (
	"iter"
	"net/netip"
	"slices"
	"time"

	"github.com/cedar-policy/cedar-go"
)

// pair is somebody, something, and whether it is about calling it or about
// showing it. Both are remembered values that never change, and belong to one
// ruleset: a caller whose roles have changed is another person.
type pair struct {
	who     *person
	what    *thing
	listing bool
	from    netip.Addr // zero unless a rule about the thing looks at it and at nothing else of the call
}

// settled is what those rules say that look at nothing but who, what and from where,
// and so say it every time: the rest of a question's answer depends on the rules in
// open. Rules that look at arguments, time or revision are never in it.
type settled struct {
	// whole says that there are no other rules, so that decision is the answer.
	whole    bool
	decision Decision
	// doubt says that the answer is a refusal already, or that a rule could not be
	// evaluated: then all are asked, so that the answer names the rule that it would
	// name without this memory. Refusals may cost that; permissions are what is frequent.
	doubt bool
	// permit is the place of the first rule that permits among all about the thing, and its id; -1 if none does.
	permit int
	rule   string
	open   rules
	places []int // of open
	needs  needs // of open
}

// rules are asked one after the other.
type rules []*rule

// All implements cedar.PolicyIterator.
func (all rules) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, r := range all {
			if !yield(r.id, r.policy) {
				return
			}
		}
	}
}

// settled returns what is settled about the question, from memory if it is there.
func (r *ruleset) settled(q *Question, who *person, what *thing) *settled {
	key := pair{who: who, what: what, listing: q.Listing}
	if what.placed && !q.Listing {
		key.from = q.from()
	}
	if s, ok := r.answers.get(key); ok {
		return s
	}
	s := r.settle(q, who, what)
	if what.kept {
		r.answers.put(key, s)
	}
	return s
}

func (r *ruleset) settle(q *Question, who *person, what *thing) *settled {
	s := &settled{permit: -1}
	var sure rules
	var known needs // of sure
	var places []int
	for place, rule := range what.rules {
		switch {
		case q.Listing || !rule.about(who):
		case rule.needs.context && !rule.needs.placed():
			s.open, s.places = append(s.open, rule), append(s.places, place)
			s.needs.add(&rule.needs)
		default:
			sure, places = append(sure, rule), append(places, place)
			known.add(&rule.needs)
		}
	}
	if len(s.open) == 0 {
		// The time counts for rules that look at it, of which there are none.
		s.whole, s.decision = true, r.inFull(q, &selection{who: who, rules: what.rules}, what, time.Time{})
		return s
	}
	context, err := q.context(known, time.Time{})
	verdict, why := cedar.Authorize(sure, &scene{who: who, what: what, actions: r.actions},
		cedar.Request{Principal: who.uid, Action: what.action, Resource: what.uid, Context: context})
	switch {
	case err != nil || len(why.Errors) > 0 || verdict == cedar.Deny && len(why.Reasons) > 0:
		s.doubt = true
	case len(why.Reasons) > 0:
		s.rule = string(why.Reasons[0].PolicyID)
		s.permit = places[slices.IndexFunc(sure, func(one *rule) bool { return one.id == why.Reasons[0].PolicyID })]
	}
	return s
}

// complete asks the rules that are open, and answers like inFull.
func (r *ruleset) complete(q *Question, s *settled, who *person, what *thing, now time.Time) Decision {
	context, err := q.context(s.needs, now)
	if err != nil {
		return q.fail(RuleDefault, err.Error())
	}
	verdict, why := cedar.Authorize(s.open, &scene{who: who, what: what, actions: r.actions},
		cedar.Request{Principal: who.uid, Action: what.action, Resource: what.uid, Context: context})
	switch {
	case len(why.Errors) > 0:
		return q.fail(string(why.Errors[0].PolicyID), why.Errors[0].Message)
	case len(why.Reasons) == 0 && s.permit < 0:
		return q.refuse(RuleDefault, "")
	case len(why.Reasons) == 0:
		return Decision{Allow: true, Rule: s.rule}
	}
	first := why.Reasons[0].PolicyID
	if verdict == cedar.Allow && s.permit >= 0 &&
		s.permit < s.places[slices.IndexFunc(s.open, func(one *rule) bool { return one.id == first })] {
		return Decision{Allow: true, Rule: s.rule}
	}
	return Decision{Allow: verdict == cedar.Allow, Rule: string(first), Approval: r.approval(verdict, why.Reasons)}
}
