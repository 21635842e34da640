package server

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	sdkrpc "github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// outcome is how a call went, filled in on the way.
type outcome struct {
	kind      string // ok, failed, internal, timeout or cancelled
	truncated bool
}

// guard is around everything that a client asks for: it brings back who calls,
// bounds the time, lets a panic end one request, hides what callers must not
// see, and counts.
func (s *Server) guard(next sdk.MethodHandler) sdk.MethodHandler {
	return func(ctx context.Context, method string, req sdk.Request) (sdk.Result, error) {
		ctx = s.carrier.restore(ctx, req)
		name, counted := s.label(method, req)
		if !counted {
			return next(ctx, method, req)
		}
		o := &outcome{kind: "ok"}
		if method != "tools/call" { // tools have limits of their own
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeoutCause(ctx, s.about.Limits.Time, errTime)
			defer cancel()
		}
		start := s.metrics.begin()
		res, err := s.contain(ctx, next, method, req, o)
		if r, ok := res.(*sdk.CallToolResult); ok && r != nil && r.IsError && o.kind == "ok" {
			o.kind = "failed"
		}
		if err != nil && o.kind == "ok" {
			o.kind = "failed"
		}
		s.metrics.end(s.metrics.of(name), start, o)
		return res, err
	}
}

// contain calls next, and makes of a panic and of an error what may be told.
func (s *Server) contain(ctx context.Context, next sdk.MethodHandler, method string, req sdk.Request, o *outcome) (res sdk.Result, err error) {
	log := s.log.With("method", method)
	defer func() {
		if v := recover(); v != nil {
			log.Error("call panicked", "err", v, "stack", stack())
			res, err = nil, fmt.Errorf("panic: %v", v)
		}
		if err != nil {
			res, err = nil, wireError(s.told(ctx, log, o, err))
		}
	}()
	return next(ctx, method, req)
}

// wireError is err as the SDK passes it on: what is said of a resource or a
// prompt has no result to stand in.
func wireError(err error) error {
	var own *Error
	if errors.As(err, &own) {
		return &sdkrpc.Error{Code: sdkrpc.CodeInvalidParams, Message: own.Error()}
	}
	return err
}

func stack() string { return string(debug.Stack()) }
