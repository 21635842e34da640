package mcp

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrRevoked is the cause of the end of a call whose caller may not have its
// answer any more, since the credential that it was made with was revoked.
var ErrRevoked = errors.New("the credential was revoked or has expired")

// Revoked reports whether the call that ctx belongs to has ended with [ErrRevoked].
func Revoked(ctx context.Context) bool {
	c, ok := ctx.Value(callContextKey{}).(*CallContext)
	return ok && c.Cause() == ErrRevoked
}

// callContextKey finds the nearest CallContext below values.
type callContextKey struct{}

// CallContext is the context of one call: what context.WithCancelCause gives,
// at a third of the price. Most calls end without anybody having waited for
// their context, so that nothing is made for those who might.
//
// Whoever makes it ends it. It does not watch its deadline: whoever gave it one
// does, for many calls at once.
type CallContext struct {
	parent   context.Context
	deadline time.Time

	above   *CallContext // ends this one with it; nil when the parent is of another kind, or never ends
	place   hook         // in above's list
	foreign bool         // the parent is of another kind, and may end

	mu    sync.Mutex  // guards what follows
	stop  func() bool // detaches from a foreign parent; nil before somebody waits for this context
	err   error       // nil while it lasts
	cause error
	done  chan struct{} // made for the first who asks
	hooks *hook
	first hook // for the first that hangs itself in
}

var _ context.Context = (*CallContext)(nil)

// hook is something that happens when a context ends: a function that is run,
// or another context that ends.
type hook struct {
	run        func()
	end        *CallContext
	prev, next *hook
	hung       bool
}

// NewCallContext returns a context that ends with parent, or with End.
func NewCallContext(parent context.Context) *CallContext {
	c := &CallContext{}
	c.Begin(parent)
	return c
}

// Begin makes a zero CallContext that is part of something else what
// [NewCallContext] returns. It must be called once, before anything else.
func (c *CallContext) Begin(parent context.Context) {
	c.parent = parent
	c.attach()
}

// NewCallContextUntil is NewCallContext for a call that must end at a deadline,
// which whoever calls this has to see to.
func NewCallContextUntil(parent context.Context, deadline time.Time) *CallContext {
	c := &CallContext{parent: parent, deadline: deadline}
	c.attach()
	return c
}

func (c *CallContext) attach() {
	above, ok := c.parent.(*CallContext)
	if !ok {
		done := c.parent.Done()
		if done == nil {
			return
		}
		above, ok = c.parent.Value(callContextKey{}).(*CallContext)
		if !ok || above.Done() != done {
			c.foreign = true
			return
		}
	}
	c.above = above
	c.place.end = c
	if !above.hang(&c.place) {
		above.mu.Lock()
		err, cause := above.err, above.cause
		above.mu.Unlock()
		c.End(err, cause)
	}
}

// heed has the end of a foreign parent end this context too, from when somebody
// waits for it: many calls end before, and to attach costs more than the rest.
// c.mu is held.
func (c *CallContext) heed() {
	if c.foreign && c.stop == nil && c.err == nil {
		c.stop = context.AfterFunc(c.parent, func() { c.End(c.parent.Err(), context.Cause(c.parent)) })
	}
}

// hang puts h into the list; false when there is nothing to wait for any more.
func (c *CallContext) hang(h *hook) bool {
	_ = c.Err() // the parent may have ended unheeded
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return false
	}
	c.heed()
	h.hung, h.next = true, c.hooks
	if c.hooks != nil {
		c.hooks.prev = h
	}
	c.hooks = h
	return true
}

// unhang takes h out of the list; false when what it waits for has happened.
func (c *CallContext) unhang(h *hook) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !h.hung {
		return false
	}
	if h.prev != nil {
		h.prev.next = h.next
	} else {
		c.hooks = h.next
	}
	if h.next != nil {
		h.next.prev = h.prev
	}
	h.hung, h.prev, h.next = false, nil, nil
	return true
}

// End ends the context with err, which is context.Canceled or
// context.DeadlineExceeded, and a cause, nil for err. The first to end it
// counts. Whoever made the context must call it when the call is over.
func (c *CallContext) End(err, cause error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	if cause == nil {
		cause = err
	}
	c.err, c.cause = err, cause
	if c.done != nil {
		close(c.done)
	}
	var hooks []hook
	for h := c.hooks; h != nil; h = h.next {
		h.hung = false
		hooks = append(hooks, *h)
	}
	c.hooks = nil
	stop := c.stop
	c.mu.Unlock()
	if stop != nil {
		stop()
	}
	if c.above != nil {
		c.above.unhang(&c.place)
	}
	for _, h := range hooks {
		if h.end != nil {
			h.end.End(err, cause)
		} else {
			go h.run()
		}
	}
}

// AfterFunc has f run in a goroutine of its own when the context has ended,
// unless stop is called before; stop then returns true. It makes
// context.AfterFunc, and the contexts made of this one, cheap.
func (c *CallContext) AfterFunc(f func()) (stop func() bool) {
	h := c.hookFor(f)
	if !c.hang(h) {
		go f()
		return func() bool { return false }
	}
	return func() bool { return c.unhang(h) }
}

// hookFor returns a hook of the context's own memory the first time.
func (c *CallContext) hookFor(f func()) *hook {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.first.run == nil {
		c.first.run = f
		return &c.first
	}
	return &hook{run: f}
}

// Deadline implements context.Context.
func (c *CallContext) Deadline() (time.Time, bool) {
	above, ok := c.parent.Deadline()
	if c.deadline.IsZero() || ok && above.Before(c.deadline) {
		return above, ok
	}
	return c.deadline, true
}

// Done implements context.Context.
func (c *CallContext) Done() <-chan struct{} {
	_ = c.Err() // the parent may have ended unheeded
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		}
		c.heed()
	}
	return c.done
}

// Err implements context.Context.
func (c *CallContext) Err() error {
	c.mu.Lock()
	err := c.err
	c.mu.Unlock()
	if err == nil && c.foreign && c.parent.Err() != nil { // it would be told in a moment, or not at all
		c.End(c.parent.Err(), context.Cause(c.parent))
		return c.parent.Err()
	}
	return err
}

// Cause is why the context ended; nil while it lasts. context.Cause does not
// know it.
func (c *CallContext) Cause() error {
	_ = c.Err() // the parent may have ended unheeded
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

// Value implements context.Context.
func (c *CallContext) Value(key any) any {
	if key == (callContextKey{}) {
		return c
	}
	return c.parent.Value(key)
}
