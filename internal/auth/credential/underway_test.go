package credential_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth/credential"
	"github.com/dragoman-mcp/dragoman/internal/auth/users"
	"github.com/dragoman-mcp/dragoman/internal/store"
)

// Whoever has a stolen password may have begun to connect an account of their own
// before it was changed: what its owner does at the server would go there.
func TestALoginThatIsUnderWayEndsWithThePassword(t *testing.T) {
	t.Parallel()
	const password = "correct horse battery"
	for name, c := range map[string]struct {
		change func(t *testing.T, people *users.Users) error
		ends   bool
	}{
		"nothing": {func(*testing.T, *users.Users) error { return nil }, false},
		"another password": {func(t *testing.T, people *users.Users) error {
			return people.SetPassword(t.Context(), "alice", "another long password")
		}, true},
		"disabled": {func(t *testing.T, people *users.Users) error { return people.SetDisabled(t.Context(), "alice", true) }, true},
		"removed":  {func(t *testing.T, people *users.Users) error { return people.Remove(t.Context(), "alice") }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.authority.metadata = revocation(h, "/revoke")
			r := h.open()
			people := users.New(r.state.Users, r.state.Families, users.Options{Floor: time.Millisecond})
			if err := people.Add(t.Context(), store.User{Name: "alice", Role: "user"}, password); err != nil {
				t.Fatal(err)
			}
			h.passwords = people
			mallory := newBrowser(t)
			back := mallory.stoppedWith(h.asked(r, "user:alice"), url.Values{"answer": {"go"}, "password": {password}})
			if err := c.change(t, people); err != nil {
				t.Fatal(err)
			}
			status, page := mallory.get(back)
			all, err := credential.List(t.Context(), r.state, "user:alice")
			if err != nil {
				t.Fatal(err)
			}
			if !c.ends {
				if status != http.StatusOK || len(all) != 1 {
					t.Errorf("the login ends with %d %s, and there are %v; want it kept", status, page, all)
				}
				return
			}
			if status != http.StatusForbidden || !strings.Contains(page, "Nothing was connected") || len(all) != 0 {
				t.Errorf("the login ends with %d %s, and there are %v; want nothing kept", status, page, all)
			}
			h.takenBack(2)
		})
	}
}
