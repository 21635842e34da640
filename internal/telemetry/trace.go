package telemetry

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"

	"github.com/dragoman-mcp/dragoman/mcp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// scope names who made the spans.
const scope = "github.com/dragoman-mcp/dragoman"

// maxSpans is how many ended spans may wait for the collector; more are dropped.
const maxSpans = 4096

// tracer makes spans. A nil tracer makes none and closes well.
type tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// newTracer returns nil when no endpoint is configured: then a span costs
// nothing, and the caller's traceparent goes on to the server as it came.
func newTracer(o Options, lost func(error)) (*tracer, error) {
	if o.Telemetry.OTLPEndpoint == "" {
		return nil, nil
	}
	if o.Transport == nil {
		return nil, errors.New("telemetry needs a transport to reach the collector")
	}
	exporter, err := newExporter(o, lost)
	if err != nil {
		return nil, err
	}
	p := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter, sdktrace.WithMaxQueueSize(maxSpans)),
		// Who began a trace decided whether it is kept.
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(o.Telemetry.Sample))),
		sdktrace.WithResource(resourceOf(o)),
	)
	return &tracer{provider: p, tracer: p.Tracer(scope, trace.WithInstrumentationVersion(o.Version))}, nil
}

func (t *tracer) close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// start begins the span of a call and returns the request as the next handler
// sees it: with this span as its caller's. The parent is what the request says,
// for it may have come from another process.
func (t *tracer) start(ctx context.Context, req *mcp.Request, leg Leg) (context.Context, *mcp.Request, span) {
	parent, _ := parseTraceParent(req.TraceParent)
	ctx = trace.ContextWithRemoteSpanContext(ctx, parent)
	kind := trace.SpanKindServer
	if leg.Side == Outgoing {
		kind = trace.SpanKindClient
	}
	name := strings.Clone(short(req.Method))
	if title := titleOf(req); title != "" {
		name += " " + short(title)
	}
	ctx, otel := t.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(attributesOf(req, leg)...))
	next := *req
	next.TraceParent = formatTraceParent(otel.SpanContext())
	return ctx, &next, span{otel}
}

// titleOf returns what belongs into the name of a span: only what is of low
// cardinality (semantic conventions for MCP, "Name").
func titleOf(req *mcp.Request) string {
	switch req.Method {
	case "tools/call", "prompts/get":
		return req.Name
	}
	return ""
}

// attributesOf describes a call. mcp.session.id is left out: who has a
// session's id may use the session.
func attributesOf(req *mcp.Request, leg Leg) []attribute.KeyValue {
	name := strings.Clone(short(req.Name)) // a span outlives its request, of whose whole message the name is a part
	attrs := make([]attribute.KeyValue, 0, 7)
	attrs = append(attrs,
		attribute.String("mcp.method.name", strings.Clone(short(req.Method))),
		attribute.String("network.transport", string(leg.Transport)))
	if req.Client != nil && req.Client.Revision != "" {
		attrs = append(attrs, attribute.String("mcp.protocol.version", string(req.Client.Revision)))
	}
	if leg.Server != "" {
		attrs = append(attrs, attribute.String("dragoman.server", leg.Server))
	}
	switch {
	case name == "":
	case req.Method == "tools/call":
		attrs = append(attrs, attribute.String("gen_ai.tool.name", name), attribute.String("gen_ai.operation.name", "execute_tool"))
	case req.Method == "prompts/get":
		attrs = append(attrs, attribute.String("gen_ai.prompt.name", name))
	case mcp.NameKey(req.Method) == "uri":
		attrs = append(attrs, attribute.String("mcp.resource.uri", name))
	}
	return attrs
}

// span is a span, or none.
type span struct{ otel trace.Span }

func (s span) end(failure string, err error) {
	if s.otel == nil {
		return
	}
	if failure != "" {
		s.otel.SetAttributes(attribute.String("error.type", failure))
		if err != nil {
			s.otel.SetAttributes(attribute.String("rpc.response.status_code", failure))
		}
		s.otel.SetStatus(codes.Error, "")
	}
	s.otel.End()
}

// sampledTrace returns the id of the trace if it is kept, for exemplars.
func (s span) sampledTrace() string {
	if s.otel == nil || !s.otel.SpanContext().IsSampled() {
		return ""
	}
	return s.otel.SpanContext().TraceID().String()
}

// withTraceID makes the caller's trace known to the log.
func withTraceID(ctx context.Context, traceparent string) context.Context {
	sc, ok := parseTraceParent(traceparent)
	if !ok {
		return ctx
	}
	return trace.ContextWithRemoteSpanContext(ctx, sc)
}

// Lengths of the fields of a traceparent, and where they begin (W3C Trace
// Context §3.2.2): 00-32HEX-16HEX-2HEX.
const (
	traceAt, spanAt, flagsAt, traceParentLen = 3, 36, 53, 55
)

// parseTraceParent reads a traceparent. What is not valid begins a new trace
// (§4.3). Of a version above 00 the known fields are read (§3.2.4).
func parseTraceParent(s string) (trace.SpanContext, bool) {
	if len(s) < traceParentLen || s[2] != '-' || s[spanAt-1] != '-' || s[flagsAt-1] != '-' {
		return trace.SpanContext{}, false
	}
	version := s[:2]
	if version == "ff" || version == "00" && len(s) != traceParentLen || len(s) > traceParentLen && s[traceParentLen] != '-' {
		return trace.SpanContext{}, false
	}
	var c trace.SpanContextConfig
	var ver, flags [1]byte
	if !unhex(ver[:], version) || !unhex(c.TraceID[:], s[traceAt:spanAt-1]) ||
		!unhex(c.SpanID[:], s[spanAt:flagsAt-1]) || !unhex(flags[:], s[flagsAt:traceParentLen]) {
		return trace.SpanContext{}, false
	}
	c.TraceFlags = trace.TraceFlags(flags[0]) & trace.FlagsSampled
	c.Remote = true
	sc := trace.NewSpanContext(c)
	if !sc.IsValid() {
		return trace.SpanContext{}, false
	}
	return sc, true
}

// unhex reads lower-case digits only, as the specification wants.
func unhex(dst []byte, src string) bool {
	for i := range len(src) {
		if 'A' <= src[i] && src[i] <= 'F' {
			return false
		}
	}
	_, err := hex.Decode(dst, []byte(src))
	return err == nil
}

func formatTraceParent(sc trace.SpanContext) string {
	buf := make([]byte, 0, traceParentLen)
	tid, sid := sc.TraceID(), sc.SpanID()
	buf = append(buf, "00-"...)
	buf = hex.AppendEncode(buf, tid[:])
	buf = append(buf, '-')
	buf = hex.AppendEncode(buf, sid[:])
	buf = append(buf, '-')
	buf = hex.AppendEncode(buf, []byte{byte(sc.TraceFlags() & trace.FlagsSampled)})
	return string(buf)
}
