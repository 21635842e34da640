package upstream_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/upstream"
	"github.com/dragoman-mcp/dragoman/mcp"
)

func TestAProgramThatAlwaysRunsIsStartedAndStartedAnew(t *testing.T) {
	u := newHouse(t).open(program("legacy"))
	run(t, u)
	until(t, "the first process", func() bool { return u.Status().State == upstream.Ready })
	before := u.Status().Replicas[0].PID
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "the next process, which nobody has asked for", func() bool {
		st := u.Status().Replicas[0]
		return st.Links == 1 && st.PID != 0 && st.PID != before
	})
	if n := u.Status().Replicas[0].Starts; n != 2 {
		t.Errorf("%d starts, want 2", n)
	}
}

func TestAProgramOnDemandIsNotStartedBeforeItIsCalled(t *testing.T) {
	u := newHouse(t).open(then(program("legacy"), eager, func(s *config.Server) { s.Start = "on-demand" }))
	run(t, u)
	kill := time.After(300 * time.Millisecond)
	<-kill
	if st := u.Status(); st.State != upstream.Idle || st.Replicas[0].Starts != 0 {
		t.Errorf("state %s after %d starts, want idle and none", st.State, st.Replicas[0].Starts)
	}
	must(t, u, tool("echo", `{"text":"x"}`))
	if st := u.Status(); st.State != upstream.Ready {
		t.Errorf("state %s, want ready", st.State)
	}
}

func TestAProgramThatKeepsEndingIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	u := newHouse(t).open(then(program("broken"), eager, func(s *config.Server) {
		s.Restart.CrashCount, s.Restart.MinBackoff, s.Restart.MaxBackoff = 3, time.Millisecond, time.Minute
		s.Breaker.Failures = 0
	}))
	run(t, u)
	until(t, "the crash loop", func() bool { return u.Status().Replicas[0].Process == "crash-loop" })
	until(t, "that it is known", func() bool { return strings.Contains(u.Status().Reason, "keeps ending") })
	began := time.Now()
	e := fails(t, u, tool("echo", `{}`))
	if e.Code != mcp.CodeUnavailable || !strings.Contains(e.Message, "keeps ending") || !names(e, "peer") {
		t.Errorf("got %v with data %s, want code %d, why, and the server's name", e, e.Data, mcp.CodeUnavailable)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("that took %s, want it at once, and not after a minute", took)
	}
	st := u.Status()
	if st.State != upstream.Unavailable || !strings.Contains(st.Replicas[0].Reason, "no licence") {
		t.Errorf("state %s because %q; want unavailable and the program's last words", st.State, st.Replicas[0].Reason)
	}
	if strings.Contains(e.Message, "no licence") {
		t.Errorf("the caller is told the program's own words: %s", e.Message)
	}
}

func TestEachCrashCountsWhicheverProcessItWas(t *testing.T) {
	u := newHouse(t).open(then(program("legacy"), func(s *config.Server) {
		s.Restart.CrashCount, s.Restart.MinBackoff, s.Restart.MaxBackoff = 3, time.Millisecond, time.Minute
		s.Breaker.Failures = 0
	}))
	for range 3 {
		fails(t, u, tool("die", `{}`))
	}
	if e := fails(t, u, tool("echo", `{}`)); !strings.Contains(e.Message, "keeps ending") {
		t.Errorf("after three crashes got %v, want that it keeps ending", e)
	}
	u.Restart()
	if got := must(t, u, tool("echo", `{"text":"x"}`)); got != "x" {
		t.Errorf("after a restart by hand got %q", got)
	}
}

func TestWhoComesWhileAProcessIsBuriedGetsItsPlace(t *testing.T) {
	for name, test := range map[string]struct {
		speaks []string
		end    func(testing.TB, *upstream.Upstream)
		next   mcp.Kinds
	}{
		"after its output has ended, for callers of another kind": {
			speaks: []string{"legacy"},
			end:    func(t testing.TB, u *upstream.Upstream) { fails(t, u, tool("shut", `{}`)) },
			next:   mcp.Sampling,
		},
		"after its input has ended": {
			speaks: []string{"legacy", "single"},
			end:    func(t testing.TB, u *upstream.Upstream) { must(t, u, tool("leave", `{}`)) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newHouse(t).open(program(test.speaks...))
			test.end(t, u)
			if got := must(t, u, with(test.next, tool("echo", `{"text":"x"}`))); got != "x" {
				t.Errorf("the next call got %q, want x", got)
			}
			if n := u.Places(); n != 1 {
				t.Errorf("%d records of crashes, want 1: they are not counted together", n)
			}
		})
	}
}

func TestWithoutRestartAProgramThatEndedStaysAway(t *testing.T) {
	u := newHouse(t).open(then(program("legacy"), eager, func(s *config.Server) { s.Restart.Enabled = false }))
	run(t, u)
	fails(t, u, tool("die", `{}`))
	until(t, "that it is known", func() bool { return u.Status().State == upstream.Unavailable })
	if e := fails(t, u, tool("echo", `{}`)); e.Code != mcp.CodeUnavailable || !strings.Contains(e.Message, "restart.enabled is false") {
		t.Errorf("got %v, want code %d and the setting that keeps it away", e, mcp.CodeUnavailable)
	}
	if n := u.Status().Replicas[0].Starts; n != 1 {
		t.Errorf("%d starts, want 1", n)
	}
	u.Restart()
	must(t, u, tool("echo", `{"text":"x"}`))
}

func TestAProgramThatCouldNotStartIsThereWhenItCan(t *testing.T) {
	file := filepath.Join(t.TempDir(), "missing-dependency")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	u := newHouse(t).open(then(program("legacy", "until="+file), eager, func(s *config.Server) {
		s.Restart.CrashCount, s.Restart.MaxBackoff = 1000, 50*time.Millisecond
		s.Breaker.Failures = 1
	}))
	run(t, u)
	fails(t, u, tool("echo", `{}`))
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	until(t, "the server", func() bool { return u.Status().State == upstream.Ready })
	must(t, u, tool("echo", `{"text":"x"}`))
}

func TestARestartLosesNoCall(t *testing.T) {
	for name, change := range map[string]func(*config.Server){
		"of a program":              program("legacy"),
		"of a stateless program":    program("modern"),
		"of a server with sessions": nil,
	} {
		t.Run(name, func(t *testing.T) {
			if change == nil {
				change = at(newSite(t, newSessionSite(404)))
			}
			u := newHouse(t).open(change)
			run(t, u)
			stop := make(chan struct{})
			var calls sync.WaitGroup
			var n atomic.Int64
			for i := range 8 {
				calls.Go(func() {
					for j := 0; ; j++ {
						select {
						case <-stop:
							return
						default:
						}
						want := fmt.Sprint(i, j)
						r, err := u.Handle(t.Context(), tool("echo", fmt.Sprintf(`{"text":%q,"ms":5}`, want)))
						if err != nil || text(r) != want {
							t.Errorf("call %s got %q, %v", want, text(r), err)
							return
						}
						n.Add(1)
					}
				})
			}
			for i := range 10 {
				seen := n.Load()
				until(t, "some calls", func() bool { return n.Load() > seen+20 || t.Failed() })
				if i < 9 {
					u.Restart()
				}
			}
			close(stop)
			calls.Wait()
		})
	}
}

func TestAChangedProgramIsTakenUp(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "server.py")
	if err := os.WriteFile(file, []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := newHouse(t)
	u := h.open(then(program("legacy"), func(s *config.Server) { s.Watch = []string{file} }))
	run(t, u)
	long := start(t.Context(), u, tool("slow", `{"ms":1000,"text":"whole"}`))
	before := must(t, u, tool("pid", `{}`))
	n := 1
	until(t, "another process", func() bool {
		n++
		if n%100 == 0 { // again and again, for it is not known when the watch begins
			_ = os.WriteFile(file, []byte(strconv.Itoa(n)), 0o600)
		}
		return must(t, u, tool("pid", `{}`)) != before
	})
	if got := receive(t, "the call that was under way", long); got.text != "whole" {
		t.Errorf("the call that was under way got %q, %v", got.text, got.err)
	}
}

func TestARestartDuringAnOpeningTakesUpTheNewProgram(t *testing.T) {
	t.Parallel()
	file, lift := latch(t)
	u := newHouse(t).open(program("legacy", "gate="+file))
	first := start(t.Context(), u, tool("pid", `{}`))
	until(t, "the start", func() bool { return u.Status().Replicas[0].PID != 0 })
	before := u.Status().Replicas[0].PID
	u.Restart()
	lift()
	got := receive(t, "the answer", first)
	if got.err != nil || got.text == strconv.Itoa(before) {
		t.Errorf("got %q, %v from the program as it was before the restart", got.text, got.err)
	}
}
