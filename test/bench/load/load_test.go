package load_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/test/bench/load"
	"github.com/dragoman-mcp/dragoman/test/bench/upstream"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs an upstream for the length of the test and returns its address.
func serve(t *testing.T, options upstream.Options) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- upstream.New(options).Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

func needLinux(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
}

func TestEveryKindOfLoadIsAnsweredRightly(t *testing.T) {
	needLinux(t)
	addr := serve(t, upstream.Options{Tools: 50})
	for _, revision := range []string{load.Legacy, load.Modern} {
		for _, kind := range []load.Kind{load.Echo, load.Big, load.List, load.Session} {
			t.Run(revision+" "+string(kind), func(t *testing.T) {
				plan := load.Plan{
					Peers: []load.Peer{{Name: "a", Target: load.Target{Addr: addr, Path: "/mcp"}, PID: os.Getpid()}, {Name: "b", Target: load.Target{Addr: addr, Path: "/mcp"}, PID: os.Getpid()}},
					Kind:  kind, Revision: revision, Conns: 2, Tools: 50, Window: 40 * time.Millisecond, Slices: 2,
				}
				if kind == load.Session && revision == load.Modern {
					t.Skip("2026-07-28 has no sessions")
				}
				results, err := load.Run(t.Context(), plan)
				if err != nil {
					t.Fatal(err)
				}
				for name, r := range results {
					if r.Answered == 0 || r.Wrong+r.Broken > 0 || r.CPU <= 0 || r.Elapsed <= 0 || r.P99 < r.P50 {
						t.Errorf("peer %s: %+v, want answers, none wrong, and figures", name, r)
					}
				}
			})
		}
	}
}

func TestHeldStreamsAreCountedAliveOnlyWhileTheyAre(t *testing.T) {
	needLinux(t)
	addr := serve(t, upstream.Options{})
	plan := load.Plan{Peers: []load.Peer{{Name: "a", Target: load.Target{Addr: addr, Path: "/mcp"}, PID: os.Getpid()}}, Held: []int{5, 12}, Settle: time.Millisecond}
	results, err := load.Run(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	r := results["a"]
	if len(r.Held) != 2 || r.Held[0].Alive != 5 || r.Held[1].Alive != 12 || r.Wrong > 0 {
		t.Errorf("held %+v, want 5 and then 12 alive", r)
	}
	endsAtOnce := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", "text/event-stream")
			_ = http.NewResponseController(w).Flush()
			return
		}
		pass(t, addr, w, r, func(text string) string { return text })
	}))
	defer endsAtOnce.Close()
	plan.Peers[0].Target.Addr, plan.Held = endsAtOnce.Listener.Addr().String(), []int{3}
	results, err = load.Run(t.Context(), plan)
	if r := results["a"]; err != nil || len(r.Held) != 1 || r.Held[0].Alive != 0 || r.Wrong == 0 {
		t.Errorf("streams that end at once: %+v, %v; want none alive and a fault", r, err)
	}
}

// pass forwards a request to the upstream at addr and lets change alter the answer's body.
func pass(t *testing.T, addr string, w http.ResponseWriter, r *http.Request, change func(string) string) {
	request, err := http.NewRequestWithContext(r.Context(), r.Method, "http://"+addr+r.URL.Path, r.Body)
	if err != nil {
		t.Error(err)
		return
	}
	request.Header = r.Header
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	for name := range response.Header {
		if name != "Content-Length" {
			w.Header().Set(name, response.Header.Get(name))
		}
	}
	changed := change(string(text))
	if strings.HasPrefix(changed, "event:") {
		w.Header().Set("Content-Type", "text/event-stream")
	}
	w.WriteHeader(response.StatusCode)
	_, _ = io.WriteString(w, changed)
}

// TestWrongAnswersAreFound lets a proxy lie in each way that the load must notice, and tell the truth in other words.
func TestWrongAnswersAreFound(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	addr := serve(t, upstream.Options{Tools: 10})
	replace := func(old, new string) func(string) string {
		return func(text string) string { return strings.Replace(text, old, new, 1) }
	}
	event := func(text string) string { return "event: message\r\ndata: " + text + "\r\n\r\n" }
	tests := []struct {
		name   string
		change func(string) string
		call   error
		list   error
	}{
		{"the truth", func(text string) string { return text }, nil, nil},
		{"the truth on a stream", event, nil, nil},
		{"the truth after a notification", func(text string) string {
			return event(`{"jsonrpc":"2.0","method":"notifications/message"}`) + event(text)
		}, nil, nil},
		{"grease", replace(`"result":{`, `"result":{"x-grease":[{"id":1}],`), nil, nil},
		{"another text", replace(`"text":"t`, `"text":"u`), load.ErrWrong, nil},
		{"another id", replace(`"id":`, `"id":1`), load.ErrWrong, load.ErrWrong},
		{"an error", replace(`"content":`, `"isError":true,"content":`), load.ErrWrong, nil},
		{"no result", replace(`"result":`, `"error":`), load.ErrWrong, load.ErrWrong},
		{"two blocks", replace(`"content":[`, `"content":[{"type":"text","text":"text of a call"},`), load.ErrWrong, nil},
		{"two answers", func(text string) string { return event(text) + event(text) }, load.ErrTwice, load.ErrTwice},
		{"no answer", func(string) string { return ": nothing\n\n" }, load.ErrWrong, load.ErrWrong},
		{"a tool too few", replace(`{"name":"echo"`, `{"name":"big"`), nil, load.ErrWrong},
		{"no result type", replace(`"resultType":"complete",`, ``), load.ErrWrong, load.ErrWrong},
		{"no time to live", replace(`"ttlMs":60000,`, ``), nil, load.ErrWrong},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { pass(t, addr, w, r, test.change) }))
			defer server.Close()
			c, err := load.Dial(t.Context(), load.Target{Addr: server.Listener.Addr().String(), Path: "/mcp"}, load.Modern, time.Now().Add(10*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for range 2 { // the second list is compared with the first instead of being read
				if err := c.Call("text of a call"); !errors.Is(err, test.call) {
					t.Errorf("Call: %v, want %v", err, test.call)
				}
				if err := c.List(10); !errors.Is(err, test.list) {
					t.Errorf("List: %v, want %v", err, test.list)
				}
			}
		})
	}
}

func TestALargeAnswerIsComparedToTheLastByte(t *testing.T) {
	defer http.DefaultClient.CloseIdleConnections()
	addr := serve(t, upstream.Options{})
	changed := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pass(t, addr, w, r, func(text string) string {
			if at := len(text) - 100; changed {
				text = text[:at] + "!" + text[at+1:]
			}
			return text
		})
	}))
	defer server.Close()
	for _, revision := range []string{load.Legacy, load.Modern} {
		changed = false
		c, err := load.Dial(t.Context(), load.Target{Addr: server.Listener.Addr().String(), Path: "/mcp"}, revision, time.Now().Add(10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := errors.Join(c.Initialize(), c.Big(), c.Big()); err != nil {
			t.Errorf("%s: the true answer: %v", revision, err)
		}
		changed = true
		if err := c.Big(); revision == load.Legacy && !errors.Is(err, load.ErrWrong) {
			t.Errorf("%s: one byte changed near the end: %v, want ErrWrong", revision, err)
		}
	}
}
