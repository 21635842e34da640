package policy

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
)

// Bounds of what is gathered about policies on trial.
const (
	// maxDifferences is how many kinds of differing calls are told apart; of more only the number is known.
	maxDifferences = 500
	// maxToldPerMinute is how many of them are logged.
	maxToldPerMinute = 10
)

// Difference is calls of one kind that two sets of policies answer differently.
type Difference struct {
	// Permits says that the second set permits what the first refuses; else it is the other way round.
	Permits   bool   `json:"permits"`
	Principal string `json:"principal"`
	// Roles and Groups are those of the principal.
	Roles  []string `json:"roles,omitempty"`
	Groups []string `json:"groups,omitempty"`
	Action Action   `json:"action"`
	Kind   Kind     `json:"kind"`
	Server string   `json:"server,omitempty"`
	Name   string   `json:"name,omitempty"`
	// Was and Would are the rules that decided in the first and in the second set, as in Decision.
	Was   string `json:"was"`
	Would string `json:"would"`
	// Fault is what could not be evaluated in the second set; empty if nothing.
	Fault string `json:"fault,omitempty"`
	// Calls is how many there were, the First and the Last of them when.
	Calls uint64    `json:"calls"`
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
}

// Comparison is what has come of a trial so far. Lists are not part of it: what is shown follows from what may be called.
type Comparison struct {
	// Since is when it began: at the start, or at the reload that changed one of both sets.
	Since time.Time `json:"since"`
	// Policies and Candidate are the versions of both.
	Policies  string `json:"policies"`
	Candidate string `json:"candidate"`
	// Unmet is what access.expect says and the candidate does otherwise, one line for each.
	Unmet []string `json:"unmet,omitempty"`
	// Servers has the numbers, by server.
	Servers map[string]Tally `json:"servers"`
	// Differences are at most maxDifferences, those that permit more first. Untold is how many calls are in none of them.
	Differences []Difference `json:"differences"`
	Untold      uint64       `json:"untold,omitempty"`
}

// Tally counts the calls of one server that both sets were asked about.
type Tally struct {
	Asked uint64 `json:"asked"`
	// Permits and Refuses are those that the candidate answers otherwise, by its answer.
	Permits uint64 `json:"permits"`
	Refuses uint64 `json:"refuses"`
}

// trial is a set of policies that is asked about each call beside the one in force, and decides nothing.
type trial struct {
	rules *ruleset
	unmet []string
	notes *notes
}

// newTrial loads the candidate of cfg; nil when there is none.
func newTrial(cfg *config.Config, inForce string, now time.Time) (*trial, error) {
	if len(cfg.Access.Candidate) == 0 {
		return nil, nil
	}
	rules, err := newRuleset(cfg, "access.candidate", cfg.Access.Candidate)
	if err != nil {
		return nil, err
	}
	t := &trial{rules: rules, notes: &notes{
		since: now, policies: inForce, candidate: rules.version,
		tallies: make(map[string]*Tally), of: make(map[differing]*Difference),
	}}
	for _, fault := range rules.unmet(cfg, now) {
		t.unmet = append(t.unmet, fault.Path+": "+fault.Problem)
	}
	return t, nil
}

// follow goes on with the notes of a trial before if both sets are what they were.
func (t *trial) follow(was *trial) {
	if was != nil && was.notes.policies == t.notes.policies && was.notes.candidate == t.notes.candidate {
		t.notes = was.notes
	}
}

// judge decides about a call that is made, and has the policies on trial asked about it too.
func (p *Policy) judge(ctx context.Context, q Question) Decision {
	r, now := p.rules.Load(), p.d.Now()
	d := p.decide(ctx, r, &q, now)
	if r.trial != nil {
		r.trial.ask(ctx, q, d, now, p.d.Log)
	}
	return d
}

// ask notes whether the candidate answers otherwise. Whatever goes wrong with that is no matter of the call, so that this
// is the one place besides the transports that stops a panic.
func (t *trial) ask(ctx context.Context, q Question, d Decision, now time.Time, log *slog.Logger) {
	defer func() {
		if v := recover(); v != nil {
			log.ErrorContext(ctx, "policies on trial could not be asked", "server", q.Resource.Server, "err", fmt.Sprint(v))
		}
	}()
	would := t.rules.decide(&q, now)
	if d.Allow == would.Allow {
		t.notes.same(q.Resource.Server)
		return
	}
	tell, held := t.notes.differs(&q, d, would, now)
	if tell {
		log.WarnContext(ctx, "policies on trial would decide otherwise", "server", q.Resource.Server, "name", q.Resource.Name,
			"principal", q.Principal.ID, "action", string(q.Action), "allow", d.Allow, "rule", d.Rule,
			"would_allow", would.Allow, "would_rule", would.Rule, "err", would.Fault, "not_logged", held)
	}
}

// differing tells kinds of differences apart.
type differing struct {
	principal string
	what      thingKey
	was       string
	would     string
	permits   bool
}

// notes is what is known about two sets of policies. It outlives reloads that change neither.
type notes struct {
	since               time.Time
	policies, candidate string

	mu      sync.Mutex // guards what follows
	tallies map[string]*Tally
	of      map[differing]*Difference
	untold  uint64
	minute  time.Time // in which lines are counted
	lines   int
	held    uint64 // differences that no line told, since the last one
}

// tally is that of a server. n.mu is held.
func (n *notes) tally(server string) *Tally {
	t := n.tallies[server]
	if t == nil {
		t = &Tally{}
		n.tallies[server] = t
	}
	t.Asked++
	return t
}

func (n *notes) same(server string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tally(server)
}

// differs notes a difference. It returns whether a line may tell of it, and how many had none since the last line.
func (n *notes) differs(q *Question, was, would Decision, now time.Time) (tell bool, held uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	tally := n.tally(q.Resource.Server)
	if would.Allow {
		tally.Permits++
	} else {
		tally.Refuses++
	}
	what := q.Resource
	what.Name, what.Owner = short(what.Name), ""
	key := differing{short(q.Principal.ID), thingKey{q.Action, what}, was.Rule, would.Rule, would.Allow}
	known := n.of[key]
	switch {
	case known != nil:
		known.Calls++
		known.Last = now
	case len(n.of) < maxDifferences:
		n.of[key] = &Difference{
			Permits: would.Allow, Principal: key.principal, Roles: q.Principal.Roles, Groups: q.Principal.Groups,
			Action: q.Action, Kind: what.Kind, Server: what.Server, Name: what.Name,
			Was: was.Rule, Would: would.Rule, Fault: would.Fault, Calls: 1, First: now, Last: now,
		}
	default:
		n.untold++
	}
	if now.Sub(n.minute) >= time.Minute || now.Before(n.minute) {
		n.minute, n.lines = now, 0
	}
	if known != nil || n.lines >= maxToldPerMinute {
		n.held++
		return false, 0
	}
	n.lines++
	held, n.held = n.held, 0
	return true, held
}

// short cuts what callers choose. It may cut within a character: JSON replaces what is left of one.
func short(text string) string {
	if len(text) <= maxRemembered {
		return text
	}
	return text[:maxRemembered]
}

// Compare returns what has come of the trial of access.candidate so far; false when no policies are on trial.
func (p *Policy) Compare() (Comparison, bool) {
	t := p.rules.Load().trial
	if t == nil {
		return Comparison{}, false
	}
	n := t.notes
	n.mu.Lock()
	defer n.mu.Unlock()
	c := Comparison{
		Since: n.since, Policies: n.policies, Candidate: n.candidate, Unmet: t.unmet, Untold: n.untold,
		Servers: make(map[string]Tally, len(n.tallies)), Differences: make([]Difference, 0, len(n.of)),
	}
	for server, tally := range n.tallies {
		c.Servers[server] = *tally
	}
	for _, d := range n.of {
		c.Differences = append(c.Differences, *d)
	}
	slices.SortFunc(c.Differences, func(a, b Difference) int {
		if a.Permits != b.Permits {
			return map[bool]int{true: -1, false: 1}[a.Permits]
		}
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), cmp.Compare(a.Server, b.Server), cmp.Compare(a.Name, b.Name),
			cmp.Compare(a.Principal, b.Principal), cmp.Compare(a.Action, b.Action), cmp.Compare(a.Was, b.Was), cmp.Compare(a.Would, b.Would))
	})
	return c, true
}
