// Package survey asks two configurations the same questions about who may do what, many of them, and tells where the
// answers differ, so that a change of policies can be looked at before it is in force. The questions are made of what both
// configurations and their policies name, of values on both sides of what the policies compare with, and of calls that
// were really made; which ones they are follows from a seed.
//
// It finds differences and proves nothing: that it finds none does not say that there is none. It does not know which
// tools a server has, what local users and identity providers say of who calls, nor which of two configurations is right.
package survey

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/policy"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Bounds of a survey.
const (
	// DefaultQuestions is how many are asked when nothing is said; MaxQuestions the most.
	DefaultQuestions = 10_000
	MaxQuestions     = 1_000_000
)

// Options say what is asked.
type Options struct {
	// Questions is how many: DefaultQuestions when 0. Real calls are asked in any case.
	Questions int
	// Seed says which: equal seeds ask equal questions of equal configurations, on the same day.
	Seed uint64
	// Calls are ones that were really made.
	Calls []Call
	// Now is when calls are made that policies say no time of.
	Now time.Time
}

// Call is one that was made.
type Call struct {
	Principal mcp.Principal
	// Method is that of the protocol, or an action; Name what it was about at the server, or KIND/NAME.
	Method, Server, Name string
	Arguments            jsonrpc.Object
	// Time is when.
	Time time.Time
}

// Report is what came out.
type Report struct {
	Questions int    `json:"questions"`
	Seed      uint64 `json:"seed"`
	// Calls is how many of the questions were calls that were really made; Skipped are calls that no question can be made of.
	Calls   int `json:"calls"`
	Skipped int `json:"skipped,omitempty"`
	// Permitted is how many the second configuration permits and the first refuses, Refused the other way round.
	Permitted int `json:"permitted"`
	Refused   int `json:"refused"`
	// Groups are the differences: those that permit more first, then by how many questions.
	Groups []Group `json:"groups"`
	// Silent are policies of the second configuration that the first does not have and that decided no question: others
	// decide all that they are about, or no question was about it.
	Silent []string `json:"silent,omitempty"`
}

// side is one of the two configurations.
type side struct {
	cfg    *config.Config
	policy *policy.Policy
	clock  time.Time
	tokens map[string]bool
}

func newSide(cfg *config.Config) (*side, error) {
	s := &side{cfg: cfg, tokens: make(map[string]bool)}
	for _, t := range cfg.Auth.Tokens {
		s.tokens[t.Name] = true
	}
	s.clock = time.Now() // for what is expected
	var err error
	s.policy, err = policy.New(cfg, policy.Deps{Now: func() time.Time { return s.clock }})
	return s, err
}

// RuleNoToken is the rule of who has a token in the other configuration and none in this one.
const RuleNoToken = "no token"

// decide answers a question by one configuration. other is that of the other one.
func (s *side) decide(ctx context.Context, q *question, other *side, explain bool) policy.Decision {
	if other.tokens[q.who.ID] && !s.tokens[q.who.ID] {
		return policy.Decision{Rule: RuleNoToken}
	}
	asked := policy.Question{
		Principal: policy.Caller(s.cfg, q.who.Principal), Action: q.what.action, Resource: q.what.of,
		Arguments: q.object(), Revision: q.revision, Address: q.address, Seen: q.seen, Explain: explain,
	}
	s.clock = q.at
	return s.policy.Decide(ctx, asked)
}

// Compare asks both configurations. Its error is about what cannot be loaded.
func Compare(ctx context.Context, was, now *config.Config, o Options) (*Report, error) {
	o.Questions = cmp.Or(o.Questions, DefaultQuestions)
	if o.Questions < 0 || o.Questions > MaxQuestions {
		return nil, fmt.Errorf("ask %d questions: write a number from 1 to %d", o.Questions, MaxQuestions)
	}
	first, err := newSide(was)
	if err != nil {
		return nil, fmt.Errorf("the old one: %w", err)
	}
	second, err := newSide(now)
	if err != nil {
		return nil, fmt.Errorf("the new one: %w", err)
	}
	c := &comparison{ctx: ctx, first: first, second: second, groups: make(map[groupKey]*Group), decided: make(map[string]bool)}
	g := newGenerator(first, second, o)
	for _, call := range o.Calls {
		q, err := g.real(call)
		if err != nil {
			c.report.Skipped++
			continue
		}
		c.report.Calls++
		c.ask(q)
	}
	g.pairs(max(o.Questions-c.report.Questions, 0)/2, c.ask)
	for c.report.Questions < o.Questions && ctx.Err() == nil {
		c.ask(g.next())
	}
	if err := ctx.Err(); err != nil {
		return nil, errors.Join(errors.New("the survey was not finished"), err)
	}
	c.report.Seed = o.Seed
	c.finish()
	return &c.report, nil
}

// comparison gathers the answers.
type comparison struct {
	ctx           context.Context // of the one survey that this is for
	first, second *side
	report        Report
	groups        map[groupKey]*Group
	decided       map[string]bool // rules of second
}

// ask puts one question to both sides.
func (c *comparison) ask(q *question) {
	if c.ctx.Err() != nil {
		return
	}
	c.report.Questions++
	was, now := c.first.decide(c.ctx, q, c.second, false), c.second.decide(c.ctx, q, c.first, false)
	c.decided[now.Rule] = true
	if was.Allow == now.Allow {
		return
	}
	if now.Allow {
		c.report.Permitted++
	} else {
		c.report.Refused++
	}
	key := groupKey{now.Allow, was.Rule, now.Rule}
	g := c.groups[key]
	if g == nil {
		g = &Group{Permits: now.Allow, Was: was.Rule, Would: now.Rule}
		c.groups[key] = g
	}
	g.add(q)
}

// finish puts the groups in order.
func (c *comparison) finish() {
	c.report.Groups = []Group{}
	for key, g := range c.groups {
		c.shorten(key, g)
		c.report.Groups = append(c.report.Groups, *g)
	}
	slices.SortFunc(c.report.Groups, func(a, b Group) int {
		if a.Permits != b.Permits {
			return map[bool]int{true: -1, false: 1}[a.Permits]
		}
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(b.Questions, a.Questions), cmp.Compare(a.Was, b.Was), cmp.Compare(a.Would, b.Would))
	})
	had := make(map[string]bool)
	for _, h := range c.first.policy.Hints() {
		had[h.Text] = true
	}
	for _, h := range c.second.policy.Hints() {
		if !had[h.Text] && !c.decided[h.Rule] {
			c.report.Silent = append(c.report.Silent, h.Rule)
		}
	}
}
