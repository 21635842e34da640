package credential_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth/credential"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// anew logs a principal in who may be logged in already.
func (h *house) anew(r *replica, principal string) {
	h.t.Helper()
	link, err := r.VouchedLink(h.t.Context(), "notes", mcp.Principal{ID: principal})
	if err != nil {
		h.t.Fatal(err)
	}
	if status, page := newBrowser(h.t).submit(link, nil); status != http.StatusOK {
		h.t.Fatalf("the login of %s ends with %d %s", principal, status, page)
	}
}

// takenBack waits until n tokens were taken back: that is done behind the caller's back.
func (h *house) takenBack(n int) {
	h.t.Helper()
	limit, tick := time.After(time.Minute), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for {
		var kinds []string
		h.authority.set(func() { kinds = slices.Clone(h.authority.revoked) })
		if len(kinds) >= n {
			if len(kinds) > n {
				h.t.Errorf("taken back were %q, want %d", kinds, n)
			}
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			h.t.Fatalf("taken back were %q, want %d", kinds, n)
		}
	}
}

func TestALoginTakesTheOneBeforeItBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.authority.metadata = revocation(h, "/revoke")
	r := h.open()
	h.login(r, "corp:alice", "alice-at-work")
	h.login(r, "corp:bob", "bob-at-work")
	h.says(r, "corp:alice")
	first := strings.TrimPrefix(h.resource.tokens()[0], "Bearer ")
	h.authority.set(func() { h.authority.who = "alice-at-home" })
	h.anew(r, "corp:alice")
	h.takenBack(2)
	if who := h.authority.of(first); who != "" {
		t.Errorf("the token of the login before is good for %s", who)
	}
	for who, want := range map[string]string{"corp:alice": "alice-at-home", "corp:bob": "bob-at-work"} {
		if got := h.says(r, who); got != want {
			t.Errorf("afterwards the server takes %s for %s, want %s", who, got, want)
		}
	}
	h.clock.advance(2 * time.Hour)
	if got := h.says(r, "corp:alice"); got != "alice-at-home" {
		t.Errorf("after a refresh the server takes alice for %s", got)
	}
	r.Close()
	h.takenBack(2)
}

// A login that waits for its code is taken back by the next, which waits for another.
func TestALoginWithoutItsCodeIsTakenBackByTheNext(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.authority.metadata = revocation(h, "/revoke")
	r := h.open()
	if status, page := newBrowser(t).submit(h.asked(r, "corp:alice"), nil); status != http.StatusOK {
		t.Fatal(status, page)
	}
	h.login(r, "corp:alice", "alice-at-work")
	h.takenBack(2)
	if got := h.says(r, "corp:alice"); got != "alice-at-work" {
		t.Errorf("the server takes alice for %s", got)
	}
}

// Some authorization servers end the new login with the older one (RFC 7009, 2.1). It
// happens once, and costs one more login.
func TestAnAuthorizationServerWithOneGrantForAUserIsFoundOutOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.authority.metadata = revocation(h, "/revoke")
	h.authority.oneGrant = true
	r := h.open()
	h.login(r, "corp:alice", "alice-at-work")
	h.anew(r, "corp:alice")
	h.takenBack(2)
	h.login(r, "corp:alice", "alice-at-work") // since a call of alice gives a link
	if got := h.says(r, "corp:alice"); got != "alice-at-work" {
		t.Errorf("after one more login the server takes alice for %s", got)
	}
	other := h.open() // one that was started later knows it too
	for _, r := range []*replica{r, other} {
		h.anew(r, "corp:alice")
		h.clock.advance(6 * time.Second)
		if got := h.says(r, "corp:alice"); got != "alice-at-work" {
			t.Errorf("after a login anew the server takes alice for %s", got)
		}
		r.Close()
	}
	h.takenBack(2)
	if all, err := credential.List(t.Context(), r.state, ""); err != nil || len(all) != 1 {
		t.Errorf("there are the logins %v, %v, want one", all, err)
	}
}

// Where nothing can be refreshed it cannot be found out, and nothing is risked.
func TestALoginWithoutARefreshTokenTakesNoneBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.authority.metadata = revocation(h, "/revoke")
	h.authority.oneGrant, h.authority.noRefresh = true, true
	r := h.open()
	h.login(r, "corp:alice", "alice-at-work")
	h.anew(r, "corp:alice")
	r.Close()
	h.takenBack(0)
	if got := h.says(r, "corp:alice"); got != "alice-at-work" {
		t.Errorf("the server takes alice for %s", got)
	}
}

// meddled has something done before a credential is changed.
type meddled struct {
	store.Credentials
	before atomic.Pointer[func()]
}

func (m *meddled) Put(ctx context.Context, c store.Credential) error {
	if do := m.before.Swap(nil); do != nil {
		(*do)()
	}
	return m.Credentials.Put(ctx, c)
}

// What a refresh gives after its login was ended elsewhere would be good for ever, and
// nobody would know of it.
func TestWhatARefreshGivesAfterALogOutIsTakenBack(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(ctx context.Context, b *replica) error{
		"a log-out": func(ctx context.Context, b *replica) error {
			_, err := b.LogOut(ctx, "corp:alice", "notes")
			return err
		},
		"an end": func(ctx context.Context, b *replica) error { _, err := b.Erase(ctx, "corp:alice"); return err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			h.authority.metadata = revocation(h, "/revoke")
			elsewhere := h.open()
			m := &meddled{}
			h.wrap = func(s *store.Store) { m.Credentials, s.Credentials = s.Credentials, m }
			r := h.open()
			h.login(r, "corp:alice", "alice-at-work")
			h.clock.advance(2 * time.Hour)
			ended := func() {
				if err := end(t.Context(), elsewhere); err != nil {
					t.Error(err)
				}
			}
			m.before.Store(&ended)
			if got := h.says(r, "corp:alice"); !strings.Contains(got, "/oauth/login?link=") {
				t.Errorf("whose login was ended gets %q, want a link", got)
			}
			h.takenBack(4)
			h.authority.set(func() {
				if len(h.authority.tokens) != 0 {
					t.Errorf("%d access tokens are good, want none", len(h.authority.tokens))
				}
			})
		})
	}
}

func TestWhoIsErasedIsLoggedOutEverywhere(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.authority.metadata = revocation(h, "/revoke")
	r := h.open()
	h.login(r, "corp:alice", "alice-at-work")
	h.login(r, "corp:bob", "bob-at-work")
	if _, err := r.Erase(t.Context(), ""); err == nil {
		t.Error("nobody is erased without an error")
	}
	ended, err := r.Erase(t.Context(), "corp:alice")
	if err != nil || len(ended) != 1 || ended[0].Server != "notes" || ended[0].Fault != nil {
		t.Fatalf("it ends %+v, %v, want alice's login at notes, and that it was told", ended, err)
	}
	h.takenBack(2)
	if all, err := credential.List(t.Context(), r.state, ""); err != nil || len(all) != 1 || all[0].Principal != "corp:bob" {
		t.Errorf("there are the logins %v, %v, want bob's", all, err)
	}
	h.login(r, "corp:carol", "carol-at-work")
	h.authority.set(func() { h.authority.clients = map[string]bool{} })
	ended, err = r.Erase(t.Context(), "corp:carol")
	if err != nil || len(ended) != 1 || ended[0].Fault == nil || !strings.Contains(ended[0].Fault.Error(), "HTTP 401") {
		t.Errorf("it ends %+v, %v, want a fault that says HTTP 401", ended, err)
	}
	if ended, err := r.Erase(t.Context(), "corp:nobody"); err != nil || len(ended) != 0 {
		t.Errorf("of nobody it ends %+v, %v, want none", ended, err)
	}
}
