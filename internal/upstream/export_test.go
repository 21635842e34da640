package upstream

import (
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
)

// SetProbeWait makes a server that stays silent be taken as older sooner.
func (u *Upstream) SetProbeWait(d time.Duration) { u.probeWait = d }

// Sweep lets go of unused links as it would be done at that time.
func (u *Upstream) Sweep(now time.Time) {
	for _, r := range u.replicas {
		r.idle(now, u.cfg.IdleStop)
	}
}

// Kinds returns what the open links are for, one entry for each.
func (u *Upstream) Kinds() []mcp.Kinds {
	var out []mcp.Kinds
	for _, r := range u.replicas {
		for _, l := range r.live() {
			out = append(out, l.key.kinds)
		}
	}
	return out
}

// Dialects returns what the server at each URL was found to speak.
func (u *Upstream) Dialects() []string {
	var out []string
	for _, r := range u.replicas {
		if at, ok := r.opener.(*remote); ok {
			out = append(out, string(at.known()))
		}
	}
	return out
}

// Shakes reports whether the program is remembered as one to ask for a handshake
// at once.
func (u *Upstream) Shakes() bool {
	return u.replicas[0].opener.(*command).dialogue.approach() == shaking
}

// Places returns how many records of crashes the program has.
func (u *Upstream) Places() int { return len(u.replicas[0].opener.(*command).children()) }

// Picks chooses a replica n times and counts by address. load gives the calls
// that are under way at each.
func (u *Upstream) Picks(n int, load map[string]int64) map[string]int {
	for _, r := range u.replicas {
		r.inFlight.Store(load[r.opener.address()])
		defer r.inFlight.Store(0)
	}
	counts := make(map[string]int)
	for range n {
		r, err := u.pick(nil)
		if err != nil {
			return nil
		}
		counts[r.opener.address()]++
	}
	return counts
}

// Breaker is a breaker with its clock in the hands of a test.
type Breaker struct {
	b   breaker
	now time.Time
}

// NewBreaker returns one that opens after failures for openFor.
func NewBreaker(failures int, openFor time.Duration) *Breaker {
	t := &Breaker{now: time.Unix(1e9, 0)}
	t.b = breaker{failures: failures, openFor: openFor, now: func() time.Time { return t.now }}
	return t
}

// Advance lets time pass.
func (t *Breaker) Advance(d time.Duration) { t.now = t.now.Add(d) }

// Attempt is a call that the breaker let through.
type Attempt struct {
	t     *Breaker
	p     pass
	began time.Time
}

// Allow asks for leave to make a call; nil when it is refused.
func (t *Breaker) Allow() *Attempt {
	p, ok := t.b.allow()
	if !ok {
		return nil
	}
	return &Attempt{t, p, t.now}
}

// Good, Bad, Slow and Drop say how the call ended.
func (a *Attempt) Good()         { a.t.b.good(a.p) }
func (a *Attempt) Bad(err error) { a.t.b.bad(a.p, fault{err: err, began: a.began}) }
func (a *Attempt) Slow(err error) {
	a.t.b.bad(a.p, fault{err: err, began: a.began, slow: true})
}
func (a *Attempt) Drop() { a.t.b.drop(a.p) }

// Relent lets one call try if the server was only not reachable.
func (t *Breaker) Relent() { t.b.relent() }

// State is closed, open or half-open.
func (t *Breaker) State() string { name, _, _ := t.b.state(); return name }

// Backoff is the wait before the n-th repetition.
func Backoff(n int, least, most time.Duration) time.Duration { return backoff(n, least, most) }
