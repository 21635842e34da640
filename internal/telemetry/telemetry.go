// Package telemetry shows what the gateway does: its log, its metrics and its
// traces. It watches calls from outside, as a handler around a handler, and is
// told the rest by whoever composes the gateway.
//
// It does not know how calls are routed, how servers are reached or who may
// call what; it keeps no arguments and no results, and decides nothing.
//
// What is written for a call, on each of its two legs:
//
//	client ──► Observe(Incoming) ──► … ──► Observe(Outgoing, server) ──► server
//	           mcp_server_*, span SERVER,     mcp_client_*, span CLIENT,
//	           a line in the log              counters of the server
package telemetry

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/prometheus/client_golang/prometheus"
)

// Options say what is shown and where.
type Options struct {
	// Log and Telemetry are the sections of the configuration.
	Log       config.Log
	Telemetry config.Telemetry
	// Output takes the log. It is written to by one goroutine at a time, after
	// New has returned and until Close has. Required.
	Output io.Writer
	// Transport carries spans to the collector. Required when
	// Telemetry.OTLPEndpoint is set.
	Transport http.RoundTripper
	// Version and Commit are shown as dragoman_build_info.
	Version, Commit string
	// Servers returns how the configured servers are now; it is called for each
	// look at the metrics. Nil means that there are none.
	Servers func() []ServerStatus
	// Gather has the metrics that built-in servers keep themselves; may be nil.
	Gather prometheus.Gatherer
	// Redact returns a handler that takes out of each record what no log may
	// have, before it gives it to next; nil leaves all in. Lines of calls that went
	// well have nothing in them that a client or a server wrote freely, and
	// are not shown to it.
	Redact func(next slog.Handler) slog.Handler
	// RedactText returns a text without what no trace may have: names of tools, prompts and resources are what callers
	// write. It is called when spans are sent, not while calls wait; nil leaves all in.
	RedactText func(text string) string
	// QuietCalls leaves calls that went well out of the log, as level warn does.
	QuietCalls bool
	// ToolsPerServer is how many tools of one server have a label value of their
	// own; the rest is "other". Default 200.
	ToolsPerServer int
}

// Telemetry is the log, the metrics and the traces of one gateway. All methods
// may be called concurrently.
type Telemetry struct {
	o        Options
	started  time.Time
	lines    *lines
	level    *slog.LevelVar
	log      *slog.Logger
	calls    slog.Handler // takes the lines about calls: without hurry
	registry *prometheus.Registry
	families *families
	tracer   *tracer // nil when spans go nowhere
	system   system

	mu   sync.Mutex // guards legs
	legs map[Leg]*legState
}

// New starts to show. Close ends it.
func New(o Options) (*Telemetry, error) {
	if o.Output == nil {
		return nil, errors.New("telemetry needs an output for the log")
	}
	o.ToolsPerServer = cmp.Or(o.ToolsPerServer, 200)
	t := &Telemetry{
		o: o, started: time.Now(), level: new(slog.LevelVar),
		registry: prometheus.NewRegistry(), legs: make(map[Leg]*legState),
	}
	if err := t.SetLogLevel(o.Log.Level); err != nil {
		return nil, err
	}
	tracer, err := newTracer(o, func(err error) { t.log.Warn("spans were lost", "err", err) })
	if err != nil {
		return nil, err
	}
	t.tracer = tracer
	t.lines = newLines(o.Output)
	t.calls, t.log = newLogger(t.lines, t.level, o)
	t.families = newFamilies(t.registry, o)
	t.registry.MustRegister(&collector{t: t})
	return t, nil
}

// Close sends the spans that wait and writes the lines that wait, each for as
// long as ctx lasts.
func (t *Telemetry) Close(ctx context.Context) error {
	err := t.tracer.close(ctx)
	return errors.Join(err, t.lines.close(ctx))
}

// Logger returns the log. Its lines carry the request id and the trace id of
// their context.
func (t *Telemetry) Logger() *slog.Logger { return t.log }

// SetLogLevel changes the least level that is written: debug, info, warn or error.
func (t *Telemetry) SetLogLevel(level string) error {
	return t.level.UnmarshalText([]byte(cmp.Or(level, "info")))
}

// legState returns what is kept for a leg, for as long as the process lives or
// until Forget.
func (t *Telemetry) legState(leg Leg) *legState {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.legs[leg]
	if s == nil {
		s = newLegState(t, leg)
		t.legs[leg] = s
	}
	return s
}

// Forget drops what is kept for a server that is no longer configured.
func (t *Telemetry) Forget(server string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for leg := range t.legs {
		if leg.Side == Outgoing && leg.Server == server {
			delete(t.legs, leg)
		}
	}
	t.families.forget(server)
}

// outgoing returns what is kept for the legs to servers, by server. A server
// that is reached over two transports appears twice.
func (t *Telemetry) outgoing() []*legState {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []*legState
	for leg, s := range t.legs {
		if leg.Side == Outgoing {
			all = append(all, s)
		}
	}
	return all
}
