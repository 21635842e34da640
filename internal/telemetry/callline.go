package telemetry

import (
	"bytes"
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"go.opentelemetry.io/otel/trace"
)

// callLine writes the line of a call that went well, of which there is one per
// call: what its series has in common is encoded once by the encoder that
// writes all other lines, and the rest needs no escapes.
type callLine struct {
	lines  *lines
	common []byte // of the object, from the level to the last word of the series
	lent   sync.Pool
}

// newCallLine returns nil where lines are no JSON.
func newCallLine(l *lines, format string, attrs []slog.Attr) *callLine {
	if format == "text" {
		return nil
	}
	var encoded bytes.Buffer
	encoder := slog.NewJSONHandler(&encoded, nil).WithAttrs(attrs)
	if encoder.Handle(context.Background(), slog.NewRecord(time.Time{}, slog.LevelInfo, "call", 0)) != nil {
		return nil
	}
	object := bytes.TrimSuffix(bytes.TrimPrefix(encoded.Bytes(), []byte("{")), []byte("}\n"))
	return &callLine{lines: l, common: appendVisible(nil, object)}
}

// write writes the line, and reports whether it could. traced says that the
// context may have a trace.
func (c *callLine) write(ctx context.Context, out outcome, traced bool) bool {
	principal, id := mcp.PrincipalOf(ctx).ID, mcp.RequestIDOf(ctx)
	if !isPlain(principal) || !isPlain(id) {
		return false
	}
	buf, ok := c.lent.Get().(*[]byte)
	if !ok {
		buf = new([]byte)
	}
	b := append((*buf)[:0], `{"time":"`...)
	b = out.end.AppendFormat(b, time.RFC3339Nano)
	b = append(append(b, `",`...), c.common...)
	b = append(b, `,"duration_ms":`...)
	b = strconv.AppendFloat(b, float64(out.end.Sub(out.start).Microseconds())/1e3, 'f', -1, 64)
	b = appendMember(b, "request_id", id)
	if traced {
		if sc := trace.SpanContextFromContext(ctx); sc.HasTraceID() {
			b = appendMember(b, "trace_id", sc.TraceID().String())
		}
	}
	b = appendMember(b, "principal", principal)
	b = append(b, "}\n"...)
	c.lines.add(b, true)
	*buf = b
	c.lent.Put(buf)
	return true
}

// appendMember appends a member whose value needs no escapes, if it has one.
func appendMember(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	b = append(append(append(b, `,"`...), name...), `":"`...)
	return append(append(b, value...), '"')
}

// isPlain reports whether text is the same in JSON and on a terminal.
func isPlain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}
