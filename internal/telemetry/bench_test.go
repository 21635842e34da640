package telemetry_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/telemetry"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// BenchmarkObserve prints what watching a call costs on top of the call: both
// legs, as every forwarded call has them.
func BenchmarkObserve(b *testing.B) {
	for _, side := range []struct {
		name   string
		change func(*telemetry.Options)
		parent string
	}{
		{name: "metrics-and-log"},
		{name: "metrics-and-log-with-traceparent", parent: parent},
		{name: "metrics-only", change: func(o *telemetry.Options) { o.QuietCalls = true }},
		{name: "with-spans", change: func(o *telemetry.Options) {
			s := httptest.NewServer(new(sink))
			b.Cleanup(s.Close)
			tr := new(http.Transport)
			b.Cleanup(tr.CloseIdleConnections)
			o.Telemetry, o.Transport = collectorAt(s.URL+"/base"), tr
		}},
	} {
		b.Run(side.name, func(b *testing.B) {
			tel, _, done := start(b, func(o *telemetry.Options) {
				o.Output = io.Discard
				if side.change != nil {
					side.change(o)
				}
			})
			defer done()
			result := mcp.RawResult([]byte(`{"content":[{"type":"text","text":"hello"}]}`))
			h := tel.Observe(tel.Observe(mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) {
				return result, nil
			}), toFiles), incoming)
			ctx := mcp.WithRequestID(mcp.WithPrincipal(context.Background(), mcp.Principal{ID: "laptop"}), "0123456789abcdefghij")
			req := call("files__read_text_file")
			req.TraceParent = side.parent
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Handle(ctx, req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
