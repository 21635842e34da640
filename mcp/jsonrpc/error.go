package jsonrpc

import (
	"encoding/json"
	"strconv"
)

// The error codes that JSON-RPC 2.0 §5.1 defines. Codes of MCP itself belong to package mcp.
const (
	// CodeParse says that the bytes are not JSON, or not UTF-8.
	CodeParse = -32700
	// CodeInvalidRequest says that the bytes are JSON but not one message that this package accepts.
	CodeInvalidRequest = -32600
	// CodeMethodNotFound says that the receiver does not serve the method.
	CodeMethodNotFound = -32601
	// CodeInvalidParams says that the method exists and its params are wrong.
	CodeInvalidParams = -32602
	// CodeInternal says that the fault lies with the receiver.
	CodeInternal = -32603
)

// Error is the error object of a response (JSON-RPC 2.0 §5.1) and a Go error. Parse returns its faults as *Error, so that
// the caller can send them back unchanged.
type Error struct {
	// Code is one of the constants above, or a number that the method defines.
	Code int
	// Message is one sentence for a person. It crosses the wire: no secrets.
	Message string
	// Data is JSON text for the program at the other end; empty is absent. After Parse it aliases the input.
	Data json.RawMessage
}

// Error gives the code and the message. Data is left out: it may be large and may hold what a log should not.
func (e *Error) Error() string {
	return "json-rpc error " + strconv.Itoa(e.Code) + ": " + e.Message
}

// Append appends the JSON text of e to dst. Data is written as it is and must be valid JSON.
func (e *Error) Append(dst []byte) []byte {
	dst = append(dst, `{"code":`...)
	dst = strconv.AppendInt(dst, int64(e.Code), 10)
	dst = append(dst, `,"message":`...)
	dst = AppendString(dst, e.Message)
	if len(e.Data) > 0 {
		dst = append(dst, `,"data":`...)
		dst = append(dst, e.Data...)
	}
	return append(dst, '}')
}

// fault is the first thing found wrong in a message. It holds no Error so that a scanner which has found nothing wrong
// stays on its caller's stack.
type fault struct {
	code int
	at   int // byte offset in the input
	why  string
}

func (f fault) found() bool { return f.code != 0 }

// err returns f as the error that goes to the peer.
func (f fault) err() *Error {
	what := "message is not valid JSON at byte "
	if f.code == CodeInvalidRequest {
		what = "message is not acceptable at byte "
	}
	return &Error{Code: f.code, Message: what + strconv.Itoa(f.at) + ": " + f.why}
}
