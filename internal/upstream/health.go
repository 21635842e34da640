package upstream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/dragoman-mcp/dragoman/mcp"
)

const (
	// restoreEvery is how often a server that should always run is opened again
	// when it could not be, and nothing else says how often to look.
	restoreEvery = 5 * time.Second
	// confirmAfter is how soon at the latest a check that failed is repeated.
	confirmAfter = time.Second
	// recoverEvery is how often at least a server that is ill is looked at.
	recoverEvery = 10 * time.Second
	// sweepEvery is how often unused links are looked for.
	sweepEvery = 10 * time.Second
	// maxChecks bounds the processes of one server that are checked at once.
	maxChecks = 16
	// staleAfter is how many times unhealthy_after checks must fail before a
	// channel to a server elsewhere is opened anew: its peer may be well, and only
	// the connection dead.
	staleAfter = 5
	// enoughAnswers is how many calls a process must have answered before it is
	// judged by how long that took.
	enoughAnswers = 16
)

// health is what checks have found of a replica, or of a process.
type health struct {
	ill atomic.Bool // a copy of what because says, for who only asks that

	mu      sync.Mutex // guards what follows
	bad     int        // checks in a row that failed
	well    int        // checks in a row that succeeded since
	because error      // why it is ill; nil when it is not
	since   time.Time
	mark    int64 // messages that had come before the first of the failed checks
}

// reason says why calls are turned away; nil when they are not.
func (h *health) reason() error {
	if !h.ill.Load() {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.because == nil {
		return nil
	}
	return &illError{why: "it does not answer health checks since " + h.since.UTC().Format(time.RFC3339), cause: h.because}
}

// clear makes it well.
func (h *health) clear() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bad, h.well, h.because = 0, 0, nil
	h.ill.Store(false)
}

// note records a check, and returns how many have failed in a row. heard is how
// many messages have come so far.
func (h *health) note(err error, heard int64) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		h.bad = 0
		h.well++
		return 0
	}
	if h.bad == 0 {
		h.mark = heard
	}
	h.well = 0
	h.bad++
	return h.bad
}

// fall makes it ill; false when it was.
func (h *health) fall(err error, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.because != nil
	h.because = err
	if !was {
		h.since = now
	}
	h.ill.Store(true)
	return !was
}

// rise makes it well after enough good checks; false when it was, or still is not.
func (h *health) rise(after int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.because == nil || h.well < after {
		return false
	}
	h.because = nil
	h.ill.Store(false)
	return true
}

// silentSince reports whether no message has come since before the failed checks.
func (h *health) silentSince(heard int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mark == heard
}

// Run keeps the server ready until ctx ends: it opens the first link of one that
// always runs, checks that it answers, stops what nobody uses, and takes up
// changed programs. Without Run a server is still opened by the first call.
func (u *Upstream) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, r := range u.replicas {
		g.Go(func() error { r.keep(ctx); return nil })
	}
	if len(u.cfg.Watch) > 0 {
		g.Go(func() error {
			err := supervisor.Watch(ctx, u.cfg.Watch, func(path string) {
				u.log.Info("program changed, restarting", "path", path)
				u.Restart()
			})
			if err != nil && ctx.Err() == nil {
				u.log.Error("cannot watch for changes", "err", err)
			}
			return nil
		})
	}
	return g.Wait()
}

// keep tends one replica.
func (r *replica) keep(ctx context.Context) {
	interval := r.u.cfg.Health.Interval
	if interval > 0 {
		r.watched.Store(true)
		defer func() {
			r.watched.Store(false)
			r.health.clear() // nobody would find it well again
		}()
	}
	next := time.NewTimer(r.pace(0, false))
	defer next.Stop()
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		r.restore()
		select {
		case <-next.C:
			began := time.Now()
			failed := interval > 0 && r.check(ctx)
			next.Reset(r.pace(time.Since(began), failed))
		case <-r.wake:
		case now := <-sweep.C:
			r.idle(now, r.u.cfg.IdleStop)
		case <-ctx.Done():
			return
		}
	}
}

// pace is how long to wait after a check that took so long. One that failed is
// repeated soon: what hangs has already taken its time to show it.
func (r *replica) pace(took time.Duration, failed bool) time.Duration {
	interval := r.u.cfg.Health.Interval
	switch {
	case interval <= 0:
		return restoreEvery
	case failed && r.health.ill.Load():
		return max(min(interval, recoverEvery)-took, 0)
	case failed:
		return max(min(interval/4, confirmAfter)-took, 0)
	}
	return max(interval-took, interval/4)
}

// restore opens a link of a server that should always run and has none. It does
// not wait.
func (r *replica) restore() {
	if !r.always() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.over != nil || len(r.links) > 0 || len(r.opening) > 0 {
		return
	}
	r.start(context.Background(), r.keyOf(context.Background(), nil), r.u.itself())
}

// check asks whether the replica answers, as far as it has been opened. It
// reports whether something did not.
func (r *replica) check(ctx context.Context) (failed bool) {
	links := r.live()
	if len(links) == 0 && !r.always() {
		r.health.clear() // there is nobody to ask; the next call finds out
		return false
	}
	if c, ok := r.opener.(*command); ok {
		return c.check(ctx, r, links)
	}
	if len(links) == 0 || links[0].ping == nil {
		return false // the opening under way tells
	}
	busiest := slices.MaxFunc(links, func(a, b *link) int { return int(a.calls.Load() - b.calls.Load()) })
	answers := answersOf(links)
	err := r.ask(ctx, busiest)
	switch {
	case ctx.Err() != nil || busiest.over():
		return false
	case err != nil && (isForeign(err) || errors.Is(err, mcp.ErrSessionLost)):
		r.retire(busiest) // it is there, and another than it was
		return false
	case r.u.around.Authorize != nil && turnedAway(err):
		return false // it is there, and this caller's credential has ended
	case err != nil && r.inFlight.Load() >= int64(r.u.cfg.MaxConnections):
		return false // the check waited for a connection of ours
	case errors.Is(err, context.DeadlineExceeded) && answersOf(links) > answers:
		return false // it is busy: calls are answered while the check waits its turn
	case err != nil && busiest.lasting() && !r.replies.Load():
		return false
	}
	if bad := r.judge(&r.health, err); busiest.lasting() && bad >= staleAfter*max(r.u.cfg.Health.UnhealthyAfter, 1) {
		r.retire(busiest)
	}
	return err != nil
}

// answersOf counts the calls that were answered on links.
func answersOf(links []*link) (sum int64) {
	for _, l := range links {
		sum += l.answers.Load()
	}
	return sum
}

// lasting reports whether all messages of a link come over one connection to a
// server elsewhere.
func (l *link) lasting() bool { return l.how == "sse" || l.how == "websocket" }

// live returns the links that have not ended.
func (r *replica) live() []*link {
	r.mu.Lock()
	defer r.mu.Unlock()
	links := make([]*link, 0, len(r.links))
	for _, l := range r.links {
		if !l.over() {
			links = append(links, l)
		}
	}
	return links
}

// judge takes a check of a server at a URL into account, and returns how many
// have failed in a row.
func (r *replica) judge(h *health, err error) int {
	cfg := &r.u.cfg.Health
	bad := h.note(err, 0)
	switch {
	case err == nil && h.rise(max(cfg.HealthyAfter, 1)):
		r.breaker.relent()
		r.u.log.Info("server answers health checks again", "address", r.opener.address())
	case err == nil:
		r.breaker.relent()
	case bad >= max(cfg.UnhealthyAfter, 1) && h.fall(err, time.Now()):
		r.u.log.Warn("server does not answer health checks, calls are turned away", "address", r.opener.address(), "err", err)
	}
	return bad
}

// check asks each process of a command.
func (c *command) check(ctx context.Context, r *replica, links []*link) (failed bool) {
	var some atomic.Bool
	var g errgroup.Group
	g.SetLimit(maxChecks)
	for _, l := range links {
		g.Go(func() error {
			err := r.ask(ctx, l)
			if ctx.Err() != nil || l.over() || err != nil && !r.replies.Load() {
				return nil
			}
			r.judgeProcess(l, err)
			if err != nil {
				some.Store(true)
			}
			return nil
		})
	}
	_ = g.Wait() // none of them fails
	return some.Load()
}

// judgeProcess takes a check of a process into account. One that does not answer
// with nothing under way hangs, and is ended, so that another takes its place; if
// none may, calls are turned away. One that has calls under way may be busy with
// them, as a program with a single thread is. Then calls are only turned away
// when it is silent for longer than any call has taken it yet, and it is left to
// finish.
func (r *replica) judgeProcess(l *link, err error) {
	cfg := &r.u.cfg.Health
	bad := l.state.note(err, l.heard())
	silence := time.Duration(bad) * cfg.Timeout
	switch {
	case err == nil:
		r.breaker.relent()
		if l.state.rise(max(cfg.HealthyAfter, 1)) {
			r.u.log.Info("server answers health checks again", "address", r.opener.address())
		}
	case bad < max(cfg.UnhealthyAfter, 1):
	case r.u.cfg.Restart.Enabled && r.doom(l, silence):
		r.u.log.Warn("server does not answer and nothing is under way: its process is replaced", "err", err)
		l.kill(fmt.Errorf("it did not answer %d health checks: %w", bad, err))
	case !r.atWork(l, silence), l.state.silentSince(l.heard()) && l.unusual(silence):
		if l.state.fall(err, time.Now()) {
			r.u.log.Warn("server answers neither calls nor health checks, further calls are turned away", "err", err)
		}
	}
}

// doom lets new calls wait for what comes after l, unless calls are under way on it.
func (r *replica) doom(l *link, silence time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.atWork(l, silence) {
		return false
	}
	l.doomed.Store(true)
	return true
}

// atWork reports whether calls are under way on l, which has been silent for so
// long. A call that was parked and goes on is not counted by its link. The gateway's
// own lists do not keep a process that hangs: they count for about as long as such a
// list has taken yet.
func (r *replica) atWork(l *link, silence time.Duration) bool {
	own := l.own.Load()
	if l.calls.Load() > own || r.u.resuming.Load() > 0 && l.busy != nil && l.busy() {
		return true
	}
	listed := time.Duration(l.listed.Load())
	return own > 0 && (listed == 0 || silence <= 2*listed)
}

// unusual reports whether the process has never taken nearly as long. Until it has
// answered a list of the gateway's own nobody knows how long that takes.
func (l *link) unusual(silence time.Duration) bool {
	if l.own.Load() > 0 && l.listed.Load() == 0 {
		return false
	}
	return l.answers.Load() >= enoughAnswers && silence > 2*time.Duration(l.slowest.Load())
}

// question is a check that waits for its answer.
type question struct {
	done chan struct{}
	err  error // once done is closed
}

// ask makes a check on l, and returns in time. On a channel a question that has
// not been answered yet is not asked again, however often there is a check: who
// is busy would find all of them waiting, and might have no room for calls.
func (r *replica) ask(ctx context.Context, l *link) error {
	if l.ping == nil {
		return nil
	}
	timeout := max(r.u.cfg.Health.Timeout, time.Millisecond)
	q := r.question(l, timeout)
	if q == nil {
		return errRemoved
	}
	late := time.NewTimer(timeout)
	defer late.Stop()
	select {
	case <-q.done:
		return q.err
	case <-late.C:
		return fmt.Errorf("no answer within %s: %w", timeout, context.DeadlineExceeded)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// question returns the question that waits, or asks one; nil after Close.
func (r *replica) question(l *link, timeout time.Duration) *question {
	l.askMu.Lock()
	defer l.askMu.Unlock()
	if l.asked != nil && l.heard != nil && !l.asked.answered() {
		return l.asked
	}
	q := &question{done: make(chan struct{})}
	ctx, cancel := l.ended, func() {}
	if l.heard == nil {
		ctx, cancel = context.WithTimeout(ctx, timeout)
	}
	asked := r.background(func() {
		defer cancel()
		defer close(q.done)
		if q.err = l.ping(ctx); q.err == nil {
			r.replies.Store(true)
		}
	})
	if !asked {
		cancel()
		return nil
	}
	l.asked = q
	return q
}

func (q *question) answered() bool {
	select {
	case <-q.done:
		return true
	default:
		return false
	}
}

// background runs f in a goroutine that Close waits for; false after Close.
func (r *replica) background(f func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.u.links.Go(f)
	return true
}
