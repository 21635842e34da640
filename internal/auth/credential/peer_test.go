package credential_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// authority is an authorization server as strict as they get: each code and each
// refresh token is good once, and what comes a second time ends all that came of
// the same login.
type authority struct {
	*httptest.Server
	t *testing.T

	mu        sync.Mutex // guards what follows
	who       string     // who logs in next
	codes     map[string]grant
	families  map[string]*family // by refresh token, also those that were used
	tokens    map[string]string  // who an access token is for
	clients   map[string]bool
	asked     map[string]int // requests to the token endpoint, by what they asked for
	forms     []url.Values
	life      time.Duration                                     // of access tokens; 0: they say nothing of it
	fault     func(w http.ResponseWriter, form url.Values) bool // answers in the place of the token endpoint
	metadata  func(map[string]any)
	back      func(url.Values) // changes what the browser brings back
	noRefresh bool
	registers int
	revoked   []string // kinds of tokens that were taken back
	oneGrant  bool     // it has one for each user: whoever's token is taken back has none left
}

type grant struct{ who, challenge, redirect, client, resource string }

type family struct {
	who     string
	current string
	ended   bool
	gone    map[string]bool
}

func newAuthority(t *testing.T) *authority {
	a := &authority{
		t: t, who: "alice-at-work", life: time.Hour, codes: map[string]grant{}, families: map[string]*family{}, tokens: map[string]string{},
		clients: map[string]bool{"configured": true}, asked: map[string]int{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", a.describe)
	mux.HandleFunc("POST /register", a.register)
	mux.HandleFunc("GET /authorize", a.authorize)
	mux.HandleFunc("POST /token", a.token)
	mux.HandleFunc("POST /revoke", a.revoke)
	a.Server = httptest.NewServer(mux)
	t.Cleanup(a.Close)
	return a
}

func (a *authority) describe(w http.ResponseWriter, _ *http.Request) {
	document := map[string]any{
		"issuer": a.URL, "authorization_endpoint": a.URL + "/authorize", "token_endpoint": a.URL + "/token",
		"registration_endpoint": a.URL + "/register", "code_challenge_methods_supported": []string{"S256"},
		"authorization_response_iss_parameter_supported": true,
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.metadata != nil {
		a.metadata(document)
	}
	write(w, http.StatusOK, document)
}

// revoke ends what comes of a token, and takes those that it does not know.
func (a *authority) revoke(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		write(w, http.StatusBadRequest, map[string]any{"error": "invalid_request"})
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	token := r.PostForm.Get("token")
	a.revoked = append(a.revoked, r.PostForm.Get("token_type_hint"))
	if !a.clients[r.PostForm.Get("client_id")] {
		write(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	f := a.families[token]
	if f != nil {
		f.ended = true
	}
	delete(a.tokens, token)
	if f == nil || !a.oneGrant {
		return
	}
	for _, other := range a.families {
		other.ended = other.ended || other.who == f.who
	}
	maps.DeleteFunc(a.tokens, func(_, who string) bool { return who == f.who })
}

func (a *authority) register(w http.ResponseWriter, r *http.Request) {
	var about struct {
		Redirects []string `json:"redirect_uris"`
		Kind      string   `json:"application_type"`
	}
	if json.NewDecoder(r.Body).Decode(&about) != nil || len(about.Redirects) != 1 || about.Kind == "" {
		write(w, http.StatusBadRequest, map[string]any{"error": "invalid_client_metadata"})
		return
	}
	id := "client-" + rand.Text()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.registers++
	a.clients[id] = true
	write(w, http.StatusCreated, map[string]any{"client_id": id, "token_endpoint_auth_method": "none"})
}

func (a *authority) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	a.mu.Lock()
	defer a.mu.Unlock()
	if q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 || q.Get("response_type") != "code" || !a.clients[q.Get("client_id")] {
		http.Error(w, "not a good request: "+r.URL.RawQuery, http.StatusBadRequest)
		return
	}
	code := rand.Text()
	a.codes[code] = grant{a.who, q.Get("code_challenge"), q.Get("redirect_uri"), q.Get("client_id"), q.Get("resource")}
	back := url.Values{"code": {code}, "state": {q.Get("state")}, "iss": {a.URL}}
	if a.back != nil {
		a.back(back)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+back.Encode(), http.StatusFound)
}

func (a *authority) token(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		write(w, http.StatusBadRequest, map[string]any{"error": "invalid_request"})
		return
	}
	if id, secret, ok := r.BasicAuth(); ok {
		r.PostForm.Set("client_id", id)
		r.PostForm.Set("client_secret", secret)
	}
	a.mu.Lock()
	a.asked[r.PostForm.Get("grant_type")]++
	a.forms = append(a.forms, r.PostForm)
	fault := a.fault
	a.mu.Unlock()
	if fault != nil && fault(w, r.PostForm) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer(w, r.PostForm)
}

// answer answers a request to the token endpoint. a.mu is held.
func (a *authority) answer(w http.ResponseWriter, form url.Values) {
	if !a.clients[form.Get("client_id")] {
		write(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	switch form.Get("grant_type") {
	case "authorization_code":
		g, ok := a.codes[form.Get("code")]
		delete(a.codes, form.Get("code"))
		sum := sha256.Sum256([]byte(form.Get("code_verifier")))
		if !ok || base64.RawURLEncoding.EncodeToString(sum[:]) != g.challenge || form.Get("redirect_uri") != g.redirect ||
			form.Get("client_id") != g.client || form.Get("resource") != g.resource {
			write(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
			return
		}
		a.give(w, &family{who: g.who, gone: map[string]bool{}})
	case "refresh_token":
		f := a.families[form.Get("refresh_token")]
		if f == nil || f.ended {
			write(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
			return
		}
		if form.Get("refresh_token") != f.current {
			f.ended = true // somebody has a copy
			write(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
			return
		}
		a.give(w, f)
	case "client_credentials":
		a.give(w, &family{who: "the gateway", gone: map[string]bool{}})
	case "urn:ietf:params:oauth:grant-type:token-exchange":
		a.give(w, &family{who: "exchanged for " + form.Get("subject_token"), gone: map[string]bool{}})
	default:
		write(w, http.StatusBadRequest, map[string]any{"error": "unsupported_grant_type"})
	}
}

// give gives tokens. a.mu is held.
func (a *authority) give(w http.ResponseWriter, f *family) {
	access := "access-" + rand.Text()
	a.tokens[access] = f.who
	answer := map[string]any{"access_token": access, "token_type": "Bearer"}
	if a.life > 0 {
		answer["expires_in"] = int(a.life / time.Second)
	}
	if !a.noRefresh {
		f.current = "refresh-" + rand.Text()
		a.families[f.current] = f
		answer["refresh_token"] = f.current
	}
	write(w, http.StatusOK, answer)
}

// set changes something of it.
func (a *authority) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

// count says how often the token endpoint was asked for something.
func (a *authority) count(grantType string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked[grantType]
}

// of says who an access token is for.
func (a *authority) of(token string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tokens[token]
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// resource is a server that takes the tokens of an authority.
type resource struct {
	*httptest.Server
	authority *authority

	mu      sync.Mutex // guards what follows
	seen    []string   // Authorization, as it came
	revoked map[string]bool
	scope   string // that a request needs; empty: none
	bodies  []string
}

func newResource(t *testing.T, a *authority) *resource {
	r := &resource{authority: a, revoked: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/oauth-protected-resource/mcp", func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, map[string]any{"resource": r.URL + "/mcp", "authorization_servers": []string{a.URL}, "scopes_supported": []string{"read"}})
	})
	mux.HandleFunc("/mcp", r.serve)
	r.Server = httptest.NewServer(mux)
	t.Cleanup(r.Close)
	return r
}

func (r *resource) serve(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	token := strings.TrimPrefix(req.Header.Get("Authorization"), "Bearer ")
	r.mu.Lock()
	defer r.mu.Unlock()
	if req.Header.Get("Authorization") != "" {
		r.seen = append(r.seen, req.Header.Get("Authorization"))
	}
	who := r.authority.of(token)
	switch {
	case who == "" || r.revoked[token]:
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer error="invalid_token", resource_metadata="%s/.well-known/oauth-protected-resource/mcp", scope="read write"`, r.URL))
		http.Error(w, "who are you?", http.StatusUnauthorized)
	case r.scope != "":
		w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer error="insufficient_scope", scope="%s"`, r.scope))
		http.Error(w, "not with this token", http.StatusForbidden)
	default:
		r.bodies = append(r.bodies, string(body))
		fmt.Fprint(w, who)
	}
}

func (r *resource) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

func (r *resource) tokens() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seen)
}
