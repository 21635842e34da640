package mcp

import (
	"context"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// FilterLogLevel is a member of the notifications of subscriptions/listen within
// this house: a level asks for what servers with sessions log from that level on
// outside any call. It crosses no wire: what a stateless client is told of logs
// belongs to a call, and clients with sessions say logging/setLevel.
const FilterLogLevel = "dragoman/logLevel"

// Stream takes messages for a peer: the response stream of one HTTP request,
// the standalone stream of a session, or a whole connection. Send may be called
// concurrently; it returns an error when the peer can no longer be reached or
// has not taken the message within the transport's write deadline.
type Stream interface {
	Send(ctx context.Context, m jsonrpc.Message) error
}

// Sessions serves clients of the session-shaped revisions (2024-11-05 to
// 2025-11-25). A transport gives it what clients send; package legacy has it.
type Sessions interface {
	// Open answers an initialize request. The Session is nil when it was refused.
	Open(ctx context.Context, initialize jsonrpc.Message) (Session, jsonrpc.Message)
	// Find returns the live session of that id, if it belongs to the principal of ctx.
	Find(ctx context.Context, id string) (Session, bool)
}

// Session is one client's session. All methods may be called concurrently.
type Session interface {
	ID() string
	Revision() Revision
	// Handle runs one request of the client to its response. What belongs to
	// the request goes to out before Handle returns. ctx is not the
	// connection's: a client of this era that disconnects has not cancelled
	// (2025-11-25, basic/transports); it cancels with a notification, which
	// Receive takes.
	Handle(ctx context.Context, request jsonrpc.Message, out Stream) jsonrpc.Message
	// Receive takes a notification or a response of the client.
	Receive(ctx context.Context, m jsonrpc.Message)
	// Attach makes out the stream for what belongs to no request, until detach
	// is called or another stream is attached.
	Attach(out Stream) (detach func())
	// Done is closed when the session has ended.
	Done() <-chan struct{}
	// OnEnd has f called once when the session has ended, at once if it has,
	// unless stop is called before. It spares a goroutine that waits for Done.
	OnEnd(f func()) (stop func())
	// End ends the session: its calls are cancelled, its id is forgotten.
	End()
}
