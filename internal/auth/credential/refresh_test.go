package credential_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth/credential"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/test/servers"
)

// together makes n calls of a principal at once, over replicas in turn.
func (h *house) together(n int, principal, want string, replicas ...*replica) {
	h.t.Helper()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if got := h.says(replicas[i%len(replicas)], principal); got != want {
				h.t.Errorf("call %d: the server takes the caller for %q, want %q", i, got, want)
			}
		})
	}
	all.Wait()
}

func TestFiftyCallsAfterTheEndOfATokenRefreshItOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		replicas int
		postgres bool
	}{{"in one gateway", 1, false}, {"in three that share a file", 3, false}, {"in three that share PostgreSQL", 3, true}} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			if c.postgres {
				h.dsn = servers.Database(t, servers.Postgres(t), "credentials")
			}
			var replicas []*replica
			for range c.replicas {
				replicas = append(replicas, h.open())
			}
			h.login(replicas[0], "corp:alice", "alice-at-work")
			h.together(2*c.replicas, "corp:alice", "alice-at-work", replicas...)
			for round := 1; round <= 3; round++ {
				h.clock.advance(2 * time.Hour)
				h.together(50, "corp:alice", "alice-at-work", replicas...)
				if n := h.authority.count("refresh_token"); n != round {
					t.Fatalf("after %d times the token was refreshed %d times", round, n)
				}
			}
		})
	}
}

func TestATokenIsRefreshedALittleBeforeItEnds(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.open()
	h.login(r, "corp:alice", "alice-at-work")
	h.clock.advance(58 * time.Minute)
	h.says(r, "corp:alice")
	if n := h.authority.count("refresh_token"); n != 0 {
		t.Errorf("with two minutes left the token was refreshed %d times, want 0", n)
	}
	h.clock.advance(90 * time.Second)
	h.says(r, "corp:alice")
	if n := h.authority.count("refresh_token"); n != 1 {
		t.Errorf("with half a minute left the token was refreshed %d times, want 1", n)
	}
}

// faults are ways in which a token endpoint can fail that say nothing about a token.
func faults(t *testing.T) map[string]func(http.ResponseWriter, url.Values) bool {
	status := func(status int, kind, body string) func(http.ResponseWriter, url.Values) bool {
		return func(w http.ResponseWriter, _ url.Values) bool {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
			return true
		}
	}
	return map[string]func(http.ResponseWriter, url.Values) bool{
		"internal error":                    status(500, "text/html", "<h1>oops</h1>"),
		"unavailable, in JSON":              status(503, "application/json", `{"error":"temporarily_unavailable"}`),
		"a revocation with a status of 500": status(500, "application/json", `{"error":"invalid_grant"}`),
		"too many requests":                 status(429, "application/json", `{"error":"slow_down"}`),
		"a proxy's page with 400":           status(400, "text/html", "<h1>bad request</h1> invalid_grant"),
		"not found":                         status(404, "application/json", `{"message":"no route"}`),
		"an error that nobody knows":        status(400, "application/json", `{"error":"server_is_sad"}`),
		"a request that is not understood":  status(400, "application/json", `{"error":"invalid_request"}`),
		"a resource that is not known now":  status(400, "application/json", `{"error":"invalid_target"}`),
		"success without a token":           status(200, "application/json", `{"token_type":"Bearer"}`),
		"success that is no JSON":           status(200, "text/html", "<h1>hello</h1>"),
		"a redirect":                        status(302, "text/html", ""),
		"a connection that breaks": func(w http.ResponseWriter, _ url.Values) bool {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return true
			}
			_ = conn.Close()
			return true
		},
	}
}

func TestAFaultOfTheTokenEndpointEndsNoCredential(t *testing.T) {
	t.Parallel()
	for name, fault := range faults(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			r := h.open()
			h.login(r, "corp:alice", "alice-at-work")
			h.authority.set(func() { h.authority.fault = fault })
			h.clock.advance(time.Hour - 30*time.Second)
			h.together(10, "corp:alice", "alice-at-work", r) // the old one lasts for half a minute
			h.clock.advance(time.Minute)
			got := h.says(r, "corp:alice")
			if !strings.Contains(got, "does not do that now") || strings.Contains(got, "/oauth/login") {
				t.Errorf("while it fails the caller gets %q, want that it cannot be done now", got)
			}
			if n := h.authority.count("refresh_token"); n == 0 || n > 4 {
				t.Errorf("the token endpoint was asked %d times, want a few: it has to be left in peace", n)
			}
			h.authority.set(func() { h.authority.fault = nil })
			h.clock.advance(time.Minute)
			h.together(10, "corp:alice", "alice-at-work", r)
		})
	}
}

func TestATokenEndpointThatHangsHoldsUpNobodyForGood(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.open()
	h.login(r, "corp:alice", "alice-at-work")
	asked, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	h.authority.set(func() {
		h.authority.fault = func(http.ResponseWriter, url.Values) bool {
			once.Do(func() { close(asked) })
			<-release
			return false
		}
	})
	h.clock.advance(2 * time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := r.server.Handler(mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) {
			return mcp.EmptyResult(), nil
		})).Handle(as(ctx, "corp:alice"), request("read", false))
		ended <- err
	}()
	<-asked
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("a call whose caller has gone ends with %v", err)
	}
	close(release)
	// What the caller did not wait for is not lost.
	h.together(10, "corp:alice", "alice-at-work", r)
	if n := h.authority.count("refresh_token"); n != 1 {
		t.Errorf("the token was refreshed %d times, want 1", n)
	}
}

func TestWhoseLoginHasEndedIsAskedToLogInAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.open()
	h.login(r, "corp:alice", "alice-at-work")
	h.login(r, "corp:bob", "bob-at-work")
	h.authority.set(func() {
		for _, f := range h.authority.families {
			f.ended = f.ended || f.who == "alice-at-work"
		}
	})
	h.clock.advance(2 * time.Hour)
	for range 3 {
		if got := h.says(r, "corp:alice"); !strings.Contains(got, "/oauth/login?link=") {
			t.Errorf("whose login has ended gets %q, want a link", got)
		}
	}
	if n := h.authority.count("refresh_token"); n != 1 {
		t.Errorf("the authorization server was asked %d times, want 1: it has said that it has ended", n)
	}
	if got := h.says(r, "corp:bob"); got != "bob-at-work" {
		t.Errorf("the server takes bob for %q", got)
	}
	h.login(r, "corp:alice", "alice-at-home")
	if got := h.says(r, "corp:alice"); got != "alice-at-home" {
		t.Errorf("after another login the server takes alice for %q", got)
	}
}

// weary fails to write credentials as often as it is told.
type weary struct {
	store.Credentials
	fails atomic.Int64
}

func (w *weary) Put(ctx context.Context, c store.Credential) error {
	if w.fails.Add(-1) >= 0 {
		return errors.New("the disk is full")
	}
	return w.Credentials.Put(ctx, c)
}

func TestARotatedTokenIsWrittenBeforeItIsUsed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	w := &weary{}
	h.wrap = func(s *store.Store) { w.Credentials, s.Credentials = s.Credentials, w }
	r := h.open()
	h.login(r, "corp:alice", "alice-at-work")
	before := len(h.resource.tokens())
	h.clock.advance(2 * time.Hour)
	w.fails.Store(1 << 40)
	if got := h.says(r, "corp:alice"); !strings.Contains(got, "cannot be kept now") {
		t.Errorf("while nothing can be written the caller gets %q", got)
	}
	if n := len(h.resource.tokens()) - before; n != 0 {
		t.Errorf("%d tokens were used that are not written", n)
	}
	w.fails.Store(0)
	if got := h.says(r, "corp:alice"); got != "alice-at-work" {
		t.Errorf("when it can be written again the server takes alice for %q", got)
	}
	if n := h.authority.count("refresh_token"); n != 1 {
		t.Errorf("the token was refreshed %d times, want 1: the refresh token of before is spent", n)
	}
}

func TestATokenThatTheServerDoesNotTakeIsRefreshedAndTheRequestSentAgain(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.open()
	h.login(r, "corp:alice", "alice-at-work")
	h.says(r, "corp:alice")
	h.clock.advance(time.Minute)
	seen := h.resource.tokens()
	h.resource.set(func() { h.resource.revoked[strings.TrimPrefix(seen[len(seen)-1], "Bearer ")] = true })
	h.together(20, "corp:alice", "alice-at-work", r)
	if n := h.authority.count("refresh_token"); n != 1 {
		t.Errorf("the token was refreshed %d times, want 1", n)
	}
	h.resource.set(func() {
		for _, body := range h.resource.bodies {
			if !strings.Contains(body, `"arguments":{"a":1}`) {
				t.Errorf("the server got the body %q", body)
			}
		}
	})
}

func TestAServerThatTakesNoTokenIsNotRefreshedForEver(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.open()
	h.login(r, "corp:alice", "alice-at-work")
	h.authority.set(func() { clear(h.authority.tokens) })
	h.clock.advance(time.Minute)
	broken := func(w http.ResponseWriter, form url.Values) bool { // gives tokens that the server does not know
		write(w, http.StatusOK, map[string]any{"access_token": "unknown-" + form.Get("refresh_token"), "token_type": "Bearer", "expires_in": 3600})
		return true
	}
	h.authority.set(func() { h.authority.fault = broken })
	for range 10 {
		if got := h.says(r, "corp:alice"); !strings.Contains(got, "/oauth/login?link=") {
			t.Fatalf("who is not let in with any token gets %q, want a link", got)
		}
	}
	if n := h.authority.count("refresh_token"); n > 1 {
		t.Errorf("the token was refreshed %d times, want 1", n)
	}
}

func TestARemovedCredentialHoldsForFiveSecondsMore(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	one, other := h.open(), h.open()
	h.login(one, "corp:alice", "alice-at-work")
	h.together(2, "corp:alice", "alice-at-work", one, other)
	if _, err := credential.Remove(t.Context(), one.state, "corp:alice", ""); err != nil {
		t.Fatal(err)
	}
	h.clock.advance(6 * time.Second)
	for _, r := range []*replica{one, other} {
		if got := h.says(r, "corp:alice"); !strings.Contains(got, "/oauth/login?link=") {
			t.Errorf("whose credential was removed gets %q, want a link", got)
		}
	}
	h.login(other, "corp:alice", "alice-at-home")
	h.clock.advance(6 * time.Second)
	h.together(2, "corp:alice", "alice-at-home", one, other)
	if err := credential.Erase(t.Context(), one.state, "corp:alice"); err != nil {
		t.Fatal(err)
	}
	if _, err := one.state.DataKeys.Newest(t.Context(), "corp:alice"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the key of who was erased: %v, want not found", err)
	}
	h.clock.advance(6 * time.Second)
	if got := h.says(one, "corp:alice"); !strings.Contains(got, "/oauth/login?link=") {
		t.Errorf("who was erased gets %q, want a link", got)
	}
}
