package upstream

import (
	"sync"
	"sync/atomic"
	"time"
)

// breaker turns calls away for a while after failures in a row, then lets one
// try. Failures of calls that were under way together are one failure: a process
// that dies has failed once, however many waited for it. Only those who waited
// in vain for an answer count one by one.
type breaker struct {
	failures int           // that open it; 0 for never
	openFor  time.Duration // before one call may try
	now      func() time.Time

	stained atomic.Bool // something below is not as in the beginning

	mu      sync.Mutex // guards what follows
	row     int
	last    time.Time // when a failure was counted
	until   time.Time // closed while zero
	trial   bool      // the one call is under way
	slow    bool      // the failures are not only that it could not be reached
	because error
}

// pass is the leave to make a call. It is handed back with how the call ended.
type pass struct{ trial bool }

// fault is a call that failed on the way.
type fault struct {
	err   error
	slow  bool // no answer came in time
	began time.Time
}

// allow reports whether a call may go.
func (b *breaker) allow() (pass, bool) {
	if !b.stained.Load() {
		return pass{}, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.until.IsZero() {
		return pass{}, true
	}
	if b.trial || b.now().Before(b.until) {
		return pass{}, false
	}
	b.trial = true
	return pass{trial: true}, true
}

// open reports whether a call would be turned away now.
func (b *breaker) open() bool {
	if !b.stained.Load() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.until.IsZero() && (b.trial || b.now().Before(b.until))
}

// good records that the server has answered.
func (b *breaker) good(pass) {
	if b.stained.Load() {
		b.reset()
	}
}

// bad records that a call failed on the way.
func (b *breaker) bad(p pass, f fault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.trial {
		b.trial = false
	} else if !f.slow && !b.last.IsZero() && !f.began.After(b.last) {
		return // a part of what was counted already
	}
	b.row++
	b.last, b.because = b.now(), f.err
	b.slow = b.slow || f.slow
	b.stained.Store(true)
	if b.failures > 0 && (b.row >= b.failures || p.trial) {
		b.until = b.last.Add(b.openFor)
	}
}

// drop records that the call that was allowed says nothing about the server.
func (b *breaker) drop(p pass) {
	if !p.trial {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trial = false
}

// relent lets one call try at once, since the server was found to be there and
// was left alone only because it was not.
func (b *breaker) relent() {
	if !b.stained.Load() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := b.now(); !b.slow && now.Before(b.until) {
		b.until = now
	}
}

// reset closes it.
func (b *breaker) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.row, b.last, b.until, b.because = 0, time.Time{}, time.Time{}, nil
	b.trial, b.slow = false, false
	b.stained.Store(false)
}

// state is "closed", "open" or "half-open", how many calls have failed in a row,
// and why the last one did unless it is closed.
func (b *breaker) state() (name string, row int, because error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.until.IsZero():
		return "closed", b.row, nil
	case b.trial || !b.now().Before(b.until):
		return "half-open", b.row, b.because
	}
	return "open", b.row, b.because
}
