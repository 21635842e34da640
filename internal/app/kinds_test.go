package app_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth/keys"
	"github.com/dragoman-mcp/dragoman/internal/store"
)

// asked is an identity provider that is asked about its opaque tokens too.
type asked struct {
	*issuer
	mu    sync.Mutex // guards about
	about map[string]map[string]any
}

func newAsked(t *testing.T) *asked {
	t.Helper()
	a := &asked{issuer: newIssuer(t), about: make(map[string]map[string]any)}
	before := a.Config.Handler
	a.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/introspect" {
			before.ServeHTTP(w, r)
			return
		}
		if name, secret, _ := r.BasicAuth(); name != "gw" || secret != "of-the-gateway" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		a.mu.Lock()
		claims := a.about[r.PostFormValue("token")]
		a.mu.Unlock()
		if claims == nil {
			claims = map[string]any{"active": false}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(claims)
	})
	return a
}

// credentials make a credential of each kind that is as the claims say; where a kind has no such claim it is empty.
type credentials map[string]func(t *testing.T, name string, change map[string]any) string

func (a *asked) credentials(gateway string, s *store.Store) credentials {
	claims := func(change map[string]any) map[string]any {
		all := map[string]any{"iss": a.URL, "sub": "alice", "aud": gateway + "/mcp", "exp": time.Now().Add(time.Hour).Unix(), "scope": "mcp"}
		for name, value := range change {
			if all[name] = value; value == nil {
				delete(all, name)
			}
		}
		return all
	}
	return credentials{
		"jwt": func(t *testing.T, _ string, change map[string]any) string {
			all := claims(change)
			typ, _ := all["typ"].(string)
			delete(all, "typ")
			if typ == "" {
				typ = "at+jwt"
			}
			raw, err := a.signer.Sign(typ, all)
			if err != nil {
				t.Fatal(err)
			}
			return raw
		},
		"opaque": func(_ *testing.T, name string, change map[string]any) string {
			all := claims(change)
			all["token_type"], all["active"] = "Bearer", all["revoked"] == nil
			token := "opaque-" + strings.NewReplacer(" ", "-", ",", "").Replace(name)
			a.mu.Lock()
			defer a.mu.Unlock()
			a.about[token] = all
			return token
		},
		"key": func(t *testing.T, name string, change map[string]any) string {
			wanted := keys.Wanted{Name: name, Role: "user"}
			if servers, ok := change["servers"].([]string); ok {
				wanted.Servers = servers
			}
			clock := time.Now
			if _, ok := change["exp"]; ok {
				clock = func() time.Time { return time.Now().Add(-48 * time.Hour) }
				wanted.Expires = time.Now().Add(-24 * time.Hour)
			}
			made := keys.New(s, keys.Options{Now: clock})
			key, row, err := made.Create(t.Context(), wanted)
			if err == nil && change["revoked"] != nil {
				err = made.Revoke(t.Context(), row.ID)
			}
			if err != nil {
				t.Fatal(err)
			}
			return key.Reveal()
		},
	}
}

// TestNoKindOfCredentialForgetsACheck (T22) makes the same wrong with each kind of credential that can have it, and none of
// them comes in by any transport's address.
func TestNoKindOfCredentialForgetsACheck(t *testing.T) {
	path, s := people(t)
	provider := newAsked(t)
	_, _, gateway := run(t, fmt.Sprintf("listen: 127.0.0.1:0\nstate: {path: %q}\nauth: {keys: {enabled: true}, issuers: [{name: corp, url: %q, scopes: mcp, introspection: {url: %q, client_id: gw, client_secret: of-the-gateway}}]}\n"+
		"servers: {time: {builtin: time}, clock: {builtin: time}}\n", path, provider.URL, provider.URL+"/introspect"))
	made := provider.credentials(gateway, s)
	const jwt, opaque, key = "jwt", "opaque", "key"
	past, future := time.Now().Add(-time.Hour).Unix(), time.Now().Add(time.Hour).Unix()
	for _, c := range []struct {
		name   string
		change map[string]any
		kinds  []string
		at     string
		want   int
	}{
		{"good", nil, []string{jwt, opaque, key}, "/mcp", 200},
		{"good for a server, there", map[string]any{"aud": gateway + "/mcp/time", "servers": []string{"time"}}, []string{jwt, opaque, key}, "/mcp/time", 200},
		{"expired", map[string]any{"exp": past}, []string{jwt, opaque, key}, "/mcp", 401},
		{"revoked", map[string]any{"revoked": true}, []string{opaque, key}, "/mcp", 401},
		{"for another gateway", map[string]any{"aud": "https://other.example/mcp"}, []string{jwt, opaque}, "/mcp", 401},
		{"for a server, at all of them", map[string]any{"aud": gateway + "/mcp/time"}, []string{jwt, opaque}, "/mcp", 401},
		{"for a server, at another", map[string]any{"aud": gateway + "/mcp/time"}, []string{jwt, opaque}, "/mcp/clock", 401},
		{"for nobody", map[string]any{"aud": nil}, []string{jwt, opaque}, "/mcp", 401},
		{"not yet good", map[string]any{"nbf": future}, []string{jwt, opaque}, "/mcp", 401},
		{"of another issuer", map[string]any{"iss": "https://other.example"}, []string{jwt, opaque}, "/mcp", 401},
		{"of no subject", map[string]any{"sub": nil}, []string{jwt, opaque}, "/mcp", 401},
		{"bound to a key", map[string]any{"cnf": map[string]string{"jkt": "x"}}, []string{jwt, opaque}, "/mcp", 401},
		{"no access token", map[string]any{"typ": "ID"}, []string{jwt, opaque}, "/mcp", 401},
		{"without the scope", map[string]any{"scope": "mail"}, []string{jwt, opaque}, "/mcp", 403},
	} {
		for _, kind := range c.kinds {
			token := made[kind](t, c.name, c.change)
			if status, text := post(t, gateway+c.at, initialize, "Authorization", "Bearer "+token); status != c.want || status != 200 && strings.Contains(text, "alice") {
				t.Errorf("%s, %s: got HTTP %d %.200s, want %d", kind, c.name, status, text, c.want)
			}
			if c.want == 200 {
				for what, wrong := range map[string]string{"with its end changed": token[:len(token)-3] + "xyz", "longer than any": strings.Repeat(token, 8<<10/len(token)+1)} {
					if status, _ := post(t, gateway+c.at, initialize, "Authorization", "Bearer "+wrong); status != 401 {
						t.Errorf("%s, %s: got HTTP %d, want 401", kind, what, status)
					}
				}
				if status, _ := post(t, gateway+c.at+"?access_token="+token, initialize); status != 400 {
					t.Errorf("%s, in the address: got HTTP %d, want 400", kind, status)
				}
				continue
			}
			if status, _ := fetch(t, "GET", gateway+strings.Replace(c.at, "mcp", "sse", 1), "", "Authorization", "Bearer "+token); status != c.want && status != 401 {
				t.Errorf("%s, %s: a stream got HTTP %d, want %d", kind, c.name, status, c.want)
			}
		}
	}
	// A key that is bound to a server finds no other.
	bound := made[key](t, "bound", map[string]any{"servers": []string{"time"}})
	if _, text := as(t, gateway, bound, "tools/list", "", ""); !strings.Contains(text, "time__now") || strings.Contains(text, "clock__now") {
		t.Errorf("a key for one server sees %.300s", text)
	}
	provider.Close()
	for kind, want := range map[string]int{opaque: 503, key: 200} {
		token := made[kind](t, "while the issuer is away", nil)
		if status, text := post(t, gateway+"/mcp", initialize, "Authorization", "Bearer "+token); status != want {
			t.Errorf("%s, while the issuer is away: got HTTP %d %.100s, want %d", kind, status, text, want)
		}
	}
}
