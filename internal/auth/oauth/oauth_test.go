package oauth_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/auth/oauth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// web is what can be reached, by address; a text that is no object is a challenge.
type web struct {
	mu    sync.Mutex // guards asked
	asked []string
	pages map[string]string
}

func (w *web) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.asked = append(w.asked, r.Method+" "+r.URL.String())
	w.mu.Unlock()
	page, ok := w.pages[r.URL.String()]
	res := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Request: r, Body: io.NopCloser(strings.NewReader(page))}
	switch {
	case !ok:
		res.StatusCode = http.StatusNotFound
	case !strings.HasPrefix(page, "{"):
		res.StatusCode = http.StatusUnauthorized
		res.Header.Set("WWW-Authenticate", page)
	}
	return res, nil
}

// unreachable fails the test.
type unreachable struct{ t *testing.T }

func (u unreachable) RoundTrip(r *http.Request) (*http.Response, error) {
	u.t.Errorf("%s was fetched", r.URL)
	return nil, errors.New("unreachable")
}

func metadataOf(issuer string, more map[string]any) string {
	document := map[string]any{
		"issuer": issuer, "token_endpoint": issuer + "/token", "authorization_endpoint": issuer + "/authorize", "code_challenge_methods_supported": []string{"S256"},
	}
	for name, value := range more {
		document[name] = value
	}
	text, err := json.Marshal(document)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func TestWhereTokensAreHad(t *testing.T) {
	const server, login = "https://notes.example/team/mcp", "https://login.example"
	about := func(resource string, issuers ...string) string {
		text, err := json.Marshal(map[string]any{"resource": resource, "authorization_servers": issuers, "scopes_supported": []string{"all"}})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	plain := oauth.Place{Issuer: login, Token: login + "/token", Authorization: login + "/authorize", Resource: server}
	with := func(change func(*oauth.Place)) oauth.Place {
		p := plain
		change(&p)
		return p
	}
	for _, c := range []struct {
		name  string
		pages map[string]string
		goal  oauth.Goal
		want  oauth.Place
		err   string
	}{
		{"by the challenge", map[string]string{
			server: `Bearer realm="a, \"b\"", resource_metadata="https://notes.example/about", scope="read write"`, "https://notes.example/about": about(server, login),
			login + "/.well-known/oauth-authorization-server": metadataOf(login, nil),
		}, oauth.Goal{URL: server}, with(func(p *oauth.Place) { p.Scopes = []string{"read", "write"} }), ""},
		{"by the well-known address with the path, and OpenID Connect", map[string]string{
			"https://notes.example/.well-known/oauth-protected-resource/team/mcp": about("https://notes.example/team", login, "https://other.example"),
			login + "/.well-known/openid-configuration":                           metadataOf(login, map[string]any{"scopes_supported": []string{"offline_access"}}),
		}, oauth.Goal{URL: server}, with(func(p *oauth.Place) {
			p.Resource, p.Scopes, p.Offline = "https://notes.example/team", []string{"all"}, true
		}), ""},
		{"by the well-known address of the host", map[string]string{
			"https://notes.example/.well-known/oauth-protected-resource": about("https://notes.example", login),
			login + "/.well-known/oauth-authorization-server":            metadataOf(login, nil),
		}, oauth.Goal{URL: server}, with(func(p *oauth.Place) { p.Resource, p.Scopes = "https://notes.example", []string{"all"} }), ""},
		{"of a server that is its own, as in 2025-03-26", map[string]string{
			"https://notes.example/.well-known/oauth-authorization-server": metadataOf("https://notes.example", nil),
		}, oauth.Goal{URL: server}, oauth.Place{Issuer: "https://notes.example", Token: "https://notes.example/token", Authorization: "https://notes.example/authorize", Resource: server}, ""},
		{"of an issuer with a path, in the third place", map[string]string{
			login + "/realms/a/.well-known/openid-configuration": metadataOf(login+"/realms/a", nil),
		}, oauth.Goal{URL: server, Issuer: login + "/realms/a"}, oauth.Place{Issuer: login + "/realms/a", Token: login + "/realms/a/token", Authorization: login + "/realms/a/authorize", Resource: server}, ""},
		{"of the configured issuer, whatever the server says", map[string]string{
			"https://notes.example/.well-known/oauth-protected-resource": about("https://notes.example", "https://evil.example"),
			login + "/.well-known/oauth-authorization-server":            metadataOf(login, nil),
		}, oauth.Goal{URL: server, Issuer: login, Resource: "urn:notes"}, with(func(p *oauth.Place) { p.Resource, p.Scopes = "urn:notes", []string{"all"} }), ""},
		{"not from metadata of another resource", map[string]string{
			"https://notes.example/.well-known/oauth-protected-resource": about("https://bank.example/mcp", login),
		}, oauth.Goal{URL: server}, oauth.Place{}, "of another resource"},
		{"not from metadata of a part of the server", map[string]string{
			"https://notes.example/.well-known/oauth-protected-resource": about(server+"/deeper", login),
		}, oauth.Goal{URL: server}, oauth.Place{}, "of another resource"},
		{"not from metadata of another issuer", map[string]string{
			login + "/.well-known/oauth-authorization-server": metadataOf(login+"/", nil),
		}, oauth.Goal{URL: server, Issuer: login}, oauth.Place{}, "that of another"},
		{"not without a token endpoint", map[string]string{
			login + "/.well-known/oauth-authorization-server": metadataOf(login, map[string]any{"token_endpoint": ""}),
		}, oauth.Goal{URL: server, Issuer: login}, oauth.Place{}, "names no token endpoint"},
		{"of a server that describes nothing, as in 2025-03-26", nil, oauth.Goal{URL: server}, oauth.Place{
			Issuer: "https://notes.example", Token: "https://notes.example/token", Authorization: "https://notes.example/authorize",
			Registration: "https://notes.example/register", Resource: server,
		}, ""},
		{"not where the configured issuer describes nothing", nil, oauth.Goal{URL: server, Issuer: login}, oauth.Place{}, "read the metadata"},
		{"not where the named issuer describes nothing", map[string]string{
			"https://notes.example/.well-known/oauth-protected-resource": about("https://notes.example", login),
		}, oauth.Goal{URL: server}, oauth.Place{}, "read the metadata"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &web{pages: c.pages}
			client := oauth.New(oauth.Options{Near: &http.Client{Transport: w}, Far: &http.Client{Transport: w}})
			got, err := client.Discover(t.Context(), c.goal)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("got %+v, %v, want an error with %q", got, err, c.err)
				}
				return
			}
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s\nasked %q", err, diff, w.asked)
			}
		})
	}
}

func TestWhatMayBeFetched(t *testing.T) {
	near, far := &web{}, &web{}
	client := oauth.New(oauth.Options{Near: &http.Client{Transport: near}, Far: &http.Client{Transport: far}, Hosts: []string{"10.0.0.5", "notes.internal"}})
	for address, want := range map[string]string{
		"http://10.0.0.5": "near", "http://10.0.0.5:9999": "near", "https://NOTES.internal": "near",
		"https://login.example": "far", "https://169.254.169.254": "far", // whose guard refuses it
		"http://login.example": "", "http://127.0.0.1": "", "http://169.254.169.254": "", "ftp://notes.internal": "", "file:///etc/passwd": "",
		"https://user@notes.internal": "", "javascript:alert(1)": "", "": "", "//notes.internal": "",
	} {
		near.asked, far.asked = nil, nil
		if _, err := client.Metadata(t.Context(), address); err == nil {
			t.Errorf("%s: there is metadata", address)
		}
		got := ""
		switch {
		case len(near.asked) > 0:
			got = "near"
		case len(far.asked) > 0:
			got = "far"
		}
		if got != want {
			t.Errorf("%q is fetched by %q, want %q", address, got, want)
		}
	}
}

func TestNoTokenOfABadFormIsTaken(t *testing.T) {
	for name, answer := range map[string]string{
		"none": `{"token_type":"Bearer"}`, "another type": `{"access_token":"x","token_type":"DPoP"}`, "no type": `{"access_token":"x"}`,
		"a line break": `{"access_token":"x\r\nX-Evil: 1","token_type":"Bearer"}`, "a space": `{"access_token":"x y","token_type":"Bearer"}`,
		"too long": `{"access_token":"` + strings.Repeat("x", 70_000) + `","token_type":"Bearer"}`, "a list": `{"access_token":["x"],"token_type":"Bearer"}`,
	} {
		w := &web{pages: map[string]string{"https://login.example/token": answer}}
		client := oauth.New(oauth.Options{Near: &http.Client{Transport: unreachable{t}}, Far: &http.Client{Transport: w}})
		_, err := client.Ask(t.Context(), oauth.Place{Token: "https://login.example/token"}, oauth.ClientID{ID: "x"}, url.Values{})
		var refusal *oauth.Refusal
		if err == nil || errors.As(err, &refusal) {
			t.Errorf("%s: %v, want an error that is no refusal", name, err)
		}
	}
}

func TestChallengesAreRead(t *testing.T) {
	for value, want := range map[string][]string{
		`Bearer`: {""}, `bearer scope="a b"`: {"", "a", "b"}, `BEARER resource_metadata = "https://x/y", scope=a`: {"https://x/y", "a"},
		`Basic realm="x"`: {""}, `Bearerx scope="a"`: {""}, `Bearer error="insufficient_scope", scope="a\"b"`: {"", `a"b`}, `Bearer ,,,=`: {""}, `Bearer scope="a`: {"", "a"},
	} {
		metadata, scopes := oauth.Challenge(http.Header{"Www-Authenticate": {value}})
		if got := append([]string{metadata}, scopes...); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", value, got, want)
		}
	}
}

func FuzzChallenge(f *testing.F) {
	for _, s := range []string{`Bearer scope="a b", resource_metadata="https://x"`, `Bearer a=b,c="d\`, `Bearer ="`, "Bearer \x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		metadata, scopes := oauth.Challenge(http.Header{"Www-Authenticate": {value}})
		if len(metadata)+len(strings.Join(scopes, "")) > len(value) {
			t.Errorf("%q gives more than is there: %q, %q", value, metadata, scopes)
		}
	})
}
