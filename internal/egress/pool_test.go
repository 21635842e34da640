package egress_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/egress"
)

// parallel makes n requests that are all under way at once.
func parallel(t *testing.T, p http.RoundTripper, url string, n int) {
	t.Helper()
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if _, _, err := do(p, request(t, "POST", url, "x")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// meeting is a handler that answers when n requests are there.
func meeting(n int) http.HandlerFunc {
	var all sync.WaitGroup
	all.Add(n)
	return func(w http.ResponseWriter, r *http.Request) {
		all.Done()
		all.Wait()
	}
}

func TestIdleConnectionsAreBoundedAndClosedWhenOld(t *testing.T) {
	s, _ := server(t, meeting(10))
	n := newNetwork(t, egress.Options{Limits: egress.Limits{IdlePerHost: 4, IdleTimeout: time.Minute}})
	parallel(t, n.RoundTripper(), s.URL, 10)
	if open, idle := n.Own().Open(); open != 4 || idle != 4 {
		t.Errorf("%d open, %d idle; want 4 and 4", open, idle)
	}
	n.Reap(time.Now().Add(30 * time.Second))
	if open, _ := n.Own().Open(); open != 4 {
		t.Errorf("%d open after half a minute, want 4", open)
	}
	n.Reap(time.Now().Add(61 * time.Second))
	if open, _ := n.Own().Open(); open != 0 || n.Own().Hosts() != 0 {
		t.Errorf("%d open, %d hosts after a minute; want none", open, n.Own().Hosts())
	}
}

func TestAConnectionIsNotUsedWhenThePeerIsAboutToCloseIt(t *testing.T) {
	url, conns := rawServer(t, answering("HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1200\r\nContent-Length: 0\r\n\r\n"))
	n := newNetwork(t, egress.Options{Limits: egress.Limits{IdleTimeout: time.Hour}})
	mustDo(t, n.RoundTripper(), request(t, "POST", url, "x"))
	mustDo(t, n.RoundTripper(), request(t, "POST", url, "x"))
	if conns.Load() != 1 {
		t.Errorf("%d connections, want 1", conns.Load())
	}
	n.Reap(time.Now().Add(300 * time.Second))
	if open, _ := n.Own().Open(); open != 1 {
		t.Errorf("%d open after 300 s of 1200, want 1", open)
	}
	n.Reap(time.Now().Add(601 * time.Second))
	if open, _ := n.Own().Open(); open != 0 {
		t.Errorf("%d open after 601 s of 1200, want none", open)
	}
}

func TestAConnectionIsUsedForHalfOfWhatThePeerAnnounces(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"timeout=5":             2500 * time.Millisecond,
		"timeout=1":             500 * time.Millisecond,
		"max=100, Timeout=72":   36 * time.Second,
		"timeout=65535":         65535 * time.Second / 2,
		"timeout=5, timeout=60": 2500 * time.Millisecond,
		"timeout=0":             0,
		"timeout=99999999999":   0,
		"timeout=-5":            0,
		"timeout=soon":          0,
		"timeout":               0,
		"max=100":               0,
		"":                      0,
	} {
		if got := egress.KeepFor(header); got != want {
			t.Errorf("Keep-Alive: %s keeps a connection for %s, want %s", header, got, want)
		}
	}
}

func TestRequestsWaitForAConnectionUpToABound(t *testing.T) {
	hold := make(chan struct{})
	s, conns := server(t, func(w http.ResponseWriter, r *http.Request) { <-hold })
	n := newNetwork(t, egress.Options{})
	p := n.Pool(egress.Limits{ConnsPerHost: 2, WaitingPerHost: 3})
	var all sync.WaitGroup
	results := make(chan error, 5)
	for range 5 {
		all.Go(func() {
			_, _, err := do(p, request(t, "POST", s.URL, "x"))
			results <- err
		})
	}
	until(t, "two are sent and three wait", func() bool {
		if conns.Load() != 2 {
			return false
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, _, err := do(p, request(t, "POST", s.URL, "x").WithContext(ctx))
		return errors.Is(err, egress.ErrBusy) && errors.Is(err, egress.ErrNotSent)
	})
	close(hold)
	all.Wait()
	for range 5 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if conns.Load() != 2 {
		t.Errorf("%d connections, want 2", conns.Load())
	}
	p.Close()
	if open, _ := p.Open(); open != 0 {
		t.Errorf("%d open after Close", open)
	}
}

func TestAWaitForAConnectionEndsWithItsContext(t *testing.T) {
	hold, held := make(chan struct{}), make(chan struct{})
	s, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			close(held)
			<-hold
		}
	})
	n := newNetwork(t, egress.Options{})
	p := n.Pool(egress.Limits{ConnsPerHost: 1})
	var all, waiters sync.WaitGroup
	all.Go(func() { mustDo(t, p, request(t, "POST", s.URL+"/hold", "x")) })
	<-held // while it is still being sent, what it waits for can become another's
	for range 20 {
		waiters.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
			defer cancel()
			_, _, err := do(p, request(t, "POST", s.URL, "x").WithContext(ctx))
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, egress.ErrNotSent) {
				t.Errorf("error is %v, want the deadline and ErrNotSent", err)
			}
		})
	}
	waiters.Wait()
	close(hold)
	all.Wait()
	mustDo(t, p, request(t, "POST", s.URL, "x"))
	if open, idle := p.Open(); open != 1 || idle != 1 {
		t.Errorf("%d open, %d idle; want 1 and 1", open, idle)
	}
}

func TestAClosedPoolSendsNothingAndLetsOthersGoOn(t *testing.T) {
	s, _ := server(t, echo)
	n := newNetwork(t, egress.Options{})
	p := n.Pool(egress.Limits{})
	resp, err := p.RoundTrip(request(t, "POST", s.URL, strings.Repeat("x", 100_000)))
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	if _, _, err := do(p, request(t, "POST", s.URL, "x")); !errors.Is(err, egress.ErrNotSent) {
		t.Errorf("error is %v, want ErrNotSent", err)
	}
	if b, err := readAll(resp); err != nil || len(b) != 100_000 {
		t.Errorf("the call under way got %d bytes, %v", len(b), err)
	}
	mustDo(t, n.RoundTripper(), request(t, "POST", s.URL, "x"))
}

func TestHostsWithoutConnectionsAreForgotten(t *testing.T) {
	n := newNetwork(t, egress.Options{DialTimeout: time.Second})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for i := range 10_000 {
		_, _, _ = do(n.RoundTripper(), request(t, "GET", fmt.Sprintf("http://h%d.invalid/", i), "").WithContext(ctx))
	}
	if h := n.Own().Hosts(); h > 4096 {
		t.Errorf("%d hosts are remembered, want 4096 at most", h)
	}
}
