package upstream

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errDeadline is why the context of a call ends that has used up its time.
var errDeadline = errors.New("the call has used up its time")

// patience ends the calls that have used up their time, which is the same for
// all of them. They stand in line as they came, and one timer, for the first of
// them, does for all; most are gone before it is due.
type patience struct {
	span time.Duration

	mu          sync.Mutex // guards what follows
	first, last *call
	timer       *time.Timer // nil until the first call
	armed       bool
}

// enter adds a call, whose deadline it sets.
func (p *patience) enter(c *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.waits, c.before, c.after = true, p.last, nil
	if p.last != nil {
		p.last.after = c
	} else {
		p.first = c
	}
	p.last = c
	if p.armed {
		return
	}
	p.armed = true
	if p.timer == nil {
		p.timer = time.AfterFunc(p.span, p.due)
	} else {
		p.timer.Reset(p.span)
	}
}

// leave removes a call.
func (p *patience) leave(c *call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.waits {
		p.remove(c)
	}
}

func (p *patience) remove(c *call) {
	if c.before != nil {
		c.before.after = c.after
	} else {
		p.first = c.after
	}
	if c.after != nil {
		c.after.before = c.before
	} else {
		p.last = c.before
	}
	c.waits, c.before, c.after = false, nil, nil
}

// due ends the calls whose time is up, and waits for the next.
func (p *patience) due() {
	p.mu.Lock()
	now := time.Now()
	var late []*call
	for p.first != nil && !p.first.began.Add(p.span).After(now) {
		late = append(late, p.first)
		p.remove(p.first)
	}
	if p.armed = p.first != nil; p.armed {
		p.timer.Reset(p.first.began.Add(p.span).Sub(now))
	}
	p.mu.Unlock()
	for _, c := range late {
		c.own.End(context.DeadlineExceeded, errDeadline)
	}
}

// stop releases the timer; a call that is still there ends otherwise.
func (p *patience) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
	}
}
