package password_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/internal/auth/password"
	"github.com/dragoman-mcp/dragoman/internal/auth/users"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/internal/store/sqlite"
)

// TestARefusalAtTokenTellsNothing (T32) logs in wrongly in each way there is, over the whole of /token. The clock is the test's, so
// that a refusal has to take as long as any other to the nanosecond.
func TestARefusalAtTokenTellsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const floor, right, wrong = 400 * time.Millisecond, "correct horse battery", "wrong horse battery"
		s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		u := users.New(s.Users, s.Families, users.Options{Floor: floor})
		for _, name := range []string{"ann", "locked", "disabled"} {
			if err := u.Add(t.Context(), store.User{Name: name, Role: users.RoleUser}, right); err != nil {
				t.Fatal(err)
			}
		}
		if err := u.SetDisabled(t.Context(), "disabled", true); err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			if err := s.Users.Attempt(t.Context(), "locked", i, time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		h := password.New(password.Options{Users: u, Directory: s.Users, TTL: time.Minute})
		type told struct {
			Status int
			Body   string
			Header http.Header
			Took   time.Duration
		}
		ask := func(name, password string) told {
			form := url.Values{"username": {name}, "password": {password}}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/token", strings.NewReader(form.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			w := httptest.NewRecorder()
			begun := time.Now()
			h.Token(w, r)
			return told{w.Code, w.Body.String(), w.Header(), time.Since(begun)}
		}
		want := ask("ann", wrong)
		if want.Status != http.StatusUnauthorized || want.Took != floor {
			t.Fatalf("a wrong password: got HTTP %d after %v, want 401 after %v", want.Status, want.Took, floor)
		}
		for what, c := range map[string][2]string{
			"nobody":                        {"nobody", wrong},
			"no name that there could be":   {"' OR 1=1 --", wrong},
			"locked, a wrong password":      {"locked", wrong},
			"locked, the right password":    {"locked", right},
			"disabled, a wrong password":    {"disabled", wrong},
			"disabled, the right password":  {"disabled", right},
			"a password longer than any is": {"ann", strings.Repeat("x", 2000)},
		} {
			if d := cmp.Diff(want, ask(c[0], c[1])); d != "" {
				t.Errorf("%s: the answer differs from that of a wrong password (-want +got):\n%s", what, d)
			}
		}
	})
}
