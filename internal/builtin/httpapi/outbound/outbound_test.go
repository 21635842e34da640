package outbound_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/outbound"
	"github.com/dragoman-mcp/dragoman/internal/egress"
	"github.com/dragoman-mcp/dragoman/server/backend"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sending returns a Sender to an API, and its URL.
func sending(t *testing.T, h http.HandlerFunc, o outbound.Options) (*outbound.Sender, *url.URL) {
	t.Helper()
	api := httptest.NewServer(h)
	t.Cleanup(api.Close)
	network := egress.New(egress.Options{})
	t.Cleanup(func() { _ = network.Close() })
	o.Transport = network.Transport(egress.ClientOptions{})
	o.Now = time.Now
	o.Retry = backend.Retry{Attempts: 3, MinBackoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond, MaxRetryAfter: time.Second}
	s := outbound.New(o)
	t.Cleanup(func() { _ = s.Close() })
	at, err := url.Parse(api.URL + "/a")
	if err != nil {
		t.Fatal(err)
	}
	return s, at
}

func TestWhatIsRepeated(t *testing.T) {
	for _, tc := range []struct {
		name       string
		method     string
		status     int
		breaks     bool // the connection, in place of an answer
		header     string
		repeatable bool
		want       int // requests
	}{
		{name: "GET after 503", method: "GET", status: 503, want: 3},
		{name: "PUT after 429", method: "PUT", status: 429, want: 3},
		{name: "DELETE after 502", method: "DELETE", status: 502, want: 3},
		{name: "GET after 500", method: "GET", status: 500, want: 1},
		{name: "GET after 404", method: "GET", status: 404, want: 1},
		{name: "POST after 503", method: "POST", status: 503, want: 1},
		{name: "POST after 429", method: "POST", status: 429, want: 1},
		{name: "PATCH after 503", method: "PATCH", status: 503, want: 1},
		{name: "POST when the connection breaks", method: "POST", breaks: true, want: 1},
		{name: "PUT when the connection breaks", method: "PUT", breaks: true, want: 3},
		{name: "POST with a key", method: "POST", status: 503, header: "Idempotency-Key", want: 3},
		{name: "a query with POST", method: "POST", status: 503, repeatable: true, want: 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var mu sync.Mutex
			var keys []string
			s, at := sending(t, func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				keys = append(keys, r.Header.Get("Idempotency-Key"))
				mu.Unlock()
				if tc.breaks {
					panic(http.ErrAbortHandler)
				}
				w.WriteHeader(tc.status)
			}, outbound.Options{IdempotencyHeader: tc.header})
			a, err := s.Send(t.Context(), outbound.Message{Method: tc.method, URL: at, Body: []byte("{}"), Repeatable: tc.repeatable})
			if (err != nil) != tc.breaks || err == nil && a.Status != tc.status {
				t.Errorf("got %v %v", a, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(keys) != tc.want {
				t.Errorf("got %d requests, want %d", len(keys), tc.want)
			}
			if slices.Sort(keys); len(keys) > 0 && (keys[0] != keys[len(keys)-1] || (keys[0] != "") != (tc.header != "")) {
				t.Errorf("got the keys %q, want one and the same", keys)
			}
		})
	}
}

func TestAnAPIThatFailsIsLeftAlone(t *testing.T) {
	var mu sync.Mutex
	count := 0
	s, at := sending(t, func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		count++
		w.WriteHeader(http.StatusInternalServerError)
	}, outbound.Options{Breaker: backend.BreakerOptions{Failures: 3, OpenFor: time.Hour}})
	for range 3 {
		if _, err := s.Send(t.Context(), outbound.Message{Method: "GET", URL: at}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Send(t.Context(), outbound.Message{Method: "GET", URL: at}); !errors.Is(err, backend.ErrOpen) || s.State() != "open" {
		t.Errorf("got %v and %s, want that it is open", err, s.State())
	}
	mu.Lock()
	defer mu.Unlock()
	if count != 3 {
		t.Errorf("got %d requests, want 3", count)
	}
}

func TestALongPauseIsTold(t *testing.T) {
	for name, headers := range map[string]map[string]string{
		"Retry-After":          {"Retry-After": "60"},
		"nothing is left":      {"RateLimit-Remaining": "0", "RateLimit-Reset": "60"},
		"X-RateLimit, as time": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "9999999999"},
	} {
		t.Run(name, func(t *testing.T) {
			s, at := sending(t, func(w http.ResponseWriter, _ *http.Request) {
				for name, value := range headers {
					w.Header().Set(name, value)
				}
				if name == "Retry-After" {
					w.WriteHeader(http.StatusTooManyRequests)
				}
			}, outbound.Options{})
			if _, err := s.Send(t.Context(), outbound.Message{Method: "GET", URL: at}); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if _, err := s.Send(t.Context(), outbound.Message{Method: "POST", URL: at}); !errors.Is(err, backend.ErrRate) || time.Since(began) > 30*time.Second {
				t.Errorf("got %v after %s, want that it is refused at once", err, time.Since(began))
			}
		})
	}
}
