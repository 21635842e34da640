package backend

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Retry says how often and at what pace something is tried again, as a section
// of settings. Zero fields mean the defaults.
type Retry struct {
	// Most times that one thing is tried, the first included. 1 means never
	// again. Default 3.
	Attempts int `yaml:"attempts" default:"3" min:"1" max:"10"`
	// Wait before the second attempt; it doubles each time, and each wait is
	// random, a quarter more or less. Default 100 ms.
	MinBackoff time.Duration `yaml:"min_backoff" default:"100ms" min:"1ms" max:"1m"`
	// Longest such wait. Default 2 s.
	MaxBackoff time.Duration `yaml:"max_backoff" default:"2s" min:"1ms" max:"10m"`
	// Longest wait that the other side may ask for; when it asks for more, the
	// attempt was the last. Default 10 s.
	MaxRetryAfter time.Duration `yaml:"max_retry_after" default:"10s" min:"0s" max:"1h"`
}

func (r Retry) complete() Retry {
	r.Attempts = cmp.Or(r.Attempts, 3)
	r.MinBackoff = cmp.Or(r.MinBackoff, 100*time.Millisecond)
	r.MaxBackoff = max(cmp.Or(r.MaxBackoff, 2*time.Second), r.MinBackoff)
	r.MaxRetryAfter = cmp.Or(r.MaxRetryAfter, 10*time.Second)
	return r
}

// again is an error after which another attempt does no harm.
type again struct {
	error
	after time.Duration
}

func (a *again) Unwrap() error { return a.error }

// Again marks err as one after which another attempt does no harm: the thing is
// safe to repeat, or nothing of it has happened. after is how long the other
// side asks to wait; 0 leaves it to Retry. Unmarked errors are never repeated.
func Again(err error, after time.Duration) error {
	if err == nil {
		return nil
	}
	return &again{err, after}
}

// Do calls f until it returns something else than an error that is marked with
// [Again], or attempts or time are used up; then it returns f's last error,
// without the mark. It does not begin a wait that ctx would not outlast.
func (r Retry) Do(ctx context.Context, f func(ctx context.Context) error) error {
	err := f(ctx)
	if err == nil {
		return nil
	}
	r = r.complete()
	for attempt := 1; attempt < r.Attempts && r.worthwhile(ctx, err); attempt++ {
		timer := time.NewTimer(jittered(r.wait(attempt, err)))
		select {
		case <-timer.C:
			err = f(ctx)
		case <-ctx.Done():
			timer.Stop()
			return unmarked(err)
		}
	}
	return unmarked(err)
}

// jittered is a wait that is random, a quarter more or less.
func jittered(wait time.Duration) time.Duration {
	return wait - wait/4 + rand.N(wait/2+1)
}

func unmarked(err error) error {
	var marked *again
	if errors.As(err, &marked) {
		return marked.error
	}
	return err
}

// worthwhile reports whether another attempt may be made after err.
func (r Retry) worthwhile(ctx context.Context, err error) bool {
	var marked *again
	if !errors.As(err, &marked) || ctx.Err() != nil || marked.after > r.MaxRetryAfter {
		return false
	}
	until, bounded := ctx.Deadline()
	return !bounded || time.Until(until) > max(marked.after, r.MinBackoff)
}

// wait is how long to wait after an attempt, the first of which is 1.
func (r Retry) wait(attempt int, err error) time.Duration {
	backoff := r.MaxBackoff
	if shift := attempt - 1; shift < 30 {
		backoff = min(r.MaxBackoff, r.MinBackoff<<shift)
	}
	var marked *again
	if errors.As(err, &marked) && marked.after > 0 {
		// The jitter that follows takes off a quarter at most, and what was asked
		// for must hold.
		return max(backoff, marked.after*4/3+1)
	}
	return backoff
}
