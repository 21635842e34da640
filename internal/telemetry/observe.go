package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/prometheus/client_golang/prometheus"
)

// Leg is one of the two ways that a call takes.
type Leg struct {
	Side Side
	// Transport is what carries the leg.
	Transport Transport
	// Server is the configured server that an outgoing leg leads to; empty on
	// an incoming one.
	Server string
}

// Side tells the legs apart.
type Side int

const (
	// Incoming is the leg from a client: the gateway is a server there.
	Incoming Side = iota
	// Outgoing is the leg to a server: the gateway is a client there.
	Outgoing
)

// Transport is a value of the attribute network.transport.
type Transport string

const (
	// TCP is HTTP and WebSocket.
	TCP Transport = "tcp"
	// Pipe is stdio.
	Pipe Transport = "pipe"
	// InProcess is a server that is part of this program.
	InProcess Transport = "inproc"
)

// maxSeries bounds the label sets of one leg. When it is reached, further ones
// differ by method and error type only.
const maxSeries = 2000

// errPanicked is the outcome of a call whose handler panicked. The transport
// recovers and answers; here it is only counted.
var errPanicked = errors.New("the handler panicked")

// Observe returns next with its calls counted, measured, traced and, on the
// incoming leg, logged. Handlers of one leg share their figures, so that those
// of a server survive a reload.
func (t *Telemetry) Observe(next mcp.Handler, leg Leg) mcp.Handler {
	return &observer{next: next, t: t, leg: t.legState(leg)}
}

type observer struct {
	next mcp.Handler
	t    *Telemetry
	leg  *legState
}

var _ mcp.Handler = (*observer)(nil)

// Handle implements mcp.Handler.
func (o *observer) Handle(ctx context.Context, req *mcp.Request) (res mcp.Result, err error) {
	start := time.Now()
	o.leg.active.Add(1)
	err = errPanicked // unless next returns
	var s span
	if o.t.tracer != nil {
		ctx, req, s = o.t.tracer.start(ctx, req, o.leg.key)
	} else if req.TraceParent != "" && o.leg.key.Side == Incoming {
		ctx = withTraceID(ctx, req.TraceParent)
	}
	defer func() { o.end(ctx, req, s, outcome{start: start, res: res, err: err}) }()
	return o.next.Handle(ctx, req)
}

// outcome is how a call ended.
type outcome struct {
	start, end time.Time
	res        mcp.Result
	err        error
	failure    string // error type; empty when it went well
}

func (o *observer) end(ctx context.Context, req *mcp.Request, s span, out outcome) {
	out.end = time.Now()
	o.leg.active.Add(-1)
	took := out.end.Sub(out.start)
	out.failure = failureOf(req.Method, out.res, out.err)
	series := o.leg.seriesOf(req, out.failure)
	series.observe(took, s)
	if o.leg.key.Side == Outgoing {
		o.leg.count(req.Method, out.failure, took)
	} else {
		o.logCall(ctx, req, series, out)
	}
	s.end(out.failure, out.err)
}

// logCall writes the line of a call: what is the same for all calls of its
// series has been encoded before.
func (o *observer) logCall(ctx context.Context, req *mcp.Request, series *series, out outcome) {
	level := slog.LevelInfo
	if ours(out.err) {
		level = slog.LevelWarn
	}
	if o.t.o.QuietCalls && out.err == nil || !series.log.Enabled(ctx, level) {
		return
	}
	if out.err == nil && series.line != nil && series.line.write(ctx, out, o.t.tracer != nil || req.TraceParent != "") {
		return
	}
	r := slog.NewRecord(out.end, level, "call", 0)
	var buf [7]slog.Attr
	attrs := append(buf[:0], slog.Float64("duration_ms", float64(out.end.Sub(out.start).Microseconds())/1e3))
	attrs = appendIDs(attrs, ctx)
	if p := mcp.PrincipalOf(ctx); p.ID != "" {
		attrs = append(attrs, slog.String("principal", p.ID))
	}
	if out.err != nil {
		attrs = append(attrs, slog.String("err", short(out.err.Error())))
	}
	if series.key.method == other {
		attrs = append(attrs, slog.String("method", short(req.Method)))
	}
	if series.key.tool == other {
		attrs = append(attrs, slog.String("tool", short(req.Name)))
	}
	r.AddAttrs(attrs...)
	_ = series.log.Handle(ctx, r)
}

// seriesKey is what the figures of a leg are split by.
type seriesKey struct {
	method, tool, revision, failure string
}

// series is a resolved label set: where its durations go, and the log with
// the same words already encoded.
type series struct {
	key      seriesKey
	duration prometheus.Observer
	log      slog.Handler
	line     *callLine // quicker than log, for calls that went well; nil where the line needs more words
}

func (s *series) observe(took time.Duration, sp span) {
	if id := sp.sampledTrace(); id != "" {
		if e, ok := s.duration.(prometheus.ExemplarObserver); ok {
			e.ObserveWithExemplar(took.Seconds(), prometheus.Labels{"trace_id": id})
			return
		}
	}
	s.duration.Observe(took.Seconds())
}

// legState is what is kept for a leg.
type legState struct {
	key    Leg
	t      *Telemetry
	active atomic.Int64

	calls    atomic.Int64 // without those that last: subscriptions
	failures atomic.Int64
	busy     atomic.Int64 // nanoseconds that calls took together

	known atomic.Pointer[map[seriesKey]*series] // replaced whole, so that reading needs no lock

	mu    sync.Mutex // guards tools, and the replacing of known
	tools map[string]bool
}

func newLegState(t *Telemetry, leg Leg) *legState {
	s := &legState{key: leg, t: t, tools: make(map[string]bool)}
	s.known.Store(&map[seriesKey]*series{})
	return s
}

// lasting is the method whose calls are subscriptions: their duration says
// nothing of how fast a server answers.
const lasting = "subscriptions/listen"

func (s *legState) count(method, failure string, took time.Duration) {
	if method == lasting {
		return
	}
	s.calls.Add(1)
	s.busy.Add(int64(took))
	if failure != "" {
		s.failures.Add(1)
	}
}

// seriesOf returns the series of a call. Most are found without a lock.
func (s *legState) seriesOf(req *mcp.Request, failure string) *series {
	key := seriesKey{method: req.Method, revision: revisionLabel(req.Client), failure: failure}
	if req.Method == "tools/call" {
		key.tool = req.Name
	}
	if found := (*s.known.Load())[key]; found != nil {
		return found
	}
	return s.addSeries(key)
}

// addSeries makes a series with bounded label values. A call whose own values
// are not kept comes here each time.
func (s *legState) addSeries(key seriesKey) *series {
	s.mu.Lock()
	defer s.mu.Unlock()
	key.method = methodLabel(key.method)
	if key.tool != "" && !s.admit(key) {
		key.tool = other
	}
	known := *s.known.Load()
	if len(known) >= maxSeries && known[key] == nil {
		key.tool, key.revision = orEmpty(key.tool), orEmpty(key.revision)
	}
	if found := known[key]; found != nil {
		return found
	}
	key.tool = strings.Clone(key.tool) // it may be a part of a large message
	attrs := s.attrs(key)
	made := &series{key: key, duration: s.t.families.duration(s.key, key), log: s.t.calls.WithAttrs(attrs)}
	if key.method != other && key.tool != other && s.key.Side == Incoming {
		made.line = newCallLine(s.t.lines, s.t.o.Log.Format, attrs)
	}
	grown := maps.Clone(known)
	grown[key] = made
	s.known.Store(&grown)
	return made
}

func orEmpty(label string) string {
	if label == "" {
		return ""
	}
	return other
}

// admit gives a tool a label value of its own while there are any. A name that
// was answered with "invalid params" may be none: whoever sends names at random
// must not use them up. The caller holds s.mu.
func (s *legState) admit(key seriesKey) bool {
	if s.tools[key.tool] {
		return true
	}
	if key.failure == invalidParams || len(s.tools) >= s.t.o.ToolsPerServer || !fits(key.tool) {
		return false
	}
	s.tools[strings.Clone(key.tool)] = true
	return true
}

// invalidParams is the error type of a call of a tool that does not exist
// (2026-07-28, server/tools, "Error handling").
const invalidParams = "-32602"

// attrs are the words that all lines of a series have in common.
func (s *legState) attrs(key seriesKey) []slog.Attr {
	var attrs []slog.Attr
	for _, a := range []slog.Attr{
		slog.String("method", key.method), slog.String("tool", key.tool), slog.String("revision", key.revision),
		slog.String("transport", string(s.key.Transport)), slog.String("error_type", key.failure),
	} {
		// "other" is for metrics; the log tells what it was, call by call.
		if v := a.Value.String(); v != "" && (v != other || a.Key == "error_type") {
			attrs = append(attrs, a)
		}
	}
	return attrs
}
