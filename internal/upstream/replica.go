package upstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/dragoman-mcp/dragoman/mcp"
)

const (
	// maxLinks bounds the links of one replica, which principals and sessions
	// make many; beyond it, those that nobody uses give way.
	maxLinks = 4096
	// maxLooks bounds how often a call looks for a link that is gone again before
	// it could be used.
	maxLooks = 5
	// severWait is how long a channel that takes nothing any more may still seem
	// open: a program closes its input and its output one after the other.
	severWait = 2 * time.Second
)

// replica is one of the places where a server runs.
type replica struct {
	u        *Upstream
	opener   opener
	breaker  *breaker
	inFlight atomic.Int64
	health   health        // of a server at a URL
	watched  atomic.Bool   // somebody checks, so that what is found ill can be found well
	replies  atomic.Bool   // it has answered a check: some servers on channels never do
	wake     chan struct{} // one place: there is something to do for whoever keeps it

	mu       sync.Mutex // guards what follows
	links    map[key]*link
	opening  map[key]*attempt
	adopted  chan struct{} // closed, and replaced, with each new link
	era      era
	renewals int // how often everything was let go
	closed   bool
	over     error // why its program, which ended by itself, is not started anew
	failed   error // why the last opening failed; nil when it did not
}

// attempt is an opening that several callers wait for.
type attempt struct {
	done chan struct{}
	err  error
}

func newReplica(u *Upstream, o opener) *replica {
	return &replica{
		u: u, opener: o,
		breaker: &breaker{failures: u.cfg.Breaker.Failures, openFor: u.cfg.Breaker.OpenFor, now: time.Now},
		wake:    make(chan struct{}, 1),
		links:   make(map[key]*link),
		opening: make(map[key]*attempt),
		adopted: make(chan struct{}),
	}
}

// call makes one attempt. When the link that it is given turns out to have ended
// and nothing was sent, it takes another, once; nobody needs to know.
func (r *replica) call(ctx context.Context, c *call) (mcp.Result, error) {
	pass, ok := r.breaker.allow()
	if !ok {
		return mcp.Result{}, refused(r.u.nobody())
	}
	r.inFlight.Add(1)
	defer r.inFlight.Add(-1)
	for again := false; ; again = true {
		l, err := r.link(ctx, c.who)
		if err != nil {
			err = refused(err)
			r.settle(ctx, c, pass, err)
			return mcp.Result{}, err
		}
		result, err := l.handle(ctx, c)
		if err != nil {
			awaitEnd(ctx)
		}
		if err != nil && r.outlived(ctx, l, err) && !again {
			continue
		}
		r.settle(ctx, c, pass, err)
		return result, err
	}
}

// awaitEnd waits until ctx knows that its deadline has passed, if it has. A
// connection that has the same deadline may have noticed a little earlier.
func awaitEnd(ctx context.Context) {
	if end, ok := ctx.Deadline(); ok && !time.Now().Before(end) {
		<-ctx.Done()
	}
}

// settle tells the breaker how a call ended. One that its caller gave up says
// nothing, nor does one that a server which is there did not want; one that ran
// into our deadline does.
func (r *replica) settle(ctx context.Context, c *call, p pass, err error) {
	f := fateOf(err)
	switch {
	case f == answered:
		r.breaker.good(p)
	case errors.Is(c.own.Cause(), errDeadline):
		r.breaker.bad(p, fault{err: err, slow: f == lost, began: c.began})
	case ctx.Err() != nil || turnedAway(err) || isHeld(err):
		r.breaker.drop(p)
	default:
		r.breaker.bad(p, fault{err: err, began: c.began})
	}
}

// outlived looks whether an error shows that a link is of no more use, and lets
// it go then. It reports whether the request that got the error may be sent
// again on another link.
func (r *replica) outlived(ctx context.Context, l *link, err error) bool {
	switch {
	case ctx.Err() != nil:
		return false
	case errors.Is(err, mcp.ErrSessionLost):
	case l.done != nil && fateOf(err) == unsent && !isForeign(err): // the channel is broken
		if l.bury != nil && l.severed(ctx) {
			return true // whoever tends it makes room for the next
		}
	case l.doubts(err) && r.changed(ctx, l):
		r.retire(l)
		return true // it has not acted on what it does not speak
	default:
		return false
	}
	r.retire(l)
	return fateOf(err) == unsent
}

// changed asks a server that answered as if it spoke something else whether it
// is still the one that the link was opened to. Somebody else may have found out
// that it is not, before or meanwhile.
func (r *replica) changed(ctx context.Context, l *link) bool {
	if l.retired.Err() != nil {
		return true
	}
	err := r.ask(ctx, l)
	return l.retired.Err() != nil || err != nil && (isForeign(err) || errors.Is(err, mcp.ErrSessionLost))
}

// keyOf returns the key of a caller. r.mu is held.
func (r *replica) keyOf(ctx context.Context, c *mcp.Client) key {
	k := key{owner: r.u.ownerOf(ctx, c)}
	if c != nil && r.era != stateless {
		k.kinds = c.Kinds
	}
	return k
}

// ownerOf returns by whom the links are for that a caller may use.
func (u *Upstream) ownerOf(ctx context.Context, c *mcp.Client) string {
	switch {
	case u.cfg.Isolation == "session" && c != nil && c.Session != "":
		return "s:" + c.Session
	case u.cfg.Isolation == "session" || u.cfg.Isolation == "principal":
		return "p:" + mcp.PrincipalOf(ctx).ID
	}
	return ""
}

// link returns an open link for the caller, counted as in use.
func (r *replica) link(ctx context.Context, who asker) (*link, error) {
	for range maxLooks {
		l, wait, err := r.look(ctx, who)
		if l != nil || err != nil {
			return l, err
		}
		select {
		case <-wait.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for its start: %w", ctx.Err())
		}
		if wait.err != nil {
			return nil, wait.err
		}
	}
	return nil, errBrief
}

// look finds a link, or what has to be waited for before there is one.
func (r *replica) look(ctx context.Context, who asker) (*link, *attempt, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return nil, nil, errRemoved
	case r.over != nil:
		return nil, nil, &endedError{r.over}
	}
	k := r.keyOf(ctx, who.client)
	l := r.links[k]
	if l == nil && who.own {
		l = r.linkOf(k.owner)
	}
	switch {
	case l != nil && l.over():
		return nil, l.cleared, nil
	case l != nil:
		if why := l.state.reason(); why != nil {
			return nil, nil, why
		}
		l.calls.Add(1)
		if who.own {
			l.own.Add(1)
		}
		return l, nil, nil
	case !who.open:
		return nil, nil, errIdle
	}
	if a := r.underWay(k, who.own); a != nil {
		return nil, a, nil
	}
	if len(r.links)+len(r.opening) >= maxLinks && !r.makeRoom() {
		return nil, nil, errFleet
	}
	return nil, r.start(ctx, k, who.client), nil
}

// linkOf returns a link of an owner, whatever its kinds; nil if there is none.
// r.mu is held.
func (r *replica) linkOf(owner string) *link {
	var found *link
	for k, l := range r.links {
		if k.owner == owner && !l.over() && (found == nil || l.used.Load() > found.used.Load()) {
			found = l
		}
	}
	return found
}

// underWay returns the opening that a caller of k waits for. While it is not
// known whether kinds matter to the server, one opening serves all: a process
// that turns out to be stateless needs no second. r.mu is held.
func (r *replica) underWay(k key, own bool) *attempt {
	if a := r.opening[k]; a != nil || r.era == sessions && !own {
		return a
	}
	for other, a := range r.opening {
		if other.owner == k.owner {
			return a
		}
	}
	return nil
}

// start opens a link for whoever waits; it goes on when the first of them
// leaves. r.mu is held.
func (r *replica) start(ctx context.Context, k key, c *mcp.Client) *attempt {
	a := &attempt{done: make(chan struct{})}
	r.opening[k] = a
	renewals := r.renewals
	openCtx := mcp.WithPrincipal(r.u.ctx, mcp.PrincipalOf(ctx))
	r.u.links.Go(func() {
		o, err := r.opener.open(openCtx, c)
		r.mu.Lock()
		delete(r.opening, k)
		surplus := o
		switch {
		case err != nil:
		case r.closed:
			err = errRemoved
		case r.renewals != renewals: // the program or the server may have changed meanwhile: those who wait look again
		case r.adopt(o, k.owner, c):
			surplus = nil
		}
		a.err = err
		r.tell(err)
		r.mu.Unlock()
		close(a.done)
		if surplus != nil {
			r.shut(surplus.close)
		}
	})
	return a
}

// tell notes how an opening went. r.mu is held.
func (r *replica) tell(err error) {
	was := r.failed
	r.failed = err
	var exit *supervisor.ExitError
	switch {
	case r.closed:
		return
	case err == nil:
		r.breaker.relent()
		r.judge(&r.health, nil)
		if was != nil {
			r.u.log.Info("server can be reached again", "address", r.opener.address())
		}
		return
	case errors.As(err, &exit) && !r.u.cfg.Restart.Enabled:
		r.over = err
	}
	if _, isRemote := r.opener.(*remote); isRemote && r.watched.Load() && (r.u.around.Authorize == nil || !turnedAway(err)) {
		r.judge(&r.health, err)
	}
	if was == nil {
		r.u.log.Warn("server cannot be reached", "address", r.opener.address(), "err", err)
	}
}

// adopt takes a new link in, unless there is one for the same callers already.
// When the server is of another era than before, it is another server: what was
// open to the old one is let go. r.mu is held.
func (r *replica) adopt(o *opened, owner string, c *mcp.Client) bool {
	if r.era != unknown && r.era != o.era() {
		for _, l := range r.links {
			r.dismiss(l)
		}
	}
	if r.era != o.era() {
		r.era = o.era()
		r.replies.Store(r.era == stateless) // it has answered server/discover
	}
	k := key{owner: owner}
	if c != nil && r.era == sessions {
		k.kinds = c.Kinds
	}
	if old := r.links[k]; old != nil && !old.over() {
		return false
	}
	r.u.driveTasks(o)
	l := newLink(o, k, time.Now())
	r.links[k] = l
	close(r.adopted)
	r.adopted = make(chan struct{})
	r.u.links.Go(func() { r.tend(l) })
	return true
}

// tend waits for the end of a link, and closes it when nobody uses it any more.
func (r *replica) tend(l *link) {
	if l.ping != nil && r.u.cfg.Health.Interval > 0 && !r.replies.Load() {
		r.question(l, r.u.cfg.Health.Timeout) // to know whether it answers such questions
	}
	select {
	case <-l.done:
		r.buryLink(l)
		return
	case <-l.retired.Done():
		if !r.drain(l, l.done, r.u.cfg.Timeout) {
			r.buryLink(l)
			return
		}
	case <-r.u.ctx.Done():
	}
	l.retire()
	l.end()
	l.roster.end()
	if l.flush != nil {
		r.shut(func(ctx context.Context) error { l.flush(ctx); return nil })
	}
	r.shut(l.close)
	r.nudge()
}

// buryLink clears up after a link that has ended by itself, and then makes room
// for the next.
func (r *replica) buryLink(l *link) {
	var why error
	if l.bury != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout(r.u.cfg.StopTimeout))
		why = l.bury(ctx)
		cancel()
	}
	r.mu.Lock()
	if why != nil && !r.u.cfg.Restart.Enabled {
		r.over = why
	}
	r.dismiss(l)
	r.mu.Unlock()
	close(l.cleared.done)
	l.end()
	r.nudge()
	if l.bury == nil {
		r.drain(l, nil, closeTimeout(r.u.cfg.StopTimeout)) // some may still hear that they were not sent
		r.shut(l.close)
	}
}

// shut closes what an opener has made.
func (r *replica) shut(closeLink func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout(r.u.cfg.StopTimeout))
	defer cancel()
	if err := closeLink(ctx); err != nil {
		r.u.log.Debug("link did not close properly", "err", err)
	}
}

// closeTimeout bounds the end of a link: a process has its three steps.
func closeTimeout(step time.Duration) time.Duration { return 3*step + 5*time.Second }

// nudge lets whoever keeps the replica look after it.
func (r *replica) nudge() {
	select {
	case r.wake <- struct{}{}:
	default: // it is on its way
	}
}

// drainPoll is how often a retired link is looked at.
const drainPoll = 10 * time.Millisecond

// drain waits until a retired link holds nothing any more, at most for within.
// It reports false when the link has ended by itself meanwhile, as over tells.
func (r *replica) drain(l *link, over <-chan struct{}, within time.Duration) bool {
	limit := time.NewTimer(within)
	defer limit.Stop()
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()
	for l.calls.Load() > 0 || l.busy != nil && l.busy() {
		select {
		case <-tick.C:
		case <-limit.C:
			return true
		case <-over:
			return false
		case <-r.u.ctx.Done():
			return true
		}
	}
	select {
	case <-over: // which may be why nothing is under way
		return false
	default:
		return true
	}
}

// retire lets no new call use l.
func (r *replica) retire(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dismiss(l)
}

// dismiss lets no new call use l. r.mu is held.
func (r *replica) dismiss(l *link) {
	if r.links[l.key] == l {
		delete(r.links, l.key)
	}
	l.retire()
}

// renew dismisses all links, and forgets all that was found out of the server.
func (r *replica) renew() {
	r.opener.reset()
	r.breaker.reset()
	r.health.clear()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.renewals++
	r.over, r.failed, r.era = nil, nil, unknown
	for _, l := range r.links {
		r.dismiss(l)
	}
	r.nudge()
}

// close refuses further calls. Its links end with the upstream's context.
func (r *replica) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	clear(r.links)
}

// always reports whether the gateway keeps a link open of its own accord.
func (r *replica) always() bool {
	return r.u.cfg.Start == "always" && r.u.cfg.Isolation == "shared"
}
