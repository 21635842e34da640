package outbound

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/server/backend"
)

// maxPause bounds how long an API can silence us.
const maxPause = 5 * time.Minute

// pace is the rate of the settings, and the quiet that the API asks for.
type pace struct{ limiter *backend.Limiter }

func newPace(r backend.Rate) *pace { return &pace{r.Limiter()} }

// wait returns when a request may go out. Its error wraps backend.ErrRate when
// that would be later than ctx or the settings allow.
func (p *pace) wait(ctx context.Context) error { return p.limiter.Wait(ctx) }

// heed holds everything back for as long as an answer asks: with Retry-After, or
// because nothing is left of what the API allows (RateLimit-Remaining).
func (p *pace) heed(a *Answer) {
	now := time.Now()
	var wait time.Duration
	if busy(a.Status) {
		wait = backend.RetryAfter(a.Header, now)
	}
	for _, names := range [...]struct{ remaining, reset string }{ // as net/http spells them
		{"Ratelimit-Remaining", "Ratelimit-Reset"}, {"X-Ratelimit-Remaining", "X-Ratelimit-Reset"},
	} {
		left := a.Header[names.remaining]
		if len(left) == 0 || strings.TrimSpace(left[0]) != "0" {
			continue
		}
		reset, err := strconv.ParseInt(strings.TrimSpace(a.Header.Get(names.reset)), 10, 64)
		switch {
		case err != nil || reset < 0:
		case reset > 1_000_000_000: // seconds since 1970, as some write it
			wait = max(wait, time.Unix(reset, 0).Sub(now))
		default:
			wait = max(wait, time.Duration(min(reset, 86400))*time.Second)
		}
	}
	if wait > 0 {
		p.limiter.Pause(min(wait, maxPause))
	}
}

func busy(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}
