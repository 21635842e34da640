package upstream_test

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/upstream"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// stall is how long a check of these tests waits for its answer: longer than a busy
// machine keeps anything that does not hang from answering.
const stall = 2 * time.Second

// eager checks often. What hangs is out after two stalls.
func eager(s *config.Server) {
	s.Health = config.Health{Interval: 40 * time.Millisecond, Timeout: stall, UnhealthyAfter: 2, HealthyAfter: 1}
}

// pinged waits until checks are known to be answered: no second question is asked
// before the first has its answer.
func pinged(t testing.TB, u *upstream.Upstream) {
	t.Helper()
	until(t, "the second ping", func() bool {
		n, _ := strconv.Atoi(must(t, u, tool("pings", `{}`)))
		return n > 1
	})
}

func TestAProcessThatHangsIsReplacedInTime(t *testing.T) {
	t.Parallel()
	for _, traits := range []string{"legacy", "modern"} {
		t.Run(traits, func(t *testing.T) {
			t.Parallel()
			u := newHouse(t).open(then(program(traits), eager))
			run(t, u)
			must(t, u, tool("echo", `{"text":"x"}`))
			if traits == "legacy" {
				pinged(t, u) // what has never answered a check is not judged by checks
			}
			before := strconv.Itoa(kill(t, u, syscall.SIGSTOP))
			stopped := time.Now()
			until(t, "the end of the process", func() bool {
				return strconv.Itoa(u.Status().Replicas[0].PID) != before
			})
			t.Logf("ended after %s", time.Since(stopped))
			until(t, "another process", func() bool { return u.Status().State == upstream.Ready })
			if after := must(t, u, tool("pid", `{}`)); after == before {
				t.Errorf("process %s still answers", after)
			}
			t.Logf("replaced after %s", time.Since(stopped))
			if st := u.Status(); st.Failures != 0 {
				t.Errorf("%d calls failed, want 0", st.Failures)
			}
		})
	}
}

func TestAServerThatHangsIsRefusedInTimeAndComesBack(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.Handler{
		"stateless":     &modernSite{},
		"with sessions": newSessionSite(404),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, h)
			u := newHouse(t).open(then(at(s), eager))
			run(t, u)
			must(t, u, tool("echo", `{"text":"x"}`))
			free := make(chan struct{})
			s.become(hanging(free, h))
			hung := time.Now()
			during := start(t.Context(), u, tool("echo", `{"text":"patient"}`))
			until(t, "the server is out", func() bool { return !u.Status().Replicas[0].Healthy })
			t.Logf("out after %s", time.Since(hung))
			began := time.Now()
			e := fails(t, u, tool("echo", `{}`))
			if e.Code != mcp.CodeUnavailable || !strings.Contains(e.Message, "health checks") || time.Since(began) > time.Minute {
				t.Errorf("after %s got %v, want code %d and the reason at once", time.Since(began), e, mcp.CodeUnavailable)
			}
			if st := u.Status(); st.State != upstream.Unavailable || !strings.Contains(st.Reason, "health checks") {
				t.Errorf("state %s because %q, want unavailable and the reason", st.State, st.Reason)
			}
			close(free)
			until(t, "the server is back", func() bool { return u.Status().State == upstream.Ready })
			if got := must(t, u, tool("echo", `{"text":"again"}`)); got != "again" {
				t.Errorf("got %q", got)
			}
			if got := receive(t, "the call that was under way", during); got.text != "patient" {
				t.Errorf("the call that was under way got %q, %v", got.text, got.err)
			}
		})
	}
}

func TestACheckTakesNoLongerThanItsTimeout(t *testing.T) {
	web := newSessionSite(404)
	s := newSite(t, web)
	u := newHouse(t).open(then(at(s), func(c *config.Server) {
		c.Health = config.Health{Interval: 100 * time.Millisecond, Timeout: 50 * time.Millisecond, UnhealthyAfter: 12, HealthyAfter: 1}
	}))
	run(t, u)
	must(t, u, tool("echo", `{"text":"x"}`))
	free := make(chan struct{})
	defer close(free)
	s.become(hanging(free, web))
	// Twelve checks of 50 ms each. To tell the server of each that nobody waits
	// takes two seconds, and must not be waited for.
	untilWithin(t, 20*time.Second, "the server is out", func() bool { return !u.Status().Replicas[0].Healthy })
}

func TestAServerThatFlapsIsJudgedByChecksInARow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		illAfter, wellAfter int
		pattern             string // of the answers to checks, again and again
		out, back           bool
	}{
		"two bad ones in a row are needed":                   {2, 1, "gb", false, false},
		"and are enough":                                     {2, 1, "gbb", true, true},
		"one good one is not enough where two are asked for": {2, 2, "gbb", true, false},
		"and two in a row are":                               {2, 2, "ggbb", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			var checks, wasOut, wasBack atomic.Int64
			h := &modernSite{}
			s := newSite(t, h)
			u := newHouse(t).open(then(at(s), eager, func(s *config.Server) {
				s.Health.UnhealthyAfter, s.Health.HealthyAfter = c.illAfter, c.wellAfter
				s.Health.Timeout = patience // all of them are answered
			}))
			must(t, u, tool("echo", `{"text":"x"}`))
			s.become(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n := int(checks.Add(1) - 1)
				switch healthy := u.Status().Replicas[0].Healthy; {
				case !healthy:
					wasOut.Add(1)
				case wasOut.Load() > 0:
					wasBack.Add(1)
				}
				if c.pattern[n%len(c.pattern)] == 'b' {
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				h.ServeHTTP(w, r)
			}))
			run(t, u)
			until(t, "many checks", func() bool { return checks.Load() > 20 })
			if out, back := wasOut.Load() > 0, wasBack.Load() > 0; out != c.out || back != c.back {
				t.Errorf("it was out: %v, and back: %v; want %v and %v", out, back, c.out, c.back)
			}
		})
	}
}

func TestAProgramWithOneThreadThatIsBusyIsLeftAlone(t *testing.T) {
	t.Parallel()
	u := newHouse(t).open(then(program("legacy", "single"), eager))
	run(t, u)
	before := must(t, u, tool("pid", `{}`))
	var calls []<-chan ended
	for range 2 { // each for longer than a process that hangs is given
		calls = append(calls, start(t.Context(), u, tool("slow", `{"ms":5000,"text":"done"}`)))
	}
	for _, done := range calls {
		if got := receive(t, "an answer", done); got.text != "done" {
			t.Errorf("got %q, %v", got.text, got.err)
		}
	}
	// Questions must not pile up behind the work, nor be taken back one by one.
	if pings := must(t, u, tool("pings", `{}`)); len(pings) > 2 {
		t.Errorf("%s pings came, most of them in the ten seconds in which it was busy, want few", pings)
	}
	if cancelled := must(t, u, tool("cancelled", `{}`)); cancelled != "" {
		t.Errorf("requests %s were cancelled, want none", cancelled)
	}
	if after := must(t, u, tool("pid", `{}`)); after != before {
		t.Errorf("process %s answers, want %s, which was only busy", after, before)
	}
	if st := u.Status(); st.Failures != 0 || st.Replicas[0].Starts != 1 {
		t.Errorf("%d failures and %d starts, want 0 and 1", st.Failures, st.Replicas[0].Starts)
	}
}

func TestAProcessThatHangsWithCallsUnderWayIsRefusedAndThenReplaced(t *testing.T) {
	t.Parallel()
	u := newHouse(t).open(then(program("legacy"), eager, func(s *config.Server) { s.Timeout = 4 * stall }))
	run(t, u)
	for range 20 { // all of them quick: that it then takes its time is not like it
		must(t, u, tool("echo", `{"text":"x"}`))
	}
	pinged(t, u)
	before := kill(t, u, syscall.SIGSTOP)
	under := start(t.Context(), u, tool("echo", `{"text":"x"}`))
	until(t, "the server is out", func() bool { return !u.Status().Replicas[0].Healthy })
	if e := fails(t, u, tool("echo", `{}`)); e.Code != mcp.CodeUnavailable {
		t.Errorf("got %v, want code %d at once", e, mcp.CodeUnavailable)
	}
	if got := receive(t, "the call under way", under); code(got.err) != mcp.CodeTimeout {
		t.Errorf("the call under way got %q, %v; want code %d", got.text, got.err, mcp.CodeTimeout)
	}
	until(t, "another process", func() bool {
		st := u.Status().Replicas[0]
		return st.Healthy && st.Links == 1 && st.PID != before && st.PID != 0
	})
	must(t, u, tool("echo", `{"text":"x"}`))
}

func TestAProcessThatComesToItselfIsNotReplaced(t *testing.T) {
	t.Parallel()
	ledger := filepath.Join(t.TempDir(), "ledger")
	u := newHouse(t).open(then(program("legacy", "ledger="+ledger), eager))
	run(t, u)
	for range 20 {
		must(t, u, tool("echo", `{"text":"x"}`))
	}
	pinged(t, u)
	file, lift := latch(t)
	under := waiting(t, u, ledger, file) // which keeps it
	id := kill(t, u, syscall.SIGSTOP)
	until(t, "the server is out", func() bool { return !u.Status().Replicas[0].Healthy })
	if err := syscall.Kill(id, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	lift()
	if got := receive(t, "the answer", under); got.err != nil {
		t.Errorf("got %v", got.err)
	}
	until(t, "the server is back", func() bool { return u.Status().Replicas[0].Healthy })
	if after := must(t, u, tool("pid", `{}`)); after != strconv.Itoa(id) {
		t.Errorf("process %s answers, want %d", after, id)
	}
}

func TestAServerThatWasDownIsThereAsSoonAsItIsChecked(t *testing.T) {
	s := newSite(t, answering(http.StatusServiceUnavailable, ""))
	u := newHouse(t).open(then(at(s), eager, func(c *config.Server) { c.Breaker.Failures, c.Breaker.OpenFor, c.Retries.Attempts = 1, time.Hour, 1 }))
	run(t, u)
	fails(t, u, tool("echo", `{}`))
	until(t, "the server is out", func() bool { return u.Status().State == upstream.Unavailable })
	s.become(&modernSite{})
	// Its breaker would keep it out for an hour.
	until(t, "the server is back", func() bool { return u.Status().State == upstream.Ready })
	if got := must(t, u, tool("echo", `{"text":"x"}`)); got != "x" {
		t.Errorf("got %q", got)
	}
}

func TestWithoutChecksNothingStaysIll(t *testing.T) {
	s := newSite(t, &modernSite{})
	u := newHouse(t).open(then(at(s), eager))
	stop := run(t, u)
	must(t, u, tool("echo", `{"text":"x"}`))
	s.become(answering(http.StatusServiceUnavailable, ""))
	until(t, "the server is out", func() bool { return !u.Status().Replicas[0].Healthy })
	stop()
	s.become(&modernSite{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := u.Handle(ctx, tool("echo", `{"text":"x"}`)); err != nil {
		t.Errorf("nobody checks any more, and the server is refused for ever: %v", err)
	}
}

func TestACheckThatWaitsForAConnectionOfOursProvesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, &modernSite{})
	h := newHouse(t)
	u := h.open(then(at(s), eager, func(c *config.Server) { c.MaxConnections = 1 }))
	run(t, u)
	must(t, u, tool("echo", `{}`))
	if got := must(t, u, tool("slow", `{"ms":6000,"text":"done"}`)); got != "done" {
		t.Errorf("got %q", got)
	}
	if st := u.Status(); !st.Replicas[0].Healthy || strings.Contains(h.log.String(), "turned away") {
		t.Errorf("the server is ill because %q, want it well: only its connection was in use", st.Reason)
	}
}

func TestAProgramThatNeverAnswersPingIsNotTakenAsHung(t *testing.T) {
	t.Parallel()
	u := newHouse(t).open(then(program("legacy", "deaf"), eager))
	run(t, u)
	before := must(t, u, tool("pid", `{}`))
	until(t, "many checks", func() bool { return must(t, u, tool("pings", `{}`)) != "0" })
	<-time.After(3 * stall) // nothing is under way, and it is asked in vain
	if after := must(t, u, tool("pid", `{}`)); after != before || !u.Status().Replicas[0].Healthy {
		t.Errorf("process %s answers, want %s, and the server well", after, before)
	}
}

func TestWithoutRestartAProgramThatHangsIsOnlyRefused(t *testing.T) {
	t.Parallel()
	u := newHouse(t).open(then(program("legacy"), eager, func(s *config.Server) { s.Restart.Enabled = false }))
	run(t, u)
	pinged(t, u)
	id := kill(t, u, syscall.SIGSTOP)
	until(t, "the server is out", func() bool { return !u.Status().Replicas[0].Healthy })
	if e := fails(t, u, tool("echo", `{}`)); e.Code != mcp.CodeUnavailable || !strings.Contains(e.Message, "health checks") {
		t.Errorf("got %v, want code %d and the reason", e, mcp.CodeUnavailable)
	}
	if err := syscall.Kill(id, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	until(t, "the server is back", func() bool { return u.Status().Replicas[0].Healthy })
	if after := must(t, u, tool("pid", `{}`)); after != strconv.Itoa(id) {
		t.Errorf("process %s answers, want %d", after, id)
	}
}

func TestADeadSocketToALivingServerIsReplaced(t *testing.T) {
	t.Parallel()
	peer, there := atSocket(t, "legacy")
	u := newHouse(t).open(then(there, eager, func(s *config.Server) { s.Health.Timeout = stall / 2 }))
	run(t, u)
	pinged(t, u)
	peer.deafen()
	until(t, "another socket", func() bool { return peer.count() > 1 && u.Status().State == upstream.Ready })
	if got := must(t, u, tool("echo", `{"text":"x"}`)); got != "x" {
		t.Errorf("got %q", got)
	}
}

func TestAServerThatAnswersCallsIsNotTurnedAwayForChecksThatWait(t *testing.T) {
	t.Parallel()
	var waiting atomic.Int64
	var saturated atomic.Bool
	h := &modernSite{}
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if saturated.Load() && r.Header.Get("Mcp-Method") != "tools/call" {
			waiting.Add(1)
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return
		}
		h.ServeHTTP(w, r)
	}))
	u := newHouse(t).open(then(at(s), eager))
	run(t, u)
	must(t, u, tool("echo", `{"text":"x"}`))
	saturated.Store(true)
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for before := waiting.Load(); waiting.Load() < before+4; {
		<-pace.C
		if got := must(t, u, tool("echo", `{"text":"y"}`)); got != "y" {
			t.Fatalf("got %q", got)
		}
	}
	if st := u.Status(); !st.Replicas[0].Healthy {
		t.Errorf("the server is turned away: %s", st.Reason)
	}
	until(t, "the server is out when it answers nothing", func() bool { return !u.Status().Replicas[0].Healthy })
}
