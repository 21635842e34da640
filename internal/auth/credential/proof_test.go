package credential_test

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth/credential"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// T24: who was sent the link of another ends the login in their own browser, and it
// is nobody's: neither has both the code and the name that it is for.
func TestALoginInAnothersBrowserIsNobodys(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r, other := h.open(), h.open()
	// Mallory asks, and the victim logs in with an account of its own.
	h.authority.set(func() { h.authority.who = "victim-at-work" })
	_, page := newBrowser(t).submit(h.asked(r, "corp:mallory"), nil)
	code := codeOn(t, page)
	h.none(r, "before the code was given", "corp:mallory", "corp:victim")
	// The victim gives the code to its own application, which is not who it is for.
	for _, at := range []*replica{r, other} {
		if got := h.give(at, "corp:victim", code); !strings.Contains(got, "No login at notes waits for that code") {
			t.Errorf("another caller with the code is answered with %s", got)
		}
	}
	h.none(r, "after another caller has given the code", "corp:mallory", "corp:victim")
	// The other way round: what Mallory logs in at with the victim's link is not the victim's.
	h.authority.set(func() { h.authority.who = "mallory-at-work" })
	newBrowser(t).submit(h.asked(r, "corp:victim"), nil)
	h.none(r, "after a login with the link of another", "corp:victim")
	if all, err := credential.List(t.Context(), r.state, ""); err != nil || len(all) != 0 {
		t.Errorf("there are the logins %v, %v, want none", all, err)
	}
}

func TestACodeIsGoodOnceForATimeAndAFewGuesses(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r, other := h.open(), h.open()
	end := func() string {
		_, page := newBrowser(t).submit(h.asked(r, "corp:alice"), nil)
		return codeOn(t, page)
	}
	// However it is typed, and once.
	code := end()
	typed := strings.ToLower(" " + strings.ReplaceAll(strings.ReplaceAll(code, "-", " "), "O", "0"))
	if got := h.give(r, "corp:alice", typed); !strings.Contains(got, "You are logged in") {
		t.Fatalf("the code %s as %q is answered with %s", code, typed, got)
	}
	if got := h.give(other, "corp:alice", code); !strings.Contains(got, "No login at notes waits") {
		t.Errorf("the code a second time is answered with %s", got)
	}
	if _, err := credential.Remove(t.Context(), r.state, "corp:alice", "notes"); err != nil {
		t.Fatal(err)
	}
	h.clock.advance(time.Minute) // what a replica remembers of it
	// Not for ever.
	code = end()
	h.clock.advance(11 * time.Minute)
	if got := h.give(r, "corp:alice", code); !strings.Contains(got, "No login at notes waits") {
		t.Errorf("a code that is too old is answered with %s", got)
	}
	h.none(r, "after a code that is too old", "corp:alice")
	// Five wrong ones end it, at whatever replicas.
	code = end()
	for i := range 5 {
		want := fmt.Sprintf("%d more may be tried", 4-i)
		if i == 4 {
			want = "too many wrong ones"
		}
		if got := h.give([]*replica{r, other}[i%2], "corp:alice", fmt.Sprintf("AAAA-AAA%c", 'A'+i)); !strings.Contains(got, want) || !strings.Contains(got, `"isError":true`) {
			t.Errorf("wrong code %d is answered with %s, want %q", i+1, got, want)
		}
	}
	if got := h.give(r, "corp:alice", code); !strings.Contains(got, "No login at notes waits") {
		t.Errorf("the right code after five wrong ones is answered with %s", got)
	}
	h.none(r, "after five wrong codes", "corp:alice")
}

func TestGuessesAtOnceAreCountedByAllReplicas(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	replicas := []*replica{h.open(), h.open()}
	_, page := newBrowser(t).submit(h.asked(replicas[0], "corp:alice"), nil)
	codeOn(t, page)
	var all sync.WaitGroup
	var mu sync.Mutex // guards looked
	looked := 0
	for i := range 30 {
		all.Go(func() {
			got := h.give(replicas[i%2], "corp:alice", fmt.Sprintf("AAAA-AA%c%c", 'A'+i/8, 'A'+i%8))
			mu.Lock()
			defer mu.Unlock()
			if strings.Contains(got, "more may be tried") || strings.Contains(got, "You are logged in") {
				looked++
			}
		})
	}
	all.Wait()
	if looked > 4 { // the fifth is told otherwise
		t.Errorf("%d guesses of 30 at once were looked at, want 5 at most", looked+1)
	}
}

func TestLocalUsersAndVouchedLinksNeedNoCode(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.passwords = passwords{}
	r := h.open()
	for principal, fields := range map[string]url.Values{
		"user:alice": {"answer": {"go"}, "password": {"correct horse"}}, "": {"answer": {"go"}},
	} {
		_, page := newBrowser(t).submit(h.asked(r, principal), fields)
		if shownCode.MatchString(page) || !strings.Contains(page, "Connected to notes") {
			t.Errorf("the login of %q ends with %s", principal, page)
		}
	}
	link, err := r.VouchedLink(t.Context(), "notes", mcp.Principal{ID: "corp:bob"})
	if err != nil {
		t.Fatal(err)
	}
	if _, page := newBrowser(t).submit(link, nil); !strings.Contains(page, "Connected to notes") {
		t.Errorf("a login by the operator's link ends with %s", page)
	}
	// A local user's password is not asked for where passwords let nobody in.
	h.passwords = nil
	if _, page := newBrowser(t).submit(h.asked(r, "user:bob"), nil); !shownCode.MatchString(page) {
		t.Errorf("the login of a user whose password was not asked for ends with %s", page)
	}
}
