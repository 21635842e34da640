package upstream_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/upstream"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// as is a context of a principal's call.
func as(t testing.TB, id string) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return mcp.WithPrincipal(ctx, mcp.Principal{ID: id})
}

// inSession returns req as a client with a session makes it.
func inSession(id string, req *mcp.Request) *mcp.Request {
	again := *req
	again.Client = client(req.Client.Kinds)
	again.Client.Session = id
	return &again
}

func pid(t testing.TB, ctx context.Context, u *upstream.Upstream, kinds mcp.Kinds, session string) string {
	t.Helper()
	r, err := u.Handle(ctx, inSession(session, with(kinds, tool("pid", `{}`))))
	if err != nil {
		t.Fatal(err)
	}
	return text(r)
}

func TestCallersShareAProcessAsFarAsIsolationAllows(t *testing.T) {
	type caller struct {
		principal, session string
		kinds              mcp.Kinds
	}
	for name, c := range map[string]struct {
		traits    string
		isolation string
		callers   []caller
		same      []int // the first caller that shares the process with this one
	}{
		"a program with sessions has one for each set of kinds": {
			"legacy", "shared",
			[]caller{{"a", "1", 0}, {"b", "2", 0}, {"a", "1", mcp.Roots}, {"c", "", mcp.Roots}, {"", "", mcp.Roots | mcp.Sampling}},
			[]int{0, 0, 2, 2, 4},
		},
		"to a stateless program kinds do not matter": {
			"modern", "shared",
			[]caller{{"a", "1", 0}, {"b", "2", mcp.Roots}, {"", "", mcp.Sampling}},
			[]int{0, 0, 0},
		},
		"one for each principal": {
			"modern", "principal",
			[]caller{{"a", "1", 0}, {"a", "2", 0}, {"b", "1", 0}, {"", "", 0}, {"b", "3", mcp.Roots}},
			[]int{0, 0, 2, 3, 2},
		},
		"one for each session, and for the principal of who has none": {
			"legacy", "session",
			[]caller{{"a", "1", 0}, {"a", "2", 0}, {"a", "1", 0}, {"a", "", 0}, {"a", "", 0}, {"b", "", 0}},
			[]int{0, 1, 0, 3, 3, 5},
		},
		"a principal and a session of the same name are not the same": {
			"modern", "session",
			[]caller{{"a", "x", 0}, {"x", "", 0}},
			[]int{0, 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := newHouse(t).open(then(program(c.traits), func(s *config.Server) { s.Isolation = c.isolation }))
			pids := make([]string, len(c.callers))
			for i, who := range c.callers {
				pids[i] = pid(t, as(t, who.principal), u, who.kinds, who.session)
				for j := range i {
					if shared, want := pids[i] == pids[j], c.same[i] == c.same[j]; shared != want {
						t.Errorf("callers %d and %d share a process: %v, want %v", j, i, shared, want)
					}
				}
			}
		})
	}
}

func TestManyCallersWaitForOneOpening(t *testing.T) {
	for name, c := range map[string]struct {
		traits string
		kinds  []mcp.Kinds
		starts int
	}{
		"of a program with sessions":                                    {"legacy", []mcp.Kinds{mcp.Roots}, 1},
		"of a stateless program, before that is known":                  {"modern", []mcp.Kinds{0, mcp.Roots, mcp.Sampling}, 1},
		"of a program with sessions, one after the other for each kind": {"legacy", []mcp.Kinds{0, mcp.Roots, mcp.Sampling}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			u := h.open(program(c.traits, "late=200ms"))
			var calls []<-chan ended
			for i := range 60 {
				calls = append(calls, start(t.Context(), u, with(c.kinds[i%len(c.kinds)], tool("echo", fmt.Sprintf(`{"text":"%d"}`, i)))))
			}
			for i, done := range calls {
				if got := receive(t, "an answer", done); got.err != nil || got.text != strconv.Itoa(i) {
					t.Errorf("call %d got %q, %v", i, got.text, got.err)
				}
			}
			if n := strings.Count(h.log.String(), "msg=\"server cannot"); n != 0 {
				t.Errorf("%d openings failed", n)
			}
			if n := len(u.Kinds()); n != c.starts {
				t.Errorf("%d processes run, want %d", n, c.starts)
			}
		})
	}
}

func TestACallerThatLeavesDoesNotEndTheOpening(t *testing.T) {
	file, lift := latch(t)
	u := newHouse(t).open(program("legacy", "gate="+file))
	ctx, leave := context.WithCancel(t.Context())
	first := start(ctx, u, tool("echo", `{"text":"first"}`))
	until(t, "the start of the program", func() bool { return u.Status().Replicas[0].PID != 0 })
	second := start(t.Context(), u, tool("echo", `{"text":"second"}`))
	leave()
	if got := receive(t, "the first caller", first); got.err == nil {
		t.Errorf("who left got %q", got.text)
	}
	lift()
	if got := receive(t, "the second caller", second); got.text != "second" {
		t.Errorf("who stayed got %q, %v", got.text, got.err)
	}
	if n := u.Status().Replicas[0].Starts; n != 1 {
		t.Errorf("%d starts, want 1", n)
	}
}

// kill ends the process that answers u, with signal, and returns its id.
func kill(t testing.TB, u *upstream.Upstream, signal syscall.Signal) int {
	t.Helper()
	id, err := strconv.Atoi(must(t, u, tool("pid", `{}`)))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(id, signal); err != nil {
		t.Fatal(err)
	}
	return id
}

func TestAProcessThatEndedIsReplacedByTheNextCall(t *testing.T) {
	u := newHouse(t).open(program("legacy"))
	before := kill(t, u, syscall.SIGKILL)
	until(t, "the end of the process", func() bool { return u.Status().Replicas[0].Links == 0 })
	after := must(t, u, tool("pid", `{}`))
	if after == strconv.Itoa(before) {
		t.Errorf("process %s answers after its end", after)
	}
	if st := u.Status(); st.Failures != 0 || st.Replicas[0].Breaker != "closed" {
		t.Errorf("%d failures, breaker %s; want 0 and closed: no caller noticed", st.Failures, st.Replicas[0].Breaker)
	}
}

func TestASessionThatIsGoneIsReplacedOnceForAllWhoNotice(t *testing.T) {
	for _, status := range []int{http.StatusNotFound, http.StatusBadRequest} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			web := newSessionSite(status)
			u := newHouse(t).open(at(newSite(t, web)))
			must(t, u, tool("echo", `{"text":"x"}`))
			web.forget()
			var calls []<-chan ended
			for i := range 20 {
				calls = append(calls, start(t.Context(), u, tool("echo", fmt.Sprintf(`{"text":"%d"}`, i))))
			}
			for i, done := range calls {
				if got := receive(t, "an answer", done); got.text != strconv.Itoa(i) {
					t.Errorf("call %d got %q, %v", i, got.text, got.err)
				}
			}
			if live, opened := web.count(); live != 1 || opened != 2 {
				t.Errorf("%d sessions live, %d were opened; want 1 and 2", live, opened)
			}
			for i := range 20 {
				if n, _ := web.seen.Load(strconv.Itoa(i)); n == nil || fmt.Sprint(n) == "" {
					t.Errorf("call %d was never run", i)
				}
			}
		})
	}
}

// lines counts the lines of a file; none when it is not there.
func lines(t testing.TB, file string) int {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	return strings.Count(string(content), "\n")
}

func TestACallThatWasUnderWayIsLostAndNotRepeatedUnlessItMayBe(t *testing.T) {
	for name, c := range map[string]struct {
		readOnly []string
		tool     string
		want     int // times that it was run
	}{
		"a tool of which nobody vouched anything": {nil, "die", 1},
		"a tool that is read-only":                {[]string{"d*"}, "die", 3},
	} {
		t.Run(name, func(t *testing.T) {
			ledger := filepath.Join(t.TempDir(), "ledger")
			u := newHouse(t).open(then(program("legacy", "ledger="+ledger), func(s *config.Server) {
				s.ReadOnly = c.readOnly
				s.Retries.MinBackoff = time.Millisecond
			}))
			e := fails(t, u, tool(c.tool, `{}`))
			if e.Code != mcp.CodeCallLost || !names(e, "peer") || !strings.Contains(e.Message, "not known") {
				t.Errorf("got %v, data %s; want code %d, the server's name and that the effect is not known", e, e.Data, mcp.CodeCallLost)
			}
			if n := lines(t, ledger); n != c.want {
				t.Errorf("it was run %d times, want %d", n, c.want)
			}
		})
	}
}

func TestAProgramThatClosesItsOutputIsReplaced(t *testing.T) {
	u := newHouse(t).open(then(program("legacy", "stays"), func(s *config.Server) { s.StopTimeout = 2 * time.Minute }))
	before := must(t, u, tool("pid", `{}`))
	if e := fails(t, u, tool("shut", `{}`)); e.Code != mcp.CodeCallLost {
		t.Errorf("got %v, want code %d", e, mcp.CodeCallLost)
	}
	began := time.Now()
	if after := must(t, u, tool("pid", `{}`)); after == before {
		t.Errorf("process %s answers without an output", after)
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %s to replace it", took)
	}
	kill(t, u, syscall.SIGKILL) // it would take its time to stop it
}

func TestKillDuringManyCallsGivesEachOneAnswerOrError(t *testing.T) {
	ledger := filepath.Join(t.TempDir(), "ledger")
	u := newHouse(t).open(then(program("legacy", "ledger="+ledger), func(s *config.Server) { s.MaxConcurrency = 200 }))
	under := waiting(t, u, ledger, "/nowhere")
	var wg sync.WaitGroup
	results := make([]ended, 100)
	for i := range results {
		wg.Go(func() {
			r, err := u.Handle(t.Context(), tool("echo", fmt.Sprintf(`{"text":"%d","ms":200}`, i)))
			results[i] = ended{text(r), err}
		})
	}
	kill(t, u, syscall.SIGKILL)
	wg.Wait()
	answered, lost := 0, 0
	for i, got := range results {
		switch {
		case got.err == nil && got.text == strconv.Itoa(i):
			answered++
		case code(got.err) == mcp.CodeCallLost:
			lost++
		default:
			t.Errorf("call %d got %q, %v", i, got.text, got.err)
		}
	}
	if got := receive(t, "the end of a call that was under way", under); code(got.err) != mcp.CodeCallLost {
		t.Errorf("a call that was under way got %q, %v; want code %d", got.text, got.err, mcp.CodeCallLost)
	}
	if answered+lost != len(results) {
		t.Errorf("%d calls were answered and %d lost of %d", answered, lost, len(results))
	}
	must(t, u, tool("echo", `{"text":"x"}`))
	if b := u.Status().Replicas[0].Breaker; b != "closed" {
		t.Errorf("breaker is %s after one process has died, want closed", b)
	}
}

func TestLinksOfOneReplicaAreBounded(t *testing.T) {
	u := newHouse(t).inside(echo, func(s *config.Server) { s.Isolation = "principal" })
	for i := range 4200 {
		if _, err := u.Handle(as(t, strconv.Itoa(i)), tool("echo", `{"text":"x"}`)); err != nil {
			t.Fatalf("principal %d: %v", i, err)
		}
	}
	if n := u.Status().Replicas[0].Links; n > 4096 {
		t.Errorf("%d links are open, want at most 4096", n)
	}
}
