package telemetry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	// exportAttempts is how often one batch is sent, the first time included.
	exportAttempts = 4
	// exportPause is the wait before the second attempt; it doubles, and a
	// collector may ask for another.
	exportPause = 500 * time.Millisecond
	// exportTimeout bounds all attempts of a batch together.
	exportTimeout = 20 * time.Second
)

// exporter sends spans to a collector by OTLP over HTTP, as binary protobuf
// (opentelemetry.io/docs/specs/otlp). It is written here because the official
// one links gRPC: 7 MB of binary and 4 MB of memory for a message of thirty
// fields; and because it dials by itself.
type exporter struct {
	transport http.RoundTripper
	url       string
	header    http.Header
	lost      func(error)
	redact    func(string) string // what callers have written
}

var _ sdktrace.SpanExporter = (*exporter)(nil)

func newExporter(o Options, lost func(error)) (*exporter, error) {
	base, err := url.Parse(o.Telemetry.OTLPEndpoint)
	if err != nil || base.Host == "" {
		return nil, fmt.Errorf("telemetry.otlp_endpoint is not a URL: %q", o.Telemetry.OTLPEndpoint)
	}
	e := &exporter{transport: o.Transport, url: base.JoinPath("v1/traces").String(), header: make(http.Header), lost: lost, redact: o.RedactText}
	if e.redact == nil {
		e.redact = func(text string) string { return text }
	}
	for name, value := range o.Telemetry.OTLPHeaders {
		e.header.Set(name, value.Reveal())
	}
	e.header.Set("Content-Type", "application/x-protobuf")
	return e, nil
}

func resourceOf(o Options) *resource.Resource {
	return resource.NewSchemaless(
		attribute.String("service.name", o.Telemetry.ServiceName),
		attribute.String("service.version", o.Version),
		attribute.String("telemetry.sdk.language", "go"),
		attribute.String("telemetry.sdk.name", "opentelemetry"))
}

// ExportSpans implements sdktrace.SpanExporter. Loss is told to the log, not
// to the SDK: that would print it on standard error.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithTimeout(ctx, exportTimeout)
	defer cancel()
	message := e.appendSpans(nil, spans)
	pause := exportPause
	for attempt := 1; ; attempt++ {
		again, wait, err := e.post(ctx, message)
		if err == nil {
			return nil
		}
		if !again || attempt == exportAttempts {
			e.lost(err)
			return nil
		}
		if wait == 0 {
			wait = pause/2 + rand.N(pause/2)
		}
		pause *= 2
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			e.lost(err)
			return nil
		}
	}
}

// Shutdown implements sdktrace.SpanExporter.
func (e *exporter) Shutdown(context.Context) error { return nil }

// post sends a message once. again tells whether the collector may take it later.
func (e *exporter) post(ctx context.Context, message []byte) (again bool, wait time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(message))
	if err != nil {
		return false, 0, err
	}
	req.Header = e.header.Clone()
	resp, err := e.transport.RoundTrip(req)
	if err != nil {
		return true, 0, fmt.Errorf("send spans: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		return false, 0, nil
	case code == http.StatusTooManyRequests || code >= 502 && code <= 504: // OTLP/HTTP, "Retryable Response Codes"
		seconds, _ := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 8)
		return true, time.Duration(seconds) * time.Second, fmt.Errorf("collector answers %s", resp.Status)
	default:
		return false, 0, fmt.Errorf("collector answers %s", resp.Status)
	}
}

// appendSpans writes an ExportTraceServiceRequest. The numbers are those of
// opentelemetry/proto/trace/v1/trace.proto and common.proto. All spans of this
// program have the same resource and the same scope.
func (e *exporter) appendSpans(dst []byte, spans []sdktrace.ReadOnlySpan) []byte {
	if len(spans) == 0 {
		return dst
	}
	first := spans[0]
	return appendMessage(dst, 1, func(b []byte) []byte { // resource_spans
		b = appendMessage(b, 1, func(b []byte) []byte { // resource
			return e.appendAttributes(b, 1, first.Resource().Attributes())
		})
		return appendMessage(b, 2, func(b []byte) []byte { // scope_spans
			b = appendMessage(b, 1, func(b []byte) []byte { // scope
				b = appendText(b, 1, first.InstrumentationScope().Name)
				return appendText(b, 2, first.InstrumentationScope().Version)
			})
			for _, s := range spans {
				b = appendMessage(b, 2, func(b []byte) []byte { return e.appendSpan(b, s) })
			}
			return b
		})
	})
}

// Bits of Span.flags: whether it is told if the parent is remote, and if it is.
const (
	knowsRemote = 0x100
	isRemote    = 0x200
)

func (e *exporter) appendSpan(b []byte, s sdktrace.ReadOnlySpan) []byte {
	sc, parent := s.SpanContext(), s.Parent()
	tid, sid, pid := sc.TraceID(), sc.SpanID(), parent.SpanID()
	b = appendBytes(b, 1, tid[:])
	b = appendBytes(b, 2, sid[:])
	b = appendText(b, 3, e.redact(sc.TraceState().String()))
	if parent.HasSpanID() {
		b = appendBytes(b, 4, pid[:])
	}
	b = appendText(b, 5, e.redact(s.Name()))
	b = appendVarint(b, 6, uint64(s.SpanKind()))
	b = appendFixed64(b, 7, uint64(s.StartTime().UnixNano()))
	b = appendFixed64(b, 8, uint64(s.EndTime().UnixNano()))
	b = e.appendAttributes(b, 9, s.Attributes())
	b = appendVarint(b, 10, uint64(s.DroppedAttributes()))
	if s.Status().Code == codes.Error {
		b = appendMessage(b, 15, func(b []byte) []byte {
			b = appendText(b, 2, s.Status().Description)
			return appendVarint(b, 3, 2) // STATUS_CODE_ERROR
		})
	}
	flags := uint32(sc.TraceFlags()) | knowsRemote
	if parent.IsRemote() {
		flags |= isRemote
	}
	b = protowire.AppendTag(b, 16, protowire.Fixed32Type)
	return protowire.AppendFixed32(b, flags)
}

// appendAttributes writes strings; the spans of this package have no others.
func (e *exporter) appendAttributes(b []byte, field protowire.Number, attrs []attribute.KeyValue) []byte {
	for _, a := range attrs {
		b = appendMessage(b, field, func(b []byte) []byte {
			b = appendText(b, 1, string(a.Key))
			return appendMessage(b, 2, func(b []byte) []byte {
				return appendText(b, 1, e.redact(a.Value.AsString()))
			})
		})
	}
	return b
}

// appendMessage writes a field that is a message, whose length is known only
// when it has been written.
func appendMessage(b []byte, field protowire.Number, write func([]byte) []byte) []byte {
	return appendBytes(b, field, write(nil))
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendBytes(b, v)
}

// appendText writes a string, which in protobuf must be valid UTF-8; nothing if it is empty.
func appendText(b []byte, field protowire.Number, v string) []byte {
	if v == "" {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendString(b, strings.ToValidUTF8(v, "\uFFFD"))
}

func appendVarint(b []byte, field protowire.Number, v uint64) []byte {
	if v == 0 {
		return b
	}
	b = protowire.AppendTag(b, field, protowire.VarintType)
	return protowire.AppendVarint(b, v)
}

func appendFixed64(b []byte, field protowire.Number, v uint64) []byte {
	b = protowire.AppendTag(b, field, protowire.Fixed64Type)
	return protowire.AppendFixed64(b, v)
}
