package upstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
)

// errIdle is why there is no link to a server that only runs on demand.
var errIdle = errors.New("it is started on demand and does not run now")

// key tells apart the callers that may not share a link: by whom the link is
// for, and at a server with sessions by what they can be asked for.
type key struct {
	owner string
	kinds mcp.Kinds
}

// opener knows how one replica is reached.
type opener interface {
	// open makes a link. ctx bounds the opening; the link lasts until it is closed.
	open(ctx context.Context, client *mcp.Client) (*opened, error)
	// address names the replica for people.
	address() string
	share() int
	// close releases what is kept between links.
	close() error
}

// opened is what an opener has made.
type opened struct {
	handler  mcp.Handler
	revision mcp.Revision
	how      string          // transport, in the words of the configuration
	done     <-chan struct{} // closed when it is lost; nil for never
	ping     func(ctx context.Context) error
	busy     func() bool // holds something that closing would lose; nil for never
	close    func(ctx context.Context) error
	child    childStatus   // nil when it is no process
	memory   func() uint64 // bytes that the process and its children hold; nil likewise
}

// link is an open way to a replica, shared by callers of one key.
type link struct {
	*opened
	key     key
	retired context.Context // ends when no new call may use it
	retire  context.CancelFunc
	users   atomic.Int64
	used    atomic.Int64 // when it was last let go, in nanoseconds
	client  *mcp.Client
}

func (l *link) release() {
	l.used.Store(time.Now().UnixNano())
	l.users.Add(-1)
}

// replica is one of the places where a server runs.
type replica struct {
	u        *Upstream
	opener   opener
	breaker  *breaker
	inFlight atomic.Int64
	health   health
	lost     chan struct{} // a link has ended by itself

	mu      sync.Mutex // guards what follows
	links   map[key]*link
	opening map[key]*attempt
	modern  bool // what it speaks does not need links of their own for kinds
	closed  bool
	failed  error // why the last opening failed; nil when it did not
}

// attempt is an opening that several callers wait for.
type attempt struct {
	done chan struct{}
	link *link
	err  error
}

func newReplica(u *Upstream, o opener) *replica {
	return &replica{
		u: u, opener: o,
		breaker: &breaker{failures: u.cfg.Breaker.Failures, openFor: u.cfg.Breaker.OpenFor, now: time.Now},
		lost:    make(chan struct{}, 1),
		links:   make(map[key]*link),
		opening: make(map[key]*attempt),
	}
}

// pick chooses the less loaded of two random replicas that may be called; one
// that was tried before only when there is no other (Mitzenmacher, "The power
// of two choices", 2001).
func (u *Upstream) pick(tried []*replica) (*replica, error) {
	fit := make([]*replica, 0, len(u.replicas))
	for _, r := range u.replicas {
		if r.fit() && !contains(tried, r) {
			fit = append(fit, r)
		}
	}
	if len(fit) == 0 {
		for _, r := range tried {
			if r.fit() {
				fit = append(fit, r)
			}
		}
	}
	switch len(fit) {
	case 0:
		return nil, u.nobody()
	case 1:
		return fit[0], nil
	}
	a := rand.IntN(len(fit))
	b := rand.IntN(len(fit) - 1)
	if b >= a {
		b++
	}
	if fit[b].load() < fit[a].load() {
		a = b
	}
	return fit[a], nil
}

func contains(list []*replica, r *replica) bool {
	for _, x := range list {
		if x == r {
			return true
		}
	}
	return false
}

// nobody says why no replica may be called.
func (u *Upstream) nobody() error {
	for _, r := range u.replicas {
		if _, why := r.breaker.state(); why != nil {
			return &unsentError{fmt.Errorf("it failed %d times in a row and is left alone for a while, the last time: %w", u.cfg.Breaker.Failures, why)}
		}
		if why := r.health.reason(); why != nil {
			return &unsentError{why}
		}
	}
	return &unsentError{errors.New("no replica is healthy")}
}

func (r *replica) load() float64 {
	return float64(r.inFlight.Load()+1) / float64(r.opener.share())
}

// fit reports whether a call may go to r. It does not take the breaker's trial.
func (r *replica) fit() bool {
	state, _ := r.breaker.state()
	return state != "open" && r.health.good()
}

// call makes one attempt.
func (r *replica) call(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	if !r.breaker.allow() {
		return mcp.Result{}, r.u.nobody()
	}
	r.u.budget.earn()
	r.inFlight.Add(1)
	defer r.inFlight.Add(-1)
	l, err := r.link(ctx, req.Client, true)
	if err != nil {
		r.settle(ctx, err)
		return mcp.Result{}, &unsentError{err}
	}
	defer l.release()
	result, err := l.handler.Handle(ctx, req)
	r.settle(ctx, err)
	return result, err
}

// settle tells the breaker how a call ended. One that its caller gave up says
// nothing; one that ran into its deadline does.
func (r *replica) settle(ctx context.Context, err error) {
	switch {
	case err == nil || isAnswer(err):
		r.breaker.note(nil)
	case errors.Is(ctx.Err(), context.Canceled):
		r.breaker.cancel()
	default:
		r.breaker.note(err)
	}
}

// keyOf returns the key of a caller. r.mu is held.
func (r *replica) keyOf(ctx context.Context, c *mcp.Client) key {
	var k key
	switch r.u.cfg.Isolation {
	case "principal":
		k.owner = "p:" + mcp.PrincipalOf(ctx).ID
	case "session":
		k.owner = "p:" + mcp.PrincipalOf(ctx).ID
		if c != nil && c.Session != "" {
			k.owner = "s:" + c.Session
		}
	}
	if c != nil && !r.modern {
		k.kinds = c.Kinds
	}
	return k
}

// link returns an open link for the caller, counted as in use; with open false
// only one that is there already.
func (r *replica) link(ctx context.Context, c *mcp.Client, open bool) (*link, error) {
	for {
		r.mu.Lock()
		if r.closed {
			r.mu.Unlock()
			return nil, errors.New("it was removed from the configuration")
		}
		k := r.keyOf(ctx, c)
		if l := r.links[k]; l != nil {
			l.users.Add(1)
			r.mu.Unlock()
			return l, nil
		}
		if !open {
			r.mu.Unlock()
			return nil, errIdle
		}
		a := r.opening[k]
		if a == nil {
			a = r.start(ctx, k, c)
		}
		r.mu.Unlock()
		select {
		case <-a.done:
			if a.err != nil {
				return nil, a.err
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for its start: %w", ctx.Err())
		}
	}
}

// start opens a link for whoever waits; it goes on when the first of them
// leaves. r.mu is held.
func (r *replica) start(ctx context.Context, k key, c *mcp.Client) *attempt {
	a := &attempt{done: make(chan struct{})}
	r.opening[k] = a
	openCtx := mcp.WithPrincipal(r.u.ctx, mcp.PrincipalOf(ctx))
	r.u.links.Go(func() {
		o, err := r.opener.open(openCtx, c)
		r.mu.Lock()
		delete(r.opening, k)
		r.failed, a.err = err, err
		if err == nil && r.closed {
			a.err = errors.New("it was removed from the configuration")
		}
		if a.err == nil {
			a.link = r.adopt(o, k, c)
		}
		r.mu.Unlock()
		close(a.done)
		if err == nil && a.err != nil {
			_ = o.close(context.Background())
		}
	})
	return a
}

// adopt takes a new link in. r.mu is held.
func (r *replica) adopt(o *opened, k key, c *mcp.Client) *link {
	if o.revision.Modern() && !r.modern {
		r.modern = true
		k.kinds = 0
	}
	l := &link{opened: o, key: k, client: c}
	l.retired, l.retire = context.WithCancel(context.Background())
	l.used.Store(time.Now().UnixNano())
	if old := r.links[k]; old != nil {
		r.dismiss(old)
	}
	r.links[k] = l
	r.u.links.Go(func() { r.tend(l) })
	return l
}

// tend waits for the end of a link, and closes it when nobody uses it any more.
func (r *replica) tend(l *link) {
	select {
	case <-l.done:
		r.mu.Lock()
		r.dismiss(l)
		r.mu.Unlock()
		select {
		case r.lost <- struct{}{}:
		default: // it is known already
		}
	case <-l.retired.Done():
		r.drain(l)
	case <-r.u.ctx.Done():
		l.retire()
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout(r.u.cfg.StopTimeout))
	defer cancel()
	if err := l.close(ctx); err != nil {
		r.u.log.Warn("link did not close properly", "err", err)
	}
}

// closeTimeout bounds the end of a link: a process has its three steps.
func closeTimeout(step time.Duration) time.Duration { return 3*step + 5*time.Second }

// drain waits until a retired link is no longer in use, at most as long as one
// call may take.
func (r *replica) drain(l *link) {
	limit := time.NewTimer(r.u.cfg.Timeout)
	defer limit.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for l.users.Load() > 0 || l.busy != nil && l.busy() {
		select {
		case <-tick.C:
		case <-limit.C:
			return
		case <-l.done:
			return
		case <-r.u.ctx.Done():
			return
		}
	}
}

// dismiss lets no new call use l. r.mu is held.
func (r *replica) dismiss(l *link) {
	if r.links[l.key] == l {
		delete(r.links, l.key)
	}
	l.retire()
}

// renew dismisses all links.
func (r *replica) renew() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.links {
		r.dismiss(l)
	}
	if c, ok := r.opener.(*command); ok {
		c.reset()
	}
}

// close refuses further calls. Its links end with the upstream's context.
func (r *replica) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	clear(r.links)
}

// idle dismisses links that nobody has used for longer than after: those of a
// server that runs on demand, those of one principal or session, and those
// that were opened for kinds of callers that are no longer there.
func (r *replica) idle(now time.Time, after time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, l := range r.links {
		keep := r.u.cfg.Start == "always" && k.owner == "" && (k.kinds == 0 || len(r.links) == 1)
		if keep || l.users.Load() > 0 || l.busy != nil && l.busy() || now.Sub(time.Unix(0, l.used.Load())) < after {
			continue
		}
		r.dismiss(l)
	}
}
