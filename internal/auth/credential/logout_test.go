package credential_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/auth/credential"
)

func revocation(h *house, where string) func(map[string]any) {
	return func(m map[string]any) { m["revocation_endpoint"] = h.authority.URL + where }
}

func TestALogOutIsToldToTheAuthorizationServer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.authority.metadata = revocation(h, "/revoke")
	r := h.open()
	h.login(r, "corp:alice", "alice-at-work")
	h.login(r, "corp:bob", "bob-at-work")
	ended, err := r.LogOut(t.Context(), "corp:alice", "notes")
	if err != nil || len(ended) != 1 || ended[0].Principal != "corp:alice" || ended[0].Fault != nil {
		t.Fatalf("it ends %+v, %v, want alice's login, and that it was told", ended, err)
	}
	h.authority.set(func() {
		if !slices.Equal(h.authority.revoked, []string{"refresh_token", "access_token"}) || len(h.authority.tokens) != 1 {
			t.Errorf("taken back were %q, and %d access tokens are good, want both of alice's, and bob's", h.authority.revoked, len(h.authority.tokens))
		}
	})
	if got := h.says(r, "corp:bob"); got != "bob-at-work" {
		t.Errorf("after the log-out of alice the server takes %s for bob", got)
	}
	if ended, err := r.LogOut(t.Context(), "corp:alice", "notes"); err != nil || len(ended) != 0 {
		t.Errorf("a second time it ends %+v, %v, want none", ended, err)
	}
	if ended, err := r.LogOut(t.Context(), "", "note"); err != nil || len(ended) != 0 {
		t.Errorf("at another server it ends %+v, %v, want none", ended, err)
	}
}

// What the authorization server does not do is said, and the login is gone here.
func TestALogOutThatIsNotTakenIsOneHere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		metadata func(h *house) func(map[string]any)
		want     string
	}{
		"no endpoint": {func(*house) func(map[string]any) { return nil }, "revocation_endpoint"},
		"a fault":     {func(h *house) func(map[string]any) { return revocation(h, "/nothing-is-here") }, "HTTP 404"},
		"nobody answers": {func(*house) func(map[string]any) {
			return func(m map[string]any) { m["revocation_endpoint"] = "http://127.0.0.1:1/revoke" }
		}, "revoke: "},
		"a client of else": {func(h *house) func(map[string]any) { return revocation(h, "/revoke") }, "HTTP 401"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.authority.metadata = c.metadata(h)
			r := h.open()
			h.login(r, "corp:alice", "alice-at-work")
			if strings.Contains(name, "client") {
				h.authority.set(func() { clear(h.authority.clients) })
			}
			ended, err := r.LogOut(t.Context(), "corp:alice", "notes")
			if err != nil || len(ended) != 1 || ended[0].Fault == nil || !strings.Contains(ended[0].Fault.Error(), c.want) {
				t.Fatalf("it ends %+v, %v, want a fault with %q", ended, err, c.want)
			}
			if all, err := credential.List(t.Context(), r.state, ""); err != nil || len(all) != 0 {
				t.Errorf("there are the logins %v, %v, want none", all, err)
			}
		})
	}
}

// A login whose code nobody gives is taken back with the last guess.
func TestALoginThatIsNotProvenIsTakenBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.authority.metadata = revocation(h, "/revoke")
	r := h.open()
	if status, page := newBrowser(t).submit(h.asked(r, "corp:alice"), nil); status != http.StatusOK || !shownCode.MatchString(page) {
		t.Fatal(status, page)
	}
	for range 5 {
		h.give(r, "corp:alice", "AAAA-AAAA")
	}
	r.Close() // waits for it
	h.authority.set(func() {
		if len(h.authority.revoked) != 2 || len(h.authority.tokens) != 0 {
			t.Errorf("taken back were %q, and %d access tokens are good, want none good", h.authority.revoked, len(h.authority.tokens))
		}
	})
}
