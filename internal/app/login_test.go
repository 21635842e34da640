package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth/keys"
	"github.com/dragoman-mcp/dragoman/internal/auth/users"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/internal/store/sqlite"
)

const goodPassword = "correct horse battery"

// people makes a database with users, and gives its path and the store.
func people(t *testing.T) (string, *store.Store) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	u := users.New(s.Users, s.Families, users.Options{})
	for name, role := range map[string]string{"johndoe": "user", "alice": "admin"} {
		if err := u.Add(t.Context(), store.User{Name: name, FullName: "Some One", Email: name + "@example.com", Role: role}, goodPassword); err != nil {
			t.Fatal(err)
		}
	}
	return path, s
}

// disable disables a user, or lets it come in again.
func disable(t *testing.T, s *store.Store, name string, disabled bool) {
	t.Helper()
	u, err := s.Users.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	u.Disabled = disabled
	if err := s.Users.Put(t.Context(), u); err != nil {
		t.Fatal(err)
	}
}

func form(t *testing.T, address string, values url.Values) (int, map[string]any) {
	t.Helper()
	status, text := fetch(t, "POST", address, values.Encode(), "Content-Type", "application/x-www-form-urlencoded")
	var body map[string]any
	_ = json.Unmarshal([]byte(text), &body) // an empty body has no members
	return status, body
}

func TestLoginWithAPassword(t *testing.T) {
	path, s := people(t)
	_, _, gateway := run(t, fmt.Sprintf("listen: 127.0.0.1:0\nstate: {path: %q}\nauth: {passwords: {enabled: true}}\nservers: {time: {builtin: time}}\n", path))
	for _, c := range []struct {
		name   string
		values url.Values
		want   int
		code   string
	}{
		{"right", url.Values{"username": {"johndoe"}, "password": {goodPassword}}, 200, ""},
		{"right, as S0's clients write it", url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {goodPassword}, "scope": {""}, "client_id": {"x"}}, 200, ""},
		{"a wrong password", url.Values{"username": {"johndoe"}, "password": {"wrong horse battery"}}, 401, "invalid_grant"},
		{"nobody", url.Values{"username": {"nobody"}, "password": {goodPassword}}, 401, "invalid_grant"},
		{"SQL", url.Values{"username": {"' OR 1=1 --"}, "password": {"' OR 1=1 --"}}, 401, "invalid_grant"},
		{"no password", url.Values{"username": {"johndoe"}}, 400, "invalid_request"},
		{"two users", url.Values{"username": {"johndoe", "alice"}, "password": {goodPassword}}, 400, "invalid_request"},
		{"another grant", url.Values{"grant_type": {"client_credentials"}, "username": {"johndoe"}, "password": {goodPassword}}, 400, "unsupported_grant_type"},
		{"a scope that there is not", url.Values{"username": {"johndoe"}, "password": {goodPassword}, "scope": {"root"}}, 400, "invalid_scope"},
	} {
		status, body := form(t, gateway+"/token", c.values)
		if code, _ := body["error"].(string); status != c.want || code != c.code {
			t.Errorf("%s: %d %v, want %d %s", c.name, status, body, c.want, c.code)
		}
		if c.want == 200 && (body["token_type"] != "bearer" || body["expires_in"] != float64(1800)) {
			t.Errorf("%s: %v, want a bearer token for 1800 s", c.name, body)
		}
	}
	if status, _ := fetch(t, "POST", gateway+"/token?username=johndoe&password="+url.QueryEscape(goodPassword), "", "Content-Type", "application/x-www-form-urlencoded"); status != 400 {
		t.Errorf("a password in the address: %d, want 400", status)
	}
	_, body := form(t, gateway+"/token", url.Values{"username": {"johndoe"}, "password": {goodPassword}})
	token, _ := body["access_token"].(string)
	for _, path := range []string{"/users/me/", "/users/me"} {
		status, text := fetch(t, "GET", gateway+path, "", "Authorization", "Bearer "+token)
		if status != 200 || !strings.Contains(text, `"username":"johndoe"`) || !strings.Contains(text, `"role":"user"`) || !strings.Contains(text, `"disabled":false`) || strings.Contains(text, "argon2") {
			t.Errorf("GET %s: %d %s, want johndoe and no hash", path, status, text)
		}
	}
	if status, text := post(t, gateway+"/mcp", initialize, "Authorization", "Bearer "+token); status != 200 {
		t.Errorf("a call with the token: %d %s, want 200", status, text)
	}
	if status, text := fetch(t, "GET", gateway+"/.well-known/jwks.json", ""); status != 200 || !strings.Contains(text, `"kty":"OKP"`) || strings.Contains(text, `"d"`) {
		t.Errorf("published keys: %d %s", status, text)
	}
	if status, _ := form(t, gateway+"/revoke", url.Values{"token": {token}}); status != 200 {
		t.Errorf("revoke: %d, want 200", status)
	}
	if status, _ := post(t, gateway+"/mcp", initialize, "Authorization", "Bearer "+token); status != 401 {
		t.Errorf("a call with the revoked token: %d, want 401", status)
	}
	if info, err := os.Stat(path + ".key"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key beside the database: %v, %v; want it to be ours alone", info.Mode(), err)
	}
	_ = s
}

func TestCredentialsOfAllKindsAddUp(t *testing.T) {
	path, s := people(t)
	as := newIssuer(t)
	_, _, gateway := run(t, fmt.Sprintf("listen: 127.0.0.1:0\nstate: {path: %q}\nauth: {keys: {enabled: true}, passwords: {enabled: true}, tokens: [{name: laptop, token: 0123456789abcdef}], issuers: [{name: corp, url: %q}]}\nservers: {time: {builtin: time}}\n", path, as.URL))
	key, _, err := keys.New(s, keys.Options{}).Create(t.Context(), keys.Wanted{Name: "ci", Role: "user"})
	if err != nil {
		t.Fatal(err)
	}
	_, body := form(t, gateway+"/token", url.Values{"username": {"alice"}, "password": {goodPassword}})
	own, _ := body["access_token"].(string)
	for who, token := range map[string]string{
		"laptop": "0123456789abcdef", "key:": key.Reveal(), "user:alice": own, "corp:alice": as.token(t, gateway, time.Now().Add(time.Minute)),
	} {
		status, text := fetch(t, "GET", gateway+"/users/me/", "", "Authorization", "Bearer "+token)
		if status != 200 || !strings.Contains(text, `"id":"`+who) {
			t.Errorf("who am I as %s: %d %s", who, status, text)
		}
		// The same token, a little changed, is nobody's.
		broken := token[:len(token)-3] + "xyz"
		if status, _ := fetch(t, "GET", gateway+"/users/me/", "", "Authorization", "Bearer "+broken); status != 401 {
			t.Errorf("a broken credential of %s: %d, want 401", who, status)
		}
	}
}

// Every address is private but those that are named here.
func TestStrangersAreTurnedAwayEverywhere(t *testing.T) {
	path, _ := people(t)
	_, _, gateway := run(t, fmt.Sprintf("listen: 127.0.0.1:0\nstate: {path: %q}\ntelemetry: {profiling: true}\nauth: {passwords: {enabled: true}}\nservers: {time: {builtin: time}}\n", path))
	for _, where := range []string{"POST /mcp", "GET /mcp", "DELETE /mcp", "POST /mcp/time", "GET /mcp/time/health", "GET /sse", "POST /sse", "GET /sse/time",
		"POST /reload", "GET /metrics", "GET /debug/pprof/", "GET /debug/pprof/profile", "GET /users/me", "GET /users/me/", "OPTIONS /mcp", "PUT /mcp", "POST /mcp//time", "GET /mcp/%2e%2e/metrics"} {
		method, path, _ := strings.Cut(where, " ")
		if status, text := fetch(t, method, gateway+path, ""); status != http.StatusUnauthorized && status != http.StatusMethodNotAllowed && status != http.StatusNotFound {
			t.Errorf("%s by a stranger: %d %.100s, want 401", where, status, text)
		}
	}
	for _, where := range []string{"/", "/health", "/ready", "/.well-known/jwks.json"} {
		if status, _ := fetch(t, "GET", gateway+where, ""); status != 200 {
			t.Errorf("GET %s by a stranger: %d, want 200", where, status)
		}
	}
}
