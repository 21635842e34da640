package scan

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
)

// Handler returns a handler that gives to next what remains of a record when
// what looks like a secret is taken out of its message and its attributes.
func (s *Scanner) Handler(next slog.Handler) slog.Handler { return &handler{next: next, s: s} }

type handler struct {
	next  slog.Handler
	s     *Scanner
	group meaning // what the groups that are open say of what is in them
}

var _ slog.Handler = (*handler)(nil)

// Enabled implements slog.Handler.
func (h *handler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	var buf [12]slog.Attr
	attrs, changed := buf[:0], false
	r.Attrs(func(a slog.Attr) bool {
		clean, dirty := h.s.attr(a, h.group)
		attrs, changed = append(attrs, clean), changed || dirty
		return true
	})
	message := h.s.Text(r.Message)
	if !changed && message == r.Message {
		return h.next.Handle(ctx, r)
	}
	clean := slog.NewRecord(r.Time, r.Level, message, r.PC)
	clean.AddAttrs(attrs...)
	return h.next.Handle(ctx, clean)
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i], _ = h.s.attr(a, h.group)
	}
	return &handler{next: h.next.WithAttrs(clean), s: h.s, group: h.group}
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{next: h.next.WithGroup(name), s: h.s, group: max(h.group, h.s.meaning(name))}
}

// attr returns an attribute without secrets, and whether there were any. m is
// what the group that it is in says of it.
func (s *Scanner) attr(a slog.Attr, m meaning) (slog.Attr, bool) {
	m = max(m, s.meaning(a.Key))
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		text := v.String()
		if clean := s.valueOf(text, m); clean != text {
			return slog.String(a.Key, clean), true
		}
	case slog.KindGroup:
		if m == entire {
			return slog.String(a.Key, Redacted), true
		}
		group, changed := make([]slog.Attr, len(v.Group())), false
		for i, inner := range v.Group() {
			clean, dirty := s.attr(inner, m)
			group[i], changed = clean, changed || dirty
		}
		if changed {
			return slog.Attr{Key: a.Key, Value: slog.GroupValue(group...)}, true
		}
	case slog.KindAny:
		return s.anything(a.Key, v, m)
	case slog.KindBool:
		if m == entire {
			return slog.String(a.Key, Redacted), true
		}
	default: // numbers and times
		if m >= surely {
			return slog.String(a.Key, Redacted), true
		}
	}
	return a, false
}

// valueOf returns a text without secrets; m is what its name says.
func (s *Scanner) valueOf(text string, m meaning) string {
	if text != "" && text != Redacted && (m >= likely || m == perhaps && random(text)) {
		return Redacted
	}
	return s.Text(text)
}

// anything looks at a value in the forms in which handlers write it. One with a
// secret in it becomes text.
func (s *Scanner) anything(key string, v slog.Value, m meaning) (slog.Attr, bool) {
	switch x := v.Any().(type) {
	case nil:
		return slog.Attr{Key: key, Value: v}, false
	case error:
		if text := x.Error(); s.valueOf(text, m) != text {
			return slog.String(key, s.valueOf(text, m)), true
		}
		return slog.Attr{Key: key, Value: v}, false
	case []byte:
		if text := string(x); s.valueOf(text, m) != text {
			return slog.String(key, s.valueOf(text, m)), true
		}
		return slog.Attr{Key: key, Value: v}, false
	}
	if m >= likely {
		return slog.String(key, Redacted), true
	}
	if raw, err := json.Marshal(v.Any()); err == nil {
		if clean := s.JSON(raw); string(clean) != string(raw) {
			return slog.String(key, string(clean)), true
		}
	}
	printed := fmt.Sprintf("%+v", v.Any())
	if clean := s.Text(printed); clean != printed {
		return slog.String(key, clean), true
	}
	return slog.Attr{Key: key, Value: v}, false
}
