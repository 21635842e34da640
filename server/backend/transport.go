package backend

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxDrain is how much of an answer that is not used is read, so that its
// connection can be.
const maxDrain = 64 << 10

// RoundTripper returns next with retries of requests that are safe to repeat:
// those whose method is idempotent (RFC 9110 §9.2.2) and whose body, if they
// have one, can be had again. They are repeated after an error of the network
// and after 429, 502, 503 and 504, at the time that Retry-After asks for. unsent
// may tell of an error that the other side has seen nothing of the request,
// which may then be repeated whatever it asks for; it may be nil.
func (r Retry) RoundTripper(next http.RoundTripper, unsent func(error) bool) http.RoundTripper {
	return &repeating{retry: r, next: next, unsent: unsent}
}

type repeating struct {
	retry  Retry
	next   http.RoundTripper
	unsent func(error) bool
}

// RoundTrip implements http.RoundTripper.
func (t *repeating) RoundTrip(req *http.Request) (*http.Response, error) {
	bodiless := req.Body == nil || req.Body == http.NoBody
	if !bodiless && req.GetBody == nil {
		return t.next.RoundTrip(req)
	}
	var last *http.Response
	first := true
	err := t.retry.Do(req.Context(), func(ctx context.Context) error {
		discard(last)
		last = nil
		attempt := req
		if !first && !bodiless {
			body, err := req.GetBody()
			if err != nil {
				return fmt.Errorf("read the body again: %w", err)
			}
			attempt = req.Clone(ctx)
			attempt.Body = body
		}
		first = false
		var err error
		last, err = t.next.RoundTrip(attempt)
		return t.judge(req, last, err)
	})
	if last != nil && errors.As(err, new(*busy)) {
		return last, nil // the last answer, whatever it says
	}
	if err != nil {
		discard(last)
		return nil, err
	}
	return last, nil
}

// busy is an answer that asks to come again.
type busy struct{ status int }

func (b *busy) Error() string { return "the answer is " + strconv.Itoa(b.status) }

// judge marks what may be repeated.
func (t *repeating) judge(req *http.Request, res *http.Response, err error) error {
	repeatable := idempotent(req.Method)
	switch {
	case err != nil && (repeatable && req.Context().Err() == nil || t.unsent != nil && t.unsent(err)):
		return Again(err, 0)
	case err != nil:
		return err
	case repeatable && transient(res.StatusCode):
		return Again(&busy{res.StatusCode}, RetryAfter(res.Header, time.Now()))
	}
	return nil
}

func idempotent(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

func transient(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// RetryAfter reads the header Retry-After, seconds or a date (RFC 9110 §10.2.3),
// as a time from now; 0 when there is none or it has passed.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// discard lets go of an answer that is not used.
func discard(res *http.Response) {
	if res == nil {
		return
	}
	_, _ = io.CopyN(io.Discard, res.Body, maxDrain) // what cannot be read costs the connection only
	_ = res.Body.Close()
}
