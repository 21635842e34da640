package credential_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth/credential"
	"github.com/dragoman-mcp/dragoman/internal/store"
)

// asked gives the link that a principal gets who has not logged in.
func (h *house) asked(r *replica, principal string) string {
	h.t.Helper()
	_, err := h.call(r, principal, request("read", false))
	return linkOf(h.t, err)
}

// none fails the test if somebody has a credential now.
func (h *house) none(r *replica, what string, principals ...string) {
	h.t.Helper()
	for _, principal := range principals {
		if got := h.says(r, principal); !strings.Contains(got, "/oauth/login?link=") {
			h.t.Errorf("%s: the server takes %s for %q", what, principal, got)
		}
	}
}

// stopped opens a link, goes on, and stops before the browser is led back: it gives
// where to.
func (b browser) stopped(link string) string { return b.stoppedWith(link, nil) }

// stoppedWith is stopped with a form that is filled in.
func (b browser) stoppedWith(link string, fields url.Values) string {
	b.t.Helper()
	back := ""
	b.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
		if req.URL.Path == credential.PathCallback {
			back = req.URL.String()
			return http.ErrUseLastResponse
		}
		return nil
	}
	b.submit(link, fields)
	if back == "" {
		b.t.Fatal("the browser was not led back")
	}
	return back
}

func TestALoginEndsInTheBrowserThatItBeganIn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.open()
	// The attacker begins, logs in with its own account, and has the victim's browser
	// finish it, or the other way round.
	mallory, victim := newBrowser(t), newBrowser(t)
	back := mallory.stopped(h.asked(r, "corp:alice"))
	if status, page := victim.get(back); status != http.StatusForbidden || !strings.Contains(page, "another browser") {
		t.Errorf("another browser ends the login: %d %s", status, page)
	}
	victim.stopped(h.asked(r, "corp:victim")) // has a login of its own under way
	if status, _ := victim.get(back); status != http.StatusForbidden {
		t.Errorf("another browser with a login of its own ends the login: %d", status)
	}
	h.none(r, "after a login that was carried to another browser", "corp:alice", "corp:victim", "corp:mallory")
	if n := h.authority.count("authorization_code"); n != 0 {
		t.Errorf("%d codes were redeemed, want 0", n)
	}
}

func TestAFormOfAnotherPageIsNotTaken(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.open()
	link := h.asked(r, "corp:mallory")
	mallory, victim := newBrowser(t), newBrowser(t)
	_, page := mallory.get(link)
	form := hidden.FindStringSubmatch(page)[1]
	post := func(b browser) (int, string) {
		res, err := b.PostForm(r.web.URL+credential.PathLogin, url.Values{"form": {form}, "answer": {"go"}})
		if err != nil {
			t.Fatal(err)
		}
		return read(t, res)
	}
	if status, _ := post(victim); status != http.StatusForbidden {
		t.Errorf("a form that another browser was shown gets %d, want 403", status)
	}
	victim.get(h.asked(r, "corp:victim"))
	if status, _ := post(victim); status != http.StatusForbidden {
		t.Errorf("a form that another browser was shown gets %d where one of its own is open, want 403", status)
	}
	res, err := victim.PostForm(r.web.URL+credential.PathLogin, url.Values{"form": {strings.TrimPrefix(link, r.web.URL+credential.PathLogin+"?link=")}, "answer": {"go"}})
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := read(t, res); status != http.StatusBadRequest {
		t.Errorf("a link in the place of a form gets %d, want 400", status)
	}
	h.none(r, "after forms of other pages", "corp:mallory", "corp:victim")
}

func TestThePageSaysForWhomTheLoginIs(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.open()
	res, err := newBrowser(t).Get(h.asked(r, `corp:<b>mallory</b>`))
	if err != nil {
		t.Fatal(err)
	}
	_, page := read(t, res)
	for _, want := range []string{"corp:&lt;b&gt;mallory&lt;/b&gt;", "would give them your account", "127.0.0.1"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q: %s", want, page)
		}
	}
	for name, want := range map[string]string{
		"Content-Security-Policy": `default-src 'none'.*frame-ancestors 'none'`, "X-Frame-Options": "DENY", "Cache-Control": "no-store",
	} {
		if got := res.Header.Get(name); !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%s is %q, want %s", name, got, want)
		}
	}
	for _, c := range res.Cookies() {
		if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" {
			t.Errorf("cookie %s, want HttpOnly and SameSite=Strict", c.Raw)
		}
	}
	if _, page := newBrowser(t).submit(h.asked(r, "corp:alice"), url.Values{"answer": {"no"}}); !strings.Contains(page, "Nothing was connected") {
		t.Errorf("who cancels sees %s", page)
	}
	h.none(r, "after somebody has cancelled", "corp:alice")
}

// passwords knows one user.
type passwords struct{}

func (passwords) Verify(_ context.Context, name, password string) (store.User, error) {
	if name != "alice" || password != "correct horse" {
		return store.User{}, errors.New("wrong")
	}
	return store.User{Name: name}, nil
}

func TestALocalUserShowsItsPassword(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.passwords = passwords{}
	r := h.open()
	for _, password := range []string{"", "wrong"} {
		status, page := newBrowser(t).submit(h.asked(r, "user:alice"), url.Values{"answer": {"go"}, "password": {password}, "username": {"mallory"}})
		if status != http.StatusUnauthorized || !strings.Contains(page, "Wrong password") {
			t.Errorf("with password %q: %d %s", password, status, page)
		}
	}
	h.none(r, "with wrong passwords", "user:alice")
	if status, page := newBrowser(t).submit(h.asked(r, "user:alice"), url.Values{"answer": {"go"}, "password": {"correct horse"}}); status != http.StatusOK || !strings.Contains(page, "Connected") {
		t.Errorf("with the right password: %d %s", status, page)
	}
	if got := h.says(r, "user:alice"); got != "alice-at-work" {
		t.Errorf("the server takes alice for %q", got)
	}
}

func TestAnAnswerThatIsNotTheIssuersIsNotTaken(t *testing.T) {
	for name, c := range map[string]struct {
		advertised bool
		back       func(url.Values)
		want       int
	}{
		"another issuer": {true, func(q url.Values) { q.Set("iss", "https://evil.example") }, http.StatusForbidden},
		"another issuer, though none is promised": {false, func(q url.Values) { q.Set("iss", "https://evil.example") }, http.StatusForbidden},
		"no issuer, though one is promised":       {true, func(q url.Values) { q.Del("iss") }, http.StatusForbidden},
		"an issuer with a slash":                  {true, func(q url.Values) { q.Set("iss", q.Get("iss")+"/") }, http.StatusForbidden},
		"an error of another issuer": {true, func(q url.Values) {
			q.Del("code")
			q.Set("error", "access_denied")
			q.Set("iss", "https://evil.example")
		}, http.StatusForbidden},
		"another state": {true, func(q url.Values) { q.Set("state", "x"+q.Get("state")) }, http.StatusForbidden},
		"no state":      {true, func(q url.Values) { q.Del("state") }, http.StatusForbidden},
		"two states":    {true, func(q url.Values) { q.Add("state", "x") }, http.StatusBadRequest},
		"a refusal": {true, func(q url.Values) {
			q.Del("code")
			q.Set("error", "access_denied")
			q.Set("error_description", "<script>alert(1)</script>")
		}, http.StatusOK},
		"a code of another login": {true, func(q url.Values) { q.Set("code", "anything") }, http.StatusBadGateway},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.authority.metadata = func(m map[string]any) { m["authorization_response_iss_parameter_supported"] = c.advertised }
			h.authority.back = c.back
			r := h.open()
			status, page := newBrowser(t).submit(h.asked(r, "corp:alice"), nil)
			if status != c.want || shownCode.MatchString(page) || strings.Contains(page, "Connected") || strings.Contains(page, "evil") || strings.Contains(page, "script>") {
				t.Errorf("it ends with %d %s, want %d", status, page, c.want)
			}
			h.none(r, name, "corp:alice")
		})
	}
}

func TestALinkIsGoodOnceAndNotForEver(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	one, other := h.open(), h.open()
	link := h.asked(one, "corp:alice")
	b := newBrowser(t)
	_, page := b.submit(link, nil)
	h.prove(one, "corp:alice", page)
	h.authority.set(func() { h.authority.who = "mallory-at-work" })
	for _, again := range []browser{b, newBrowser(t)} {
		if _, page := again.submit(link, nil); !strings.Contains(page, "used before") {
			t.Errorf("a link the second time: %s", page)
		}
	}
	if got := h.says(other, "corp:alice"); got != "alice-at-work" {
		t.Errorf("the server takes alice for %q", got)
	}
	late := h.asked(one, "corp:bob")
	h.clock.advance(11 * time.Minute)
	if status, page := newBrowser(t).submit(late, nil); status != http.StatusBadRequest || !strings.Contains(page, "not good any more") {
		t.Errorf("a link after eleven minutes: %d %s", status, page)
	}
	for name, bad := range map[string]string{"no link": "", "no link at all": "?", "a made-up link": "?link=AAAA", "a changed link": "?link=x" + strings.TrimPrefix(h.asked(one, "corp:bob"), one.web.URL+credential.PathLogin+"?link=")} {
		if status, _ := newBrowser(t).get(one.web.URL + credential.PathLogin + bad); status != http.StatusBadRequest {
			t.Errorf("%s: %d, want 400", name, status)
		}
	}
}

// A server that names an authorization server must not learn what is for another,
// nor have the gateway fetch what it likes.
func TestAServerCannotChooseWhatIsFetched(t *testing.T) {
	for name, change := range map[string]func(h *house, m map[string]any){
		"the metadata of another issuer":    func(_ *house, m map[string]any) { m["issuer"] = "https://login.example.org" },
		"no PKCE":                           func(_ *house, m map[string]any) { delete(m, "code_challenge_methods_supported") },
		"plain PKCE":                        func(_ *house, m map[string]any) { m["code_challenge_methods_supported"] = []string{"plain"} },
		"a page that runs":                  func(_ *house, m map[string]any) { m["authorization_endpoint"] = "javascript:alert(1)" },
		"a page by http elsewhere":          func(_ *house, m map[string]any) { m["authorization_endpoint"] = "http://login.example.org/authorize" },
		"a shell":                           func(_ *house, m map[string]any) { m["authorization_endpoint"] = "file:///bin/sh" },
		"registration at a private address": func(_ *house, m map[string]any) { m["registration_endpoint"] = "http://169.254.169.254/latest" },
		"registration inside":               func(_ *house, m map[string]any) { m["registration_endpoint"] = "http://10.0.0.1/" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.authority.metadata = func(m map[string]any) { change(h, m) }
			r := h.open()
			b := newBrowser(t)
			if status, page := b.submit(h.asked(r, "corp:alice"), nil); status != http.StatusBadGateway || !strings.Contains(page, "cannot be used now") {
				t.Errorf("it ends with %d %s", status, page)
			}
			h.none(r, name, "corp:alice")
		})
	}
}
