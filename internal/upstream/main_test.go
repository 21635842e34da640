package upstream_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/egress"
	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/dragoman-mcp/dragoman/internal/upstream"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/legacy"
)

// TestMain makes the test binary the supervisor's guard, and the programs that
// the tests have as servers.
func TestMain(m *testing.M) {
	supervisor.ShimMain(os.Args)
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "role:") {
		os.Exit(play(os.Args[1], os.Args[2:]))
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil { // those that are parallel only wait
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// patience bounds every wait of these tests for what must happen. It says nothing of
// how soon: a machine may be ten times slower than another, and busy.
const patience = 4 * time.Minute

// house is what upstreams stand in.
type house struct {
	t       testing.TB
	around  upstream.Surroundings
	parking *legacy.Parking
	log     *logs
}

// newHouse returns surroundings that are closed at the end of the test.
func newHouse(t testing.TB) *house {
	t.Helper()
	processes, err := supervisor.New(supervisor.Options{Environ: os.Environ()})
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := legacy.NewSealer(nil)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, parking: legacy.NewParking(sealer, legacy.ParkingOptions{}), log: &logs{}}
	network := egress.New(egress.Options{})
	h.around = upstream.Surroundings{
		Network: network, Processes: processes, Parking: h.parking,
		Info: []byte(`{"name":"test","version":"1"}`), MaxMessage: 16 << 20,
		Log: slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	t.Cleanup(func() {
		h.parking.Close()
		if err := processes.Close(); err != nil {
			t.Errorf("close supervisor: %v", err)
		}
		if err := network.Close(); err != nil {
			t.Errorf("close network: %v", err)
		}
		if t.Failed() {
			t.Log(h.log.String())
		}
	})
	return h
}

// logs collects what is logged.
type logs struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// defaults is a server about as it comes out of a file that says nothing else, but
// with more patience.
func defaults() config.Server {
	return config.Server{
		Name: "peer", Transport: "auto", Protocol: "auto", Isolation: "shared", Start: "always",
		Upkeep: config.Upkeep{
			Timeout: 5 * time.Minute, ConnectTimeout: 10 * time.Second, StartupTimeout: 5 * time.Minute,
			ListTimeout: 30 * time.Second, StopTimeout: 5 * time.Second, IdleStop: 10 * time.Minute,
			MaxConcurrency: 64, MaxQueue: 256, KeepConnections: 16, MaxConnections: 256,
			Retries: config.Retries{Attempts: 3, MinBackoff: 100 * time.Millisecond, MaxBackoff: 2 * time.Second, Budget: 20},
			Health:  config.Health{Interval: 2 * time.Second, Timeout: patience, UnhealthyAfter: 2, HealthyAfter: 1}, // see eager
			Breaker: config.Breaker{Failures: 5, OpenFor: time.Minute},
			Restart: config.Restart{Enabled: true, MinBackoff: 500 * time.Millisecond, MaxBackoff: 30 * time.Second, CrashCount: 5, CrashWindow: 20 * time.Minute},
		},
	}
}

// open returns the upstream of what change makes of the defaults; it is closed
// at the end of the test.
func (h *house) open(change func(*config.Server)) *upstream.Upstream {
	h.t.Helper()
	cfg := defaults()
	change(&cfg)
	u, err := upstream.New(cfg, h.around)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := u.Close(ctx); err != nil {
			h.t.Errorf("close: %v", err)
		}
	})
	return u
}

// inside returns an upstream whose server is handler.
func (h *house) inside(handler mcp.Handler, change func(*config.Server)) *upstream.Upstream {
	h.t.Helper()
	h.around.Builtin = func(string, json.RawMessage) (mcp.Handler, error) { return handler, nil }
	return h.open(func(s *config.Server) {
		s.Builtin = "test"
		if change != nil {
			change(s)
		}
	})
}

// run keeps u until the end of the test, or until stop is called.
func run(t testing.TB, u *upstream.Upstream) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- u.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("run: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// client is a caller that can be asked for kinds.
func client(kinds mcp.Kinds) *mcp.Client {
	capabilities, _ := jsonrpc.Split(kinds.Capabilities(mcp.Revision20260728))
	return mcp.NewClient(mcp.Revision20260728, []byte(`{"name":"caller","version":"1"}`), capabilities)
}

// tool makes a request to call one.
func tool(name, arguments string) *mcp.Request {
	params, ok := jsonrpc.Split(fmt.Appendf(nil, `{"name":%q,"arguments":%s}`, name, arguments))
	if !ok {
		panic("arguments are no JSON: " + arguments)
	}
	return &mcp.Request{Method: "tools/call", Name: name, Params: params, Client: client(0)}
}

// bare makes a request without parameters.
func bare(method string) *mcp.Request { return &mcp.Request{Method: method, Client: client(0)} }

// with returns req as a caller with kinds makes it.
func with(kinds mcp.Kinds, req *mcp.Request) *mcp.Request {
	again := *req
	again.Client = client(kinds)
	return &again
}

// text is what a tool has said.
func text(r mcp.Result) string {
	var content struct {
		Content []struct{ Text string }
	}
	if r.Raw() == nil || json.Unmarshal(r.Raw(), &content) != nil || len(content.Content) == 0 {
		return ""
	}
	return content.Content[0].Text
}

// must calls and returns the text, or fails the test.
func must(t testing.TB, h mcp.Handler, req *mcp.Request) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := h.Handle(ctx, req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.Name, err)
	}
	return text(r)
}

// fails calls and returns the error as a caller sees it, or fails the test.
func fails(t testing.TB, h mcp.Handler, req *mcp.Request) *mcp.Error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := h.Handle(ctx, req)
	if err == nil {
		t.Fatalf("%s %s: got %s, want an error", req.Method, req.Name, r.Raw())
	}
	return mcp.WireError(err)
}

// ended is how a call ended that was made in the background.
type ended struct {
	text string
	err  error
}

// start makes a call in the background.
func start(ctx context.Context, h mcp.Handler, req *mcp.Request) <-chan ended {
	done := make(chan ended, 1)
	go func() {
		r, err := h.Handle(ctx, req)
		done <- ended{text(r), err}
	}()
	return done
}

// receive takes a value from a channel.
func receive[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for: %s", what)
		panic("not reached")
	}
}

// until waits for a condition that no channel tells.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	untilWithin(t, patience, what, is)
}

func untilWithin(t testing.TB, d time.Duration, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(d)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("after %s still waiting for: %s", d, what)
		}
	}
}

// latch returns a file that is not there, for a server to wait for, and a function
// that makes it.
func latch(t testing.TB) (file string, lift func()) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "latch")
	return file, func() {
		t.Helper()
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// waiting makes a call that lasts until a latch is lifted, and returns when the
// server, which has the ledger, runs it.
func waiting(t testing.TB, u *upstream.Upstream, ledger, file string) <-chan ended {
	t.Helper()
	before := lines(t, ledger)
	done := start(t.Context(), u, tool("wait", fmt.Sprintf(`{"text":%q}`, file)))
	until(t, "the call", func() bool { return lines(t, ledger) > before })
	return done
}

// code is the code of what a caller is told of err; 0 for no error.
func code(err error) int {
	if err == nil {
		return 0
	}
	return mcp.WireError(err).Code
}

// names reports whether the data of an error names the server.
func names(e *mcp.Error, server string) bool {
	var data struct{ Server string }
	return json.Unmarshal(e.Data, &data) == nil && data.Server == server
}

var errBroken = errors.New("the pipe burst at 10.1.2.3:99")

// echo is a server that says what it is told.
var echo = mcp.HandlerFunc(func(_ context.Context, req *mcp.Request) (mcp.Result, error) {
	var p struct{ Arguments struct{ Text string } }
	_ = json.Unmarshal(req.Params.Raw(), &p)
	return said(p.Arguments.Text), nil
})

// said is the result of a tool that says something.
func said(s string) mcp.Result {
	return mcp.RawResult([]byte(`{"content":[{"type":"text","text":` + string(jsonrpc.AppendString(nil, s)) + `}]}`))
}
