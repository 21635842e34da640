package oidc_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/auth/jwt"
	"github.com/dragoman-mcp/dragoman/internal/auth/oidc"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/mcp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const issuerURL = "https://as.example/realms/a"

// provider is an identity provider, as an http.RoundTripper.
type provider struct {
	mu       sync.Mutex
	down     bool
	hang     bool
	asked    map[string]int
	signers  []*jwt.Signer
	metadata string // the place that answers
	issuer   string // what it says there
	jwksURI  string
}

func newProvider(t testing.TB, signers ...*jwt.Signer) *provider {
	t.Helper()
	return &provider{
		asked: map[string]int{}, signers: signers, issuer: issuerURL, jwksURI: "https://keys.example/jwks",
		metadata: "https://as.example/.well-known/oauth-authorization-server/realms/a",
	}
}

func (p *provider) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.asked[r.URL.String()]++
	down, hang := p.down, p.hang
	status, body := p.page(r.URL.String())
	p.mu.Unlock()
	if hang {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if down {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}, Request: r}, nil
}

func (p *provider) page(url string) (int, string) {
	switch url {
	case p.metadata:
		text, _ := json.Marshal(map[string]string{"issuer": p.issuer, "jwks_uri": p.jwksURI})
		return 200, string(text)
	case p.jwksURI:
		var keys []string
		for _, s := range p.signers {
			keys = append(keys, string(s.JWK()))
		}
		return 200, `{"keys":[` + strings.Join(keys, ",") + `]}`
	}
	return 404, "not here"
}

func (p *provider) count(url string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[url]
}

func (p *provider) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func newSigner(t testing.TB) *jwt.Signer {
	t.Helper()
	der, err := jwt.NewPrivateKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	s, err := jwt.NewSigner(der)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sign(t testing.TB, s *jwt.Signer, change map[string]any) string {
	t.Helper()
	claims := map[string]any{
		"iss": issuerURL, "sub": "alice", "aud": []string{"https://gw.example/mcp"}, "exp": time.Now().Add(48 * time.Hour).Unix(),
		"iat": time.Now().Unix(), "jti": "t1", "scope": "mcp", "preferred_username": "Alice", "groups": []string{"staff", "admin"},
		"realm_access": map[string]any{"roles": []string{"mcp-admins", "admin"}}, "mcp_servers": []string{"files"},
	}
	for k, v := range change {
		claims[k] = v
	}
	raw, err := s.Sign("at+jwt", claims)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// pass lets time go by in the bubble.
func pass(d time.Duration) { <-time.After(d) }

// serve makes an issuer and runs it until the test ends.
func serve(t *testing.T, p *provider, change func(*config.Issuer)) *oidc.Issuer {
	t.Helper()
	cfg := config.Issuer{Name: "corp", URL: issuerURL, Leeway: 30 * time.Second, Scopes: []string{"mcp"}}
	cfg.Claims = config.ClaimNames{Name: "preferred_username", Roles: "realm_access.roles", Groups: "groups"}
	cfg.Roles = map[string]string{"mcp-admins": "admin", "staff": "user"}
	if change != nil {
		change(&cfg)
	}
	i, err := oidc.New(cfg, oidc.Options{Client: &http.Client{Transport: p}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = i.Run(ctx) })
	t.Cleanup(func() { stop(); running.Wait() })
	return i
}

func TestCallersOfAnIssuer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, other := newSigner(t), newSigner(t)
		i := serve(t, newProvider(t, key), nil)
		got, err := i.Identify(t.Context(), sign(t, key, nil))
		if err != nil {
			t.Fatal(err)
		}
		want := auth.Identity{
			Principal: mcp.Principal{ID: "corp:alice", Name: "Alice", Method: "jwt", Groups: []string{"staff", "admin"}, Roles: []string{"admin", "user"}},
			Audience:  []string{"https://gw.example/mcp"}, TokenID: "t1", KeyID: key.ID(),
		}
		got.Expires, got.Issued = time.Time{}, time.Time{}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("identity (-want +got):\n%s", d)
		}
		for _, c := range []struct {
			name, token string
			want        error
		}{
			{"no token", "0123456789abcdef", auth.ErrForeign},
			{"of another issuer", sign(t, key, map[string]any{"iss": "https://as.example/realms/b"}), auth.ErrForeign},
			{"of an issuer with a slash more", sign(t, key, map[string]any{"iss": issuerURL + "/"}), auth.ErrForeign},
			{"of another key", sign(t, other, nil), auth.ErrInvalid},
			{"expired", sign(t, key, map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}), auth.ErrInvalid},
			{"with two subjects", "e30.e30.", auth.ErrInvalid},
		} {
			if _, err := i.Identify(t.Context(), c.token); !errors.Is(err, c.want) {
				t.Errorf("token %s: %v, want %v", c.name, err, c.want)
			}
		}
		var scope *auth.ScopeError
		if _, err := i.Identify(t.Context(), sign(t, key, map[string]any{"scope": "mcpx MCP"})); !errors.As(err, &scope) || !slices.Equal(scope.Need, []string{"mcp"}) {
			t.Errorf("token without the scope: %v, want a ScopeError for mcp", err)
		}
	})
}

func TestWhatTheConfigurationAsksOfTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newSigner(t)
		p := newProvider(t, key)
		i := serve(t, p, func(c *config.Issuer) { c.Audience = []string{"dragoman"}; c.Claims.Servers = "mcp_servers" })
		if _, err := i.Identify(t.Context(), sign(t, key, nil)); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("a token for another audience: %v, want ErrInvalid", err)
		}
		got, err := i.Identify(t.Context(), sign(t, key, map[string]any{"aud": "dragoman"}))
		if err != nil || got.Audience != nil || !slices.Equal(got.Principal.Servers, []string{"files"}) {
			t.Errorf("identity %+v, %v; want one for everything here, bound to the server files", got, err)
		}
		got, err = i.Identify(t.Context(), sign(t, key, map[string]any{"aud": "dragoman", "mcp_servers": []string{}}))
		if err != nil || got.Principal.Servers == nil || len(got.Principal.Servers) > 0 {
			t.Errorf("identity %+v, %v; want one that is bound to no server at all", got.Principal, err)
		}
		picky := serve(t, p, func(c *config.Issuer) { c.Algorithms = []string{"RS256"} })
		if _, err := picky.Identify(t.Context(), sign(t, key, nil)); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("a token of an algorithm that is not on the list: %v, want ErrInvalid", err)
		}
	})
}

func TestKeysAreFoundAndKeptFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := newSigner(t), newSigner(t)
		p := newProvider(t, first)
		i := serve(t, p, nil)
		synctest.Wait()
		token := sign(t, first, nil)
		id, err := i.Identify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		p.set(func() { p.signers = []*jwt.Signer{first, second} })
		pass(refreshLeast)
		if _, err := i.Identify(t.Context(), sign(t, second, nil)); err != nil {
			t.Errorf("a token of the new key: %v, want it asked for", err)
		}
		before := p.count(p.jwksURI)
		for range 100 { // unknown keys make nobody ask more often than once a minute
			if _, err := i.Identify(t.Context(), sign(t, newSigner(t), nil)); !errors.Is(err, auth.ErrInvalid) {
				t.Fatalf("a token of an unknown key: %v, want ErrInvalid", err)
			}
		}
		if got := p.count(p.jwksURI); got != before {
			t.Errorf("100 unknown keys made %d questions, want none within the minute", got-before)
		}
		p.set(func() { p.signers = []*jwt.Signer{second} })
		pass(20 * time.Minute)
		if i.Holds(id) {
			t.Error("a token of a key that was withdrawn still holds")
		}
		if _, err := i.Identify(t.Context(), token); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("a token of a key that was withdrawn: %v, want ErrInvalid", err)
		}
	})
}

const refreshLeast = time.Minute

func TestManyCallersAskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newSigner(t)
		p := newProvider(t, key)
		i := serve(t, p, nil)
		token := sign(t, key, nil)
		var callers sync.WaitGroup
		for range 50 {
			callers.Go(func() {
				if _, err := i.Identify(t.Context(), token); err != nil {
					t.Error(err)
				}
			})
		}
		callers.Wait()
		if got := p.count(p.jwksURI); got != 1 {
			t.Errorf("50 callers at once made %d questions, want 1", got)
		}
	})
}

func TestAnIssuerThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newSigner(t)
		p := newProvider(t, key)
		p.down = true
		i := serve(t, p, nil)
		token := sign(t, key, nil)
		if _, err := i.Identify(t.Context(), token); err == nil || errors.Is(err, auth.ErrInvalid) || errors.Is(err, auth.ErrForeign) {
			t.Errorf("while no keys could be had: %v, want an error that says to come again", err)
		}
		p.set(func() { p.down = false })
		pass(5 * time.Second)
		id, err := i.Identify(t.Context(), token)
		if err != nil {
			t.Fatalf("after it is back: %v", err)
		}
		p.set(func() { p.down = true })
		pass(23 * time.Hour)
		if _, err := i.Identify(t.Context(), token); err != nil || !i.Holds(id) {
			t.Errorf("a day without the issuer: %v, want the old keys used", err)
		}
		pass(2 * time.Hour)
		if _, err := i.Identify(t.Context(), token); err == nil || errors.Is(err, auth.ErrInvalid) || i.Holds(id) {
			t.Errorf("after more than a day: %v, want keys that old refused", err)
		}
	})
}

func TestAnIssuerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, newSigner(t))
		p.hang = true
		i := serve(t, p, nil)
		start := time.Now()
		_, err := i.Identify(t.Context(), sign(t, newSigner(t), nil))
		if took := time.Since(start); err == nil || took > 5*time.Second {
			t.Errorf("a caller waited %v and got %v, want an error after at most 5s", took, err)
		}
	})
}

func TestMetadataThatIsNotBelieved(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*provider)
		good   bool
	}{
		{"in the first place", func(*provider) {}, true},
		{"in the second place", func(p *provider) { p.metadata = "https://as.example/.well-known/openid-configuration/realms/a" }, true},
		{"in the third place", func(p *provider) { p.metadata = issuerURL + "/.well-known/openid-configuration" }, true},
		{"of another issuer", func(p *provider) { p.issuer = "https://evil.example" }, false},
		{"of an issuer that is almost right", func(p *provider) { p.issuer = issuerURL + "/" }, false},
		{"with keys in clear text", func(p *provider) { p.jwksURI = "http://keys.example/jwks" }, false},
		{"with keys in a file", func(p *provider) { p.jwksURI = "file:///etc/passwd" }, false},
		{"without keys", func(p *provider) { p.signers = nil }, false},
		{"nowhere", func(p *provider) { p.metadata = "" }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				key := newSigner(t)
				p := newProvider(t, key)
				c.change(p)
				i := serve(t, p, nil)
				if _, err := i.Identify(t.Context(), sign(t, key, nil)); (err == nil) != c.good {
					t.Errorf("metadata %s: %v, want it believed: %v", c.name, err, c.good)
				}
			})
		})
	}
}

func TestSharedSecrets(t *testing.T) {
	cfg := config.Issuer{Name: "corp", URL: issuerURL, Secret: "your-256-bit-secret-your-256-bit-secret"}
	if _, err := oidc.New(cfg, oidc.Options{}); err == nil {
		t.Error("a secret that stands in every manual is taken")
	}
	cfg.Secret = "Jb7rQm2xKc9vWn4hTz6pLs8yFd3gRk5q"
	i, err := oidc.New(cfg, oidc.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// {"alg":"ES256"} signed by nobody: a secret is for its algorithm only.
	if _, err := i.Identify(t.Context(), sign(t, newSigner(t), nil)); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("a token of ES256: %v, want ErrInvalid", err)
	}
	cfg.Algorithms = []string{"HS256", "HS384"}
	if _, err := oidc.New(cfg, oidc.Options{}); err == nil {
		t.Error("one secret for two algorithms is taken")
	}
	cfg.Secret, cfg.Algorithms = "", []string{"HS256"}
	if _, err := oidc.New(cfg, oidc.Options{}); err == nil {
		t.Error("HS256 without a secret is taken")
	}
}
