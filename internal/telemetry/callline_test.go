package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/google/go-cmp/cmp"
)

// The quick line says what the log's own encoder would have said.
func TestTheQuickLineIsTheOrdinaryOne(t *testing.T) {
	attrs := []slog.Attr{slog.String("method", "tools/call"), slog.String("tool", "a\"b\u202e<c>\x01"), slog.String("error_type", "tool_error")}
	for _, c := range []struct {
		name, principal, id string
		written             bool
	}{
		{"with nobody and no id", "", "", true},
		{"with a principal and an id", "user:ann@example.org", "0af7-1", true},
		{"with a name that needs escapes", "ann\n", "1", false},
		{"with an id beyond ASCII", "ann", "é", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := mcp.WithRequestID(mcp.WithPrincipal(t.Context(), mcp.Principal{ID: c.principal}), c.id)
			var got bytes.Buffer
			l := newLines(&got)
			begin := time.Now()
			out := outcome{start: begin, end: begin.Add(1234567 * time.Nanosecond)}
			if written := newCallLine(l, "json", attrs).write(ctx, out, true); written != c.written {
				t.Fatalf("written = %t, want %t", written, c.written)
			}
			if err := l.close(context.Background()); err != nil {
				t.Fatal(err)
			}
			if !c.written {
				return
			}
			var want bytes.Buffer
			r := slog.NewRecord(out.end, slog.LevelInfo, "call", 0)
			r.AddAttrs(slog.Float64("duration_ms", 1.234))
			r.AddAttrs(appendIDs(nil, ctx)...)
			if c.principal != "" {
				r.AddAttrs(slog.String("principal", c.principal))
			}
			if err := slog.NewJSONHandler(&want, nil).WithAttrs(attrs).Handle(ctx, r); err != nil {
				t.Fatal(err)
			}
			var a, b map[string]any
			if err := json.Unmarshal(want.Bytes(), &a); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(got.Bytes(), &b); err != nil {
				t.Fatalf("%v in %s", err, got.Bytes())
			}
			if d := cmp.Diff(a, b); d != "" || !bytes.HasSuffix(got.Bytes(), []byte("}\n")) {
				t.Errorf("line %s differs (-want +got):\n%s", got.Bytes(), d)
			}
		})
	}
}
