package auth_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/mcp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDoor(t *testing.T) {
	open := &config.Config{Listen: "127.0.0.1:8000", PublicURL: "https://mcp.example.org", AllowedHosts: []string{"gw:8000", "other"}, AllowedOrigins: []string{"https://app.example.org"}}
	locked := *open
	locked.Auth.Tokens = []config.Token{{Name: "laptop", Token: "0123456789abcdef"}, {Name: "ci", Token: "fedcba9876543210"}}
	for _, c := range []struct {
		name   string
		cfg    *config.Config
		host   string
		header map[string]string
		want   int
		who    string
	}{
		{"loopback by number", open, "127.0.0.1:8000", nil, 200, ""},
		{"loopback by name", open, "localhost:1", nil, 200, ""},
		{"loopback of IPv6", open, "[::1]:8000", nil, 200, ""},
		{"the public name", open, "mcp.example.org", nil, 200, ""},
		{"an allowed name with its port", open, "gw:8000", nil, 200, ""},
		{"an allowed name with another port", open, "gw:81", nil, 403, ""},
		{"an allowed name without port has any", open, "OTHER:81", nil, 200, ""},
		{"a name that was rebound", open, "evil.com", nil, 403, ""},
		{"a name that looks like loopback", open, "127.0.0.1.evil.com", nil, 403, ""},
		{"a name with credentials before it", open, "localhost:1@evil", nil, 403, ""},
		{"no host", open, "", nil, 403, ""},
		{"an allowed page", open, "localhost", map[string]string{"Origin": "https://app.example.org"}, 200, ""},
		{"a page of ours", open, "localhost", map[string]string{"Origin": "http://localhost:3000"}, 200, ""},
		{"another page", open, "localhost", map[string]string{"Origin": "https://evil.com"}, 403, ""},
		{"a page without origin", open, "localhost", map[string]string{"Origin": "null"}, 403, ""},
		{"a page whose name begins like ours", open, "localhost", map[string]string{"Origin": "http://localhost.evil.com"}, 403, ""},
		{"a page with a path", open, "localhost", map[string]string{"Origin": "http://localhost/x"}, 403, ""},
		{"no token where one is needed", &locked, "localhost", nil, 401, ""},
		{"a wrong token", &locked, "localhost", map[string]string{"Authorization": "Bearer 0123456789abcdeX"}, 401, ""},
		{"another scheme", &locked, "localhost", map[string]string{"Authorization": "Basic 0123456789abcdef"}, 401, ""},
		{"the first token", &locked, "localhost", map[string]string{"Authorization": "Bearer 0123456789abcdef"}, 200, "laptop"},
		{"the second token", &locked, "localhost", map[string]string{"Authorization": "bearer fedcba9876543210"}, 200, "ci"},
		{"a token at the wrong host", &locked, "evil.com", map[string]string{"Authorization": "Bearer 0123456789abcdef"}, 403, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			who := "nobody came in"
			h := auth.NewGuard(c.cfg, auth.Options{}).Private(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				who = mcp.PrincipalOf(r.Context()).ID
			}))
			r := httptest.NewRequest("POST", "/mcp", nil)
			r.Host = c.host
			for k, v := range c.header {
				r.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != c.want || c.want == 200 && who != c.who {
				t.Errorf("host %q, headers %v: status %d as %q, want %d as %q", c.host, c.header, w.Code, who, c.want, c.who)
			}
		})
	}
}
