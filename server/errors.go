package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"

	sdkrpc "github.com/modelcontextprotocol/go-sdk/jsonrpc"

	"github.com/dragoman-mcp/dragoman/mcp"
)

// Error is what a caller is told of a call that failed. Nothing else of an error
// reaches the caller: any other becomes "internal error" with an id under which
// the log has the details. (An *mcp.Error crosses as the protocol error that it
// is.)
type Error struct {
	// Message says what is wrong, without a full stop: "there is no table ordrs".
	Message string
	// Next says what to do now: "call search_schema to see the tables".
	Next string
	// Err is the cause, for the log alone.
	Err error
}

// Errorf returns an Error that tells what to do next, with a message that is
// made like fmt.Errorf's, except that an error that it wraps with %w stands in
// the message, too: wrap only what callers may read.
func Errorf(next, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Message: err.Error(), Next: next, Err: errors.Unwrap(err)}
}

// Error gives the message and what to do next, which is all that is told.
func (e *Error) Error() string {
	if e.Next == "" {
		return e.Message
	}
	return e.Message + "; " + e.Next
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// errTime is why the context of a call ends that has used up its time.
var errTime = errors.New("the call has used up its time")

// told returns what the caller may know of err, and logs what it may not.
func (s *Server) told(ctx context.Context, log *slog.Logger, o *outcome, err error) error {
	var own *Error
	var rpc *sdkrpc.Error
	var wire *mcp.Error
	switch {
	case errors.As(err, &own):
		if own.Err != nil {
			log.Info("call failed", "err", own.Err)
		}
		return own
	case errors.As(err, &rpc):
		return rpc
	case errors.As(err, &wire):
		return &sdkrpc.Error{Code: int64(wire.Code), Message: wire.Message, Data: wire.Data}
	case errors.Is(context.Cause(ctx), errTime):
		o.kind = "timeout"
		return &Error{Message: "the call took longer than it may", Next: "ask for less at once"}
	case ctx.Err() != nil:
		o.kind = "cancelled"
		return ctx.Err()
	}
	id := rand.Text()[:10]
	o.kind = "internal"
	log.Error("call failed with an internal error", "id", id, "err", err)
	return &Error{Message: "internal error, id " + id, Next: "the log of the server has the details under this id"}
}
