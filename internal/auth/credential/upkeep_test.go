package credential_test

import (
	"context"
	"strings"
	"testing"
	"time"
)

// What was spent for a login, and a login whose code nobody gives, are forgotten when
// they hold no longer, and not before.
func TestWhatHasExpiredIsForgotten(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.authority.metadata = revocation(h, "/revoke")
	r := h.open()
	link := h.asked(r, "corp:alice")
	b := newBrowser(t)
	_, page := b.submit(link, nil)
	h.prove(r, "corp:alice", page)
	_, page = newBrowser(t).submit(h.asked(r, "corp:bob"), nil)
	kept := func(want string) {
		t.Helper()
		if err := r.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
		var all []string
		for c, err := range r.state.Credentials.All(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(c.Principal, "corp:") {
				all = append(all, c.Principal)
			}
		}
		if got := strings.Join(all, " "); got != want {
			t.Errorf("after the turn there is something kept for %q, want %q", got, want)
		}
	}
	kept("corp:alice corp:bob")
	if _, again := b.submit(link, nil); !strings.Contains(again, "used before") {
		t.Errorf("after a turn the link is good again: %s", again)
	}
	h.clock.advance(40 * time.Minute)
	kept("corp:alice")
	if got := h.give(r, "corp:bob", codeOn(t, page)); !strings.Contains(got, "No login at notes waits") {
		t.Errorf("bob's code after that is answered with %s", got)
	}
	if n, err := r.state.Denials.Purge(t.Context(), h.clock.now().Add(1000*time.Hour)); err != nil || n != 0 {
		t.Errorf("%d spent ids are left, %v, want none", n, err)
	}
	r.Close() // waits for what is taken back
	h.authority.set(func() {
		if len(h.authority.revoked) != 2 {
			t.Errorf("taken back were %q, want bob's two tokens", h.authority.revoked)
		}
	})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Run(ended); err != nil {
		t.Errorf("at its end: %v", err)
	}
}
