package telemetry

import (
	"context"
	"log/slog"

	"github.com/dragoman-mcp/dragoman/mcp"
	"go.opentelemetry.io/otel/trace"
)

// maxErrorText bounds the text of an error in the log, in bytes: a server
// writes it.
const maxErrorText = 512

// newLogger returns the encoder alone, and the log that is built on it.
func newLogger(l *lines, level slog.Leveler, o Options) (slog.Handler, *slog.Logger) {
	settings := &slog.HandlerOptions{Level: level}
	var encoder slog.Handler = slog.NewJSONHandler(l, settings)
	if o.Log.Format == "text" {
		encoder = slog.NewTextHandler(l, settings)
	}
	if o.Redact != nil {
		encoder = o.Redact(encoder)
	}
	return encoder, slog.New(&handler{Handler: encoder, lines: l})
}

// handler adds to each line which request and which trace it belongs to, and
// has it written at once.
type handler struct {
	slog.Handler
	lines *lines
}

var _ slog.Handler = (*handler)(nil)

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	var buf [2]slog.Attr
	r.AddAttrs(appendIDs(buf[:0], ctx)...)
	err := h.Handler.Handle(ctx, r)
	h.lines.hurry()
	return err
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{Handler: h.Handler.WithAttrs(attrs), lines: h.lines}
}

// WithGroup implements slog.Handler. What follows is in the group, the ids too.
func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{Handler: h.Handler.WithGroup(name), lines: h.lines}
}

func appendIDs(attrs []slog.Attr, ctx context.Context) []slog.Attr {
	if id := mcp.RequestIDOf(ctx); id != "" {
		attrs = append(attrs, slog.String("request_id", id))
	}
	if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
		attrs = append(attrs, slog.String("trace_id", sc.TraceID().String()))
	}
	return attrs
}

// short bounds a text that others wrote, at a boundary between characters.
func short(text string) string {
	if len(text) <= maxErrorText {
		return text
	}
	cut := maxErrorText
	for cut > 0 && text[cut]&0xc0 == 0x80 {
		cut--
	}
	return text[:cut] + "…"
}
