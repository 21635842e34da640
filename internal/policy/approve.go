package policy

import (
	"context"
	"fmt"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/policy/flow"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// subject is what the user is asked about.
func (q *Question) subject(req *mcp.Request, d Decision) flow.Subject {
	return flow.Subject{Server: q.Resource.Server, Request: req, Rule: d.Rule, Read: d.Read}
}

// settle is the decision with what the user has said of the call. A yes is good
// for what was asked and for nothing else; a no holds whatever is decided now.
func (q *Question) settle(d Decision, req *mcp.Request, answer flow.Answer) Decision {
	switch {
	case answer.Declined():
		d.Allow, d.Approval = false, ApprovalDenied
	case d.Approval == ApprovalWanted && answer.Approves(q.subject(req, d)):
		d.Allow, d.Approval = true, ApprovalGiven
	}
	return d
}

// refuse answers a call that is not made: with a question to its user where that
// can change it.
func (e *enforced) refuse(ctx context.Context, req *mcp.Request, q Question, d Decision) (mcp.Result, error) {
	flows := strings.HasPrefix(d.Rule, flow.RulePrefix)
	switch {
	case d.Approval == ApprovalDenied:
		return mcp.Result{}, mcp.Errorf(mcp.CodeForbidden, "the user did not allow this call of %s; do not repeat it unless they ask for it", shown(req, q.Resource))
	case d.Approval == ApprovalWanted && flow.CanAsk(req):
		return e.p.approvals.Ask(ctx, q.subject(req, d))
	case d.Approval == ApprovalWanted || flows:
		return mcp.Result{}, unasked(req, q, d)
	}
	return mcp.Result{}, e.refusal(ctx, req, q)
}

// unasked is the refusal of a call that its user cannot be asked about, or is not.
// It says why, and what to do.
func unasked(req *mcp.Request, q Question, d Decision) error {
	because, remedy := "the policy "+d.Rule+" wants the user's approval", ""
	data := map[string]any{"rule": d.Rule}
	if name, ok := strings.CutPrefix(d.Rule, flow.RulePrefix); ok {
		because = fmt.Sprintf("this conversation has read content of %s, after which the flow %s refuses it", flow.Text(d.Read), name)
		remedy = "do it in a new conversation that has not read that, or have the user do it"
	}
	if d.Approval == ApprovalWanted {
		because = strings.Replace(because, "refuses it", "wants the user's approval", 1)
		remedy = "this client does not let the gateway ask its user (elicitation, since revision 2025-06-18): have the user do it, or take a client that does"
	}
	var read []string
	for _, s := range d.Read {
		read = append(read, flow.Text([]flow.Source{s}))
	}
	if read != nil {
		data["read"] = read
	}
	return mcp.ErrorData(mcp.CodeForbidden, fmt.Sprintf("not permitted now: %s: %s; %s", shown(req, q.Resource), because, remedy), data)
}

// note remembers that the conversation of a call is given something to read: from
// when the call is made, since servers say things while it is under way too, and
// what was not answered may have been an error with a text; and once more when it
// has been answered, if that took long.
func (p *Policy) note(c flow.Conversation, s flow.Source) (again func()) {
	began := p.d.Now()
	p.memory.Note(c, s)
	return func() {
		if p.d.Now().Sub(began) >= p.memory.Fresh() {
			p.memory.Note(c, s)
		}
	}
}
