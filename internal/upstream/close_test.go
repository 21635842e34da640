package upstream_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/upstream"
	"github.com/dragoman-mcp/dragoman/mcp"
)

func TestCloseWaitsForCallsUnderWay(t *testing.T) {
	ledger := filepath.Join(t.TempDir(), "ledger")
	u := newHouse(t).open(program("legacy", "ledger="+ledger))
	file, lift := latch(t)
	done := waiting(t, u, ledger, file)
	closed := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		closed <- u.Close(ctx)
	}()
	select {
	case err := <-closed:
		t.Errorf("Close has returned before the call, with %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	lift()
	if got := receive(t, "the answer", done); got.text != "done" {
		t.Errorf("the call got %q, %v", got.text, got.err)
	}
	if err := receive(t, "the end of Close", closed); err != nil {
		t.Error(err)
	}
	if e := fails(t, u, tool("echo", `{}`)); e.Code != mcp.CodeUnavailable {
		t.Errorf("after Close got %v, want code %d", e, mcp.CodeUnavailable)
	}
	if st := u.Status().Replicas[0]; st.Process != "stopped" {
		t.Errorf("the process is %s, want stopped", st.Process)
	}
}

func TestCloseEndsWhatTakesTooLong(t *testing.T) {
	sites := map[string]func(*house) *upstream.Upstream{
		"a program":               func(h *house) *upstream.Upstream { return h.open(program("legacy")) },
		"a stateless program":     func(h *house) *upstream.Upstream { return h.open(program("modern")) },
		"a stateless server":      func(h *house) *upstream.Upstream { return h.open(at(newSite(h.t, &modernSite{}))) },
		"a server with sessions":  func(h *house) *upstream.Upstream { return h.open(at(newSite(h.t, newSessionSite(404)))) },
		"a server of this binary": func(h *house) *upstream.Upstream { return h.inside(newHeld(), nil) },
	}
	for name, open := range sites {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := open(newHouse(t))
			done := start(t.Context(), u, tool("hang", `{}`))
			until(t, "the call", func() bool { return u.Status().Replicas[0].Links == 1 })
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if err := u.Close(ctx); err != nil {
				t.Error(err)
			}
			got := receive(t, "its end", done)
			if c := code(got.err); c != mcp.CodeCallLost && c != mcp.CodeUnavailable {
				t.Errorf("the call got %q, %v; want code %d", got.text, got.err, mcp.CodeCallLost)
			}
		})
	}
}

func TestCloseDuringAnOpening(t *testing.T) {
	u := newHouse(t).open(program("legacy", "late=10m"))
	done := start(t.Context(), u, tool("echo", `{}`))
	until(t, "the start", func() bool { return u.Status().Replicas[0].PID != 0 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := u.Close(ctx); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 2*time.Minute {
		t.Errorf("Close took %s", took)
	}
	if got := receive(t, "its end", done); code(got.err) != mcp.CodeUnavailable {
		t.Errorf("the call got %v, want code %d", got.err, mcp.CodeUnavailable)
	}
}

func TestNothingIsLeftOfManyUpstreams(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	h := newHouse(t)
	modern, old := newSite(t, &modernSite{}), newSite(t, newSessionSite(404))
	changes := []func(*config.Server){
		program("legacy"), program("modern"), at(modern), at(old), at(modern, old),
		func(s *config.Server) { s.URL = "http://127.0.0.1:1/mcp" },
	}
	var wg sync.WaitGroup
	turns := make(chan struct{}, 8)
	for i := range 200 {
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			cfg := defaults()
			changes[i%len(changes)](&cfg)
			u, err := upstream.New(cfg, h.around)
			if err != nil {
				t.Error(err)
				return
			}
			ctx, cancel := context.WithCancel(t.Context())
			running := make(chan error, 1)
			if i%3 > 0 {
				go func() { running <- u.Run(ctx) }()
			} else {
				running <- nil
			}
			if i%2 == 0 {
				_, _ = u.Handle(ctx, tool("echo", `{"text":"x"}`))
			}
			if i%5 == 0 {
				cancel()
			}
			if err := u.Close(t.Context()); err != nil {
				t.Errorf("upstream %d: %v", i, err)
			}
			cancel()
			if err := <-running; err != nil {
				t.Errorf("upstream %d: %v", i, err)
			}
			if err := u.Close(t.Context()); err != nil {
				t.Errorf("upstream %d, again: %v", i, err)
			}
		})
	}
	wg.Wait()
}

func TestASessionEndsAtTheServerToo(t *testing.T) {
	web := newSessionSite(404)
	u := newHouse(t).open(at(newSite(t, web)))
	must(t, u, tool("echo", `{}`))
	if err := u.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if live, opened := web.count(); live != 0 || opened != 1 {
		t.Errorf("%d of %d sessions are open at the server, want 0 of 1", live, opened)
	}
}
