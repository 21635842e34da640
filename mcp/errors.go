package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Error is an error that may cross the wire as it is.
type Error = jsonrpc.Error

// Codes of revision 2026-07-28 and of those before it. The standard codes are
// in package jsonrpc.
const (
	CodeHeaderMismatch     = -32020
	CodeMissingCapability  = -32021
	CodeUnsupportedVersion = -32022
	// CodeLegacyNotFound is what servers before 2026-07-28 answer for a missing resource.
	CodeLegacyNotFound = -32002
	// CodeLegacyURLElicitation is 2025-11-25's "ask the user to open a URL first".
	CodeLegacyURLElicitation = -32042
)

// Codes of the gateway's own, outside of the range that JSON-RPC and MCP
// reserve (-32768 to -32000).
const (
	// CodeUnavailable: the server cannot be reached; data names it and says why.
	CodeUnavailable = 1001
	// CodeTimeout: the server did not answer within its deadline.
	CodeTimeout = 1002
	// CodeBusy: a bounded queue or limit is full; nothing was sent to the server.
	// When it is known how long that lasts, data says so; see [RetryAfter].
	CodeBusy = 1003
	// CodeCallLost: the call was under way when its server or its parked state
	// was lost. Whether it took effect is not known; it was not repeated.
	CodeCallLost = 1004
	// CodeUnauthenticated: the caller's credentials are missing or not valid.
	CodeUnauthenticated = 1005
	// CodeForbidden: the caller may not make this call; with other arguments, at
	// another time or from elsewhere it may.
	CodeForbidden = 1006
	// CodeQuarantined: what is called is not what was approved; data says what.
	CodeQuarantined = 1007
)

// Busy returns the error of a call that can be made again after a while, which
// is told in whole seconds, at least one.
func Busy(message string, wait time.Duration) *Error {
	seconds := max(int64(math.Ceil(wait.Seconds())), 1)
	return ErrorData(CodeBusy, message, map[string]int64{"retryAfterSeconds": seconds})
}

// RetryAfter returns how many seconds to wait before the call is made again, if e says so.
func RetryAfter(e *Error) (seconds int64, ok bool) {
	if e.Code != CodeBusy || len(e.Data) == 0 {
		return 0, false
	}
	var data struct {
		Seconds int64 `json:"retryAfterSeconds"`
	}
	if json.Unmarshal(e.Data, &data) != nil || data.Seconds <= 0 {
		return 0, false
	}
	return data.Seconds, true
}

// Errorf returns an Error of code whose message is made like fmt.Sprintf.
func Errorf(code int, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// ErrorData returns an Error with data, which must marshal.
func ErrorData(code int, message string, data any) *Error {
	text, err := json.Marshal(data)
	if err != nil {
		panic("mcp: error data does not marshal: " + err.Error())
	}
	return &Error{Code: code, Message: message, Data: text}
}

// MethodNotFound returns the error for a method that nobody here answers.
func MethodNotFound(method string) *Error {
	return Errorf(jsonrpc.CodeMethodNotFound, "method not found: %s", method)
}

// UnsupportedVersion returns the error for a revision that is not served.
func UnsupportedVersion(requested string, supported []Revision) *Error {
	return ErrorData(CodeUnsupportedVersion, "unsupported protocol version: "+requested,
		map[string]any{"supported": supported, "requested": requested})
}

// WireError returns what may be told to a peer of err: an [*Error] as it is, a
// deadline as such, and nothing of anything else.
func WireError(err error) *Error {
	var wire *Error
	switch {
	case errors.As(err, &wire):
		return wire
	case errors.Is(err, context.DeadlineExceeded):
		return Errorf(CodeTimeout, "the request took longer than its deadline")
	case errors.Is(err, context.Canceled):
		return Errorf(CodeCallLost, "the request was cancelled")
	default:
		return Errorf(jsonrpc.CodeInternal, "internal error")
	}
}
