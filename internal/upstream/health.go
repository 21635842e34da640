package upstream

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// health is what checks have found of a replica.
type health struct {
	mu      sync.Mutex // guards what follows
	bad     int        // checks in a row that failed
	well    int        // checks in a row that succeeded since
	ill     bool
	because error
	since   time.Time
}

func (h *health) good() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.ill
}

func (h *health) reason() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.ill {
		return nil
	}
	return fmt.Errorf("it does not answer health checks since %s: %w", h.since.UTC().Format(time.RFC3339), h.because)
}

// note records a check. It reports whether the judgement has changed.
func (h *health) note(err error, illAfter, wellAfter int, now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.ill
	if err == nil {
		h.bad = 0
		h.well++
		if h.ill && h.well >= wellAfter {
			h.ill, h.because = false, nil
		}
		return was != h.ill
	}
	h.well = 0
	h.bad++
	h.because = err
	if !h.ill && h.bad >= illAfter {
		h.ill, h.since = true, now
	}
	return was != h.ill
}

// Run keeps the server ready until ctx ends: it opens the first link of one
// that always runs, checks that it answers, stops what nobody uses, and takes
// up changed programs.
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
	u := r.u
	interval := u.cfg.Health.Interval
	if interval <= 0 {
		interval = 30 * time.Second
	}
	if r.always() {
		r.warm(ctx)
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-r.lost:
			r.revive(ctx)
			continue
		case <-ctx.Done():
			return
		}
		if u.cfg.Health.Interval > 0 {
			r.check(ctx)
		}
		if u.cfg.IdleStop > 0 {
			r.idle(time.Now(), u.cfg.IdleStop)
		}
	}
}

// always reports whether the gateway keeps a link open of its own accord.
func (r *replica) always() bool {
	return r.u.cfg.Start == "always" && r.u.cfg.Isolation == "shared"
}

// revive opens a link again that has ended by itself.
func (r *replica) revive(ctx context.Context) {
	if r.always() && r.u.cfg.Restart.Enabled && r.any() == nil {
		r.warm(ctx)
	}
}

// anonymous is who the gateway itself asks as.
func anonymous() *mcp.Client { return &mcp.Client{Revision: mcp.Revision20260728} }

// warm opens the link that the gateway itself uses.
func (r *replica) warm(ctx context.Context) {
	if l, err := r.link(ctx, anonymous(), true); err == nil {
		l.release()
	} else if ctx.Err() == nil {
		r.u.log.Warn("server is not reachable yet", "address", r.opener.address(), "err", err)
	}
}

// check asks whether the replica answers, on a link that is there, or on a new
// one if the server should always run. A process that is at work may be too
// busy to answer; only an idle one that does not is taken as hung, and started
// anew.
func (r *replica) check(ctx context.Context) {
	u := r.u
	l := r.any()
	if l == nil && !r.always() {
		return
	}
	err := r.probe(ctx, l)
	if ctx.Err() != nil {
		return
	}
	if err != nil && l != nil && l.child != nil && l.users.Load() > 0 {
		return
	}
	if !r.health.note(err, max(u.cfg.Health.UnhealthyAfter, 1), max(u.cfg.Health.HealthyAfter, 1), time.Now()) {
		return
	}
	if err == nil {
		u.log.Info("server answers again", "address", r.opener.address())
		return
	}
	u.log.Warn("server does not answer health checks", "address", r.opener.address(), "err", err)
	if l != nil && l.child != nil {
		r.mu.Lock()
		r.dismiss(l)
		r.mu.Unlock()
		r.health.note(nil, 1, 1, time.Now()) // the new process is innocent
	}
}

// any returns a link that is open, in use first.
func (r *replica) any() *link {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found *link
	for _, l := range r.links {
		if found == nil || l.users.Load() > found.users.Load() {
			found = l
		}
	}
	return found
}

func (r *replica) probe(ctx context.Context, l *link) error {
	if l == nil {
		openCtx, cancel := context.WithTimeout(ctx, r.u.patience())
		defer cancel()
		opened, err := r.link(openCtx, anonymous(), true)
		if err != nil {
			return err
		}
		opened.release()
		return nil
	}
	if l.ping == nil {
		return nil
	}
	pingCtx, cancel := context.WithTimeout(ctx, r.u.cfg.Health.Timeout)
	defer cancel()
	if err := l.ping(pingCtx); err != nil {
		return fmt.Errorf("no answer within %s: %w", r.u.cfg.Health.Timeout, err)
	}
	return nil
}

// patience is how long the opening of a link may take.
func (u *Upstream) patience() time.Duration {
	if len(u.cfg.Command) > 0 {
		return u.cfg.StartupTimeout
	}
	return u.cfg.ConnectTimeout
}
