package upstream_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

func TestCallsAreSharedOutByWeightAndLoad(t *testing.T) {
	urls := []config.Replica{{URL: "http://a/mcp", Weight: 1}, {URL: "http://b/mcp", Weight: 2}, {URL: "http://c/mcp", Weight: 5}}
	u := newHouse(t).open(func(s *config.Server) { s.URLs = urls })
	const n = 80_000
	t.Run("without load each gets its share", func(t *testing.T) {
		got := u.Picks(n, nil)
		for _, r := range urls {
			if want := float64(n*r.Weight) / 8; math.Abs(float64(got[r.URL])-want) > 0.05*n {
				t.Errorf("%s got %d calls, want about %.0f", r.URL, got[r.URL], want)
			}
		}
	})
	t.Run("one that has the most to do for its weight gets none, for it never wins of two", func(t *testing.T) {
		got := u.Picks(n, map[string]int64{"http://a/mcp": 1, "http://b/mcp": 4, "http://c/mcp": 5})
		if got["http://b/mcp"] != 0 || got["http://a/mcp"] == 0 || got["http://c/mcp"] == 0 {
			t.Errorf("calls went to %v, want none to b, which has 2 per unit of weight, and the others 1", got)
		}
	})
}

func TestLoadEvensOut(t *testing.T) {
	h := make([]*modernSite, 3)
	var sites []*site
	const n = 300
	var arrived atomic.Int64
	all := make(chan struct{})
	for i := range h {
		h[i] = &modernSite{}
		sites = append(sites, newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Mcp-Method") == "tools/call" { // none ends before all are under way
				if arrived.Add(1) == n {
					close(all)
				}
				<-all
			}
			h[i].ServeHTTP(w, r)
		})))
	}
	u := newHouse(t).open(then(at(sites...), roomy))
	var calls []<-chan ended
	for range n {
		calls = append(calls, start(t.Context(), u, tool("echo", `{"text":"x"}`)))
	}
	for _, done := range calls {
		if got := receive(t, "an answer", done); got.text != "x" {
			t.Fatalf("got %q, %v", got.text, got.err)
		}
	}
	for i := range h {
		if n := h[i].calls.Load(); n < 75 || n > 125 {
			t.Errorf("replica %d got %d of 300 calls, want about 100", i, n)
		}
	}
}

func nobodyAt(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String() + "/mcp"
}

func TestAReplicaThatCannotBeConnectedIsPassedOver(t *testing.T) {
	well := &modernSite{}
	s := newSite(t, well)
	u := newHouse(t).open(func(c *config.Server) {
		c.URLs = []config.Replica{{URL: nobodyAt(t), Weight: 1000}, {URL: nobodyAt(t), Weight: 1000}, {URL: s.URL, Weight: 1}}
		c.Retries.Attempts, c.Retries.Budget = 1, 0
	})
	for i := range 50 {
		if got := must(t, u, tool("echo", fmt.Sprintf(`{"text":"%d"}`, i))); got != fmt.Sprint(i) {
			t.Errorf("got %q", got)
		}
	}
	if n := well.calls.Load(); n != 50 {
		t.Errorf("the replica that is there ran %d calls, want 50", n)
	}
	st := u.Status()
	if st.State != "degraded" || st.Failures != 0 {
		t.Errorf("state %s with %d failures, want degraded and 0", st.State, st.Failures)
	}
}

// flaky fails the first calls with err.
type flaky struct {
	err   error
	fails int64
	calls atomic.Int64
	seen  []*mcp.Request
}

func (f *flaky) Handle(_ context.Context, req *mcp.Request) (mcp.Result, error) {
	f.seen = append(f.seen, req)
	if f.calls.Add(1) <= f.fails {
		req.Emit(mcp.Notification{Method: "notifications/progress"})
		return mcp.Result{}, f.err
	}
	return said("at last"), nil
}

func TestOnlyWhatIsSafeToRepeatIsRepeated(t *testing.T) {
	lost := fmt.Errorf("%w: %w", mcp.Errorf(mcp.CodeCallLost, "x"), errBroken)
	state := tool("read", `{}`)
	state.Params = state.Params.With(jsonrpc.Edit{Name: "requestState", Value: []byte(`"s"`)})
	answers := &mcp.Request{Method: "resources/read", Client: client(0)}
	answers.Params = answers.Params.With(jsonrpc.Edit{Name: "inputResponses", Value: []byte(`{}`)})
	for name, c := range map[string]struct {
		req  *mcp.Request
		err  error
		want int64 // times that it is sent
	}{
		"a list":                                 {bare("tools/list"), lost, 3},
		"a resource":                             {bare("resources/read"), lost, 3},
		"a prompt":                               {bare("prompts/get"), lost, 3},
		"a completion":                           {bare("completion/complete"), lost, 3},
		"a read-only tool":                       {tool("read", `{}`), lost, 3},
		"an idempotent tool":                     {tool("put_it", `{}`), lost, 3},
		"another tool is not":                    {tool("delete", `{}`), lost, 1},
		"a method that nobody here knows is not": {bare("skills/run"), lost, 1},
		"a call with a state is not":             {state, lost, 1},
		"a call with answers is not":             {answers, lost, 1},
		"an error of the server is an answer":    {tool("read", `{}`), mcp.Errorf(-32603, "no"), 1},
		"another tool, of which nothing was sent, has nowhere else to go": {tool("delete", `{}`), fmt.Errorf("%w: %w", mcp.ErrNotSent, errBroken), 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := &flaky{err: c.err, fails: 100}
			u := newHouse(t).inside(f, func(s *config.Server) {
				s.ReadOnly, s.Idempotent = []string{"read*"}, []string{"put_*"}
				s.Retries = config.Retries{Attempts: 3, MinBackoff: time.Millisecond, MaxBackoff: time.Millisecond, Budget: 100}
				s.Breaker.Failures = 0
			})
			fails(t, u, c.req)
			if n := f.calls.Load(); n != c.want {
				t.Errorf("it was sent %d times, want %d", n, c.want)
			}
		})
	}
}

func TestARepetitionThatSucceedsIsTheAnswerAndProgressDoesNotGoBack(t *testing.T) {
	f := &flaky{err: errBroken, fails: 2}
	u := newHouse(t).inside(f, func(s *config.Server) {
		s.ReadOnly, s.Retries.MinBackoff = []string{"*"}, time.Millisecond
	})
	req := tool("read", `{}`)
	req.ProgressToken, req.Notify = []byte(`1`), func(mcp.Notification) {}
	if got := must(t, u, req); got != "at last" {
		t.Errorf("got %q", got)
	}
	if f.seen[0].ProgressToken == nil || f.seen[1].ProgressToken != nil {
		t.Errorf("progress is asked for with %s, then %s; want it the first time only", f.seen[0].ProgressToken, f.seen[1].ProgressToken)
	}
	if req.ProgressToken == nil {
		t.Error("the caller's request was changed")
	}
}

func TestRetriesAreAShareOfTheCalls(t *testing.T) {
	for budget, most := range map[float64]int64{0: 0, 20: 10 + 20, 100: 200} {
		f := &flaky{err: errBroken, fails: math.MaxInt64}
		u := newHouse(t).inside(f, func(s *config.Server) {
			s.ReadOnly, s.Breaker.Failures = []string{"*"}, 0
			s.Retries = config.Retries{Attempts: 3, MinBackoff: time.Microsecond, MaxBackoff: time.Microsecond, Budget: budget}
		})
		for range 100 {
			fails(t, u, tool("read", `{}`))
		}
		if retries := f.calls.Load() - 100; retries > most || retries < most/2 {
			t.Errorf("with %g%%: %d retries of 100 calls, want about %d at most", budget, retries, most)
		}
	}
}

func TestTheBreakerTurnsCallsAwayWithTheReason(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		open bool
	}{
		"after failures on the way":      {errBroken, true},
		"not after errors of the server": {mcp.Errorf(-32603, "no"), false},
	} {
		t.Run(name, func(t *testing.T) {
			f := &flaky{err: c.err, fails: math.MaxInt64}
			u := newHouse(t).inside(f, func(s *config.Server) { s.Breaker.Failures, s.Retries.Attempts = 3, 1 })
			for range 3 {
				fails(t, u, tool("x", `{}`))
			}
			e := fails(t, u, tool("x", `{}`))
			if opened := f.calls.Load() == 3; opened != c.open {
				t.Fatalf("the fourth call was turned away: %v, want %v", opened, c.open)
			}
			if c.open && (e.Code != mcp.CodeUnavailable || !strings.Contains(e.Message, "3 failures in a row") || !names(e, "peer")) {
				t.Errorf("got %v with data %s, want code %d, how many failures, and the server's name", e, e.Data, mcp.CodeUnavailable)
			}
			if !c.open {
				return
			}
			if st := u.Status(); st.State != "unavailable" || st.Replicas[0].Breaker != "open" || st.Reason == "" {
				t.Errorf("state %s because %q, breaker %s; want unavailable, a reason, open", st.State, st.Reason, st.Replicas[0].Breaker)
			}
			u.Restart()
			fails(t, u, tool("x", `{}`))
			if f.calls.Load() != 4 {
				t.Error("a restart has not closed it")
			}
		})
	}
	t.Run("not after calls that their callers gave up, nor refusals of one of them", func(t *testing.T) {
		h := newHeld()
		u := newHouse(t).inside(h, func(s *config.Server) { s.Breaker.Failures = 1 })
		ctx, leave := context.WithCancel(t.Context())
		done := start(ctx, u, tool("x", `{}`))
		receive(t, "the call", h.arrived)
		leave()
		if got := receive(t, "its end", done); !errors.Is(got.err, context.Canceled) || u.Status().Failures != 0 {
			t.Errorf("got %v with %d failures, want what the caller did and none", got.err, u.Status().Failures)
		}
		s := newSite(t, &modernSite{})
		web := newHouse(t).open(then(at(s), func(c *config.Server) { c.Breaker.Failures = 1 }))
		must(t, web, tool("echo", `{}`))
		s.become(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.Header.Get("Mcp-Name"), "forbidden") {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			(&modernSite{}).ServeHTTP(w, r)
		}))
		fails(t, web, tool("forbidden", `{}`))
		must(t, web, tool("echo", `{}`))
		if b := []string{u.Status().Replicas[0].Breaker, web.Status().Replicas[0].Breaker}; slices.Contains(b, "open") {
			t.Errorf("breakers are %v, want closed", b)
		}
	})
	t.Run("after deadlines", func(t *testing.T) {
		u := newHouse(t).inside(newHeld(), func(s *config.Server) { s.Breaker.Failures, s.Timeout = 2, 500*time.Millisecond })
		for range 2 {
			fails(t, u, tool("x", `{}`))
		}
		if b := u.Status().Replicas[0].Breaker; b != "open" {
			t.Errorf("breaker is %s, want open", b)
		}
	})
}

func TestAnOpenBreakerLeavesTheOtherReplicas(t *testing.T) {
	bad := newSite(t, &modernSite{})
	good := newSite(t, &modernSite{})
	u := newHouse(t).open(then(at(bad, good), func(c *config.Server) { c.Breaker.Failures, c.Retries.Attempts = 1, 1 }))
	for bad.requests.Load() == 0 || good.requests.Load() == 0 {
		must(t, u, tool("echo", `{}`))
	}
	bad.become(answering(http.StatusInternalServerError, ""))
	failed := 0
	for range 100 {
		if _, err := u.Handle(t.Context(), tool("echo", `{}`)); err != nil {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("%d of 100 calls failed, want 1: the one that opened the breaker", failed)
	}
}
