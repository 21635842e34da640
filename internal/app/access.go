package app

import (
	"context"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/audit"
	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/plaintext/definition"
	"github.com/dragoman-mcp/dragoman/internal/policy"
	"github.com/dragoman-mcp/dragoman/internal/policy/flow"
	"github.com/dragoman-mcp/dragoman/internal/policy/limit"
	"github.com/dragoman-mcp/dragoman/internal/policy/pin"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// access is who may do what, and how much of it.
type access struct {
	policy *policy.Policy
	limits *limit.Limiter                                                       // nil when nothing is counted
	gate   func(config.Server) func(ctx context.Context, contents []byte) error // what is asked before a program is started; nil likewise
	follow func()                                                               // takes up what other processes approve, until the App stops; nil when nothing has to be approved
}

// openAccess makes what decides about calls.
func (a *App) openAccess(cfg *config.Config) error {
	d := policy.Deps{Log: a.log, Decided: a.decided, Address: auth.Address}
	if len(cfg.Rates.Calls) > 0 {
		limits, err := limit.New(cfg.Rates, limit.Options{Separator: cfg.Names.Separator, Dial: a.network.DialContext, Log: a.log})
		if err != nil {
			return err
		}
		a.access.limits, d.Limits = limits, limits
	}
	if cfg.Access.Pinning != "off" {
		state, err := a.state(cfg)
		if err != nil {
			return err
		}
		book := pin.New(pin.Options{Mode: cfg.Access.Pinning, Store: state.Pins, Changed: a.refresh, Called: a.defined, Log: a.log})
		d.Definitions = book
		a.access.gate = book.Gate
		a.access.follow = func() { _ = book.Run(a.ctx, state.Feed) } // it ends with ctx only
	}
	var err error
	a.access.policy, err = policy.New(cfg, d)
	return err
}

// refresh has the lists of a server made anew.
func (a *App) refresh(server string) { a.gateway.Refresh(server) }

// decided has the decision about a call in the audit log, with the call or in
// its place.
func (a *App) decided(ctx context.Context, q policy.Question, d policy.Decision) context.Context {
	if word := outcome(d); word != "" {
		a.telemetry.Driven(q.Resource.Server, d.Rule, word)
	}
	if a.audit == nil {
		return ctx
	}
	record := audit.Decision{Effect: "allow", Rule: d.Rule, Policy: a.access.policy.Version()}
	switch {
	case d.Approval == policy.ApprovalWanted:
		record.Effect = "ask"
	case !d.Allow:
		record.Effect = "deny"
	}
	if d.Approval == policy.ApprovalGiven || d.Approval == policy.ApprovalDenied {
		record.Rule += ", " + string(d.Approval) + " by the user"
	}
	ctx = audit.WithDecision(ctx, record)
	if !d.Allow {
		a.audit.Refused(ctx, q.Resource.Server, &mcp.Request{Method: string(q.Action), Name: q.Resource.Name})
	}
	return ctx
}

// outcome is what became of a call that a flow or the user decided about; empty for others.
func outcome(d policy.Decision) string {
	switch {
	case d.Approval != "":
		return string(d.Approval)
	case strings.HasPrefix(d.Rule, flow.RulePrefix):
		return "refused"
	}
	return ""
}

// defined has the definition of what is called in the audit log, with the call.
func (a *App) defined(ctx context.Context, hash string) context.Context {
	if a.audit == nil {
		return ctx
	}
	return audit.WithDefinition(ctx, hash)
}

// guarded returns a server as callers get at it: behind the policy, and with
// its calls on record.
func (a *App) guarded(server config.Server, observed mcp.Handler) mcp.Handler {
	return a.access.policy.Enforce(server, a.recorded(server.Name, observed))
}

// plain returns a server as clients see it. It stands in front of what approves
// definitions, which is shown all that is in them.
func (a *App) plain(server config.Server, guarded mcp.Handler) *definition.Plain {
	return definition.New(definition.Options{
		Server: server.Name, Text: server.Text, Log: a.log,
		Found: func(kind string) { a.telemetry.HiddenText(server.Name, kind) },
	}, guarded)
}

func (a *App) closeAccess() error {
	if a.access.limits == nil {
		return nil
	}
	return a.access.limits.Close()
}

// Operator is who calls when the gateway is a program's own, on two pipes or
// from the command line: whoever can start it with its configuration.
func Operator() mcp.Principal {
	return mcp.Principal{ID: "local", Name: "operator", Roles: []string{"admin"}, Method: "local"}
}
