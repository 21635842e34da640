package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth/credential"
	"github.com/dragoman-mcp/dragoman/internal/auth/users"
	"github.com/dragoman-mcp/dragoman/internal/secret"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/internal/store/sqlite"
)

// revoker is an authorization server that takes tokens back, or not.
type revoker struct {
	*httptest.Server
	mu     sync.Mutex // guards what follows
	status int
	tokens []string
}

func newRevoker(t *testing.T) *revoker {
	r := &revoker{status: http.StatusOK}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.tokens = append(r.tokens, req.PostFormValue("token"))
		w.WriteHeader(r.status)
	}))
	t.Cleanup(r.Close)
	return r
}

// answers has it answer so from now on, and gives the tokens that it was shown before.
func (r *revoker) answers(status int) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	shown := r.tokens
	r.status, r.tokens = status, nil
	return shown
}

const boxSecret = "thirty-two characters of a secret, or more"

// connect keeps a login of a user at the server notes, and makes the user.
func connect(t *testing.T, state, name, authority, server string) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), state)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := users.New(s.Users, s.Families, users.Options{}).Add(t.Context(), store.User{Name: name, Role: "user"}, ""); err != nil {
		t.Fatal(err)
	}
	wrapper, err := secret.NewLocal([]byte(boxSecret))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{
		"server": "notes", "issuer": authority, "token_endpoint": authority + "/token", "revocation_endpoint": authority + "/revoke",
		"client": map[string]string{"ID": "us"}, "access_token": "access-of-" + name, "refresh_token": "refresh-of-" + name, "obtained": time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	who, row := "user:"+name, "notes "+server
	sealed, err := secret.NewBox(wrapper, s.DataKeys, nil).Seal(t.Context(), who,
		secret.Place{Table: "credentials", Row: who + "\n" + row, Column: "ciphertext", Version: 1}, text)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Credentials.Put(t.Context(), store.Credential{Principal: who, Issuer: row, Ciphertext: sealed, Key: secret.KeyOf(sealed), Updated: time.Now()}); err != nil {
		t.Fatal(err)
	}
}

// T57: who is removed is logged out at authorization servers, and is removed whatever
// these do.
func TestAUserWhoIsRemovedIsLoggedOutAtServers(t *testing.T) {
	authority := newRevoker(t)
	dir := t.TempDir()
	state, file := filepath.Join(dir, "state.db"), filepath.Join(dir, "dragoman.yaml")
	server := authority.URL + "/mcp"
	configure := func(secret string) {
		text := fmt.Sprintf("state: {path: %q}\nsession: {secret: %q}\nservers: {notes: {url: %q, auth: oauth}}\n", state, secret, server)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, secret string
		status       int
		shown        []string
		says         string
	}{
		{"ann", boxSecret, http.StatusOK, []string{"refresh-of-ann", "access-of-ann"}, ""},
		{"bob", boxSecret, http.StatusServiceUnavailable, []string{"refresh-of-bob", "access-of-bob"}, "user:bob at notes: the authorization server was not told, take the access back there: revoke: it is answered with HTTP 503"},
		{"eve", "another secret that is long enough for it", http.StatusOK, nil, "user:eve at notes: the authorization server was not told, take the access back there: what was kept of it cannot be read"},
	} {
		configure(c.secret)
		connect(t, state, c.name, authority.URL, server)
		authority.answers(c.status)
		said, err := removeUser(t, file, c.name)
		if err != nil || !strings.Contains(said, c.name+" is removed\n1 connected account forgotten\n"+c.says) || c.says == "" && strings.Contains(said, "not told") {
			t.Errorf("%s: got %v and %q, want that the user is removed and %q", c.name, err, said, c.says)
		}
		if shown := authority.answers(http.StatusOK); !slices.Equal(shown, c.shown) {
			t.Errorf("%s: taken back were %q, want %q", c.name, shown, c.shown)
		}
		left(t, state, "user:"+c.name)
	}
	if _, err := removeUser(t, file, "ann"); err == nil {
		t.Error("a user who is not there is removed without an error")
	}
}

func removeUser(t *testing.T, file, name string) (string, error) {
	t.Helper()
	var said bytes.Buffer
	cmd := newUser()
	cmd.SetOut(&said)
	cmd.SetErr(&said)
	cmd.SetArgs([]string{"remove", name, "-c", file})
	err := cmd.ExecuteContext(t.Context())
	return said.String(), err
}

// left fails the test if anything is kept for a principal.
func left(t *testing.T, state, principal string) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), state)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if all, err := credential.List(t.Context(), s, principal); err != nil || len(all) != 0 {
		t.Errorf("of %s the logins %v are left, %v", principal, all, err)
	}
	if _, err := s.DataKeys.Newest(t.Context(), principal); err == nil {
		t.Errorf("of %s a key is left", principal)
	}
}
