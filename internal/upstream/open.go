package upstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/legacy"
	"github.com/dragoman-mcp/dragoman/mcp/stdio"
)

// probeWait is how long a server on a channel may take to answer the question
// whether it is of the stateless era. One that stays silent is taken as older,
// and asked for a handshake instead (2026-07-28, basic/versioning).
const probeWait = 5 * time.Second

// builtin is a server of this binary.
type builtin struct {
	handler mcp.Handler
	name    string
}

func (b *builtin) open(context.Context, *mcp.Client) (*opened, error) {
	return &opened{
		handler: b.handler, revision: mcp.Revision20260728, how: "builtin",
		close: func(context.Context) error { return nil },
	}, nil
}

func (b *builtin) address() string { return "builtin " + b.name }
func (b *builtin) share() int      { return 1 }

func (b *builtin) close() error {
	if c, ok := b.handler.(interface{ Close() error }); ok {
		return c.Close()
	}
	return nil
}

// childStatus tells of the process behind a link.
type childStatus func() supervisor.Status

// command is a program that speaks over its standard input and output. Each
// link has a process; a process that has ended leaves its record of crashes to
// the next.
type command struct {
	u *Upstream

	mu     sync.Mutex // guards what follows
	free   []*supervisor.Child
	all    []*supervisor.Child
	legacy bool // it ended when it was probed, or did not know the question
}

func (c *command) address() string { return c.u.cfg.Argv()[0] }
func (c *command) share() int      { return 1 }

func (c *command) close() error {
	c.mu.Lock()
	all := c.all
	c.mu.Unlock()
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, child := range all {
		wg.Go(func() { errs[i] = child.Close() })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// reset forgets crashes: the program has changed.
func (c *command) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.legacy = false
	for _, child := range c.all {
		child.Reset()
	}
}

func (c *command) take() (*supervisor.Child, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.free); n > 0 {
		child := c.free[n-1]
		c.free = c.free[:n-1]
		return child, nil
	}
	child, err := c.u.around.Processes.Add(specOf(c.u))
	if err != nil {
		return nil, err
	}
	c.all = append(c.all, child)
	return child, nil
}

func (c *command) give(child *supervisor.Child) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free = append(c.free, child)
}

func specOf(u *Upstream) supervisor.Spec {
	cfg := u.cfg
	env := make(map[string]string, len(cfg.Env))
	for name, value := range cfg.Env {
		env[name] = value.Reveal()
	}
	return supervisor.Spec{
		Name: cfg.Name, Command: cfg.Argv(), Env: env, Dir: cfg.Cwd,
		StopTimeout: cfg.StopTimeout,
		MinBackoff:  cfg.Restart.MinBackoff, MaxBackoff: cfg.Restart.MaxBackoff,
		CrashCount: cfg.Restart.CrashCount, CrashWindow: cfg.Restart.CrashWindow,
	}
}

func (c *command) open(ctx context.Context, client *mcp.Client) (*opened, error) {
	child, err := c.take()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.u.cfg.StartupTimeout)
	defer cancel()
	o, err := c.converse(ctx, child, client)
	if err != nil && !c.isLegacy() && ctx.Err() == nil {
		c.setLegacy() // perhaps it cannot bear the question
		o, err = c.converse(ctx, child, client)
		if err != nil {
			c.reset()
		}
	}
	if err != nil {
		_ = child.Stop(context.Background())
		c.give(child)
		return nil, err
	}
	return o, nil
}

func (c *command) isLegacy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.legacy
}

func (c *command) setLegacy() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.legacy = true
}

// converse starts the process and agrees with it on a revision.
func (c *command) converse(ctx context.Context, child *supervisor.Child, client *mcp.Client) (*opened, error) {
	process, err := child.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	conn := stdio.NewConn(process.Stdout(), process.Stdin(), stdio.Options{
		MaxMessageBytes: int(c.u.around.MaxMessage),
		OnNoise: func(line string) {
			c.u.log.Debug("server wrote something to its standard output that is no message", "line", line)
		},
	})
	o, err := c.u.agree(ctx, mcp.NewMux(conn, c.u.around.Limits), client, !c.isLegacy())
	if err != nil {
		if process.Err() != nil {
			err = process.Err()
		}
		_ = child.Stop(context.Background())
		return nil, err
	}
	o.how = "stdio"
	o.child = child.Status
	o.memory = func() uint64 {
		used, err := process.Usage()
		if err != nil {
			return 0 // it has ended, or the system does not tell
		}
		return uint64(used.RSSBytes)
	}
	shut := o.close
	o.close = func(ctx context.Context) error {
		stopped := child.Stop(ctx)
		c.give(child)
		return errors.Join(stopped, shut(ctx))
	}
	return o, nil
}

// agree finds out what a server on a channel speaks, and takes the channel over
// whatever comes of it.
func (u *Upstream) agree(ctx context.Context, ch mcp.Channel, client *mcp.Client, probe bool) (*opened, error) {
	pinned := mcp.Revision(u.cfg.Protocol)
	if probe && u.cfg.Protocol == "auto" || pinned.Modern() && pinned.Known() || u.cfg.Protocol == "modern" {
		modern, err := isModern(ctx, ch)
		switch {
		case err != nil:
			_ = ch.Close()
			return nil, fmt.Errorf("ask server/discover: %w", err)
		case modern:
			return stateless(ch), nil
		case u.cfg.Protocol != "auto":
			_ = ch.Close()
			return nil, fmt.Errorf("the server does not speak %s, which the configuration demands", mcp.Revision20260728)
		}
	}
	o := legacy.ClientOptions{Info: u.around.Info, Kinds: client.Kinds, Parking: u.around.Parking, Log: u.log}
	if pinned.Known() && !pinned.Modern() {
		o.Revision = pinned
	}
	c, err := legacy.Connect(ctx, ch, o)
	if err != nil {
		return nil, err
	}
	return &opened{
		handler: c, revision: c.Revision(), done: c.Done(), ping: c.Ping, busy: c.Busy,
		close: func(context.Context) error { return c.Close() },
	}, nil
}

// stateless is a link to a server of the stateless era on a channel.
func stateless(ch mcp.Channel) *opened {
	s := mcp.NewStateless(ch)
	return &opened{
		handler: s, revision: mcp.Revision20260728, done: ch.Done(), ping: discoverOf(s),
		close: func(context.Context) error { return s.Close() },
	}
}

// discoverOf asks a stateless server whether it is there.
func discoverOf(h mcp.Handler) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := h.Handle(ctx, &mcp.Request{Method: "server/discover", Client: anonymous()})
		if isAnswer(err) {
			return nil
		}
		return err
	}
}

// isModern asks a server on a channel for what only a stateless one answers.
func isModern(ctx context.Context, ch mcp.Channel) (bool, error) {
	req := &mcp.Request{Method: "server/discover", Client: anonymous()}
	call, err := ch.Start(ctx, mcp.Outgoing{Method: req.Method, Params: req.AppendParams(nil, mcp.ModernMeta(req, "")...)})
	if err != nil {
		return false, err
	}
	silence := time.NewTimer(probeWait)
	defer silence.Stop()
	for {
		select {
		case msg, ok := <-call.Messages():
			switch {
			case !ok:
				return false, call.Err()
			case !msg.IsResponse():
				continue
			case msg.Error != nil:
				return speaksModern(msg.Error), nil
			}
			return supportsModern(mcp.ReadServer(mcp.Result{Object: msg.Result})), nil
		case <-silence.C:
			call.Abandon()
			return false, nil
		case <-ctx.Done():
			call.Abandon()
			return false, ctx.Err()
		}
	}
}

func supportsModern(s mcp.Server) bool {
	for _, r := range s.Revisions {
		if r == mcp.Revision20260728 {
			return true
		}
	}
	return false
}
