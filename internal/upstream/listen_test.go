package upstream_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/upstream"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// listening is a subscription under way.
type listening struct {
	heard chan string // methods
	ended chan error
}

func listen(ctx context.Context, u *upstream.Upstream, filter string, c *mcp.Client) *listening {
	l := &listening{heard: make(chan string, 100), ended: make(chan error, 1)}
	params, _ := jsonrpc.Split([]byte(`{"notifications":` + filter + `}`))
	req := &mcp.Request{Method: "subscriptions/listen", Params: params, Client: c}
	req.Notify = func(n mcp.Notification) { l.heard <- n.Method }
	go func() {
		_, err := u.Handle(ctx, req)
		l.ended <- err
	}()
	return l
}

const (
	lists     = `{"toolsListChanged":true}`
	resources = `{"resourceSubscriptions":["file:///a"]}`
	acked     = "notifications/subscriptions/acknowledged"
)

func itself() *mcp.Client { return &mcp.Client{Revision: mcp.Revision20260728} }

func TestListeningToLists(t *testing.T) {
	t.Run("hears changes, and ends with its caller", func(t *testing.T) {
		u := newHouse(t).open(program("legacy"))
		ctx, leave := context.WithCancel(t.Context())
		l := listen(ctx, u, lists, itself())
		if got := receive(t, "the acknowledgement", l.heard); got != acked {
			t.Errorf("heard %s first", got)
		}
		must(t, u, with(0, tool("changed", `{}`)))
		if got := receive(t, "the change", l.heard); got != "notifications/tools/list_changed" {
			t.Errorf("heard %s", got)
		}
		leave()
		if err := receive(t, "the end", l.ended); !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
	t.Run("starts no program that runs on demand", func(t *testing.T) {
		u := newHouse(t).open(then(program("legacy"), func(s *config.Server) { s.Start = "on-demand" }))
		l := listen(t.Context(), u, lists, itself())
		err := receive(t, "the refusal", l.ended)
		if e := mcp.WireError(err); e.Code != mcp.CodeUnavailable || !strings.Contains(e.Message, "on demand") {
			t.Errorf("ended with %v, want code %d and why", err, mcp.CodeUnavailable)
		}
		if n := u.Status().Replicas[0].Starts; n != 0 {
			t.Errorf("%d starts, want none", n)
		}
	})
	t.Run("does not keep a program from being stopped, and ends with it", func(t *testing.T) {
		u := newHouse(t).open(then(program("legacy"), func(s *config.Server) { s.Start = "on-demand" }))
		must(t, u, tool("echo", `{}`))
		l := listen(t.Context(), u, lists, itself())
		receive(t, "the acknowledgement", l.heard)
		u.Sweep(time.Now().Add(time.Hour))
		if e := mcp.WireError(receive(t, "the end", l.ended)); e.Code != mcp.CodeUnavailable || !names(e, "peer") {
			t.Errorf("ended with %v and data %s, want code %d and the server's name", e, e.Data, mcp.CodeUnavailable)
		}
		if st := u.Status(); st.State != upstream.Idle || st.Failures != 0 {
			t.Errorf("state %s with %d failures, want idle and 0", st.State, st.Failures)
		}
	})
	t.Run("needs no program of its own beside that of callers, and moves on to it", func(t *testing.T) {
		u := newHouse(t).open(program("legacy"))
		first := listen(t.Context(), u, lists, itself())
		receive(t, "the acknowledgement", first.heard)
		pid(t, t.Context(), u, mcp.Roots, "")
		u.Sweep(time.Now().Add(2 * time.Minute))
		receive(t, "the end of the gateway's own", first.ended)
		second := listen(t.Context(), u, lists, itself())
		receive(t, "the acknowledgement", second.heard)
		if got := u.Kinds(); len(got) != 1 || got[0] != mcp.Roots {
			t.Errorf("open: %v, want only that of the caller", got)
		}
	})
	t.Run("moves on at a restart while calls under way stay", func(t *testing.T) {
		ledger := filepath.Join(t.TempDir(), "ledger")
		u := newHouse(t).open(program("legacy", "ledger="+ledger))
		l := listen(t.Context(), u, lists, itself())
		receive(t, "the acknowledgement", l.heard)
		file, lift := latch(t)
		long := waiting(t, u, ledger, file)
		u.Restart()
		receive(t, "the end", l.ended)
		select {
		case got := <-long:
			t.Errorf("the call has ended first, with %q, %v", got.text, got.err)
		default:
		}
		lift()
		if got := receive(t, "the answer", long); got.text != "done" {
			t.Errorf("the call got %q, %v", got.text, got.err)
		}
	})
	t.Run("ends with a restart, with a crash and with the server", func(t *testing.T) {
		for name, end := range map[string]func(*upstream.Upstream){
			"restart": func(u *upstream.Upstream) { u.Restart() },
			"crash":   func(u *upstream.Upstream) { _, _ = u.Handle(t.Context(), tool("die", `{}`)) },
			"close":   func(u *upstream.Upstream) { _ = u.Close(t.Context()) },
		} {
			u := newHouse(t).open(program("legacy"))
			l := listen(t.Context(), u, lists, itself())
			receive(t, "the acknowledgement", l.heard)
			end(u)
			if err := receive(t, "the end after "+name, l.ended); code(err) != mcp.CodeUnavailable {
				t.Errorf("%s: ended with %v, want code %d", name, err, mcp.CodeUnavailable)
			}
		}
	})
}

func TestListeningToResourcesIsAUseOfTheServer(t *testing.T) {
	u := newHouse(t).open(then(program("legacy"), func(s *config.Server) { s.Start = "on-demand" }))
	ctx, leave := context.WithCancel(t.Context())
	l := listen(ctx, u, resources, client(0))
	receive(t, "the acknowledgement", l.heard)
	u.Sweep(time.Now().Add(time.Hour))
	if got := u.Kinds(); len(got) != 1 {
		t.Errorf("open: %v, want the program that is listened to", got)
	}
	leave()
	receive(t, "the end", l.ended)
	u.Sweep(time.Now().Add(time.Hour))
	if got := u.Kinds(); len(got) != 0 {
		t.Errorf("open after that: %v, want none", got)
	}
}
