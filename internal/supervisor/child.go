package supervisor

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Child is one command that is kept: at most one process at a time, started when it is asked for.
//
//	stopped ──Acquire──► starting ──► running ──Stop──► stopping ──► stopped
//	   ▲                     │           │ ends by itself
//	   │                     ▼           ▼
//	   └──time passes── backoff or crash-loop ◄── (stopping: what it left behind is ended)
//
// Its methods may be called concurrently. Close ends it.
type Child struct {
	spec Spec
	sup  *Supervisor
	log  *slog.Logger
	file *logFile      // nil when there is no log directory
	quit chan struct{} // closed by the first Close
	wg   sync.WaitGroup

	errand *fetch // of its package; nil when none is fetched beforehand

	mu      sync.Mutex // guards the rest
	state   State
	start   *startup // under way in stateStarting
	proc    *Process // in StateRunning and stateStopping
	last    *Process // the latest that ran
	starts  int      // processes that ran
	record  record
	told    told
	until   time.Time     // end of StateBackoff and StateCrashLoop
	timer   *time.Timer   // fires then
	failure error         // why it is in StateBackoff or StateCrashLoop
	changed chan struct{} // closed, and replaced, at each change of state
	closed  bool

	confined Confinement // of the latest start
}

// startup is one attempt to start, which several callers may wait for.
type startup struct {
	done chan struct{}
	proc *Process // with err, set before done is closed
	err  error
}

// Status is what a Child is doing, for health reports.
type Status struct {
	State   State
	PID     int       // of the running process; else 0
	Started time.Time // of the running process
	Starts  int       // processes that ran so far
	Exits   int       // in a row without a healthy process between them
	Until   time.Time // when a start is allowed again, in StateBackoff and StateCrashLoop
	Err     error     // why, in these states
	Stderr  []string  // last lines of the running or latest process

	Sandbox Confinement // of the latest start
}

// Acquire returns the running process, and starts one if there is none; it may end at any moment, even before the return:
// then its Done is closed, and the caller asks again. In backoff it waits for its turn; in a crash loop
// it returns a *CrashLoopError at once. When ctx ends first its error is returned together with what was waited for;
// the start goes on for whoever asks next. A command that cannot be started is an error at once, a *NotFoundError if it
// is not there, and counts like an exit.
//
// What npx or uvx would start is fetched first, where that is configured: see Prepare.
func (c *Child) Acquire(ctx context.Context) (*Process, error) {
	if err := c.Prepare(ctx); err != nil {
		return nil, err
	}
	for {
		c.mu.Lock()
		proc, start, err := c.demand()
		state, failure, changed := c.state, c.failure, c.changed
		c.mu.Unlock()
		if proc != nil || err != nil {
			return proc, err
		}
		if start != nil {
			changed = start.done
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, c.waited(ctx, state, failure)
		}
		if start != nil {
			return start.proc, start.err // it may have ended already: then the caller sees that, and asks again
		}
	}
}

// demand is one round of Acquire, called with mu held: a process, an error, a start to wait for, or none of them when
// only a change of state helps.
func (c *Child) demand() (*Process, *startup, error) {
	if c.closed {
		return nil, nil, ErrClosed
	}
	switch c.state {
	case StateRunning:
		return c.proc, nil, nil
	case StateCrashLoop:
		return nil, nil, &CrashLoopError{Name: c.spec.Name, Exits: c.record.row, Wait: max(0, time.Until(c.until)), Err: c.failure}
	case stateStarting:
		return nil, c.start, nil
	case StateStopped:
		c.start = &startup{done: make(chan struct{})}
		c.enter(stateStarting, nil)
		c.wg.Go(c.run)
		return nil, c.start, nil
	default:
		return nil, nil, nil
	}
}

// waited explains a wait that ctx ended.
func (c *Child) waited(ctx context.Context, state State, failure error) error {
	err := fmt.Errorf("wait for server %q, which is in state %s: %w", c.spec.Name, state, context.Cause(ctx))
	if failure != nil && state == StateBackoff {
		err = fmt.Errorf("%w; last: %w", err, failure)
	}
	return err
}

// enter changes the state, called with mu held.
func (c *Child) enter(s State, err error) {
	c.state, c.failure = s, err
	pid := 0
	if c.proc != nil {
		pid = c.proc.PID()
	}
	close(c.changed)
	c.changed = make(chan struct{})
	if c.spec.OnChange != nil {
		c.spec.OnChange(Change{Name: c.spec.Name, State: s, PID: pid, Err: err})
	}
}

// run is the life of one process: start it, watch it, clear up after it.
func (c *Child) run() {
	p, err := c.spawn()
	c.mu.Lock()
	start := c.start
	c.start = nil
	start.proc, start.err = p, err
	close(start.done)
	if err != nil {
		c.fail(err, 0)
		c.mu.Unlock()
		return
	}
	c.proc, c.last = p, p
	c.starts++
	confined := c.confined
	c.enter(StateRunning, nil)
	c.mu.Unlock()
	if limit := c.spec.Sandbox.Bounds.Memory; limit > 0 {
		c.wg.Go(func() { guardMemory(p, limit) })
	}
	if c.sup.told != nil {
		c.wg.Go(func() { c.sup.told(c.spec.Name, p.PID(), confined) })
	}
	if p.task.proxy != nil {
		c.wg.Go(func() { c.serveProxy(p) })
	}
	recovery := c.tellStart(p, confined.Level.String())
	defer recovery.Stop()
	c.tellConfined(confined)
	c.note(c.sup.traces.running(c.spec.Name, p.PID()))
	lines := c.collect(p)
	c.watch(p)
	c.note(c.sup.traces.ended(c.spec.Name, p.PID()))
	c.drain(p, lines)
}

// spawn starts a process within StartTimeout.
func (c *Child) spawn() (*Process, error) {
	ctx, cancel := context.WithTimeout(context.Background(), c.spec.StartTimeout)
	defer cancel()
	l, confined, err := c.sup.launch(ctx, c.fetchedSpec())
	c.mu.Lock()
	c.confined = confined
	c.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("start server %q: %w", c.spec.Name, err)
	}
	started := time.Now()
	t, err := c.sup.spawner.spawn(ctx, l)
	if err != nil {
		return nil, fmt.Errorf("start server %q: %s: %w", c.spec.Name, l.path, err)
	}
	return &Process{
		task:    t,
		spawner: c.sup.spawner,
		started: started,
		stdout:  newOutlet(t.stdout),
		stderr:  &tail{keep: c.spec.StderrLines},
		redact:  c.sup.redact,
		quiet:   make(chan struct{}),
		done:    make(chan struct{}),
	}, nil
}

// collect reads the process's standard error until it ends.
func (c *Child) collect(p *Process) *sync.WaitGroup {
	var wg sync.WaitGroup
	var slow throttle
	pid, clean := p.PID(), p.redact()
	wg.Go(func() {
		defer close(p.quiet)
		readLines(p.task.stderr, func(line string) {
			now := time.Now()
			line = clean(line)
			p.stderr.add(line)
			if c.file != nil {
				c.note(c.file.write(now, pid, line))
			}
			pass, dropped := slow.pass(now)
			if dropped > 0 {
				c.log.Warn("child wrote too many lines to stderr", "dropped", dropped)
			}
			if pass {
				c.log.Info("child wrote to stderr", "pid", pid, "line", line)
			}
		})
	})
	return &wg
}

// watch waits for the end of p and of all that it started, and decides what follows.
func (c *Child) watch(p *Process) {
	ctx := context.Background()
	<-p.task.exited
	uptime := time.Since(p.started)
	c.mu.Lock()
	if c.state == StateRunning {
		c.enter(stateStopping, nil) // before Done, so that nobody who saw that gets this process again
	}
	c.mu.Unlock()
	_ = p.task.stdin.Close() // the owner may have closed it; wakes a blocked writer
	await(ctx, p.quiet, c.sup.times.lastWords)
	asked, reason := p.ending()
	if !asked {
		p.err = c.exitError(p, uptime, reason)
	}
	close(p.done)
	patience := killWait
	if asked {
		patience += 2 * c.spec.StopTimeout
	}
	if !await(ctx, p.task.gone, patience) {
		c.log.Error("child left processes that cannot be ended", "pid", p.PID())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.proc = nil
	if asked || c.spec.once {
		c.log.Log(ctx, c.level(0), "child stopped", "pid", p.PID())
		c.enter(StateStopped, nil)
		return
	}
	c.fail(p.err, uptime)
}

// lastWordsTime is how long the report of an exit waits for the rest of standard error. It is only used up when something
// else still holds the pipe.
const lastWordsTime = 100 * time.Millisecond

func (c *Child) exitError(p *Process, uptime time.Duration, reason error) error {
	end := p.task.end
	if reason == nil {
		reason = end.err
	}
	if limit := c.spec.Sandbox.Bounds.Memory; reason == nil && limit > 0 && (end.signal == "killed" || end.code == 128+9) {
		reason = fmt.Errorf("perhaps by the kernel, for its memory_limit of %d MiB", limit>>20)
	}
	return &ExitError{Name: c.spec.Name, PID: p.PID(), Code: end.code, Signal: end.signal, Uptime: uptime,
		Reason: reason, Stderr: p.Stderr(), errand: c.spec.once}
}

// fail notes an end that nobody asked for, or a start that was none. Called with mu held.
func (c *Child) fail(err error, uptime time.Duration) {
	now := time.Now()
	v := c.record.exited(&c.spec, now, uptime)
	c.until = now.Add(v.wait)
	state := v.state()
	c.tellEnd(now, err, v)
	c.timer = time.AfterFunc(v.wait, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if (c.state == StateBackoff || c.state == StateCrashLoop) && !time.Now().Before(c.until) {
			c.enter(StateStopped, nil)
		}
	})
	c.enter(state, err)
}

// drain gives the owner and the line reader a bounded time to read what is left in the pipes, and closes them. After
// Close nobody reads any more.
func (c *Child) drain(p *Process, lines *sync.WaitGroup) {
	timer := time.NewTimer(drainTime)
	defer timer.Stop()
	select {
	case <-p.stdout.ended:
	case <-c.quit:
	case <-timer.C:
	}
	p.stdout.close()
	_ = p.task.stderr.Close() // wakes the line reader
	lines.Wait()
}

// note logs what went wrong with a trace; a child is not ended for it.
func (c *Child) note(err error) {
	if err != nil {
		c.log.Warn("child left no trace", "err", err)
	}
}

// Stop ends the process in the order of MCP's stdio transport (2025-11-25, lifecycle, "Shutdown"): its input is closed;
// after StopTimeout SIGTERM goes to all of it; after StopTimeout again SIGKILL. When ctx ends, SIGKILL goes out at once.
// It returns when everything is gone, and is an error only if something cannot be ended even so. Without a process it
// does nothing: a backoff or crash loop goes on.
func (c *Child) Stop(ctx context.Context) error {
	for {
		c.mu.Lock()
		state, proc, start, changed := c.state, c.proc, c.start, c.changed
		if state == StateRunning {
			proc.ask()
			c.enter(stateStopping, nil)
		}
		c.mu.Unlock()
		switch state {
		case StateRunning:
			return c.wind(ctx, proc)
		case stateStarting:
			<-start.done // bounded by StartTimeout
		case stateStopping:
			return c.join(ctx, proc, changed)
		default:
			return nil
		}
	}
}

// lingerTime is how long the rest of a family has to follow when the command itself has ended with its input, before
// SIGTERM: a wrapper such as npx ends a little before the server that it wraps.
const lingerTime = 500 * time.Millisecond

// wind is the stop itself.
func (c *Child) wind(ctx context.Context, p *Process) error {
	p.task.order(orderWind)
	_ = p.task.stdin.Close() // may be closed already
	if await(ctx, p.task.exited, c.spec.StopTimeout) && await(ctx, p.task.gone, min(c.spec.StopTimeout, c.sup.times.linger)) {
		return c.settled()
	}
	p.task.order(orderTerm)
	if await(ctx, p.task.gone, c.spec.StopTimeout) {
		return c.settled()
	}
	p.task.order(orderKill)
	if await(context.WithoutCancel(ctx), p.task.gone, killWait) {
		return c.settled()
	}
	return fmt.Errorf("stop server %q: process %d or one that it started cannot be ended", c.spec.Name, p.PID())
}

// settled waits for watch to see the end too, which is a moment's work.
func (c *Child) settled() error {
	for {
		c.mu.Lock()
		state, changed := c.state, c.changed
		c.mu.Unlock()
		if state != stateStopping {
			return nil
		}
		<-changed
	}
}

// join waits for a stop that another caller began, and cuts it short when ctx ends.
func (c *Child) join(ctx context.Context, p *Process, changed <-chan struct{}) error {
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
	}
	p.task.order(orderKill)
	if await(context.WithoutCancel(ctx), changed, killWait) {
		return nil
	}
	return fmt.Errorf("stop server %q: process %d or one that it started cannot be ended", c.spec.Name, p.PID())
}

// Reset forgets past exits and ends a backoff or crash loop: the operator, or a changed program, gives it a new chance.
func (c *Child) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.record = record{}
	c.sup.store.pardon(c.errand)
	if c.state == StateBackoff || c.state == StateCrashLoop {
		c.timer.Stop()
		c.enter(StateStopped, nil)
	}
}

// Status reports what the child is doing now.
func (c *Child) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Status{State: c.state, Starts: c.starts, Exits: c.record.row, Err: c.failure, Sandbox: c.confined}
	if c.state == StateBackoff || c.state == StateCrashLoop {
		s.Until = c.until
	}
	if c.state == StateRunning {
		s.PID, s.Started = c.proc.PID(), c.proc.started
	}
	if c.last != nil {
		s.Stderr = c.last.Stderr()
	}
	if c.state != StateRunning {
		c.statusOfFetch(&s)
	}
	return s
}

// Close stops the process and refuses further starts. It waits until everything is released.
func (c *Child) Close() error {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	if first {
		close(c.changed) // wakes those who wait for their turn
		c.changed = make(chan struct{})
	}
	c.mu.Unlock()
	err := c.Stop(context.Background())
	if first {
		close(c.quit)
	}
	c.wg.Wait()
	if first {
		c.mu.Lock()
		if c.timer != nil {
			c.timer.Stop()
		}
		c.mu.Unlock()
		c.sup.remove(c)
	}
	return err
}
