package supervisor

import (
	"context"
	"log/slog"
	"time"
)

// remindEvery is how often the log is told of a child that still keeps ending.
const remindEvery = 10 * time.Minute

// told is what the log knows of a child that ends again and again: that it has
// begun to, that it is in a crash loop, and every now and then that it still is.
// Each start and end in between is for who looks closely.
type told struct {
	at   time.Time // of the last line
	loop bool
}

// level is that of a line about a start or an end after so many exits in a row
// that are told in full. mu is held.
func (c *Child) level(full int) slog.Level {
	if c.record.row > full {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// tellStart logs that p runs, and later that it has proved healthy, if others
// before it had not. The timer for that is the caller's to stop.
func (c *Child) tellStart(p *Process, sandbox string) *time.Timer {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log.Log(context.Background(), c.level(1), "child started", "pid", p.PID(), "sandbox", sandbox)
	return time.AfterFunc(c.spec.MaxBackoff, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.proc != p || c.state != StateRunning {
			return
		}
		if c.record.row > 1 {
			c.log.Info("child runs again", "pid", p.PID(), "exits", c.record.row)
		}
		c.record, c.told = record{}, told{}
	})
}

// tellConfined logs what a user may want to know of how the child was started, each kind under a heading of its own.
func (c *Child) tellConfined(confined Confinement) {
	if len(confined.Notes) > 0 {
		c.log.Warn("sandbox of the child enforces less than is configured", "notes", confined.Notes)
	}
	if len(confined.Remarks) > 0 {
		c.log.Warn("package of the child is less than it could be", "notes", confined.Remarks)
	}
	if len(confined.Unrun) > 0 {
		c.log.Warn("install scripts of the child's packages were not run", "packages", confined.Unrun, "hint", scriptsHint)
	}
}

// tellEnd logs an end that nobody asked for. mu is held.
func (c *Child) tellEnd(now time.Time, err error, v verdict) {
	level := slog.LevelDebug
	if c.record.row == 1 || v.loop && !c.told.loop || now.Sub(c.told.at) >= remindEvery {
		level = slog.LevelWarn
		c.told = told{at: now, loop: v.loop}
	}
	c.log.Log(context.Background(), level, "child ended by itself", "err", err,
		"state", v.state().String(), "wait", v.wait, "exits", c.record.row)
}
