package backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

// ErrOpen is wrapped by the errors of what a [Breaker] has not let through:
// nothing has happened.
var ErrOpen = errors.New("the dependency has failed too often and is left alone for a while")

// BreakerOptions say when a dependency is left alone, as a section of settings.
// Zero fields mean the defaults.
type BreakerOptions struct {
	// Failures in a row that open the breaker. Default 5.
	Failures int `yaml:"failures" default:"5" min:"1" max:"10000"`
	// How long it stays open; then one call is let through to try. Default 30 s.
	OpenFor time.Duration `yaml:"open_for" default:"30s" min:"1ms" max:"24h"`
}

// Breaker lets calls of a dependency through as long as they do not fail time
// and again. It may be used concurrently.
type Breaker struct {
	circuit circuitbreaker.CircuitBreaker[any]
}

// NewBreaker returns a Breaker that is closed: it lets everything through.
func NewBreaker(o BreakerOptions) *Breaker {
	return &Breaker{circuitbreaker.NewBuilder[any]().
		WithFailureThreshold(uint(max(1, cmp.Or(o.Failures, 5)))).
		WithSuccessThreshold(1).
		WithDelay(cmp.Or(o.OpenFor, 30*time.Second)).
		Build()}
}

// Do calls f unless the breaker is open; then its error wraps [ErrOpen] and says
// when to come again. An error of f counts as a failure of the dependency unless
// it is marked with [Fine], or ctx ended because the caller gave up.
func (b *Breaker) Do(ctx context.Context, f func(ctx context.Context) error) error {
	if !b.circuit.TryAcquirePermit() {
		return fmt.Errorf("%w, %s more", ErrOpen, b.circuit.RemainingDelay().Round(time.Second))
	}
	done := false
	defer func() {
		if !done { // f panicked
			b.circuit.RecordFailure()
		}
	}()
	err := f(ctx)
	done = true
	var marked *fine
	switch {
	case err == nil:
		b.circuit.RecordSuccess()
	case errors.As(err, &marked):
		b.circuit.RecordSuccess()
		return marked.error
	case errors.Is(context.Cause(ctx), context.Canceled) && !b.circuit.IsHalfOpen():
		// Nobody knows. A trial call must count as something, or there is no other.
	default:
		b.circuit.RecordFailure()
	}
	return err
}

// fine is an error that is no fault of the dependency.
type fine struct{ error }

func (f *fine) Unwrap() error { return f.error }

// Fine marks err as no fault of the dependency: it has answered, and what was
// asked was wrong.
func Fine(err error) error {
	if err == nil {
		return nil
	}
	return &fine{err}
}

// State is closed, open or half-open, for reports of health.
func (b *Breaker) State() string { return b.circuit.State().String() }
