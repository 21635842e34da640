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
	"github.com/dragoman-mcp/dragoman/mcp/stdio"
)

const (
	// exitWait is how long the report of a process's end may come behind the end
	// of its output.
	exitWait = 500 * time.Millisecond
	// haltWait is how long a process may take to end with which no agreement was
	// reached; then it is killed. It has not done anything for anybody.
	haltWait = time.Second
	// burialWait is how long the next process waits for the record of one that has
	// ended. Most are buried within milliseconds, the others take what exitWait says
	// and a kill.
	burialWait = 5 * time.Second
)

// command is a program that speaks over its standard input and output. Each
// link has a process. A process that has ended leaves its record of crashes to
// the next, so that the supervisor sees a crash loop for what it is.
type command struct {
	u        *Upstream
	dialogue dialogue

	mu   sync.Mutex // guards what follows
	free []*supervisor.Child
	all  []*supervisor.Child
	used map[*supervisor.Child]*mcp.Mux // with what is spoken over; nil before that
	back chan struct{}                  // closed, and replaced, when one has become free
}

func newCommand(u *Upstream) *command {
	return &command{
		u: u, dialogue: dialogue{u: u},
		used: make(map[*supervisor.Child]*mcp.Mux), back: make(chan struct{}),
	}
}

func (c *command) address() string { return c.u.cfg.Argv()[0] }
func (c *command) weight() int     { return 1 }

func (c *command) close() error {
	children := c.children()
	errs := make([]error, len(children))
	var wg sync.WaitGroup
	for i, child := range children {
		wg.Go(func() { errs[i] = child.Close() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (c *command) children() []*supervisor.Child {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*supervisor.Child(nil), c.all...)
}

// reset forgets crashes, and what is known of the protocol: the program has changed.
func (c *command) reset() {
	c.dialogue.learn(probing)
	for _, child := range c.children() {
		child.Reset()
	}
}

// take returns a child without a process. For one that is being buried it waits, so
// that its crash and the next one are counted together.
func (c *command) take(ctx context.Context) (*supervisor.Child, error) {
	patience := time.NewTimer(burialWait)
	defer patience.Stop()
	for waits := true; ; {
		child, back, err := c.find(waits)
		if back == nil {
			return child, err
		}
		select {
		case <-back:
		case <-patience.C:
			waits = false
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the end of the process before: %w", ctx.Err())
		}
	}
}

// find returns a child, or what is closed when there may be one that is worth
// waiting for.
func (c *command) find(mayWait bool) (*supervisor.Child, <-chan struct{}, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var child *supervisor.Child
	switch n := len(c.free); {
	case n > 0:
		child = c.free[n-1]
		c.free = c.free[:n-1]
	case mayWait && c.buries():
		return nil, c.back, nil
	default:
		var err error
		if child, err = c.u.around.Processes.Add(specOf(c.u)); err != nil {
			return nil, nil, err
		}
		c.all = append(c.all, child)
	}
	c.used[child] = nil
	return child, nil, nil
}

// buries reports whether there is a child in use whose process has ended. c.mu is
// held. Whoever was told that a call is lost comes after Err knows of the end.
func (c *command) buries() bool {
	for _, mux := range c.used {
		if mux != nil && mux.Err() != nil {
			return true
		}
	}
	return false
}

// speak says over what a child is spoken to.
func (c *command) speak(child *supervisor.Child, mux *mcp.Mux) *mcp.Mux {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used[child] = mux
	return mux
}

func (c *command) give(child *supervisor.Child) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.used, child)
	c.free = append(c.free, child)
	close(c.back)
	c.back = make(chan struct{})
}

func specOf(u *Upstream) supervisor.Spec {
	cfg := u.cfg
	env := make(map[string]string, len(cfg.Env))
	for name, value := range cfg.Env {
		env[name] = value.Reveal()
	}
	return supervisor.Spec{
		Name: cfg.Name, Command: cfg.Argv(), Env: env, Dir: cfg.Cwd,
		Sandbox:     supervisor.RulesOf(cfg.Upkeep),
		Admit:       u.around.Admit,
		StopTimeout: cfg.StopTimeout,
		MinBackoff:  cfg.Restart.MinBackoff, MaxBackoff: cfg.Restart.MaxBackoff,
		CrashCount: cfg.Restart.CrashCount, CrashWindow: cfg.Restart.CrashWindow,
	}
}

// ready takes a child whose package is there. Fetching that has a bound of its own.
func (c *command) ready(ctx context.Context) (*supervisor.Child, error) {
	soon, cancel := context.WithTimeout(ctx, c.u.cfg.StartupTimeout)
	child, err := c.take(soon)
	cancel()
	if err != nil {
		return nil, err
	}
	if err := child.Prepare(ctx); err != nil {
		c.give(child)
		return nil, err
	}
	return child, nil
}

// open starts a process and agrees with it on a revision. A crash loop is an
// error at once; a backoff is waited for.
func (c *command) open(ctx context.Context, client *mcp.Client) (*opened, error) {
	child, err := c.ready(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.u.cfg.StartupTimeout)
	defer cancel()
	run := &run{command: c, child: child}
	o, err := c.dialogue.open(ctx, client, run.dial)
	if err != nil {
		err = run.explain(err)
		_ = run.halt(ctx) // what cannot be ended the supervisor has logged
		c.give(child)
		return nil, err
	}
	run.furnish(o)
	return o, nil
}

// run is what a link has of its process.
type run struct {
	command  *command
	child    *supervisor.Child
	process  *supervisor.Process
	messages *atomic.Int64
}

// dial gets the process, in the place of one that was asked before.
func (r *run) dial(ctx context.Context) (mcp.Channel, error) {
	u := r.command.u
	if r.process != nil {
		if err := r.halt(ctx); err != nil {
			return nil, err
		}
	}
	process, err := r.child.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	r.process, r.messages = process, new(atomic.Int64)
	clean := process.Redactor()
	conn := stdio.NewConn(process.Stdout(), process.Stdin(), stdio.Options{
		MaxMessageBytes: int(u.around.MaxMessage),
		OnNoise: func(line string) {
			u.log.Debug("server wrote something to its standard output that is no message", "line", clean(line))
		},
	})
	return r.command.speak(r.child, mcp.NewMux(counted{conn, r.messages}, u.around.Limits)), nil
}

// halt ends a process with which no agreement was reached.
func (r *run) halt(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), haltWait)
	defer cancel()
	return r.child.Stop(ctx)
}

// explain adds how the process ended, if it did. Whoever has answered, or has
// been silent until nobody waited any more, is alive.
func (r *run) explain(err error) error {
	var misfit *misfitError
	if r.process == nil || errors.Is(err, errRefused) || errors.As(err, &misfit) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	r.awaitEnd()
	if end := r.process.Err(); end != nil {
		return fmt.Errorf("%w (%w)", end, err)
	}
	return err
}

// awaitEnd waits a moment for the report of the process's end, whose output has
// ended.
func (r *run) awaitEnd() {
	timer := time.NewTimer(exitWait)
	defer timer.Stop()
	select {
	case <-r.process.Done():
	case <-timer.C:
	}
}

// furnish completes a link with what its process is needed for.
func (r *run) furnish(o *opened) {
	o.how = "stdio"
	o.heard = r.messages.Load
	o.kill = r.process.Kill
	o.memory = func() uint64 {
		used, err := r.process.Usage()
		if err != nil {
			return 0 // it has ended, or the system does not tell
		}
		return uint64(used.RSSBytes)
	}
	shut := o.close
	o.close = func(ctx context.Context) error {
		stopped := r.child.Stop(ctx)
		r.command.give(r.child)
		return errors.Join(stopped, shut(ctx))
	}
	o.bury = func(ctx context.Context) error {
		r.awaitEnd()
		r.process.Kill(errors.New("it closed its standard output")) // without that it is of no use, if it lives
		select {
		case <-r.process.Done():
		case <-ctx.Done():
		}
		r.command.give(r.child)
		_ = shut(ctx) // nothing can be told to it any more
		return r.process.Err()
	}
}

// last is the state of the process that was started last.
func (c *command) last() supervisor.Status {
	var latest supervisor.Status
	for _, child := range c.children() {
		s := child.Status()
		if latest.Starts == 0 || s.Starts > 0 && s.Started.After(latest.Started) {
			latest = s
		}
	}
	return latest
}
