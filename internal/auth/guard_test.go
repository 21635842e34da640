package auth_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// book is a source that knows tokens by heart.
type book map[string]func() (auth.Identity, error)

func (b book) Identify(_ context.Context, credential string) (auth.Identity, error) {
	if say, ok := b[credential]; ok {
		return say()
	}
	return auth.Identity{}, auth.ErrForeign
}

func who(id string, audience ...string) func() (auth.Identity, error) {
	return func() (auth.Identity, error) {
		return auth.Identity{Principal: mcp.Principal{ID: id}, Audience: audience}, nil
	}
}

func fails(err error) func() (auth.Identity, error) {
	return func() (auth.Identity, error) { return auth.Identity{}, err }
}

type badge struct{ err error }

func (b badge) IdentifyTLS(*tls.ConnectionState) (auth.Identity, error) {
	return auth.Identity{Principal: mcp.Principal{ID: "cert:robot"}}, b.err
}

func guarded() *config.Config {
	cfg := &config.Config{Listen: "127.0.0.1:8000", PublicURL: "https://gw.example/base/", AllowedOrigins: []string{"https://app.example"}}
	cfg.Auth.Tokens = []config.Token{{Name: "laptop", Token: "0123456789abcdef", Roles: []string{"admin"}}}
	return cfg
}

func guard(certificates auth.Certificates) *auth.Guard {
	return auth.NewGuard(guarded(), auth.Options{
		Sources: []auth.Source{book{"first": who("one")}, book{
			"first": who("never asked"), "all": who("two"), "at-root": who("root", "https://gw.example/base"),
			"at-mcp":   who("mcp", "other", "https://gw.example/base/mcp"),
			"at-files": who("files", "https://gw.example/base/mcp/files/"),
			"at-other": who("other", "https://other.example/base/mcp", "http://gw.example/base/mcp", "https://gw.example", "https://gw.example/base/mcpx"),
			"nowhere":  func() (auth.Identity, error) { return auth.Identity{Audience: []string{}}, nil },
			"expired":  fails(auth.Invalid("token expired")),
			"narrow":   fails(&auth.ScopeError{Need: []string{"mcp", "files"}}),
			"away":     fails(errors.New("issuer cannot be reached at 10.0.0.1")),
		}},
		Certificates: certificates, Servers: []string{"https://as.example"}, Scopes: []string{"mcp"},
	})
}

func TestWhoComesIn(t *testing.T) {
	const challenge = `Bearer realm="dragoman", scope="mcp", resource_metadata="https://gw.example/base/.well-known/oauth-protected-resource/mcp"`
	const invalid = `Bearer realm="dragoman", error="invalid_token", error_description="the token is not valid here: it may have expired, been revoked, or be meant for somebody else", scope="mcp", resource_metadata="https://gw.example/base/.well-known/oauth-protected-resource`
	robot := badge{}
	for _, c := range []struct {
		name, path, token string
		certificates      auth.Certificates
		want              int
		who               string
		challenge         string
	}{
		{"a static token", "/mcp", "0123456789abcdef", nil, 200, "laptop", ""},
		{"the first source that knows it", "/mcp", "first", nil, 200, "one", ""},
		{"the second source", "/mcp/files", "all", nil, 200, "two", ""},
		{"no token", "/mcp", "", nil, 401, "", challenge},
		{"an unknown token", "/mcp", "unknown", nil, 401, "", invalid + `/mcp"`},
		{"an expired token", "/mcp/files", "expired", nil, 401, "", invalid + `/mcp/files"`},
		{"a token without scopes", "/mcp", "narrow", nil, 403, "", `Bearer realm="dragoman", error="insufficient_scope", error_description="the token was not given for this", scope="mcp files", resource_metadata="https://gw.example/base/.well-known/oauth-protected-resource/mcp"`},
		{"a token that cannot be checked", "/mcp", "away", nil, 503, "", ""},
		{"a token for the root opens all", "/mcp/files", "at-root", nil, 200, "root", ""},
		{"a token for all servers opens one", "/mcp/files", "at-mcp", nil, 200, "mcp", ""},
		{"a token for one server opens it", "/mcp/files", "at-files", nil, 200, "files", ""},
		{"a token for one server opens not all", "/mcp", "at-files", nil, 401, "", invalid + `/mcp"`},
		{"a token for one server opens no other", "/mcp/files2", "at-files", nil, 401, "", invalid + `/mcp/files2"`},
		{"a token for somebody else", "/mcp", "at-other", nil, 401, "", invalid + `/mcp"`},
		{"a token for nobody", "/mcp", "nowhere", nil, 401, "", invalid + `/mcp"`},
		{"a path that would end the quotes", "/mcp/%22,%20x=%22%0d%0a", "", nil, 401, "", strings.Replace(challenge, `/mcp"`, `/mcp/%22,%20x=%22%0D%0A"`, 1)},
		{"a certificate", "/mcp", "", robot, 200, "cert:robot", ""},
		{"a token beside a certificate", "/mcp", "first", robot, 200, "one", ""},
		{"a bad token beside a certificate", "/mcp", "expired", robot, 401, "", invalid + `/mcp"`},
		{"a certificate of nobody", "/mcp", "", badge{auth.Invalid("not named")}, 401, "", invalid + `/mcp"`},
		{"TLS without a certificate", "/mcp", "", badge{auth.ErrForeign}, 401, "", challenge},
		{"a token in the address", "/mcp?access_token=first", "", nil, 400, "", `Bearer realm="dragoman", error="invalid_request", error_description="a token must not be in the address, where logs and others see it; send it as Authorization: Bearer TOKEN", scope="mcp", resource_metadata="https://gw.example/base/.well-known/oauth-protected-resource/mcp"`},
		{"a token in the address beside a good one", "/mcp?x=1&access_token", "first", nil, 400, "", "*"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := "nobody came in"
			var seen http.Header
			h := guard(c.certificates).Private(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				got, seen = mcp.PrincipalOf(r.Context()).ID, r.Header
			}))
			r := httptest.NewRequest("POST", "http://localhost:8000"+c.path, nil)
			r.TLS = &tls.ConnectionState{}
			r.Header.Set("Cookie", "a=b")
			if c.token != "" {
				r.Header.Set("Authorization", "Bearer "+c.token)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != c.want || c.want == 200 && got != c.who {
				t.Errorf("status %d as %q, want %d as %q", w.Code, got, c.want, c.who)
			}
			if got := w.Header().Get("WWW-Authenticate"); got != c.challenge && c.challenge != "*" {
				t.Errorf("WWW-Authenticate is\n%s, want\n%s", got, c.challenge)
			}
			if seen.Get("Authorization")+seen.Get("Cookie") != "" {
				t.Errorf("what is behind the door sees the credentials: %v", seen)
			}
			if body := w.Body.String(); strings.Contains(body, "10.0.0.1") || c.token != "" && strings.Contains(body, c.token+" ") {
				t.Errorf("the answer says too much: %s", body)
			}
		})
	}
}

func TestTwoTokensAreNone(t *testing.T) {
	r := httptest.NewRequest("POST", "http://localhost/mcp", nil)
	r.Header.Add("Authorization", "Bearer first")
	r.Header.Add("Authorization", "Bearer all")
	w := httptest.NewRecorder()
	guard(nil).Private(http.NotFoundHandler()).ServeHTTP(w, r)
	if w.Code != 401 {
		t.Errorf("two Authorization headers give %d, want 401", w.Code)
	}
}

func TestNobodyIsAskedWhereNothingIsConfigured(t *testing.T) {
	g := auth.NewGuard(&config.Config{Listen: "127.0.0.1:8000"}, auth.Options{})
	r := httptest.NewRequest("POST", "http://localhost/mcp", nil)
	r.Header.Set("Authorization", "Bearer of somebody else")
	w := httptest.NewRecorder()
	g.Private(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the token went on, want it taken off")
		}
	})).ServeHTTP(w, r)
	if w.Code != 200 || !g.Knows(r) {
		t.Errorf("an open gateway answers %d, want 200", w.Code)
	}
}

func TestMetadataOfTheResource(t *testing.T) {
	for path, want := range map[string]string{
		"":           "https://gw.example/base",
		"/mcp":       "https://gw.example/base/mcp",
		"/mcp/files": "https://gw.example/base/mcp/files",
	} {
		w := httptest.NewRecorder()
		guard(nil).Metadata(w, httptest.NewRequest("GET", "http://localhost/.well-known/oauth-protected-resource"+path, nil))
		var got struct {
			Resource string   `json:"resource"`
			Servers  []string `json:"authorization_servers"`
			Scopes   []string `json:"scopes_supported"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
			t.Fatalf("metadata of %q: %d %s", path, w.Code, w.Body)
		}
		if got.Resource != want || len(got.Servers) != 1 || len(got.Scopes) != 1 {
			t.Errorf("metadata of %q is %+v, want the resource %s", path, got, want)
		}
	}
	w := httptest.NewRecorder()
	auth.NewGuard(guarded(), auth.Options{}).Metadata(w, httptest.NewRequest("GET", "http://localhost/.well-known/oauth-protected-resource", nil))
	if w.Code != 404 {
		t.Errorf("metadata without an authorization server gives %d, want 404", w.Code)
	}
}

func TestPagesAreToldWhatTheyMay(t *testing.T) {
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Mcp-Session-Id", "x")
		_, _ = io.WriteString(w, "answer")
	})
	for _, c := range []struct {
		name, method, origin string
		ask                  string // Access-Control-Request-Headers
		want                 int
		allowed              string
	}{
		{"no page", "POST", "", "", 200, ""},
		{"a page that may", "POST", "https://app.example", "", 200, "https://app.example"},
		{"a page that may not", "POST", "https://evil.example", "", 403, ""},
		{"a page of nowhere", "POST", "null", "", 403, ""},
		{"the question of a page that may", "OPTIONS", "https://app.example", "authorization, mcp-param-Region, mcp-param-\"x, x-evil", 204, "https://app.example"},
		{"the question of a page that may not", "OPTIONS", "https://evil.example", "authorization", 403, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(c.method, "http://localhost:8000/mcp", nil)
			if c.origin != "" {
				r.Header.Set("Origin", c.origin)
			}
			if c.ask != "" {
				r.Header.Set("Access-Control-Request-Method", "POST")
				r.Header.Set("Access-Control-Request-Headers", c.ask)
			}
			w := httptest.NewRecorder()
			guard(nil).CORS(next).ServeHTTP(w, r)
			h := w.Header()
			if w.Code != c.want || h.Get("Access-Control-Allow-Origin") != c.allowed {
				t.Errorf("status %d, allowed origin %q; want %d, %q", w.Code, h.Get("Access-Control-Allow-Origin"), c.want, c.allowed)
			}
			if h.Get("Access-Control-Allow-Credentials") != "" {
				t.Error("pages may send cookies, want never")
			}
			if c.want == 200 && c.origin != "" && !strings.Contains(h.Get("Access-Control-Expose-Headers"), "Mcp-Session-Id") {
				t.Errorf("pages may not read the session's id: %v", h)
			}
			if c.want != 204 {
				return
			}
			got := h.Get("Access-Control-Allow-Headers")
			if !strings.Contains(got, "Authorization") || !strings.Contains(got, "mcp-param-region") || strings.Contains(got, "evil") || strings.Contains(got, `"`) {
				t.Errorf("pages may send %q, want authorization and mcp-param-region, and nothing else that was asked for", got)
			}
		})
	}
}

// What a call costs at the door, with a token that was checked before.
func BenchmarkPrivate(b *testing.B) {
	source := &counter{asked: map[string]int{}, answer: func(string) (auth.Identity, error) {
		return auth.Identity{Principal: mcp.Principal{ID: "corp:alice", Method: "jwt"}, Audience: []string{"https://gw.example/base/mcp"}}, nil
	}}
	for name, token := range map[string]string{"static": "0123456789abcdef", "jwt": strings.Repeat("x", 800)} {
		b.Run(name, func(b *testing.B) {
			g := auth.NewGuard(guarded(), auth.Options{Sources: []auth.Source{auth.NewCached(source, auth.CacheOptions{})}})
			h := g.Private(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			r := httptest.NewRequest("POST", "http://localhost/mcp", nil)
			w := httptest.NewRecorder()
			header := []string{"Bearer " + token}
			b.ReportAllocs()
			for b.Loop() {
				r.Header["Authorization"] = header
				h.ServeHTTP(w, r)
				if w.Code != 200 {
					b.Fatal(w.Code)
				}
			}
		})
	}
}

func TestAHostThatWasRightSaysNothingOfTheNext(t *testing.T) {
	h := auth.NewGuard(&config.Config{Listen: "127.0.0.1:8000", AllowedHosts: []string{"gw.example"}}, auth.Options{}).
		Private(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for _, step := range []struct {
		host string
		want int
	}{
		{"gw.example", 200}, {"gw.example", 200}, {"gw.example.evil", 403}, {"evil", 403}, {"gw.example:99999", 403},
		{"localhost:1", 200}, {"evil", 403}, {"gw.example:99999", 403}, {"", 403}, {"GW.example", 200}, {"gw.example:80", 200}, {"", 403},
	} {
		r := httptest.NewRequest(http.MethodPost, "/mcp", nil)
		r.Host = step.host
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != step.want {
			t.Errorf("host %q: got status %d, want %d", step.host, w.Code, step.want)
		}
	}
}
