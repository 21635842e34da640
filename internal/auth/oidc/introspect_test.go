package oidc_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/auth/oidc"
	"github.com/dragoman-mcp/dragoman/internal/config"
)

// endpoint is an introspection endpoint, as an http.RoundTripper.
type endpoint struct {
	mu     sync.Mutex // guards what follows
	answer func(token string) (status int, kind, body string)
	err    error         // instead of an answer
	wait   chan struct{} // nil: answers at once
	asked  []string      // tokens
	sent   []*http.Request
}

func (e *endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.ParseForm(); err != nil {
		return nil, err
	}
	e.mu.Lock()
	e.asked, e.sent = append(e.asked, r.PostForm.Get("token")), append(e.sent, r)
	wait, answer, err := e.wait, e.answer, e.err
	e.mu.Unlock()
	if wait != nil {
		select {
		case <-wait:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if err != nil {
		return nil, err
	}
	status, kind, body := answer(r.PostForm.Get("token"))
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func (e *endpoint) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.asked)
}

func (e *endpoint) set(change func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change()
}

// about answers that a token is good, but for what is changed; nil takes a member away.
func about(change map[string]any) func(string) (int, string, string) {
	return func(string) (int, string, string) {
		claims := map[string]any{
			"active": true, "token_type": "Bearer", "iss": issuerURL, "sub": "alice", "aud": "https://gw.example/mcp", "scope": "mcp",
			"exp": time.Now().Add(time.Hour).Unix(), "client_id": "app", "preferred_username": "Alice", "groups": []string{"staff"},
		}
		for name, value := range change {
			if claims[name] = value; value == nil {
				delete(claims, name)
			}
		}
		body, _ := json.Marshal(claims)
		return 200, "application/json; charset=utf-8", string(body)
	}
}

func asking(t *testing.T, e *endpoint, method string) (source *auth.Cached, bare *oidc.Introspector) {
	t.Helper()
	cfg := config.Issuer{Name: "corp", URL: issuerURL, Leeway: 30 * time.Second, Scopes: []string{"mcp"}, Roles: map[string]string{"staff": "user"},
		Claims:        config.ClaimNames{Name: "preferred_username", Groups: "groups", Roles: "roles"},
		Introspection: config.Introspection{URL: "https://as.example/introspect", ClientID: "gate way", ClientSecret: "se:cret", Method: method, CacheTTL: 5 * time.Second}}
	o := oidc.Options{Client: &http.Client{Transport: e}}
	issuer, err := oidc.New(cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	i := oidc.NewIntrospector(issuer, o)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = i.Run(ctx)
	}()
	t.Cleanup(func() { stop(); <-done })
	return auth.NewCached(i, i.Cache()), i
}

func TestWhatAnIssuerAnswersAboutATokenIsHeldToTheSameAsAToken(t *testing.T) {
	past, future := time.Now().Add(-time.Hour).Unix(), time.Now().Add(time.Hour).Unix()
	good := about(nil)
	for name, c := range map[string]struct {
		answer func(string) (int, string, string)
		want   string // "", "invalid", "scope", or "later": it cannot be said
	}{
		"a good one":                       {good, ""},
		"one without iss":                  {about(map[string]any{"iss": nil}), ""},
		"one without exp":                  {about(map[string]any{"exp": nil}), ""},
		"one that is not active":           {func(string) (int, string, string) { return 200, "application/json", `{"active":false}` }, "invalid"},
		"active as a text":                 {about(map[string]any{"active": "true"}), "invalid"},
		"active as a number":               {about(map[string]any{"active": 1}), "invalid"},
		"active twice":                     {func(string) (int, string, string) { _, k, b := good(""); return 200, k, `{"active":false,` + b[1:] }, "later"},
		"nothing said of active":           {about(map[string]any{"active": nil}), "invalid"},
		"of another issuer":                {about(map[string]any{"iss": "https://evil.example"}), "invalid"},
		"iss that is no text":              {about(map[string]any{"iss": []string{issuerURL}}), "invalid"},
		"expired, and active all the same": {about(map[string]any{"exp": past}), "invalid"},
		"exp that is no time":              {about(map[string]any{"exp": "never"}), "invalid"},
		"not yet good":                     {about(map[string]any{"nbf": future}), "invalid"},
		"given in the future":              {about(map[string]any{"iat": future}), "invalid"},
		"no subject":                       {about(map[string]any{"sub": nil}), "invalid"},
		"no audience":                      {about(map[string]any{"aud": nil}), "invalid"},
		"without the scope":                {about(map[string]any{"scope": "other"}), "scope"},
		"no scope at all":                  {about(map[string]any{"scope": nil}), "scope"},
		"a refresh token":                  {about(map[string]any{"token_type": nil}), "invalid"},
		"a refresh token by its use":       {about(map[string]any{"token_use": "refresh_token"}), "invalid"},
		"an ID token by its type":          {about(map[string]any{"typ": "ID"}), "invalid"},
		"bound to a key":                   {about(map[string]any{"cnf": map[string]string{"jkt": "x"}}), "invalid"},
		"a proof of possession":            {about(map[string]any{"token_type": "DPoP"}), "invalid"},
		"no JSON":                          {func(string) (int, string, string) { return 200, "application/json", "active" }, "later"},
		"a page":                           {func(string) (int, string, string) { _, _, b := good(""); return 200, "text/html", b }, "later"},
		"a token in place of an object": {func(string) (int, string, string) {
			_, _, b := good("")
			return 200, "application/token-introspection+jwt", b
		}, "later"},
		"more than is read": {func(string) (int, string, string) {
			return 200, "application/json", `{"a":"` + strings.Repeat("x", 1<<17) + `"}`
		}, "later"},
		"our secret is refused": {func(string) (int, string, string) { _, k, b := good(""); return 401, k, b }, "later"},
		"another status":        {func(string) (int, string, string) { _, k, b := good(""); return 201, k, b }, "later"},
		"a fault":               {func(string) (int, string, string) { _, k, b := good(""); return 500, k, b }, "later"},
	} {
		t.Run(name, func(t *testing.T) {
			source, _ := asking(t, &endpoint{answer: c.answer}, "basic")
			id, err := source.Identify(t.Context(), "opaque-token")
			var scope *auth.ScopeError
			got := "later"
			switch {
			case err == nil:
				got = ""
			case errors.Is(err, auth.ErrInvalid):
				got = "invalid"
			case errors.As(err, &scope):
				got = "scope"
			case errors.Is(err, auth.ErrForeign):
				got = "foreign"
			}
			if got != c.want {
				t.Fatalf("got %q (%v), want %q", got, err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "se:cret") {
				t.Errorf("the error shows our secret: %v", err)
			}
			if p := id.Principal; err == nil && (p.ID != "corp:alice" || p.Name != "Alice" || p.Method != "opaque" || len(p.Roles) != 1 || len(id.Audience) != 1) {
				t.Errorf("identity is %+v, want alice, a user, for one audience", id)
			}
		})
	}
}

func TestWhoAsksAboutTokensSaysWhoItIs(t *testing.T) {
	for _, method := range []string{"basic", "post"} {
		e := &endpoint{answer: about(nil)}
		source, _ := asking(t, e, method)
		if _, err := source.Identify(t.Context(), "a/b+c=="); err != nil {
			t.Fatal(err)
		}
		r := e.sent[0]
		name, secret, basic := r.BasicAuth()
		form := r.PostForm
		if basic != (method == "basic") || basic && (name != "gate+way" || secret != "se%3Acret") || !basic && (form.Get("client_id") != "gate way" || form.Get("client_secret") != "se:cret") {
			t.Errorf("%s: sent %q %q and the form %v", method, name, secret, form)
		}
		if form.Get("token") != "a/b+c==" || form.Get("token_type_hint") != "access_token" {
			t.Errorf("%s: the form is %v, want the token and its kind", method, form)
		}
	}
}

func TestOtherCredentialsAreNotAskedAbout(t *testing.T) {
	e := &endpoint{answer: about(nil)}
	source, _ := asking(t, e, "basic")
	for _, credential := range []string{"", "a.b.c", "a b", "a\nb", "ä", strings.Repeat("x", 4097)} {
		if _, err := source.Identify(t.Context(), credential); !errors.Is(err, auth.ErrForeign) {
			t.Errorf("%.20q: %v, want ErrForeign", credential, err)
		}
	}
	if e.count() != 0 {
		t.Errorf("the issuer was asked about %q", e.asked)
	}
}

func TestAnswersAreKeptForAsLongAsTheyMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: about(nil), wait: make(chan struct{})}
		source, _ := asking(t, e, "basic")
		var callers sync.WaitGroup
		for range 50 {
			callers.Go(func() {
				if _, err := source.Identify(t.Context(), "one"); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		gone, cancel := context.WithCancel(t.Context())
		callers.Go(func() {
			if _, err := source.Identify(gone, "one"); !errors.Is(err, context.Canceled) {
				t.Errorf("a caller who has gone: %v", err)
			}
		})
		synctest.Wait()
		cancel() // of the others nothing is cancelled
		close(e.wait)
		callers.Wait()
		if got := e.count(); got != 1 {
			t.Errorf("51 callers with one token made %d questions, want 1", got)
		}
		e.set(func() { e.answer = about(map[string]any{"active": false}) }) // it is revoked
		pass(4 * time.Second)
		if _, err := source.Identify(t.Context(), "one"); err != nil || e.count() != 1 {
			t.Errorf("after 4 s: %v and %d questions, want the answer from before", err, e.count())
		}
		pass(time.Second)
		if _, err := source.Identify(t.Context(), "one"); !errors.Is(err, auth.ErrInvalid) || e.count() != 2 {
			t.Errorf("5 s after it was revoked: %v and %d questions, want it refused", err, e.count())
		}
		for range 100 {
			if _, err := source.Identify(t.Context(), "one"); !errors.Is(err, auth.ErrInvalid) {
				t.Fatal(err)
			}
		}
		if got := e.count(); got != 2 {
			t.Errorf("100 callers with a bad token made %d questions, want none", got-2)
		}
	})
}

func TestAnIssuerThatCannotBeAskedLetsNobodyIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{answer: about(nil), err: errors.New("connection refused")}
		source, bare := asking(t, e, "basic")
		later := func(what, token string) {
			t.Helper()
			if _, err := source.Identify(t.Context(), token); err == nil || errors.Is(err, auth.ErrInvalid) || errors.Is(err, auth.ErrForeign) {
				t.Errorf("%s: %v, want an error that says to come again", what, err)
			}
		}
		later("away", "one")
		for range 100 {
			later("away", "two")
		}
		if got := e.count(); got != 1 {
			t.Errorf("101 questions to an issuer that is away reached it %d times within a second, want once", got)
		}
		e.set(func() { e.err = nil })
		pass(time.Second)
		if _, err := source.Identify(t.Context(), "one"); err != nil {
			t.Errorf("after it is back: %v", err)
		}
		e.set(func() { e.err = errors.New("connection refused") })
		pass(5 * time.Second)
		later("away again, with a token that was good", "one")
		e.set(func() { e.err, e.wait = nil, make(chan struct{}) })
		pass(time.Second)
		var callers sync.WaitGroup
		begun := time.Now()
		for n := range 100 {
			callers.Go(func() {
				if _, err := bare.Identify(t.Context(), strings.Repeat("x", n+1)); err == nil {
					t.Error("somebody was let in by an issuer that hangs")
				}
			})
		}
		callers.Wait()
		if took := time.Since(begun); took > 5*time.Second || e.count() > 64+4 {
			t.Errorf("callers waited %v, and %d questions were asked at once; want at most 5s and 64", took, e.count())
		}
		pass(10 * time.Second) // the questions are given up
	})
}
