//go:build linux

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"
)

// record is one call and how it ended.
type record struct {
	server, tool, client string
	at                   time.Time
	took                 time.Duration
	ok                   bool   // with its result
	failure              string // otherwise, what it was told
}

// load calls the tools of servers at a steady rate, each call with a secret of
// its own, and holds every answer to it.
type load struct {
	t        testing.TB
	house    *house
	clients  []client
	seed     uint64
	tools    []string      // that are called, one of them at a time
	patience time.Duration // after which a call counts as lost

	work sync.WaitGroup

	mu      sync.Mutex // guards what follows
	random  *rand.Rand
	n       int
	records []record
	wrong   []string
	samples map[string]int // what callers were told, by how often
}

func newLoad(t testing.TB, h *house, cs []client) *load {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return &load{
		t: t, house: h, clients: cs, seed: seed, patience: 30 * time.Second,
		tools:  []string{"echo", "echo", "echo", "echo", "look", "wait"},
		random: rand.New(rand.NewPCG(seed, 1)), samples: map[string]int{},
	}
}

// run makes rate calls per second to the peers until ctx ends, then waits for
// those under way.
func (l *load) run(ctx context.Context, rate int, peers []*peer) {
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	defer l.work.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c, p, tool := l.draw(peers)
			l.work.Go(func() { l.call(c, p, tool) })
		}
	}
}

func (l *load) draw(peers []*peer) (client, *peer, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.clients[l.random.IntN(len(l.clients))], peers[l.random.IntN(len(peers))], l.tools[l.random.IntN(len(l.tools))]
}

// secret is used once.
func (l *load) secret() (string, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n++
	return fmt.Sprintf("sec-%016x-%d", l.random.Uint64(), l.n), l.n
}

// call makes one call, judges and records it.
func (l *load) call(c client, p *peer, tool string) record {
	ctx, cancel := context.WithTimeout(context.Background(), l.patience)
	defer cancel()
	secret, n := l.secret()
	arguments := obj{"secret": secret, "ms": 50}
	if p.how == builtin {
		tool, arguments = "convert", obj{"time": moment(n).Format(time.RFC3339), "to": "UTC"}
	}
	params := obj{"name": p.name + "__" + tool, "arguments": arguments, "_meta": obj{"progressToken": "token " + secret}}
	r := record{server: p.name, tool: tool, client: c.kind(), at: time.Now()}
	o := c.request(ctx, "tools/call", params)
	r.took = time.Since(r.at)
	r.ok, r.failure = o.result() != nil, o.failure()
	if why := l.judge(p, secret, n, o); why != "" {
		l.fault("call %d (%s) of %s__%s over %s: %s; got %s", n, secret, p.name, tool, c.kind(), why, o)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, r)
	if r.failure != "" {
		l.samples[r.failure]++
	}
	return r
}

// moment is the secret of a call to the built-in server.
func moment(n int) time.Time { return time.Unix(1_700_000_000+int64(n), 0).UTC() }

// judge says what is wrong with an outcome; empty when nothing is.
func (l *load) judge(p *peer, secret string, n int, o outcome) string {
	for _, found := range secrets.FindAll(o.raw, -1) {
		if string(found) != secret {
			return "it holds the secret of another call, " + string(found)
		}
	}
	switch {
	case len(o.answers) > 1:
		return fmt.Sprintf("%d answers", len(o.answers))
	case len(o.foreign) > 0:
		return fmt.Sprintf("it holds what belongs to no request of its own: %s", encode(o.foreign[0]))
	case len(o.answers) == 0:
		return "no answer"
	case o.err != nil:
		return "a broken answer"
	}
	if r := o.result(); r != nil {
		return l.right(p, secret, n, r)
	}
	if message := o.failure(); !strings.Contains(message, p.name) {
		return fmt.Sprintf("the error %q does not name the server", message)
	}
	return ""
}

// right says what is wrong with a result.
func (l *load) right(p *peer, secret string, n int, r obj) string {
	if p.how == builtin {
		if got := whole(r, "structuredContent", "unix"); int64(got) != moment(n).Unix() {
			return fmt.Sprintf("the time is %d, want %d", got, moment(n).Unix())
		}
		return ""
	}
	if got := text(r, "content", 0, "text"); got != p.name+" "+secret {
		return fmt.Sprintf("the result is %q", got)
	}
	if l.house.ledger.times(secret) == 0 {
		return "a result of a call that was never executed"
	}
	return ""
}

// fault notes what must not be; the first few are shown.
func (l *load) fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.wrong) < 1000 {
		l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
	}
}

// finish reports what was wrong, at the end.
func (l *load) finish() {
	l.t.Helper()
	l.work.Wait()
	for _, c := range l.clients {
		if s, ok := c.(*sock); ok {
			for _, msg := range s.stray() {
				l.fault("over %s came what belongs to no call of it: %.200s", c.kind(), encode(msg))
			}
		}
	}
	for _, twice := range l.house.ledger.doubled() {
		l.fault("%s", twice)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, wrong := range l.wrong {
		if i == 12 {
			l.t.Errorf("… and %d more", len(l.wrong)-i)
			break
		}
		l.t.Error(wrong)
	}
	good := 0
	for _, r := range l.records {
		if r.ok {
			good++
		}
	}
	l.t.Logf("%d calls: %d with their result, %d with an error that names the server; %d executions at the test's servers",
		len(l.records), good, len(l.records)-good, l.house.ledger.size())
}

// told lists what callers were told, most frequent first.
func (l *load) told() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []string
	for message, n := range l.samples {
		lines = append(lines, fmt.Sprintf("%6d × %.200s", n, message))
	}
	slices.Sort(lines)
	slices.Reverse(lines)
	return strings.Join(lines[:min(len(lines), 20)], "\n")
}

// between returns the records of calls that began in a span of time.
func (l *load) between(from, to time.Time, keep func(record) bool) []record {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []record
	for _, r := range l.records {
		if !r.at.Before(from) && r.at.Before(to) && keep(r) {
			out = append(out, r)
		}
	}
	return out
}

// percentile of how long calls took; 0 when there are none.
func percentile(records []record, p float64) time.Duration {
	if len(records) == 0 {
		return 0
	}
	took := make([]time.Duration, len(records))
	for i, r := range records {
		took[i] = r.took
	}
	sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
	return took[min(int(p*float64(len(took))), len(took)-1)]
}

// lister asks for all tools again and again, and keeps what it was told.
type lister struct {
	c       client
	limit   time.Duration
	mu      sync.Mutex // guards what follows
	lists   int
	slowest time.Duration
	wrong   []string
	missing map[string]missing // of the last list
	tools   map[string]int     // of the last list, by server
	least   int                // the fewest tools that a list had
}

// missing is why a list says that a server's entries may be old.
type missing struct {
	Server, Reason string
	LastKnown      bool
}

func (l *lister) run(ctx context.Context, every time.Duration) {
	for pause(ctx, every) {
		callCtx, cancel := context.WithTimeout(ctx, 20*time.Second)
		o := l.c.request(callCtx, "tools/list", obj{})
		cancel()
		if ctx.Err() != nil {
			return
		}
		l.note(o)
	}
}

func (l *lister) note(o outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o.result() == nil {
		l.wrong = append(l.wrong, "tools/list was answered with "+o.String())
		return
	}
	listed, _ := o.result()["tools"].(list)
	l.lists++
	l.slowest = max(l.slowest, o.took)
	if o.took > l.limit+slack() {
		l.wrong = append(l.wrong, fmt.Sprintf("tools/list took %s, want at most %s, its deadline", o.took, l.limit))
	}
	if l.lists == 1 || len(listed) < l.least {
		l.least = len(listed)
	}
	l.tools = map[string]int{}
	for _, t := range listed {
		server, _, _ := strings.Cut(text(t, "name"), "__")
		l.tools[server]++
	}
	l.missing = map[string]missing{}
	var all []missing
	_ = json.Unmarshal(encode(dig(o.result(), "_meta", "dragoman/missing")), &all) // null is none
	for _, m := range all {
		l.missing[m.Server] = m
	}
}

// lacks returns what the last list said of a server.
func (l *lister) lacks(server string) (missing, int, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	m, ok := l.missing[server]
	return m, l.tools[server], ok
}
