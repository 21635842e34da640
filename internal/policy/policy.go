// Package policy decides who may do what, in Cedar, and stands in the way of
// what nobody permitted: it refuses calls and keeps what may not be called out
// of lists. The same decision serves MCP, REST and the command line.
//
// Everything is permitted as long as nobody has to show who they are and there
// are no policies. From then on what no policy permits is refused, and so is
// what a policy cannot be evaluated for: Cedar passes over a forbid with an
// error, this package does not.
//
// It does not know how a caller proved who it is, how a server is reached, nor
// what an argument means to a tool.
package policy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/policy/flow"
)

// Deps is what a Policy needs of others. All may be left out.
type Deps struct {
	// Now is the clock; time.Now by default.
	Now func() time.Time
	Log *slog.Logger
	// Address tells where the caller of ctx calls from; invalid when it is not known.
	Address func(ctx context.Context) netip.Addr
	// Decided is told of every decision about a call once access control is
	// configured, and returns the context with which the call goes on.
	Decided func(ctx context.Context, q Question, d Decision) context.Context
	// Definitions approves what servers say of their tools; nil approves all.
	Definitions Definitions
	// Limits counts calls; nil lets all through.
	Limits Limits
}

// Policy is what is in force; it can be replaced while calls are under way.
type Policy struct {
	d         Deps
	rules     atomic.Pointer[ruleset]
	memory    *flow.Memory
	approvals *flow.Approvals
}

// New loads the roles and the policies of cfg. Its error joins a Fault for
// everything that is wrong with them.
func New(cfg *config.Config, d Deps) (*Policy, error) {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Address == nil {
		d.Address = func(context.Context) netip.Addr { return netip.Addr{} }
	}
	if d.Decided == nil {
		d.Decided = func(ctx context.Context, _ Question, _ Decision) context.Context { return ctx }
	}
	p := &Policy{d: d, memory: flow.NewMemory(cfg.Access.Conversation, d.Now), approvals: flow.NewApprovals(d.Now)}
	use, err := p.Prepare(cfg)
	if err != nil {
		return nil, err
	}
	use()
	return p, nil
}

// Prepare loads the policies of another configuration. They are in force when
// the function that it returns has been called.
func (p *Policy) Prepare(cfg *config.Config) (use func(), err error) {
	now := p.d.Now()
	next, err := newRuleset(cfg, "access.policies", cfg.Access.Policies)
	version := ""
	if err == nil {
		version = next.version
	}
	trial, trialErr := newTrial(cfg, version, now)
	if err := errors.Join(err, trialErr); err != nil {
		return nil, fmt.Errorf("load policies: %w", err)
	}
	if err := next.unmet(cfg, now).Err(); err != nil {
		return nil, fmt.Errorf("policies do not decide as access.expect says:\n%w", err)
	}
	next.trial = trial
	return func() { p.use(next) }, nil
}

// use puts policies in force.
func (p *Policy) use(next *ruleset) {
	was := p.rules.Load()
	if next.trial != nil {
		if was != nil {
			next.trial.follow(was.trial)
		}
		for _, unmet := range next.trial.unmet {
			p.d.Log.Warn("policies on trial do not decide as access.expect says", "err", unmet)
		}
	}
	p.rules.Store(next)
}

// newRuleset loads policies for cfg, of which section is the path.
func newRuleset(cfg *config.Config, section string, sources []config.PolicySource) (*ruleset, error) {
	rules, err := load(cfg, section, sources)
	if err != nil {
		return nil, err
	}
	r := &ruleset{
		closed:   cfg.Auth.Guarded() || len(sources) > 0,
		defaults: cfg.Access.DefaultRoles, rules: rules,
		people: newMemory[string, []*person](maxPeople), things: newMemory[thingKey, *thing](maxThings),
		answers: newMemory[pair, *settled](maxPairs),
	}
	if r.actions, r.groups, err = actionGroups(); err != nil {
		return nil, err
	}
	for name, v := range cfg.Views {
		r.views = append(r.views, shownBy{name: name, separator: cfg.Names.Separator, of: v})
	}
	hash := sha256.New()
	for _, rule := range rules {
		hash.Write(rule.policy.MarshalCedar())
	}
	r.flow(cfg, hash)
	r.version = hex.EncodeToString(hash.Sum(nil)[:8])
	return r, nil
}

// Decide answers a question. What goes wrong in a policy is logged and is a no.
func (p *Policy) Decide(ctx context.Context, q Question) Decision {
	return p.decide(ctx, p.rules.Load(), &q, p.d.Now())
}

func (p *Policy) decide(ctx context.Context, r *ruleset, q *Question, now time.Time) Decision {
	d := r.decide(q, now)
	if d.Fault != "" {
		p.d.Log.WarnContext(ctx, "policy could not be evaluated, so the answer was no", "principal", q.Principal.ID,
			"server", q.Resource.Server, "name", q.Resource.Name, "action", string(q.Action), "rule", d.Rule, "err", d.Fault)
	}
	return d
}

// Version names the policies in force, for the records of decisions.
func (p *Policy) Version() string { return p.rules.Load().version }
