package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/upstream"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// held is a server whose calls last until they are let go or their context ends.
type held struct {
	arrived chan struct{}
	letGo   chan struct{}
	running atomic.Int64
	most    atomic.Int64
}

func newHeld() *held {
	return &held{arrived: make(chan struct{}, 1000), letGo: make(chan struct{})}
}

func (h *held) Handle(ctx context.Context, _ *mcp.Request) (mcp.Result, error) {
	n := h.running.Add(1)
	defer h.running.Add(-1)
	for was := h.most.Load(); n > was && !h.most.CompareAndSwap(was, n); was = h.most.Load() {
	}
	h.arrived <- struct{}{}
	select {
	case <-h.letGo:
		return said("done"), nil
	case <-ctx.Done():
		return mcp.Result{}, ctx.Err()
	}
}

func TestCallsAndThoseThatWaitAreBounded(t *testing.T) {
	h := newHeld()
	u := newHouse(t).inside(h, func(s *config.Server) { s.MaxConcurrency, s.MaxQueue = 3, 2 })
	var calls []<-chan ended
	for range 3 {
		calls = append(calls, start(t.Context(), u, tool("x", `{}`)))
		receive(t, "a call", h.arrived)
	}
	for range 2 {
		calls = append(calls, start(t.Context(), u, tool("x", `{}`)))
	}
	until(t, "those that wait", func() bool { return u.Status().Waiting == 2 })
	e := fails(t, u, tool("x", `{}`))
	if e.Code != mcp.CodeBusy || !names(e, "peer") || !strings.Contains(e.Message, "3 calls run and 2 wait") {
		t.Errorf("got %v with data %s, want code %d, the server's name and the bounds", e, e.Data, mcp.CodeBusy)
	}
	close(h.letGo)
	for _, done := range calls {
		if got := receive(t, "an answer", done); got.text != "done" {
			t.Errorf("got %q, %v", got.text, got.err)
		}
	}
	if n := h.most.Load(); n != 3 {
		t.Errorf("%d calls ran at once, want 3", n)
	}
}

func TestWhoWaitsForATurnMayLeave(t *testing.T) {
	h := newHeld()
	u := newHouse(t).inside(h, func(s *config.Server) {
		s.MaxConcurrency = 1
	})
	first := start(t.Context(), u, tool("x", `{}`))
	receive(t, "the call", h.arrived)
	ctx, leave := context.WithCancel(t.Context())
	second := start(ctx, u, tool("x", `{}`))
	until(t, "the one that waits", func() bool { return u.Status().Waiting == 1 })
	leave()
	if got := receive(t, "the one that left", second); !errors.Is(got.err, context.Canceled) {
		t.Errorf("who left got %v", got.err)
	}
	close(h.letGo)
	if got := receive(t, "the first", first); got.text != "done" {
		t.Errorf("the first got %q, %v", got.text, got.err)
	}
}

func TestDeadlines(t *testing.T) {
	t.Run("a call that takes too long is an error that names the server", func(t *testing.T) {
		t.Parallel()
		u := newHouse(t).inside(newHeld(), func(s *config.Server) { s.Timeout = time.Second })
		e := fails(t, u, tool("x", `{}`))
		if e.Code != mcp.CodeTimeout || !names(e, "peer") || !strings.Contains(e.Message, "within 1s") {
			t.Errorf("got %v with data %s, want code %d, the server's name and the bound", e, e.Data, mcp.CodeTimeout)
		}
	})
	t.Run("a list is held to list_timeout", func(t *testing.T) {
		t.Parallel()
		u := newHouse(t).inside(newHeld(), func(s *config.Server) { s.ListTimeout = time.Second; s.Retries.Attempts = 1 })
		if e := fails(t, u, bare("tools/list")); e.Code != mcp.CodeTimeout {
			t.Errorf("got %v, want code %d", e, mcp.CodeTimeout)
		}
	})
	t.Run("a wait for a turn ends with it, and nothing was sent", func(t *testing.T) {
		h := newHeld()
		u := newHouse(t).inside(h, func(s *config.Server) { s.MaxConcurrency, s.ListTimeout = 1, 50*time.Millisecond })
		first := start(t.Context(), u, tool("x", `{}`))
		receive(t, "the call", h.arrived)
		if e := fails(t, u, bare("tools/list")); e.Code != mcp.CodeBusy || !strings.Contains(e.Message, "not sent") || !names(e, "peer") {
			t.Errorf("got %v, want code %d and that it was not sent", e, mcp.CodeBusy)
		}
		close(h.letGo)
		receive(t, "the first", first)
	})
	t.Run("the deadline of the caller is its own", func(t *testing.T) {
		u := newHouse(t).inside(newHeld(), func(s *config.Server) { s.Breaker.Failures = 1 })
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := u.Handle(ctx, tool("x", `{}`))
		if e := mcp.WireError(err); e.Code != mcp.CodeTimeout || !names(e, "peer") {
			t.Errorf("got %v, want code %d and the server's name", e, mcp.CodeTimeout)
		}
		if st := u.Status(); st.Replicas[0].Breaker != "closed" || st.Failures != 0 {
			t.Errorf("breaker %s, %d failures; want closed and 0: it is no fault of the server's", st.Replicas[0].Breaker, st.Failures)
		}
	})
	t.Run("the server is told that nobody waits", func(t *testing.T) {
		t.Parallel()
		ledger := filepath.Join(t.TempDir(), "ledger")
		u := newHouse(t).open(then(program("legacy", "ledger="+ledger), func(s *config.Server) { s.Timeout = 5 * time.Second }))
		run(t, u) // so that the start of the program takes nobody's time
		until(t, "the program", func() bool { return u.Status().State == upstream.Ready })
		must(t, u, tool("echo", `{"text":"x"}`))
		if e := fails(t, u, tool("hang", `{}`)); e.Code != mcp.CodeTimeout {
			t.Errorf("got %v, want code %d", e, mcp.CodeTimeout)
		}
		ctx, leave := context.WithCancel(t.Context())
		done := start(ctx, u, tool("hang", `{}`))
		until(t, "the call", func() bool { return lines(t, ledger) == 3 })
		leave()
		receive(t, "the end", done)
		until(t, "two notifications of cancellation", func() bool {
			return len(strings.Fields(must(t, u, tool("cancelled", `{}`)))) == 2
		})
	})
	t.Run("a server that is slow to start is named as such", func(t *testing.T) {
		u := newHouse(t).open(then(program("legacy", "late=5s"), func(s *config.Server) { s.Timeout = 100 * time.Millisecond }))
		e := fails(t, u, tool("echo", `{}`))
		if e.Code != mcp.CodeTimeout || !strings.Contains(e.Message, "not sent") {
			t.Errorf("got %v, want code %d and that nothing was sent", e, mcp.CodeTimeout)
		}
	})
}

func TestWhatCallersAreTold(t *testing.T) {
	own := &mcp.Error{Code: -32602, Message: "no such tool", Data: []byte(`{"x":1}`)}
	for name, c := range map[string]struct {
		err  error
		code int
		says string
	}{
		"the server's own error goes through as it is":     {own, -32602, "no such tool"},
		"what a transport says is lost":                    {fmt.Errorf("%w: %w", mcp.Errorf(mcp.CodeCallLost, "x"), errBroken), mcp.CodeCallLost, "whether that took effect is not known"},
		"what nobody knows":                                {errBroken, mcp.CodeCallLost, "whether that took effect is not known"},
		"what was not sent":                                {fmt.Errorf("%w: %w", mcp.ErrNotSent, errBroken), mcp.CodeUnavailable, "cannot be reached"},
		"what a transport says cannot be reached":          {fmt.Errorf("%w: %w", mcp.Errorf(mcp.CodeUnavailable, "x"), errBroken), mcp.CodeUnavailable, "cannot be reached"},
		"a busy server that is a gateway itself":           {mcp.Errorf(mcp.CodeBusy, "full"), mcp.CodeBusy, "full"},
		"a gateway behind that has lost its server's call": {mcp.Errorf(mcp.CodeCallLost, "theirs"), mcp.CodeCallLost, "theirs"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			u := h.inside(mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) { return mcp.Result{}, c.err }), nil)
			_, err := u.Handle(t.Context(), tool("x", `{}`))
			e := mcp.WireError(err)
			if e.Code != c.code || !strings.Contains(e.Message, c.says) {
				t.Errorf("got %v, want code %d and %q", e, c.code, c.says)
			}
			if strings.Contains(e.Message+string(e.Data), "10.1.2.3") {
				t.Errorf("the caller is told the address: %v %s", e, e.Data)
			}
			if _, direct := c.err.(*mcp.Error); direct {
				if err != c.err {
					t.Errorf("got %v, want the server's error unchanged", err)
				}
				return
			}
			if !names(e, "peer") || !strings.Contains(err.Error(), "10.1.2.3") {
				t.Errorf("data %s, log %q; want the server's name, and the cause in the log", e.Data, err)
			}
		})
	}
}

func TestAGivenUpCallIsNeverMadeAgain(t *testing.T) {
	var sent atomic.Int64
	u := newHouse(t).inside(mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) {
		sent.Add(1)
		return said("ran"), nil
	}), nil)
	req := tool("x", `{}`)
	req.Params = req.Params.With(jsonrpc.Edit{Name: "requestState", Value: []byte(`"theirs"`)})
	req.Abandon = true
	if e := fails(t, u, req); e.Code != mcp.CodeCallLost || sent.Load() != 0 {
		t.Errorf("got %v, and the server was called %d times; want code %d and none", e, sent.Load(), mcp.CodeCallLost)
	}
}
