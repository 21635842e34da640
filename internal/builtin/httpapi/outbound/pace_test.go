package outbound_test

import (
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/outbound"
	"github.com/dragoman-mcp/dragoman/server/backend"
)

// busyAPI answers each fifth request with 429 and wants a second of quiet then.
type busyAPI struct {
	mu    sync.Mutex // guards what follows
	times []time.Time
	posts map[string]int
	quiet time.Time
	early int // requests while it wanted quiet
}

// RoundTrip implements http.RoundTripper.
func (a *busyAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if now.Before(a.quiet) {
		a.early++
	}
	a.times = append(a.times, now)
	if r.Method == http.MethodPost {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		a.posts[string(body)]++
	}
	res := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}
	if len(a.times)%5 == 0 {
		a.quiet = now.Add(time.Second)
		res.StatusCode = http.StatusTooManyRequests
		res.Header.Set("Retry-After", "1")
	}
	return res, nil
}

// An API gets no more than its rate, nothing while it wants quiet, and nothing twice that must not come twice, however many
// ask at once.
func TestAnAPIGetsWhatItCanBear(t *testing.T) {
	const burst, perSecond, calls = 2, 40, 200
	synctest.Test(t, func(t *testing.T) {
		api := &busyAPI{posts: map[string]int{}}
		s := outbound.New(outbound.Options{
			Transport: api, Now: time.Now,
			Rate:  backend.Rate{PerSecond: perSecond, Burst: burst, MaxWait: time.Hour},
			Retry: backend.Retry{Attempts: 3, MaxRetryAfter: time.Minute},
		})
		defer func() { _ = s.Close() }()
		at := &url.URL{Scheme: "http", Host: "api.example", Path: "/notes"}
		var all sync.WaitGroup
		for i := range calls {
			all.Go(func() {
				m := outbound.Message{Method: http.MethodGet, URL: at}
				if i%2 == 0 {
					m.Method, m.Body = http.MethodPost, []byte(strings.Repeat("x", 1+i%3)+strconv.Itoa(i))
				}
				if _, err := s.Send(t.Context(), m); err != nil {
					t.Errorf("call %d: %v", i, err)
				}
			})
		}
		all.Wait()
		if len(api.posts) != calls/2 || api.early > 0 {
			t.Errorf("got %d posts and %d requests while the API wanted quiet, want %d and none", len(api.posts), api.early, calls/2)
		}
		for body, n := range api.posts {
			if n != 1 {
				t.Errorf("%s was posted %d times", body, n)
			}
		}
		for i := range api.times {
			for j := i; j < len(api.times); j++ {
				window := api.times[j].Sub(api.times[i])
				if n := float64(j - i + 1); n > burst+perSecond*window.Seconds()+1e-6 {
					t.Fatalf("%v requests within %s, want at most %d and %d a second", n, window, burst, perSecond)
				}
			}
		}
	})
}
