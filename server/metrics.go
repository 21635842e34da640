package server

import (
	"sync/atomic"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics count the calls of one server.
type metrics struct {
	calls     *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	truncated *prometheus.CounterVec
	active    prometheus.Gauge
	totals    *totals
}

// totals are the same for the health report.
type totals struct {
	active, requests, errors, nanoseconds atomic.Int64
}

func newMetrics(r prometheus.Registerer) metrics {
	m := metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dragoman_tool_calls_total",
			Help: "Calls of tools, and reads of resources and prompts, by how they went: ok, failed, internal, timeout or cancelled.",
		}, []string{"tool", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "dragoman_tool_call_duration_seconds", Help: "How long calls took inside the server.",
			Buckets: []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60},
		}, []string{"tool"}),
		truncated: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "dragoman_tool_answers_truncated_total", Help: "Answers that were cut because of their budget.",
		}, []string{"tool"}),
		active: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "dragoman_tool_calls_active", Help: "Calls under way.",
		}),
		totals: &totals{},
	}
	r.MustRegister(m.calls, m.seconds, m.truncated, m.active)
	return m
}

// label returns what a request that goes through the SDK is counted as; false for
// what is not counted, or not here. Names that no tool has are counted together,
// since callers choose them.
func (s *Server) label(method string, req sdk.Request) (string, bool) {
	switch method {
	case "resources/read", "prompts/get", "completion/complete":
		return method, true
	case "tools/call":
	default:
		return "", false
	}
	if r, ok := req.(*sdk.CallToolRequest); ok && r.Params != nil {
		if _, ok := s.tools.Load(r.Params.Name); ok {
			return "", false
		}
	}
	return "other", true
}

// begin counts a call that begins; what it returns counts its end.
func (m metrics) begin(name string) (end func(*outcome)) {
	start := time.Now()
	m.active.Inc()
	m.totals.active.Add(1)
	return func(o *outcome) {
		m.active.Dec()
		m.totals.active.Add(-1)
		m.totals.requests.Add(1)
		m.totals.nanoseconds.Add(int64(time.Since(start)))
		if o.kind != "ok" {
			m.totals.errors.Add(1)
		}
		if o.truncated {
			m.truncated.WithLabelValues(name).Inc()
		}
		m.calls.WithLabelValues(name, o.kind).Inc()
		m.seconds.WithLabelValues(name).Observe(since(start))
	}
}
