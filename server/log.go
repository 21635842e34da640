package server

import (
	"context"
	"log/slog"
)

// requestLog adds the id of a request to what is logged of it. Few calls log
// anything, so that nothing is prepared for it.
type requestLog struct {
	slog.Handler
	id string
}

// Handle implements slog.Handler.
func (l requestLog) Handle(ctx context.Context, r slog.Record) error {
	r = r.Clone()
	r.AddAttrs(slog.String("request", l.id))
	return l.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (l requestLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return requestLog{l.Handler.WithAttrs(attrs), l.id}
}

// WithGroup implements slog.Handler. The id stands outside the group.
func (l requestLog) WithGroup(name string) slog.Handler {
	return l.Handler.WithAttrs([]slog.Attr{slog.String("request", l.id)}).WithGroup(name)
}
