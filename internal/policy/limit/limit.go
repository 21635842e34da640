// Package limit counts calls and says when there are too many: rates by the
// generic cell rate algorithm, quotas by day, and calls at the same time. With
// Redis all replicas count together; while Redis is away each lets its own part
// through.
//
// It does not know what a call does, who may make it, nor how a refusal reaches
// the caller.
package limit

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/pattern"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// DefaultModelRate is how many calls of one model pass in a minute when no rule
// is about models.
const DefaultModelRate = 60

// Options are what a Limiter needs of others.
type Options struct {
	// Separator stands between the names of a server and of its tool in patterns.
	Separator string
	// Now is the clock of this replica; time.Now by default.
	Now func() time.Time
	// Dial reaches Redis; needed only when there is one.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	Log  *slog.Logger
}

// Limiter counts calls. It may be used concurrently. Close it.
type Limiter struct {
	o     Options
	rules []rule
	local *table
	redis *shared // nil without Redis
	part  int     // replicas among which the rates are divided while Redis is away

	bills sync.Pool // of *bill

	mu    sync.RWMutex // guards what follows
	known map[call]bounds
}

// New returns a Limiter. It does not wait for Redis.
func New(cfg config.Rates, o Options) (*Limiter, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	l := &Limiter{o: o, local: newTable(maxKeys), known: make(map[call]bounds), part: max(cfg.Replicas, 1)}
	l.bills.New = func() any { return &bill{} }
	models := false
	for i, r := range cfg.Calls {
		l.rules = append(l.rules, newRule(i, r))
		models = models || r.Per == "model"
	}
	if !models {
		l.rules = append(l.rules, newRule(len(cfg.Calls), config.Rule{Per: "model", Rate: DefaultModelRate, Every: time.Minute}))
	}
	if cfg.Redis.Reveal() == "" {
		return l, nil
	}
	var err error
	l.redis, err = newShared(cfg, o)
	return l, err
}

// Close gives back what the Limiter holds.
func (l *Limiter) Close() error {
	if l.redis == nil {
		return nil
	}
	return l.redis.close()
}

// rule is one bound.
type rule struct {
	number   int
	per      string
	match    []string
	interval time.Duration // between two calls at the rate; 0 is no rate
	burst    int
	perDay   int
	atOnce   int
	says     string // for who is refused
}

func newRule(number int, r config.Rule) rule {
	out := rule{number: number, per: r.Per, match: r.Match, perDay: r.PerDay, atOnce: r.AtOnce, says: r.Per}
	if r.Rate > 0 {
		out.interval = max(r.Every/time.Duration(r.Rate), 1)
		out.burst = r.Burst
		if out.burst == 0 {
			out.burst = min(max(r.Rate/20, 10), r.Rate)
		}
	}
	return out
}

// counts reports whether the rule has something to count over time.
func (r *rule) counts() bool { return r.interval > 0 || r.perDay > 0 }

// divided is the rule for one of n replicas that cannot count together.
func (r rule) divided(n int) *rule {
	r.interval *= time.Duration(n)
	r.burst = (r.burst + n - 1) / n
	if r.perDay > 0 {
		r.perDay = max(r.perDay/n, 1)
	}
	return &r
}

// call is what is counted.
type call struct{ principal, server, tool, model string }

// applies reports whether the rule counts the call.
func (r *rule) applies(c call, separator string) bool {
	if (r.per == "model") != (c.model != "") {
		return false
	}
	return len(r.match) == 0 || pattern.Match(r.match, c.server+separator+c.tool)
}

// appendKey writes what the rule counts the call under. Lengths keep two keys
// from being written the same.
func (r *rule) appendKey(dst []byte, c call) []byte {
	begin := len(dst)
	dst = append(dst, byte('0'+r.number%10), byte('0'+r.number/10%10), byte('0'+r.number/100%10), ':')
	add := func(s string) {
		dst = append(dst, byte(len(s)), byte(len(s)>>8))
		dst = append(dst, s...)
	}
	switch r.per {
	case "principal":
		add(c.principal)
	case "server":
		add(c.server)
	case "tool":
		add(c.server)
		add(c.tool)
	case "principal-server":
		add(c.principal)
		add(c.server)
	case "principal-tool":
		add(c.principal)
		add(c.server)
		add(c.tool)
	case "model":
		add(c.model)
	}
	if len(dst)-begin > maxKey { // URIs are as long as callers like
		sum := sha256.Sum256(dst[begin:])
		return append(dst[:begin+4], sum[:]...)
	}
	return dst
}

// maxKey is the most bytes of a key as it is; of longer ones a digest is kept.
const maxKey = 128

// Take counts a call of a tool, prompt or resource. When it is one too many,
// nothing is counted and the error says how long to wait. Else done must be
// called when the call has been answered.
func (l *Limiter) Take(ctx context.Context, principal, server, tool string) (done func(), err error) {
	return l.take(ctx, call{principal: principal, server: server, tool: tool})
}

// TakeModel counts a call of a model.
func (l *Limiter) TakeModel(ctx context.Context, principal, model string) (done func(), err error) {
	return l.take(ctx, call{principal: principal, model: model})
}

func nothing() {}

func (l *Limiter) take(ctx context.Context, c call) (func(), error) {
	rules := l.about(c)
	if len(rules.all) == 0 {
		return nothing, nil
	}
	b := l.bills.Get().(*bill)
	defer l.bills.Put(b)
	charges := b.write(rules.all, c)
	now := l.o.Now()
	leave := nothing
	if rules.held > 0 {
		var refused int
		if leave, refused = l.enter(ctx, charges, rules.held, now); refused >= 0 {
			return nil, tooMany(rules.all[refused], time.Second, "at once")
		}
	}
	if refused, wait := l.count(ctx, charges, now); refused >= 0 {
		leave()
		return nil, tooMany(rules.all[refused], wait, "")
	}
	return leave, nil
}

// enter takes the call's places among the calls at once, which are n; it returns
// what gives them back, and which rule refused, -1 for none. The calls of this
// replica are counted in any case, so that Redis may go away at any time.
func (l *Limiter) enter(ctx context.Context, charges []charge, n int, now time.Time) (leave func(), refused int) {
	places, refused := l.local.enter(charges, n, now.UnixNano())
	switch {
	case refused >= 0:
		return nil, refused
	case l.redis == nil:
		return func() { giveBack(places) }, -1
	}
	name, refused, err := l.redis.occupy(ctx, charges)
	if err != nil {
		refused = crowded(places, charges, l.part)
	}
	if refused >= 0 {
		giveBack(places)
		return nil, refused
	}
	return func() {
		giveBack(places)
		l.redis.leave(name)
	}, -1
}

// charge is a call under one rule.
type charge struct {
	rule *rule
	key  []byte
}

// bill is memory for the charges of a call.
type bill struct {
	charges []charge
	keys    []byte
}

func (b *bill) write(rules []*rule, c call) []charge {
	b.charges, b.keys = b.charges[:0], b.keys[:0]
	for _, r := range rules {
		begin := len(b.keys)
		b.keys = r.appendKey(b.keys, c)
		b.charges = append(b.charges, charge{rule: r, key: b.keys[begin:len(b.keys):len(b.keys)]})
	}
	return b.charges
}

// bounds are the rules that a call is counted by.
type bounds struct {
	all  []*rule
	held int // how many of them bound calls at once
}

// about returns the rules that apply to a call, from memory if they are there:
// which those are depends on what is called, and not on who calls.
func (l *Limiter) about(c call) bounds {
	what := call{server: c.server, tool: c.tool}
	if c.model != "" {
		what = call{model: "any"} // rules of models are about all
	}
	l.mu.RLock()
	b, ok := l.known[what]
	l.mu.RUnlock()
	if ok {
		return b
	}
	for i := range l.rules {
		if r := &l.rules[i]; r.applies(c, l.o.Separator) {
			b.all = append(b.all, r)
			if r.atOnce > 0 {
				b.held++
			}
		}
	}
	if len(c.tool) > maxKey {
		return b // URIs are as long as callers like
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.known) >= maxKnown {
		clear(l.known)
	}
	l.known[what] = b
	return b
}

// maxKnown is of how many tools, prompts and resources it is remembered which
// rules are about them; then all is forgotten.
const maxKnown = 8192

// count charges all or none; it returns which refused, -1 for none, and for how long.
func (l *Limiter) count(ctx context.Context, charges []charge, now time.Time) (refused int, wait time.Duration) {
	if l.redis != nil {
		refused, wait, err := l.redis.count(ctx, charges)
		if err == nil {
			return refused, wait
		}
		for i := range charges {
			charges[i].rule = charges[i].rule.divided(l.part)
		}
	}
	return l.local.count(charges, now)
}

// tooMany is what the caller hears: nothing was sent to the server, so that the
// call can be made again.
func tooMany(r *rule, wait time.Duration, how string) error {
	if how != "" {
		how = " " + how
	}
	return mcp.Busy(fmt.Sprintf("too many calls%s, counted per %s: try again later", how, r.says), wait)
}
