package outbound

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/server/backend"
)

// maxPause bounds how long an API can silence us.
const maxPause = 5 * time.Minute

// pace is the rate of the settings, and the quiet that the API asks for. Whoever
// waits takes a token only when the quiet has ended, so that those who have
// waited do not come all at once.
type pace struct {
	limiter *backend.Limiter
	maxWait time.Duration

	mu    sync.Mutex // guards until
	until time.Time
}

func newPace(r backend.Rate) *pace {
	return &pace{limiter: r.Limiter(), maxWait: cmp.Or(r.MaxWait, 10*time.Second)}
}

// wait returns when a request may go out. Its error wraps backend.ErrRate when
// that would be later than ctx or the settings allow.
func (p *pace) wait(ctx context.Context) error {
	for {
		if quiet := p.quiet(); quiet > 0 {
			if err := p.rest(ctx, quiet); err != nil {
				return err
			}
			continue
		}
		if err := p.limiter.Wait(ctx); err != nil {
			return err
		}
		if p.quiet() <= 0 {
			return nil
		}
	}
}

func (p *pace) rest(ctx context.Context, quiet time.Duration) error {
	until, bounded := ctx.Deadline()
	if quiet > p.maxWait || bounded && time.Now().Add(quiet).After(until) {
		return fmt.Errorf("%w: the API asks to come again in %s", backend.ErrRate, quiet.Round(time.Millisecond))
	}
	timer := time.NewTimer(quiet)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pace) quiet() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Until(p.until)
}

// heed holds everything back for as long as an answer asks: with Retry-After, or
// because nothing is left of what the API allows (RateLimit-Remaining).
func (p *pace) heed(a *Answer) {
	now := time.Now()
	var wait time.Duration
	if busy(a.Status) {
		wait = backend.RetryAfter(a.Header, now)
	}
	for _, prefix := range [...]string{"RateLimit-", "X-RateLimit-"} {
		if strings.TrimSpace(a.Header.Get(prefix+"Remaining")) != "0" {
			continue
		}
		reset, err := strconv.ParseInt(strings.TrimSpace(a.Header.Get(prefix+"Reset")), 10, 64)
		switch {
		case err != nil || reset < 0:
		case reset > 1_000_000_000: // seconds since 1970, as some write it
			wait = max(wait, time.Unix(reset, 0).Sub(now))
		default:
			wait = max(wait, time.Duration(min(reset, 86400))*time.Second)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := now.Add(min(wait, maxPause)); wait > 0 && at.After(p.until) {
		p.until = at
	}
}

func busy(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}
