package streamhttp

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// StatusError is the error of a request that the server answered with another
// HTTP status than the protocol has for success.
type StatusError struct {
	Status int
	// Err is the JSON-RPC error in the body; nil when there was none.
	Err *mcp.Error
	// Body is what the body begins with, at most 1 KiB, for logs.
	Body string
	// Header holds the headers of the answer.
	Header http.Header
}

// Bounds of what is read of the body of an error, and of what is kept of it.
const (
	maxErrorBody   = 64 << 10
	maxErrorPrefix = 1 << 10
)

// statusError reads the answer, and closes it.
func (c *Client) statusError(resp *http.Response) *StatusError {
	defer resp.Body.Close()
	e := &StatusError{Status: resp.StatusCode, Header: resp.Header}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	e.Body = strings.ToValidUTF8(string(body[:min(len(body), maxErrorPrefix)]), "?")
	if msg, err := jsonrpc.Parse(body, c.o.Limits); err == nil {
		e.Err = msg.Error
	}
	return e
}

// Error gives the status and the JSON-RPC error; the body is left out, since it
// may be anything.
func (e *StatusError) Error() string {
	text := fmt.Sprintf("server answered HTTP %d %s", e.Status, http.StatusText(e.Status))
	if e.Err != nil {
		return text + ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns what may be told to the caller: the server's own error, or what
// the status means. After 500, 502 or 504 nobody knows whether the call took
// effect.
func (e *StatusError) Unwrap() error {
	switch {
	case e.Err != nil:
		return e.Err
	case e.Status == http.StatusBadRequest:
		return mcp.Errorf(jsonrpc.CodeInvalidRequest, "the server refused the request with HTTP 400")
	case e.Status < 500 && e.Status >= 300, e.Status == http.StatusServiceUnavailable:
		return mcp.Errorf(mcp.CodeUnavailable, "the server answered HTTP %d", e.Status)
	default:
		return mcp.Errorf(mcp.CodeCallLost, "the server answered HTTP %d instead of the call's result", e.Status)
	}
}
