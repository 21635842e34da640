package login_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdkauth "github.com/modelcontextprotocol/go-sdk/auth"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/internal/auth/oidc"
	"github.com/dragoman-mcp/dragoman/internal/builtin"
	"github.com/dragoman-mcp/dragoman/internal/config"
)

// person fills in the forms of pages, with a browser of its own, until there are no
// more of them, and gives the last page.
func person(t *testing.T, address, user string) string {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	browser := &http.Client{Jar: jar, Transport: transport, Timeout: time.Minute}
	res, err := browser.Get(address)
	for range 10 {
		if err != nil {
			t.Fatal(err)
		}
		body, readErr := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if readErr != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s %v", res.Request.URL, res.StatusCode, body, readErr)
		}
		action, fields := formOf(string(body), user)
		if fields == nil {
			return string(body)
		}
		goal, parseErr := res.Request.URL.Parse(action)
		if parseErr != nil {
			t.Fatal(parseErr)
		}
		res, err = browser.PostForm(goal.String(), fields)
	}
	t.Fatal("the browser was sent around in circles")
	return ""
}

var (
	formForm  = regexp.MustCompile(`(?s)<form[^>]*\baction="([^"]*)"[^>]*>(.*?)</form>`)
	fieldForm = regexp.MustCompile(`<input[^>]*>`)
	partForm  = regexp.MustCompile(`\b(name|type|value)="([^"]*)"`)
	buttonFor = regexp.MustCompile(`<button[^>]*>`)
)

// formOf fills in the first form of a page; nil if there is none.
func formOf(page, user string) (action string, fields url.Values) {
	form := formForm.FindStringSubmatch(page)
	if form == nil {
		return "", nil
	}
	parts := func(tag string) map[string]string {
		found := make(map[string]string)
		for _, part := range partForm.FindAllStringSubmatch(tag, -1) {
			found[part[1]] = html.UnescapeString(part[2])
		}
		return found
	}
	fields = url.Values{}
	for _, tag := range fieldForm.FindAllString(form[2], -1) {
		switch field := parts(tag); {
		case field["name"] == "":
		case field["type"] == "hidden":
			fields.Set(field["name"], field["value"])
		case field["type"] == "password":
			fields.Set(field["name"], password)
		default:
			fields.Set(field["name"], user)
		}
	}
	if button := parts(buttonFor.FindString(form[2])); button["name"] != "" {
		fields.Set(button["name"], button["value"])
	}
	return html.UnescapeString(form[1]), fields
}

// protected is a server of the official SDK, behind its own check of tokens, that
// tells whose token it was shown.
func protected(t *testing.T, issuer string, stateless bool) (address string, shown func() []string) {
	t.Helper()
	var mu sync.Mutex // guards seen
	var seen []string
	mux := http.NewServeMux()
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	resource := web.URL + "/mcp"
	cfg, err := config.Parse("test.yaml", fmt.Appendf(nil, "auth: {issuers: [{name: up, url: %q, audience: %q, algorithms: [RS256, EdDSA]}]}", issuer, resource), nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	known, err := oidc.New(cfg.Auth.Issuers[0], oidc.Options{Client: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	verify := func(ctx context.Context, token string, _ *http.Request) (*sdkauth.TokenInfo, error) {
		mu.Lock()
		seen = append(seen, token)
		mu.Unlock()
		id, err := known.Identify(ctx, token)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", sdkauth.ErrInvalidToken, err)
		}
		return &sdkauth.TokenInfo{UserID: id.Principal.ID, Expiration: id.Expires}, nil
	}
	server := sdk.NewServer(&sdk.Implementation{Name: "notes", Version: "1"}, nil)
	sdk.AddTool(server, &sdk.Tool{Name: "whoami"}, func(_ context.Context, req *sdk.CallToolRequest, _ struct{}) (*sdk.CallToolResult, any, error) {
		return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: req.Extra.TokenInfo.UserID}}}, nil, nil
	})
	handler := sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server }, &sdk.StreamableHTTPOptions{Stateless: stateless})
	mux.Handle("/mcp", sdkauth.RequireBearerToken(verify, &sdkauth.RequireBearerTokenOptions{ResourceMetadataURL: web.URL + "/about"})(handler))
	mux.Handle("/about", sdkauth.ProtectedResourceMetadataHandler(&oauthex.ProtectedResourceMetadata{
		Resource: resource, AuthorizationServers: []string{issuer}, ScopesSupported: []string{"mcp"},
	}))
	return resource, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(seen)
	}
}

// gateway runs one of a configuration, whose state has the user alice, until the test ends.
func gateway(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "state.db")
	addAlice(t, path)
	cfg, err := config.Parse("test.yaml", fmt.Appendf(nil, "listen: 127.0.0.1:0\nlog: {level: debug}\nstate: {path: %q}\n%s", path, text), nil)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	a, err := app.Open(cfg, app.Options{Version: "test", Servers: builtin.Open, LogOutput: &log})
	if err != nil {
		t.Fatal(err)
	}
	server, err := a.Listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		<-done
		closing, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := a.Close(closing); err != nil {
			t.Error(err)
		}
		for _, secret := range []string{password, "eyJ", "anything at all", "code=", "$argon2", "token-of-"} { // eyJ begins every JWT
			if strings.Contains(log.String(), secret) {
				t.Errorf("the log, at its most talkative, has %q in it", secret)
			}
		}
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return "http://" + server.Addr().String()
}

// bearer shows a token.
type bearer struct {
	token string
	http.RoundTripper
}

func (b bearer) RoundTrip(req *http.Request) (*http.Response, error) {
	sent := req.Clone(req.Context())
	sent.Header.Set("Authorization", "Bearer "+b.token)
	return b.RoundTripper.RoundTrip(sent)
}

// client is one of the official SDK that shows its user links, who opens them, and
// types the code of the page where that ends.
func client(t *testing.T, address, token string, opens func(link string) (page string)) *sdk.ClientSession {
	t.Helper()
	options := &sdk.ClientOptions{}
	if opens != nil {
		page := ""
		options.Capabilities = &sdk.ClientCapabilities{Elicitation: &sdk.ElicitationCapabilities{URL: &sdk.URLElicitationCapabilities{}, Form: &sdk.FormElicitationCapabilities{}}}
		options.ElicitationHandler = func(_ context.Context, req *sdk.ElicitRequest) (*sdk.ElicitResult, error) {
			if req.Params.Mode == "url" {
				page = opens(req.Params.URL)
				return &sdk.ElicitResult{Action: "accept"}, nil
			}
			return &sdk.ElicitResult{Action: "accept", Content: map[string]any{"code": codeOn(t, page)}}, nil
		}
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	session, err := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, options).Connect(t.Context(), &sdk.StreamableClientTransport{
		Endpoint: address, HTTPClient: &http.Client{Transport: bearer{token, transport}}, DisableStandaloneSSE: true,
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

var shownCode = regexp.MustCompile(`<output>([A-Z2-7]{4}-[A-Z2-7]{4})</output>`)

// codeOn is the code that the last page of a login shows.
func codeOn(t *testing.T, page string) string {
	found := shownCode.FindStringSubmatch(page)
	if found == nil {
		t.Errorf("the login ends with %s, want a code", page)
		return ""
	}
	return found[1]
}

func say(t *testing.T, s *sdk.ClientSession, tool string) string {
	t.Helper()
	return tell(t, s, tool, map[string]any{})
}

func tell(t *testing.T, s *sdk.ClientSession, tool string, arguments map[string]any) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	result, err := s.CallTool(ctx, &sdk.CallToolParams{Name: tool, Arguments: arguments})
	if err != nil {
		return "error: " + err.Error()
	}
	text := ""
	for _, c := range result.Content {
		if part, ok := c.(*sdk.TextContent); ok {
			text += part.Text
		}
	}
	return text
}

func names(t *testing.T, s *sdk.ClientSession) []string {
	t.Helper()
	var all []string
	for tool, err := range s.Tools(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, tool.Name)
	}
	return all
}

var linkForm = regexp.MustCompile(`http://127\.0\.0\.1:\d+/oauth/login\?link=[\w-]+`)

// Two users of one gateway, and a server of the official SDK that trusts an OpenID
// provider: each call carries the token of its own user, who logged in there. The
// gateway does it by its configuration alone.
func TestEachUserCallsAServerWithItsOwnLogin(t *testing.T) {
	for name, stateless := range map[string]bool{"a server with sessions": false, "a server without": true} {
		t.Run(name, func(t *testing.T) {
			issuer := provider(t, "RS256", "http://127.0.0.1/oauth/callback")
			address, shown := protected(t, issuer, stateless)
			gate := gateway(t, fmt.Sprintf(`
servers: {notes: {url: %q, auth: {type: oauth, client_id: login, issuer: %q, scopes: [openid, mcp, offline_access]}}}
auth: {tokens: [{name: alice, token: token-of-alice-0123456789}, {name: bob, token: token-of-bob-0123456789}]}
`, address, issuer))
			opened := 0
			alice := client(t, gate+"/mcp", "token-of-alice-0123456789", func(link string) string {
				opened++
				return person(t, link, "alice")
			})
			if got := say(t, alice, "notes__whoami"); got != "up:alice" || opened != 1 {
				t.Errorf("the server takes alice for %q, who was asked to open %d links", got, opened)
			}
			// Bob's client shows no links: the tool gives it, or the error does.
			bob := client(t, gate+"/mcp", "token-of-bob-0123456789", nil)
			if got := names(t, bob); !slices.Contains(got, "notes__log_in") || slices.Contains(got, "notes__whoami") {
				t.Errorf("bob, who has not logged in, sees the tools %v", got)
			}
			if got := say(t, bob, "notes__whoami"); !strings.Contains(got, "error:") || !linkForm.MatchString(got) {
				t.Errorf("bob, who has not logged in, gets %q", got)
			}
			code := codeOn(t, person(t, linkForm.FindString(say(t, bob, "notes__log_in")), "bob"))
			if got := tell(t, bob, "notes__log_in", map[string]any{"code": code}); !strings.Contains(got, "You are logged in at notes") {
				t.Errorf("bob's code is answered with %s", got)
			}
			if got := names(t, bob); !slices.Contains(got, "notes__whoami") {
				t.Errorf("bob, who has logged in, sees the tools %v", got)
			}
			var all sync.WaitGroup
			for range 10 {
				for want, session := range map[string]*sdk.ClientSession{"up:alice": alice, "up:bob": bob} {
					all.Go(func() {
						if got := say(t, session, "notes__whoami"); got != want {
							t.Errorf("the server takes %s for %q", want, got)
						}
					})
				}
			}
			all.Wait()
			if slices.ContainsFunc(shown(), func(token string) bool { return strings.HasPrefix(token, "token-of-") }) {
				t.Error("the server was shown what a caller has shown to the gateway")
			}
		})
	}
}

// A caller's token is exchanged at the configured endpoint, and is seen nowhere else:
// the server is shown what it was exchanged for, from the first list on.
func TestACallersTokenGoesToTheExchangeAlone(t *testing.T) {
	var mu sync.Mutex // guards what follows
	var exchanged, shown []string
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		mu.Lock()
		exchanged = append(exchanged, r.PostForm.Get("subject_token"))
		mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"access_token":"what-it-was-exchanged-for","token_type":"Bearer","issued_token_type":"urn:ietf:params:oauth:token-type:access_token","expires_in":300}`)
	}))
	t.Cleanup(web.Close)
	server := sdk.NewServer(&sdk.Implementation{Name: "bills", Version: "1"}, nil)
	sdk.AddTool(server, &sdk.Tool{Name: "pay"}, func(context.Context, *sdk.CallToolRequest, struct{}) (*sdk.CallToolResult, any, error) {
		return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: "paid"}}}, nil, nil
	})
	handler := sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server }, nil)
	bills := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if given := r.Header.Get("Authorization"); given != "" {
			mu.Lock()
			shown = append(shown, given)
			mu.Unlock()
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(bills.Close)
	gate := gateway(t, fmt.Sprintf("servers: {bills: {url: %q, auth: {type: exchange, token_url: %q, client_id: gw, client_secret: not-a-secret-of-anybody}}}\nauth: {passwords: {enabled: true}}\n", bills.URL, web.URL))
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := (&http.Client{Transport: transport}).PostForm(gate+"/token", url.Values{"username": {"alice"}, "password": {password}})
	if err != nil {
		t.Fatal(err)
	}
	var login struct {
		Token string `json:"access_token"`
	}
	err = json.NewDecoder(res.Body).Decode(&login)
	_ = res.Body.Close()
	if err != nil || login.Token == "" {
		t.Fatalf("alice does not come in: %d %v", res.StatusCode, err)
	}
	session := client(t, gate+"/mcp", login.Token, nil)
	if got := names(t, session); !slices.Contains(got, "bills__pay") {
		t.Errorf("alice sees the tools %v", got)
	}
	for range 5 {
		if got := say(t, session, "bills__pay"); got != "paid" {
			t.Errorf("the call gives %q", got)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(exchanged) != 1 || exchanged[0] != login.Token {
		t.Errorf("%d tokens were exchanged, want alice's once", len(exchanged))
	}
	if i := slices.IndexFunc(shown, func(given string) bool { return given != "Bearer what-it-was-exchanged-for" }); i >= 0 || len(shown) == 0 {
		t.Errorf("the server was shown %d tokens, and one that it should not", len(shown))
	}
}

// A gateway before another, whose own authorization server it registers with.
func TestAGatewayLogsItsUsersInAtAnother(t *testing.T) {
	inner := serve(t, "  authorization_server: {enabled: true, dynamic_registration: true}")
	outer := gateway(t, fmt.Sprintf("servers: {far: {url: %q, auth: oauth}}\nauth: {tokens: [{name: ann, token: token-of-ann-0123456789}]}\n", inner+"/mcp/time"))
	ann := client(t, outer+"/mcp", "token-of-ann-0123456789", func(link string) string { return person(t, link, "alice") })
	if got := say(t, ann, "far__now"); strings.Contains(got, "error:") || got == "" {
		t.Errorf("the call gives %q", got)
	}
	if got := names(t, ann); !slices.Contains(got, "far__now") {
		t.Errorf("after the login there are the tools %v", got)
	}
}
