package as_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth/users"
)

// Whoever has a stolen password may have begun to log in before it was changed: what
// has not become a token by then never does.
func TestALoginThatIsUnderWayEndsWithThePassword(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, people *users.Users) error
		ends   bool
	}{
		"another password": {func(t *testing.T, people *users.Users) error {
			return people.SetPassword(t.Context(), "alice", "another long password")
		}, true},
		"disabled": {func(t *testing.T, people *users.Users) error { return people.SetDisabled(t.Context(), "alice", true) }, true},
		"disabled and enabled": {func(t *testing.T, people *users.Users) error {
			if err := people.SetDisabled(t.Context(), "alice", true); err != nil {
				return err
			}
			return people.SetDisabled(t.Context(), "alice", false)
		}, true},
		"removed": {func(t *testing.T, people *users.Users) error { return people.Remove(t.Context(), "alice") }, true},
		"nothing": {func(*testing.T, *users.Users) error { return nil }, false},
	} {
		for _, step := range []string{"the page of consent", "a code"} {
			w := newWorld(t, nil)
			w.ahead.Store(int64(time.Second))
			page := w.begin(nil)
			question := w.fill(page, page.cookies, loginForm)
			code := ""
			if step == "a code" {
				code = w.fill(question, page.cookies, allowForm).location.Get("code")
			}
			w.ahead.Store(int64(2 * time.Second))
			if err := c.change(t, users.New(w.state.Users, w.state.Families, users.Options{Now: w.now})); err != nil {
				t.Fatal(err)
			}
			w.ahead.Store(int64(3 * time.Second))
			if code == "" {
				code = w.fill(question, page.cookies, allowForm).location.Get("code")
			}
			got := w.form(w.server.Token, redemption(code, url.Values{}))
			if c.ends && (got.text("error") != "invalid_grant" || !strings.Contains(got.body, "was changed since")) || !c.ends && got.status != 200 {
				t.Errorf("%s after %s: %d %s, want that it is refused: %t", name, step, got.status, got.body, c.ends)
			}
		}
	}
}
