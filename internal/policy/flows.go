package policy

import (
	"fmt"
	"io"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"
	exp "github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/policy/flow"
)

// seen is the member of the context that holds the names of the servers of which
// the conversation has read.
const seen = "seen"

// askAnnotation on a forbid leaves its refusal to the user.
const askAnnotation = "ask"

// flow reads the flows of cfg, and what the rules look at of what was read; it
// adds to the version what it found.
func (r *ruleset) flow(cfg *config.Config, version io.Writer) {
	r.flows = flow.Compile(cfg)
	for _, one := range r.rules {
		r.looks = r.looks || one.needs.wants(seen)
		if _, ask := one.policy.Annotations()[askAnnotation]; ask && one.tree.Effect == exp.EffectForbid {
			if r.askable == nil {
				r.askable = make(map[string]bool)
			}
			r.askable[string(one.id)] = true
		}
	}
	for _, name := range r.flows.Names() {
		fmt.Fprintf(version, "%q", name)
	}
}

// guards reports whether any call has to be decided about. That policies on trial
// look at something is none of their business.
func (r *ruleset) guards() bool { return r.closed || r.looks || r.flows.Any() }

// decide answers a question: first whether it is permitted at all, then whether
// what the conversation has read stands in its way. What is shown does not depend
// on that.
func (r *ruleset) decide(q *Question, now time.Time) Decision {
	d := r.permits(q, now)
	if q.Listing && d.Approval != "" {
		d.Allow, d.Approval = true, ""
	}
	if len(q.Seen) == 0 || q.Listing || !d.Allow && d.Approval == "" || !drives(q.Action) {
		return d
	}
	v := r.flows.Judge(flow.Source{Server: q.Resource.Server, Name: q.Resource.Name}, q.Seen)
	if v.Rule == "" || v.Ask && d.Approval != "" { // one question is enough
		d.Read = v.Read
		return d
	}
	out := Decision{Rule: v.Rule, Read: v.Read}
	word := "refused"
	if v.Ask {
		out.Approval, word = ApprovalWanted, "left to the user's approval"
	}
	if q.Explain {
		out.Reasons = []string{fmt.Sprintf("%s by the flow %s, since the conversation has read of %s", word, v.Rule[len(flow.RulePrefix):], flow.Text(v.Read))}
	}
	return out
}

// approval says whether a refusal is up to the user: it is when all policies that
// forbid it say so.
func (r *ruleset) approval(verdict cedar.Decision, reasons []types.DiagnosticReason) Approval {
	if verdict == cedar.Allow || len(r.askable) == 0 {
		return ""
	}
	for _, reason := range reasons {
		if !r.askable[string(reason.PolicyID)] {
			return ""
		}
	}
	return ApprovalWanted
}

// drives reports whether the action does at a server what somebody has chosen just
// now. Of a task that was decided when it began.
func drives(a Action) bool {
	return a == callTool || a == getPrompt || a == readResource || a == complete || a == extend
}

// reads reports whether the action gives its caller content of a server to read.
func reads(a Action) bool { return drives(a) || a == useTask }

// servers are those of which the conversation has read.
func (q *Question) servers() cedar.Set {
	values := make([]cedar.Value, 0, len(q.Seen))
	for _, s := range q.Seen {
		values = append(values, cedar.String(s.Server))
	}
	return cedar.NewSet(values...)
}

// source is where content comes from that an answer has.
func (q *Question) source() flow.Source {
	s := flow.Source{Server: q.Resource.Server}
	if q.Resource.Kind != ofServer {
		s.Name = q.Resource.Name
	}
	return s
}

// watches reports whether anybody looks at what conversations have read, policies on trial included.
func (r *ruleset) watches() bool { return r.sees() || r.flows.Any() }

// remembers reports whether it has to be remembered that s was read.
func (r *ruleset) remembers(s flow.Source) bool { return r.sees() || r.flows.Reads(s) }

func (r *ruleset) sees() bool { return r.looks || r.trial != nil && r.trial.rules.looks }
