package password_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/auth/mint"
	"github.com/dragoman-mcp/dragoman/internal/auth/password"
	"github.com/dragoman-mcp/dragoman/internal/auth/users"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/internal/store/sqlite"
	"github.com/dragoman-mcp/dragoman/mcp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// people answers every login alike.
type people struct{ err error }

func (p people) Verify(_ context.Context, name, _ string) (store.User, error) {
	return store.User{Name: name, Role: "user"}, p.err
}

func handlers(t *testing.T, p people, log *bytes.Buffer) *password.Handlers {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	sealer, err := mint.NewSealer(bytes.Repeat([]byte("k"), 32))
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := mint.Open(t.Context(), mint.Options{Issuer: "https://gw.example", Keys: s.SigningKeys, Denials: s.Denials, Users: s.Users, Feed: s.Feed, Sealer: sealer})
	if err != nil {
		t.Fatal(err)
	}
	return password.New(password.Options{Users: p, Directory: s.Users, Tokens: tokens, TTL: time.Minute, Log: slog.New(slog.NewTextHandler(log, nil))})
}

func TestLoginsThatFail(t *testing.T) {
	for _, c := range []struct {
		name        string
		err         error
		kind        string
		want        int
		code, retry string
	}{
		{"goes well", nil, "application/x-www-form-urlencoded; charset=utf-8", 200, "", ""},
		{"is wrong", users.ErrRefused, "application/x-www-form-urlencoded", 401, "invalid_grant", ""},
		{"is of a disabled user", users.ErrDisabled, "application/x-www-form-urlencoded", 401, "invalid_grant", ""},
		{"comes with too many others", users.ErrBusy, "application/x-www-form-urlencoded", 503, "temporarily_unavailable", "1"},
		{"cannot be checked", errors.New("database at 10.0.0.1 is away"), "application/x-www-form-urlencoded", 503, "temporarily_unavailable", "5"},
		{"is no form", nil, "application/json", 415, "invalid_request", ""},
		{"is a form of files", nil, "multipart/form-data; boundary=x", 415, "invalid_request", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log bytes.Buffer
			h := handlers(t, people{c.err}, &log)
			form := url.Values{"username": {"ann"}, "password": {"canary-password"}}
			r := httptest.NewRequest("POST", "/token", strings.NewReader(form.Encode()))
			r.Header.Set("Content-Type", c.kind)
			w := httptest.NewRecorder()
			h.Token(w, r)
			var body struct {
				Error, Detail string
				Token         string `json:"access_token"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
				t.Fatal(err)
			}
			if w.Code != c.want || body.Error != c.code || w.Header().Get("Retry-After") != c.retry || (body.Token == "") != (c.want != 200) {
				t.Errorf("%d %s, Retry-After %q; want %d %s, %q", w.Code, w.Body, w.Header().Get("Retry-After"), c.want, c.code, c.retry)
			}
			if w.Header().Get("Cache-Control") != "no-store" || strings.Contains(w.Body.String(), "10.0.0.1") {
				t.Errorf("the answer may be kept, or says too much: %v %s", w.Header(), w.Body)
			}
			if strings.Contains(log.String(), "canary") || body.Token != "" && strings.Contains(log.String(), body.Token) {
				t.Errorf("the log has a secret: %s", &log)
			}
		})
	}
	var log bytes.Buffer
	r := httptest.NewRequest("POST", "/token", strings.NewReader("username=ann&password="+strings.Repeat("x", 1<<20)))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	if handlers(t, people{}, &log).Token(w, r); w.Code != 400 {
		t.Errorf("a form of 1 MiB: %d, want 400", w.Code)
	}
}

func TestWhoAmI(t *testing.T) {
	var log bytes.Buffer
	h := handlers(t, people{}, &log)
	for _, c := range []struct {
		p    mcp.Principal
		want int
		has  string
	}{
		{mcp.Principal{}, 404, "nobody has to show"},
		{mcp.Principal{ID: "laptop", Roles: []string{"admin"}, Method: "token"}, 200, `"username":"laptop"`},
		{mcp.Principal{ID: "corp:ann", Method: "jwt"}, 200, `"id":"corp:ann"`},
		{mcp.Principal{ID: "user:gone"}, 404, "no such user"},
	} {
		w := httptest.NewRecorder()
		h.Me(w, httptest.NewRequest("GET", "/users/me/", nil).WithContext(mcp.WithPrincipal(t.Context(), c.p)))
		if w.Code != c.want || !strings.Contains(w.Body.String(), c.has) {
			t.Errorf("%+v is told %d %s, want %d and %s", c.p, w.Code, w.Body, c.want, c.has)
		}
	}
}

func TestWhatIsNoTokenIsRevokedQuietly(t *testing.T) {
	var log bytes.Buffer
	h := handlers(t, people{}, &log)
	for _, token := range []string{"", "x", "a.b.c", strings.Repeat("x", 10000)} {
		r := httptest.NewRequest("POST", "/revoke", strings.NewReader(url.Values{"token": {token}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		if h.Revoke(w, r); w.Code != 200 { // RFC 7009, 2.2
			t.Errorf("revoke %.10q: %d, want 200", token, w.Code)
		}
	}
}
