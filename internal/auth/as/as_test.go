package as_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/auth/as"
	"github.com/dragoman-mcp/dragoman/internal/auth/mint"
	"github.com/dragoman-mcp/dragoman/internal/auth/users"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/internal/store/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	issuer   = "https://gw.example"
	password = "correct horse battery"
	back     = "http://127.0.0.1:7777/callback"
	verifier = "verifier-verifier-verifier-verifier-verifier"
	document = "https://app.example/oauth/client.json"
)

// world is a gateway with an authorization server, and the web around it.
type world struct {
	t      *testing.T
	server *as.Server
	mint   *mint.Mint
	state  *store.Store
	ahead  atomic.Int64      // how far the clock is, in nanoseconds
	pages  map[string]string // what is published, by address
	asked  int
}

// RoundTrip is the web.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	w.asked++
	body, ok := w.pages[r.URL.String()]
	if !ok {
		return nil, errors.New("dial tcp 10.1.2.3:443: no route to host")
	}
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

func newWorld(t *testing.T, change func(*config.AuthorizationServer)) *world {
	t.Helper()
	state, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = state.Close() })
	w := &world{t: t, state: state, pages: map[string]string{
		document: `{"client_id":"` + document + `","client_name":"Good <b>App</b>\u202e","redirect_uris":["` + back + `","https://app.example/cb"]}`,
	}}
	people := users.New(state.Users, state.Families, users.Options{Floor: time.Millisecond})
	if err := people.Add(t.Context(), store.User{Name: "alice", Role: "user"}, password); err != nil {
		t.Fatal(err)
	}
	sealer, err := mint.NewSealer(bytes.Repeat([]byte("k"), 32))
	if err != nil {
		t.Fatal(err)
	}
	w.mint, err = mint.Open(t.Context(), mint.Options{Issuer: issuer, Keys: state.SigningKeys, Denials: state.Denials, Users: state.Users, Feed: state.Feed, Sealer: sealer, Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	cfg := config.AuthorizationServer{Enabled: true, MaxClients: 3, AccessTTL: 10 * time.Minute, RefreshTTL: 24 * time.Hour, ConsentTTL: time.Hour,
		Clients: []config.OAuthClient{{ID: "desktop", Name: "Desktop", RedirectURIs: []string{"http://127.0.0.1/callback"}}}}
	if change != nil {
		change(&cfg)
	}
	w.server = as.New(as.Options{
		Config: cfg, Issuer: issuer, Users: people, State: state, Tokens: w.mint, Sealer: sealer, Client: &http.Client{Transport: w}, Now: w.now,
		Resource: func(r string) bool { return r == issuer || strings.HasPrefix(r, issuer+"/") },
	})
	return w
}

// answer is what a browser or a client gets.
type answer struct {
	status   int
	header   http.Header
	body     string
	location url.Values // of the address that it is sent to
	to       string
	json     map[string]any
	cookies  []*http.Cookie
}

func (w *world) send(handler http.HandlerFunc, r *http.Request) answer {
	w.t.Helper()
	rec := httptest.NewRecorder()
	handler(rec, r)
	a := answer{status: rec.Code, header: rec.Header(), body: rec.Body.String(), cookies: rec.Result().Cookies()}
	if to := rec.Header().Get("Location"); to != "" {
		u, err := url.Parse(to)
		if err != nil {
			w.t.Fatal(err)
		}
		a.location, a.to = u.Query(), to
	}
	_ = json.Unmarshal(rec.Body.Bytes(), &a.json) // pages are none
	return a
}

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// ask is an authorization request that is right, with changes; an empty value removes.
func ask(change url.Values) url.Values {
	q := url.Values{"response_type": {"code"}, "client_id": {document}, "redirect_uri": {back}, "code_challenge": {challenge()},
		"code_challenge_method": {"S256"}, "state": {"st&te"}, "scope": {"mcp"}, "resource": {issuer + "/mcp"}}
	for k, v := range change {
		if q[k] = v; v[0] == "" {
			q.Del(k)
		}
	}
	return q
}

func (w *world) begin(change url.Values) answer {
	w.t.Helper()
	return w.send(w.server.Authorize, httptest.NewRequest("GET", issuer+as.PathAuthorize+"?"+ask(change).Encode(), nil))
}

var hidden = regexp.MustCompile(`name="request" value="([^"]+)"`)

// fill sends a page's form from the browser that has cookies.
func (w *world) fill(page answer, cookies []*http.Cookie, values url.Values) answer {
	w.t.Helper()
	found := hidden.FindStringSubmatch(page.body)
	if found == nil {
		w.t.Fatalf("no form in the page: %d %s", page.status, page.body)
	}
	values.Set("request", found[1])
	r := httptest.NewRequest("POST", issuer+as.PathAuthorize, strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, c := range cookies {
		r.AddCookie(c)
	}
	return w.send(w.server.Decide, r)
}

var (
	loginForm = url.Values{"step": {"login"}, "username": {"alice"}, "password": {password}, "answer": {"login"}}
	allowForm = url.Values{"step": {"consent"}, "answer": {"allow"}}
)

// code goes all the way to a code.
func (w *world) code(change url.Values) string {
	w.t.Helper()
	page := w.begin(change)
	question := w.fill(page, page.cookies, loginForm)
	if question.to == "" {
		question = w.fill(question, page.cookies, allowForm)
	}
	code := question.location.Get("code")
	if code == "" || question.location.Get("iss") != issuer || question.location.Get("state") != "st&te" || question.status != 303 {
		w.t.Fatalf("sent back with %d %s, want a code, iss and state", question.status, question.to)
	}
	return code
}

func (w *world) form(handler http.HandlerFunc, values url.Values) answer {
	w.t.Helper()
	r := httptest.NewRequest("POST", issuer+"/", strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return w.send(handler, r)
}

func redemption(code string, change url.Values) url.Values {
	f := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "client_id": {document}, "redirect_uri": {back}, "code_verifier": {verifier}}
	for k, v := range change {
		f[k] = v
	}
	return f
}

func (a answer) text(name string) string { s, _ := a.json[name].(string); return s }

func TestFromTheClientToATokenAndOn(t *testing.T) {
	w := newWorld(t, nil)
	page := w.begin(nil)
	if page.status != 200 || !strings.Contains(page.body, "Good &lt;b&gt;App&lt;/b&gt;") || strings.Contains(page.body, "\u202e") || !strings.Contains(page.body, "app.example") {
		t.Errorf("login page: %d %s", page.status, page.body)
	}
	question := w.fill(page, page.cookies, loginForm)
	for _, want := range []string{"alice", "every server", "http://127.0.0.1:7777", "program on your own machine", issuer + "/mcp"} {
		if !strings.Contains(question.body, want) {
			t.Errorf("page of consent does not say %q: %s", want, question.body)
		}
	}
	code := w.fill(question, page.cookies, allowForm).location.Get("code")
	first := w.form(w.server.Token, redemption(code, nil))
	if first.status != 200 || first.text("token_type") != "Bearer" || first.json["expires_in"] != float64(600) || first.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("redeem: %d %s", first.status, first.body)
	}
	id, err := w.mint.Identify(t.Context(), first.text("access_token"))
	if err != nil || id.Principal.ID != "user:alice" || len(id.Audience) != 1 || id.Audience[0] != issuer+"/mcp" {
		t.Errorf("identity %+v, %v; want alice's for %s/mcp", id, err, issuer)
	}
	second := w.form(w.server.Token, url.Values{"grant_type": {"refresh_token"}, "client_id": {document}, "refresh_token": {first.text("refresh_token")}})
	if second.status != 200 || second.text("refresh_token") == first.text("refresh_token") {
		t.Fatalf("refresh: %d %s, want another refresh token", second.status, second.body)
	}
	third := w.form(w.server.Token, url.Values{"grant_type": {"refresh_token"}, "client_id": {document}, "refresh_token": {second.text("refresh_token")}})
	if third.status != 200 {
		t.Fatalf("refresh again: %d %s", third.status, third.body)
	}
	// The first comes again: somebody has stolen it, or the thief was faster.
	if again := w.form(w.server.Token, url.Values{"grant_type": {"refresh_token"}, "client_id": {document}, "refresh_token": {first.text("refresh_token")}}); again.text("error") != "invalid_grant" {
		t.Errorf("a refresh token a second time: %d %s, want invalid_grant", again.status, again.body)
	}
	if after := w.form(w.server.Token, url.Values{"grant_type": {"refresh_token"}, "client_id": {document}, "refresh_token": {third.text("refresh_token")}}); after.text("error") != "invalid_grant" {
		t.Errorf("the newest refresh token after that: %d %s, want it ended too", after.status, after.body)
	}
	for _, token := range []string{first.text("access_token"), third.text("access_token")} {
		if _, err := w.mint.Identify(t.Context(), token); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("an access token after that: %v, want it ended too", err)
		}
	}
	// The user need not be asked again, but has to log in.
	if again := w.begin(nil); w.fill(again, again.cookies, loginForm).location.Get("code") == "" {
		t.Error("the user is asked again for what was allowed before")
	}
	more := w.begin(url.Values{"scope": {"mcp:files mcp"}})
	if got := w.fill(more, more.cookies, loginForm); got.to != "" {
		t.Errorf("the user is not asked for more than was allowed: %s", got.to)
	}
	elsewhere := w.begin(url.Values{"redirect_uri": {"https://app.example/cb"}})
	if got := w.fill(elsewhere, elsewhere.cookies, loginForm); got.to != "" {
		t.Errorf("the user is not asked for another redirect_uri: %s", got.to)
	}
	w.ahead.Store(int64(2 * time.Hour))
	late := w.begin(nil)
	if got := w.fill(late, late.cookies, loginForm); got.to != "" {
		t.Errorf("the user is not asked after the allowance has ended: %s", got.to)
	}
}

func TestNobodyIsSentToAStranger(t *testing.T) {
	w := newWorld(t, nil)
	for name, change := range map[string]url.Values{
		"an unknown client":                    {"client_id": {"nobody"}},
		"no client":                            {"client_id": {""}},
		"a document that cannot be fetched":    {"client_id": {"https://internal.example/x"}},
		"a document in clear text":             {"client_id": {"http://app.example/oauth/client.json"}},
		"a document without a path":            {"client_id": {"https://app.example/"}},
		"a document above":                     {"client_id": {"https://app.example/../x"}},
		"another redirect_uri":                 {"redirect_uri": {"https://evil.example/cb"}},
		"a redirect_uri with a slash more":     {"redirect_uri": {"https://app.example/cb/"}},
		"a redirect_uri with a query":          {"redirect_uri": {"https://app.example/cb?x=1"}},
		"a redirect_uri in other case":         {"redirect_uri": {"https://APP.example/cb"}},
		"a redirect_uri with a user":           {"redirect_uri": {"https://app.example@evil.example/cb"}},
		"no redirect_uri":                      {"redirect_uri": {""}},
		"loopback with another path":           {"redirect_uri": {"http://127.0.0.1:7777/other"}},
		"loopback that only looks so":          {"redirect_uri": {"http://127.0.0.1.evil.example/callback"}},
		"loopback by another name":             {"redirect_uri": {"http://localhost:7777/callback"}},
		"a script":                             {"redirect_uri": {"javascript:alert(1)"}},
		"a redirect_uri with a header in it":   {"redirect_uri": {"https://app.example/cb\r\nX: y"}},
		"a redirect_uri of another's document": {"client_id": {"desktop"}, "redirect_uri": {"https://app.example/cb"}},
	} {
		got := w.begin(change)
		if got.status != 400 || got.to != "" || strings.Contains(got.body, "10.1.2.3") {
			t.Errorf("%s: %d, sent to %q: %s; want 400 and nobody sent anywhere", name, got.status, got.to, got.body)
		}
	}
	if got := w.begin(url.Values{"client_id": {"desktop"}, "redirect_uri": {"http://127.0.0.1:49152/callback"}}); got.status != 200 {
		t.Errorf("loopback with another port: %d %s, want the login page", got.status, got.body)
	}
}

func TestRequestsThatTheClientIsToldOf(t *testing.T) {
	w := newWorld(t, nil)
	for _, c := range []struct {
		name   string
		change url.Values
		want   string
	}{
		{"no challenge", url.Values{"code_challenge": {""}}, "invalid_request"},
		{"a plain challenge", url.Values{"code_challenge_method": {"plain"}}, "invalid_request"},
		{"no method, which would be plain", url.Values{"code_challenge_method": {""}}, "invalid_request"},
		{"a short challenge", url.Values{"code_challenge": {"abc"}}, "invalid_request"},
		{"another response", url.Values{"response_type": {"token"}}, "unsupported_response_type"},
		{"another scope", url.Values{"scope": {"admin"}}, "invalid_scope"},
		{"another resource", url.Values{"resource": {"https://other.example/mcp"}}, "invalid_target"},
		{"a resource that begins like ours", url.Values{"resource": {issuer + ".evil.example/mcp"}}, "invalid_target"},
		{"a resource of ours and another", url.Values{"resource": {issuer + "/mcp", "https://other.example"}}, "invalid_target"},
		{"two states", url.Values{"state": {"a", "b"}}, "invalid_request"},
		{"a request object", url.Values{"request_uri": {"https://evil.example"}}, "request_not_supported"},
	} {
		got := w.begin(c.change)
		if got.location.Get("error") != c.want || got.location.Get("iss") != issuer || !strings.HasPrefix(got.to, back+"?") || got.location.Get("code") != "" {
			t.Errorf("%s: %d %s, want %s at %s", c.name, got.status, got.to, c.want, back)
		}
	}
}

func TestFormsOfOthers(t *testing.T) {
	w := newWorld(t, nil)
	victim, attacker := w.begin(nil), w.begin(nil)
	if got := w.fill(attacker, victim.cookies, loginForm); got.status != 403 {
		t.Errorf("a form that another browser began: %d, want 403", got.status)
	}
	if got := w.fill(attacker, nil, loginForm); got.status != 403 {
		t.Errorf("a form without the cookie: %d, want 403", got.status)
	}
	question := w.fill(attacker, attacker.cookies, loginForm)
	if got := w.fill(question, victim.cookies, allowForm); got.status != 403 || got.to != "" {
		t.Errorf("consent in another browser: %d %s, want 403", got.status, got.to)
	}
	// A login form is no consent form, and nothing can be made up.
	if got := w.fill(victim, victim.cookies, allowForm); got.status != 403 {
		t.Errorf("consent without a login: %d, want 403", got.status)
	}
	sealed := hidden.FindStringSubmatch(victim.body)[1]
	changed := answer{body: strings.Replace(victim.body, sealed, otherEnd(sealed), 1)}
	if got := w.fill(changed, victim.cookies, loginForm); got.status != 403 {
		t.Errorf("a form that was changed: %d, want 403", got.status)
	}
	if got := w.fill(victim, victim.cookies, url.Values{"step": {"login"}, "username": {"alice"}, "password": {"wrong wrong wrong"}}); got.status != 401 || got.to != "" {
		t.Errorf("a wrong password: %d %s, want the page again with 401", got.status, got.to)
	}
	if got := w.fill(question, attacker.cookies, url.Values{"step": {"consent"}, "answer": {"deny"}}); got.location.Get("error") != "access_denied" {
		t.Errorf("denied: %s, want access_denied", got.to)
	}
	if got := w.fill(question, attacker.cookies, allowForm); got.location.Get("code") == "" {
		t.Errorf("allowed: %d %s, want a code", got.status, got.body)
	}
	if got := w.fill(question, attacker.cookies, allowForm); got.status != 400 || got.to != "" {
		t.Errorf("the same form again: %d %s, want 400", got.status, got.to)
	}
	w.ahead.Store(int64(11 * time.Minute))
	if got := w.fill(victim, victim.cookies, loginForm); got.status != 403 {
		t.Errorf("a form from 11 minutes ago: %d, want 403", got.status)
	}
}

func TestPagesAreNotFramedAndRunNothing(t *testing.T) {
	w := newWorld(t, nil)
	page := w.begin(nil)
	csp := page.header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self' http://127.0.0.1:7777"} {
		if !strings.Contains(csp, want) {
			t.Errorf("Content-Security-Policy %s, want %s", csp, want)
		}
	}
	style := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindStringSubmatch(page.body)[1]
	sum := sha256.Sum256([]byte(style))
	if digest := base64.StdEncoding.EncodeToString(sum[:]); !strings.Contains(csp, "'sha256-"+digest+"'") {
		t.Errorf("Content-Security-Policy %s does not allow the page's own style, %s", csp, digest)
	}
	if page.header.Get("X-Frame-Options") != "DENY" || strings.Contains(page.body, "<script") || page.header.Get("Cache-Control") != "no-store" {
		t.Errorf("page: %v", page.header)
	}
	c := page.cookies[0]
	if c.Name != "__Host-dragoman-login" || !c.Secure || !c.HttpOnly || c.Path != "/" || c.SameSite != http.SameSiteStrictMode {
		t.Errorf("cookie %v, want one of this host alone, for browsers alone", c)
	}
}

func TestCodesThatAreNotRedeemed(t *testing.T) {
	w := newWorld(t, nil)
	for _, c := range []struct {
		name   string
		change url.Values
		want   string
	}{
		{"another verifier", url.Values{"code_verifier": {strings.Repeat("x", 43)}}, "invalid_grant"},
		{"no verifier", url.Values{"code_verifier": {""}}, "invalid_grant"},
		{"another client", url.Values{"client_id": {"desktop"}}, "invalid_grant"},
		{"another redirect_uri", url.Values{"redirect_uri": {"https://app.example/cb"}}, "invalid_grant"},
		{"another resource", url.Values{"resource": {issuer + "/mcp/files"}}, "invalid_target"},
		{"a code that was made up", url.Values{"code": {"AAAA"}}, "invalid_grant"},
		{"a secret", url.Values{"client_secret": {"x"}}, "invalid_client"},
		{"another grant", url.Values{"grant_type": {"password"}}, "unsupported_grant_type"},
		{"two codes", url.Values{"code": {"a", "b"}}, "invalid_request"},
	} {
		got := w.form(w.server.Token, redemption(w.code(nil), c.change))
		if got.text("error") != c.want || got.json["access_token"] != nil {
			t.Errorf("%s: %d %s, want %s", c.name, got.status, got.body, c.want)
		}
	}
	code := w.code(nil)
	first := w.form(w.server.Token, redemption(code, nil))
	if first.status != 200 {
		t.Fatalf("redeem: %s", first.body)
	}
	if again := w.form(w.server.Token, redemption(code, nil)); again.text("error") != "invalid_grant" {
		t.Errorf("a code a second time: %d %s, want invalid_grant", again.status, again.body)
	}
	if _, err := w.mint.Identify(t.Context(), first.text("access_token")); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("the token of a code that came twice: %v, want it ended", err)
	}
	code = w.code(nil)
	w.ahead.Store(int64(61 * time.Second))
	if late := w.form(w.server.Token, redemption(code, nil)); late.text("error") != "invalid_grant" {
		t.Errorf("a code after a minute: %d %s, want invalid_grant", late.status, late.body)
	}
}

func TestRefreshTokensThatDoNotHold(t *testing.T) {
	w := newWorld(t, nil)
	get := func() string {
		return w.form(w.server.Token, redemption(w.code(url.Values{"scope": {"mcp:files mcp:time"}}), nil)).text("refresh_token")
	}
	refresh := func(token string, change url.Values) answer {
		f := url.Values{"grant_type": {"refresh_token"}, "client_id": {document}, "refresh_token": {token}}
		for k, v := range change {
			f[k] = v
		}
		return w.form(w.server.Token, f)
	}
	if got := refresh(get(), url.Values{"client_id": {"desktop"}}); got.text("error") != "invalid_grant" {
		t.Errorf("another client's: %s, want invalid_grant", got.body)
	}
	if got := refresh(get(), url.Values{"scope": {"mcp"}}); got.text("error") != "invalid_scope" {
		t.Errorf("for more: %s, want invalid_scope", got.body)
	}
	if got := refresh(get(), url.Values{"scope": {"mcp:time"}}); got.text("scope") != "mcp:time" {
		t.Errorf("for less: %s, want mcp:time", got.body)
	}
	token := get()
	if got := w.form(w.server.Revoke, url.Values{"token": {token}}); got.status != 200 {
		t.Errorf("revoke: %d, want 200", got.status)
	}
	if got := refresh(token, nil); got.text("error") != "invalid_grant" {
		t.Errorf("a revoked one: %s, want invalid_grant", got.body)
	}
	token = get()
	alice, err := w.state.Users.Get(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	alice.Disabled = true
	if err := w.state.Users.Put(t.Context(), alice); err != nil {
		t.Fatal(err)
	}
	if got := refresh(token, nil); got.text("error") != "invalid_grant" {
		t.Errorf("of a user who is disabled: %s, want invalid_grant", got.body)
	}
	for _, bad := range []string{"", ".", "x.y", strings.Repeat("x", 10000)} {
		if got := refresh(bad, nil); got.text("error") != "invalid_grant" {
			t.Errorf("%.20q: %d %s, want invalid_grant", bad, got.status, got.body)
		}
	}
}

func TestClientsThatRegister(t *testing.T) {
	register := func(w *world, body string) answer {
		return w.send(w.server.Register, httptest.NewRequest("POST", issuer+as.PathRegister, strings.NewReader(body)))
	}
	good := `{"client_name":"X","redirect_uris":["` + back + `"],"token_endpoint_auth_method":"client_secret_basic"}`
	if got := register(newWorld(t, nil), good); got.status != 404 {
		t.Errorf("registration that nobody asked for: %d, want 404", got.status)
	}
	w := newWorld(t, func(c *config.AuthorizationServer) { c.DynamicRegistration = true })
	for _, bad := range []string{`{}`, `[]`, `{"redirect_uris":[]}`, `{"redirect_uris":["javascript:alert(1)"]}`, `{"redirect_uris":["data:text/html,x"]}`,
		`{"redirect_uris":["http://evil.example/cb"]}`, `{"redirect_uris":["https://x.example/cb#f"]}`, `{"redirect_uris":["https://u@x.example/"]}`,
		`{"redirect_uris":["https://x.example;frame-ancestors */"]}`, `{"redirect_uris":["/relative"]}`, `{"redirect_uris":["` + back + `"],"grant_types":["implicit"]}`} {
		if got := register(w, bad); got.status != 400 {
			t.Errorf("%s: %d %s, want 400", bad, got.status, got.body)
		}
	}
	client := register(w, good)
	if client.status != 201 || client.text("token_endpoint_auth_method") != "none" || client.json["client_secret"] != nil {
		t.Fatalf("register: %d %s", client.status, client.body)
	}
	id := client.text("client_id")
	page := w.begin(url.Values{"client_id": {id}})
	if page.status != 200 {
		t.Errorf("authorize a registered client: %d %s", page.status, page.body)
	}
	question := w.fill(page, page.cookies, loginForm)
	if !strings.Contains(question.body, "Nobody has checked its name") {
		t.Errorf("the page of consent does not warn of a name that nobody checked: %s", question.body)
	}
	register(w, good)
	register(w, good)
	if got := register(w, good); got.status != 503 || got.header.Get("Retry-After") == "" {
		t.Errorf("a client too many: %d %s, want 503", got.status, got.body)
	}
	w.ahead.Store(int64(91 * 24 * time.Hour))
	if got := register(w, good); got.status != 201 {
		t.Errorf("after the others have ended: %d %s, want 201", got.status, got.body)
	}
	if got := w.begin(url.Values{"client_id": {id}}); got.status != 400 {
		t.Errorf("a client that has ended: %d, want 400", got.status)
	}
}

func TestDocumentsOfClients(t *testing.T) {
	w := newWorld(t, nil)
	for name, body := range map[string]string{
		"of another client":   `{"client_id":"https://app.example/other","redirect_uris":["` + back + `"]}`,
		"without redirects":   `{"client_id":"` + document + `"}`,
		"with a secret":       `{"client_id":"` + document + `","redirect_uris":["` + back + `"],"client_secret":"x"}`,
		"that wants a secret": `{"client_id":"` + document + `","redirect_uris":["` + back + `"],"token_endpoint_auth_method":"client_secret_basic"}`,
		"that is no JSON":     `<html>`,
		"that never ends":     `{"client_id":"` + document + `","x":"` + strings.Repeat("x", 1<<20) + `"}`,
		"with a bad redirect": `{"client_id":"` + document + `","redirect_uris":["` + back + `","javascript:alert(1)"]}`,
	} {
		w.pages[document] = body
		w.ahead.Add(int64(time.Hour))
		if got := w.begin(nil); got.status != 400 {
			t.Errorf("a document %s: %d, want 400", name, got.status)
		}
	}
	before := w.asked
	for range 50 {
		w.begin(nil)
	}
	if w.asked != before {
		t.Errorf("50 requests of a client that is not right made %d fetches, want none", w.asked-before)
	}
}

func TestMetadata(t *testing.T) {
	w := newWorld(t, nil)
	got := w.send(w.server.Metadata, httptest.NewRequest("GET", issuer+"/.well-known/oauth-authorization-server", nil))
	if got.text("issuer") != issuer || got.json["authorization_response_iss_parameter_supported"] != true || got.json["client_id_metadata_document_supported"] != true || got.json["registration_endpoint"] != nil {
		t.Errorf("metadata: %s", got.body)
	}
}

// otherEnd changes the last but one character of a text in base64, all of whose bits count.
func otherEnd(text string) string {
	at, by := len(text)-2, "A"
	if text[at] == 'A' {
		by = "B"
	}
	return text[:at] + by + text[at+1:]
}
