package app

import (
	"context"

	"github.com/dragoman-mcp/dragoman/internal/audit"
	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/policy/elicit"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// newJudge makes what judges what servers ask their callers for.
func (a *App) newJudge() *elicit.Judge {
	return elicit.New(elicit.Options{Refused: a.notAsked, Address: func(ctx context.Context) string { return auth.Address(ctx).String() }})
}

// notAsked has a question that was not passed on in the log, in the metrics and in
// the audit log.
func (a *App) notAsked(ctx context.Context, r elicit.Refusal) {
	a.telemetry.NotAsked(r.Server, string(r.Reason))
	a.log.WarnContext(ctx, "question of a server is not passed on", "server", r.Server, "tool", r.Tool,
		"principal", mcp.PrincipalOf(ctx).ID, "method", r.Method, "reason", string(r.Reason), "detail", r.Detail)
	if a.audit == nil {
		return
	}
	ctx = audit.WithDecision(ctx, audit.Decision{Effect: "deny", Rule: "asks: " + string(r.Reason)})
	a.audit.Refused(ctx, r.Server, &mcp.Request{Method: r.Method, Name: r.Tool})
}
