package upstream_test

import (
	"context"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/upstream"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// private is a server of which each caller has a process of its own.
func private(traits ...string) func(*config.Server) {
	return then(program(traits...), func(s *config.Server) { s.Isolation = "session" })
}

// ofSession is a request of a client's session.
func ofSession(id string, req *mcp.Request) *mcp.Request {
	again := *req
	c := *client(0)
	c.Session = id
	again.Client = &c
	return &again
}

func TestWhoDoesNotShareAServerHearsOfTheirOwnListsOnly(t *testing.T) {
	for _, traits := range []string{"legacy", "modern"} {
		t.Run(traits, func(t *testing.T) {
			u := newHouse(t).open(private(traits))
			mine := listen(t.Context(), u, lists, ofSession("mine", tool("", `{}`)).Client)
			theirs := listen(t.Context(), u, lists, ofSession("theirs", tool("", `{}`)).Client)
			for _, l := range []*listening{mine, theirs} {
				if got := receive(t, "the acknowledgement", l.heard); got != acked {
					t.Errorf("heard %s first", got)
				}
			}
			if n := len(u.Kinds()); n != 0 {
				t.Errorf("%d processes run though nobody has called", n)
			}
			must(t, u, ofSession("theirs", tool("echo", `{"text":"x"}`)))
			changed := ofSession("mine", tool("changed", `{}`))
			changeUntilHeard(t, u, mine, changed)
			if n := len(u.Kinds()); n != 2 {
				t.Errorf("%d processes run, want one for each session", n)
			}
			select {
			case got := <-theirs.heard:
				t.Errorf("another session heard %s", got)
			default:
			}
			_ = u.Close(t.Context())
			for _, l := range []*listening{mine, theirs} {
				if err := receive(t, "the end", l.ended); code(err) != mcp.CodeUnavailable {
					t.Errorf("ended with %v, want code %d", err, mcp.CodeUnavailable)
				}
			}
		})
	}
}

// changeUntilHeard calls until the change is heard of: a link that was opened for the call is
// listened to a moment later.
func changeUntilHeard(t *testing.T, u *upstream.Upstream, l *listening, changed *mcp.Request) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		must(t, u, changed)
		select {
		case got := <-l.heard:
			if got != "notifications/tools/list_changed" {
				t.Errorf("heard %s", got)
			}
			return
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the change was not heard of")
		}
	}
}

func TestAnotherProcessThanBeforeMayHaveOtherLists(t *testing.T) {
	u := newHouse(t).open(private("legacy"))
	must(t, u, ofSession("mine", tool("echo", `{"text":"x"}`)))
	l := listen(t.Context(), u, lists, ofSession("mine", tool("", `{}`)).Client)
	receive(t, "the acknowledgement", l.heard)
	u.Restart()
	until(t, "the end of the first", func() bool { return len(u.Kinds()) == 0 })
	must(t, u, ofSession("mine", tool("echo", `{"text":"y"}`)))
	if got := receive(t, "that lists may have changed", l.heard); got != "notifications/tools/list_changed" {
		t.Errorf("heard %s", got)
	}
}
