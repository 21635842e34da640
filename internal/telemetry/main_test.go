package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/telemetry"
	"github.com/dragoman-mcp/dragoman/mcp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// page takes a log and can be read while it is written.
type page struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.Write(b)
}

func (p *page) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.buf.String()
}

// start returns a Telemetry, its log, and what closes it before the test looks
// at the log.
func start(t testing.TB, change func(*telemetry.Options)) (*telemetry.Telemetry, *page, func()) {
	t.Helper()
	log := new(page)
	o := telemetry.Options{Output: log, Version: "1.2.3", Commit: "abc"}
	if change != nil {
		change(&o)
	}
	tel, err := telemetry.New(o)
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	closeIt := func() {
		once.Do(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
			defer cancel()
			if err := tel.Close(ctx); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	t.Cleanup(closeIt)
	return tel, log, closeIt
}

// objects reads a log as JSON, one object for each line.
func objects(t testing.TB, log string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(log) {
		var o map[string]any
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("line is not an object: %v\n%q", err, line)
		}
		all = append(all, o)
	}
	return all
}

// scrape returns the metrics as lines, without those about the process.
func scrape(t testing.TB, tel *telemetry.Telemetry) map[string]string {
	t.Helper()
	w := httptest.NewRecorder()
	tel.Metrics().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("/metrics answers %d: %s", w.Code, w.Body)
	}
	samples := make(map[string]string)
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		if at := strings.LastIndexByte(line, ' '); at > 0 {
			samples[line[:at]] = strings.TrimSpace(line[at+1:])
		}
	}
	return samples
}

func wantSamples(t *testing.T, tel *telemetry.Telemetry, want map[string]string) {
	t.Helper()
	got := scrape(t, tel)
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
}

func answering(result string) mcp.Handler {
	return mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) {
		return mcp.RawResult([]byte(result)), nil
	})
}

func failing(err error) mcp.Handler {
	return mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) { return mcp.Result{}, err })
}

func call(tool string) *mcp.Request {
	return &mcp.Request{Method: "tools/call", Name: tool, Client: &mcp.Client{Revision: mcp.Revision20260728}}
}

var (
	incoming = telemetry.Leg{Side: telemetry.Incoming, Transport: telemetry.TCP}
	toFiles  = telemetry.Leg{Side: telemetry.Outgoing, Transport: telemetry.Pipe, Server: "files"}
)
