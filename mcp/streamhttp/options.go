package streamhttp

import (
	"context"
	"log/slog"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// ServerOptions are the bounds of a Server. Zero values mean the defaults.
type ServerOptions struct {
	// MaxBodyBytes bounds the body of a request; 4 MiB by default.
	MaxBodyBytes int64
	// Limits bound the depth of messages and the length of batches.
	Limits jsonrpc.Limits
	// BodyTimeout bounds how long the body of a request may take to arrive;
	// 30 s by default.
	BodyTimeout time.Duration
	// WriteTimeout bounds how long a client may take to accept one event, or
	// one piece of 256 KiB of an answer; 30 s by default. Who is slower is cut.
	WriteTimeout time.Duration
	// KeepAlive is how often a quiet event stream carries a comment; 15 s by default.
	KeepAlive time.Duration

	// MaxCalls bounds the requests under way in one session, and also its
	// streams that are held open with GET; 256 by default.
	MaxCalls int
	// ReplayEvents and ReplayBytes bound what is kept of the event streams of
	// one session for a client that comes back with Last-Event-ID; 256 events
	// and 1 MiB by default, the oldest go first. Negative: nothing is kept.
	ReplayEvents int
	ReplayBytes  int
	// ReplayWindow is how long a stream without a reader is kept for one that
	// comes back; 1 minute by default.
	ReplayWindow time.Duration
	// Retry is the time after which clients are told to come back to a stream
	// that was cut; 1 s by default.
	Retry time.Duration
	// PollAfter is how long an event stream of a session of 2025-11-25 or later
	// may hold its connection; then the client is told to come back for the
	// rest (2025-11-25, basic/transports, "Sending Messages to the Server",
	// item 6). By default connections are held as long as they last.
	PollAfter time.Duration

	// Hold is asked before a stream is held open with GET; leave is called when it
	// has ended. By default only MaxCalls bounds them.
	Hold func(ctx context.Context) (leave func(), refusal *mcp.Error)
	// Detached returns what a call of a session goes on with when its client goes
	// away: a context with the values of the request's, that may end with whatever
	// takes the right to the answer from the caller. By default nothing does.
	Detached func(ctx context.Context) context.Context
	// Outlive is told of each stream that a GET request holds open: end is to be
	// called when it must not go on, and not after stop was. By default they go on.
	Outlive func(ctx context.Context, end func()) (stop func())

	// Log takes what goes wrong here; nothing is logged by default.
	Log *slog.Logger
}

func (o ServerOptions) withDefaults() ServerOptions {
	setDefault(&o.MaxBodyBytes, 4<<20)
	setDefault(&o.BodyTimeout, 30*time.Second)
	setDefault(&o.WriteTimeout, 30*time.Second)
	setDefault(&o.KeepAlive, 15*time.Second)
	setDefault(&o.MaxCalls, 256)
	setDefault(&o.ReplayEvents, 256)
	setDefault(&o.ReplayBytes, 1<<20)
	setDefault(&o.ReplayWindow, time.Minute)
	setDefault(&o.Retry, time.Second)
	if o.Hold == nil {
		o.Hold = func(context.Context) (func(), *mcp.Error) { return func() {}, nil }
	}
	if o.Detached == nil {
		o.Detached = context.WithoutCancel
	}
	if o.Outlive == nil {
		o.Outlive = func(context.Context, func()) func() { return func() {} }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func setDefault[T int | int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}
