package app

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dragoman-mcp/dragoman/internal/audit"
	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/policy/elicit"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// questions judges what servers ask their callers for, and counts what is not
// passed on.
type questions struct {
	judge    *elicit.Judge
	refused  *prometheus.CounterVec
	registry *prometheus.Registry
}

func (a *App) openQuestions() {
	q := &a.questions
	q.refused = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "dragoman_questions_refused_total",
		Help: "What servers asked their callers for and was not passed on, by server and reason.",
	}, []string{"server", "reason"})
	q.registry = prometheus.NewRegistry()
	q.registry.MustRegister(q.refused)
	q.judge = elicit.New(elicit.Options{Refused: a.notAsked, Address: func(ctx context.Context) string { return auth.Address(ctx).String() }})
}

// notAsked has a question that was not passed on in the log, in the metrics and in
// the audit log.
func (a *App) notAsked(ctx context.Context, r elicit.Refusal) {
	a.questions.refused.WithLabelValues(r.Server, string(r.Reason)).Inc()
	a.log.WarnContext(ctx, "question of a server is not passed on", "server", r.Server, "tool", r.Tool,
		"principal", mcp.PrincipalOf(ctx).ID, "method", r.Method, "reason", string(r.Reason), "detail", r.Detail)
	if a.audit == nil {
		return
	}
	ctx = audit.WithDecision(ctx, audit.Decision{Effect: "deny", Rule: "asks: " + string(r.Reason)})
	a.audit.Refused(ctx, r.Server, &mcp.Request{Method: r.Method, Name: r.Tool})
}
