package server

import (
	"sync"
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

// counted are the metrics of one tool. Those of every call are looked up by their
// labels once, with the first.
type counted struct {
	name    string
	ok      func() prometheus.Counter
	seconds func() prometheus.Observer
}

func (m metrics) of(name string) counted {
	return counted{
		name:    name,
		ok:      sync.OnceValue(func() prometheus.Counter { return m.calls.WithLabelValues(name, "ok") }),
		seconds: sync.OnceValue(func() prometheus.Observer { return m.seconds.WithLabelValues(name) }),
	}
}

// begin counts a call that begins.
func (m metrics) begin() (start time.Time) {
	m.active.Inc()
	m.totals.active.Add(1)
	return time.Now()
}

// end counts a call that has ended.
func (m metrics) end(c counted, start time.Time, o *outcome) {
	took := time.Since(start)
	m.active.Dec()
	m.totals.active.Add(-1)
	m.totals.requests.Add(1)
	m.totals.nanoseconds.Add(int64(took))
	c.seconds().Observe(took.Seconds())
	if o.truncated {
		m.truncated.WithLabelValues(c.name).Inc()
	}
	if o.kind == "ok" {
		c.ok().Inc()
		return
	}
	m.totals.errors.Add(1)
	m.calls.WithLabelValues(c.name, o.kind).Inc()
}
