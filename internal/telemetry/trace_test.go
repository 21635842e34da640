package telemetry_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/telemetry"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/google/go-cmp/cmp"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const (
	parentTrace = "0af7651916cd43dd8448eb211c80319c"
	parentSpan  = "b7ad6b7169203331"
	parent      = "00-" + parentTrace + "-" + parentSpan + "-01"
)

func collectorAt(url string) config.Telemetry {
	return config.Telemetry{
		OTLPEndpoint: url, ServiceName: "gate", Sample: 1,
		OTLPHeaders: map[string]config.Secret{"X-Key": "hunter2"},
	}
}

// sink is an OTLP collector in memory. It refuses the first so many messages.
type sink struct {
	mu     sync.Mutex
	refuse int
	status int
	asked  int
	data   []*tracepb.TracesData
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.refuse > 0 {
		s.refuse--
		w.WriteHeader(s.status)
		return
	}
	body, err := io.ReadAll(r.Body)
	// An ExportTraceServiceRequest is a TracesData by another name.
	data := new(tracepb.TracesData)
	if err != nil || proto.Unmarshal(body, data) != nil || r.URL.Path != "/base/v1/traces" ||
		r.Header.Get("Content-Type") != "application/x-protobuf" || r.Header.Get("X-Key") != "hunter2" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.data = append(s.data, data)
}

func (s *sink) spans() []*tracepb.Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*tracepb.Span
	for _, d := range s.data {
		for _, r := range d.ResourceSpans {
			for _, scope := range r.ScopeSpans {
				all = append(all, scope.Spans...)
			}
		}
	}
	return all
}

func startTraced(t *testing.T, s *sink, sample float64) (*telemetry.Telemetry, *page, func()) {
	t.Helper()
	server := httptest.NewServer(s)
	transport := new(http.Transport)
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	return start(t, func(o *telemetry.Options) {
		o.Telemetry = collectorAt(server.URL + "/base")
		o.Telemetry.Sample = sample
		o.Transport = transport
	})
}

func attributes(s *tracepb.Span) map[string]string {
	m := make(map[string]string)
	for _, a := range s.Attributes {
		m[a.Key] = a.Value.GetStringValue()
	}
	return m
}

func TestTheCollectorSeesBothLegsOfACall(t *testing.T) {
	s := new(sink)
	tel, log, done := startTraced(t, s, 1)
	var atServer string
	server := mcp.HandlerFunc(func(_ context.Context, req *mcp.Request) (mcp.Result, error) {
		atServer = req.TraceParent
		return mcp.RawResult([]byte(`{"isError":true}`)), nil
	})
	outgoing := tel.Observe(server, toFiles)
	gateway := mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
		inner := *req
		inner.Name = "read"
		return outgoing.Handle(ctx, &inner)
	})
	req := call("files__read")
	req.TraceParent = parent
	before := *req
	if _, err := tel.Observe(gateway, incoming).Handle(mcp.WithRequestID(t.Context(), "r1"), req); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before, *req, cmp.AllowUnexported(mcp.Request{}), cmp.Comparer(func(a, b *mcp.Client) bool { return a == b }),
		cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Params" || p.String() == "Notify" }, cmp.Ignore())); d != "" {
		t.Errorf("the caller's request was changed:\n%s", d)
	}
	done()
	spans := s.spans()
	if len(spans) != 2 {
		t.Fatalf("the collector saw %d spans, want 2; log:\n%s", len(spans), log)
	}
	client, server2 := spans[0], spans[1]
	if client.Name != "tools/call read" || client.Kind != tracepb.Span_SPAN_KIND_CLIENT ||
		server2.Name != "tools/call files__read" || server2.Kind != tracepb.Span_SPAN_KIND_SERVER {
		t.Errorf("spans are %q %v and %q %v", client.Name, client.Kind, server2.Name, server2.Kind)
	}
	for _, sp := range spans {
		if hex.EncodeToString(sp.TraceId) != parentTrace || sp.Status.GetCode() != tracepb.Status_STATUS_CODE_ERROR {
			t.Errorf("span %q is of trace %x, status %v", sp.Name, sp.TraceId, sp.Status)
		}
		if sp.EndTimeUnixNano < sp.StartTimeUnixNano || time.Since(time.Unix(0, int64(sp.StartTimeUnixNano))) > time.Minute {
			t.Errorf("span %q lasts from %d to %d", sp.Name, sp.StartTimeUnixNano, sp.EndTimeUnixNano)
		}
	}
	if hex.EncodeToString(server2.ParentSpanId) != parentSpan || !bytes.Equal(client.ParentSpanId, server2.SpanId) {
		t.Errorf("parents are %x and %x, want %s and %x", server2.ParentSpanId, client.ParentSpanId, parentSpan, server2.SpanId)
	}
	if want := "00-" + parentTrace + "-" + hex.EncodeToString(client.SpanId) + "-01"; atServer != want {
		t.Errorf("the server was told %s, want %s", atServer, want)
	}
	want := map[string]string{
		"mcp.method.name": "tools/call", "gen_ai.tool.name": "read", "gen_ai.operation.name": "execute_tool", "error.type": "tool_error",
		"mcp.protocol.version": "2026-07-28", "network.transport": "pipe", "dragoman.server": "files",
	}
	if d := cmp.Diff(want, attributes(client)); d != "" {
		t.Errorf("attributes differ (-want +got):\n%s", d)
	}
	resource := make(map[string]string)
	for _, a := range s.data[0].ResourceSpans[0].Resource.Attributes {
		resource[a.Key] = a.Value.GetStringValue()
	}
	if resource["service.name"] != "gate" || resource["service.version"] != "1.2.3" {
		t.Errorf("resource is %v", resource)
	}
	if line := objects(t, log.String())[0]; line["trace_id"] != parentTrace || line["request_id"] != "r1" {
		t.Errorf("log line is %v", line)
	}
}

func TestATraceBeginsHereWhenTheCallerHasNone(t *testing.T) {
	for _, given := range []string{"", "garbage", "00-00000000000000000000000000000000-b7ad6b7169203331-01"} {
		s := new(sink)
		tel, _, done := startTraced(t, s, 1)
		var passed string
		h := tel.Observe(mcp.HandlerFunc(func(_ context.Context, req *mcp.Request) (mcp.Result, error) {
			passed = req.TraceParent
			return mcp.Result{}, mcp.Errorf(mcp.CodeTimeout, "late")
		}), incoming)
		req := &mcp.Request{Method: "resources/read", Name: "file:///x", TraceParent: given}
		_, _ = h.Handle(t.Context(), req)
		done()
		spans := s.spans()
		if len(spans) != 1 || len(spans[0].ParentSpanId) != 0 || spans[0].Name != "resources/read" {
			t.Fatalf("given %q: spans are %v", given, spans)
		}
		if want := "00-" + hex.EncodeToString(spans[0].TraceId) + "-" + hex.EncodeToString(spans[0].SpanId) + "-01"; passed != want {
			t.Errorf("given %q: passed on %q, want %q", given, passed, want)
		}
		a := attributes(spans[0])
		if a["error.type"] != "1002" || a["rpc.response.status_code"] != "1002" || a["mcp.resource.uri"] != "file:///x" {
			t.Errorf("attributes are %v", a)
		}
	}
}

// Thousands of spans may wait for the collector, each with what a caller has written.
func TestASpanKeepsNoMoreOfACallThanItsName(t *testing.T) {
	s := new(sink)
	tel, _, done := startTraced(t, s, 1)
	h := tel.Observe(mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) { return mcp.Result{}, nil }), incoming)
	long := strings.Repeat("x", 1<<20)
	for _, req := range []*mcp.Request{{Method: "tools/call", Name: long}, {Method: "prompts/get", Name: long}, {Method: "resources/read", Name: "file:///" + long}, {Method: long}} {
		_, _ = h.Handle(t.Context(), req)
	}
	done()
	if got := len(s.spans()); got != 4 {
		t.Fatalf("got %d spans, want 4", got)
	}
	for _, span := range s.spans() {
		if got := proto.Size(span); got > 4<<10 {
			t.Errorf("%.20s… has %d bytes, want 4 KiB at most", span.Name, got)
		}
	}
}

func TestWhoBeganATraceDecidesWhetherItIsKept(t *testing.T) {
	for _, tt := range []struct {
		name, parent string
		sample       float64
		kept         int
	}{
		{"the caller keeps it", parent, 0, 1},
		{"the caller does not", strings.TrimSuffix(parent, "01") + "00", 1, 0},
		{"nobody asked, none are kept", "", 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := new(sink)
			tel, _, done := startTraced(t, s, tt.sample)
			var passed string
			h := tel.Observe(mcp.HandlerFunc(func(_ context.Context, req *mcp.Request) (mcp.Result, error) {
				passed = req.TraceParent
				return mcp.EmptyResult(), nil
			}), incoming)
			req := call("x")
			req.TraceParent = tt.parent
			_, _ = h.Handle(t.Context(), req)
			done()
			flags := map[int]string{0: "-00", 1: "-01"}[tt.kept]
			if n := len(s.spans()); n != tt.kept || !strings.HasSuffix(passed, flags) {
				t.Errorf("%d spans kept, want %d; passed on %s", n, tt.kept, passed)
			}
		})
	}
}

func TestWithoutACollectorTheTraceParentGoesThroughUntouched(t *testing.T) {
	tel, _, _ := start(t, nil)
	for _, given := range []string{parent, "", "01-future", "garbage"} {
		req := call("x")
		req.TraceParent = given
		var same bool
		_, _ = tel.Observe(mcp.HandlerFunc(func(_ context.Context, got *mcp.Request) (mcp.Result, error) {
			same = got == req
			return mcp.EmptyResult(), nil
		}), toFiles).Handle(t.Context(), req)
		if !same || req.TraceParent != given {
			t.Errorf("given %q: same request %v, traceparent %q", given, same, req.TraceParent)
		}
	}
}

func TestACollectorThatIsBusyIsAskedAgain(t *testing.T) {
	s := &sink{refuse: 2, status: http.StatusServiceUnavailable}
	tel, _, done := startTraced(t, s, 1)
	_, _ = tel.Observe(answering(`{}`), incoming).Handle(t.Context(), call("x"))
	done()
	if n := len(s.spans()); n != 1 || s.asked != 3 {
		t.Errorf("%d spans after %d messages, want 1 after 3", n, s.asked)
	}
}

func TestSpansThatAreLostAreTold(t *testing.T) {
	s := &sink{refuse: 100, status: http.StatusForbidden}
	tel, log, done := startTraced(t, s, 1)
	_, _ = tel.Observe(answering(`{}`), incoming).Handle(t.Context(), call("x"))
	done()
	if s.asked != 1 || !strings.Contains(log.String(), "spans were lost") || strings.Contains(log.String(), "hunter2") {
		t.Errorf("asked %d times, log:\n%s", s.asked, log)
	}
}

func TestExemplarsLeadToTheTrace(t *testing.T) {
	tel, _, done := startTraced(t, new(sink), 1)
	defer done()
	req := call("x")
	req.TraceParent = parent
	_, _ = tel.Observe(answering(`{}`), incoming).Handle(t.Context(), req)
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/metrics", nil)
	r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	tel.Metrics().ServeHTTP(w, r)
	if !strings.Contains(w.Body.String(), `# {trace_id="`+parentTrace+`"}`) {
		t.Error("no exemplar of the trace")
	}
}

func TestTraceParents(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		ok       bool
	}{
		{"a valid one", parent, true},
		{"a later version", "cc" + parent[2:], true},
		{"a later version with more", "cc" + parent[2:] + "-what-the-future", true},
		{"version 00 with more", parent + "-x", false},
		{"a later version with more that is not set apart", "cc" + parent[2:] + "x", false},
		{"the version that is forbidden", "ff" + parent[2:], false},
		{"upper case", strings.ToUpper(parent), false},
		{"no trace", "00-00000000000000000000000000000000-" + parentSpan + "-01", false},
		{"no span", "00-" + parentTrace + "-0000000000000000-01", false},
		{"too short", parent[:54], false},
		{"other separators", strings.ReplaceAll(parent, "-", "_"), false},
		{"no hex", strings.Replace(parent, "0af", "0ag", 1), false},
		{"nothing", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sc, ok := telemetry.ParseTraceParent(tt.in)
			if ok != tt.ok {
				t.Fatalf("parsing %q says %v, want %v", tt.in, ok, tt.ok)
			}
			if got := telemetry.FormatTraceParent(sc); ok && got != parent {
				t.Errorf("%q is written as %q", tt.in, got)
			}
		})
	}
}

func TestAnEndpointThatIsNoURLIsRefused(t *testing.T) {
	_, err := telemetry.New(telemetry.Options{Output: io.Discard, Transport: http.DefaultTransport, Telemetry: collectorAt("::")})
	if err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
}
