// Package mcp is the contract that carries the product: a request of the Model
// Context Protocol in its stateless form (revision 2026-07-28), the handler
// that answers it, and the channels over which peers are reached.
//
// A built-in server is a [Handler], a child process is a Handler, a remote
// server is a Handler; policy, metrics and audit are functions from Handler to
// Handler. Older revisions, with their sessions and their requests from server
// to client, are translated at the edges; see package legacy.
//
// The package knows nothing of HTTP, of processes, of configuration or of any
// particular server.
package mcp

import (
	"context"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Handler answers requests. Handle may be called concurrently.
//
// It returns one result, which may say "input_required" (see [ResultType]), or
// an error. Only an [*Error] reaches the peer as it is; everything else is
// logged at the edge and crosses the wire as an internal error (see
// [WireError]).
//
// When ctx ends, nobody waits for the answer any more: the handler tells its
// own peer so and returns soon. For subscriptions/listen, Handle returns only
// when the subscription has ended; its notifications go to req.Notify.
//
// The handler must not change req or what it points to, and must not keep
// req.Notify after it has returned.
type Handler interface {
	Handle(ctx context.Context, req *Request) (Result, error)
}

// HandlerFunc makes a function a Handler.
type HandlerFunc func(ctx context.Context, req *Request) (Result, error)

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, req *Request) (Result, error) { return f(ctx, req) }

// Request is one request in stateless form.
//
// Params is what the peer wrote, checked but otherwise untouched. The other
// fields were read from the envelope, from headers or from the session, and
// supersede what Params says: an edge that forwards the request writes them
// over Params (see [Request.AppendParams]) and drops every member of _meta
// that the protocol owns and that the edge does not set itself.
type Request struct {
	Method string
	// Name is the tool, the prompt, the resource URI or the task that the
	// request is about, where its method has such a parameter (see [NameKey]);
	// empty otherwise. A handler that federates changes Name, not Params.
	Name   string
	Params jsonrpc.Object
	Client *Client

	// ProgressToken is the JSON text of the caller's token; nil when the caller
	// wants no progress. Progress notifications given to Notify carry it.
	ProgressToken []byte
	// LogLevel is the least severe level that the caller wants to see as
	// notifications/message; empty when it wants none.
	LogLevel string
	// TraceParent is the W3C trace context of the caller; empty when there is none.
	TraceParent string
	// ParamHeaders are the Mcp-Param-* headers that came with the request, by
	// the lower-case rest of their name, decoded. Whoever knows the tool's
	// schema compares them with the arguments (2026-07-28,
	// basic/transports/streamable-http, "Custom headers"). Nil for a transport
	// that has no headers; it must not be changed.
	ParamHeaders map[string]string
	// Abandon says that the caller gives up the call that params.requestState
	// stands for: whoever holds it lets it go and answers with an error. It
	// never crosses a wire.
	Abandon bool
	// NoTasks says that there are no tasks where the request was made, so that a
	// call that its server can only answer with one is driven to its result,
	// whatever the client might take elsewhere. It never crosses a wire.
	NoTasks bool
	// Loan is memory that a large answer may be read into; nil when there is none.
	// It never crosses a wire.
	Loan *Loan
	// Notify takes notifications that belong to this request, in order, before
	// Handle returns; it is not called concurrently. It may block until the
	// peer has taken them, at most for the edge's write deadline. May be nil.
	Notify func(Notification)
}

// Notification is a message that wants no answer. In the stateless form it
// always belongs to a request: progress and log messages to the call that they
// report on, changes to the subscriptions/listen that asked for them. A
// notification of a subscription does not carry the subscription's id: the
// edges own those.
type Notification struct {
	Method string
	Params jsonrpc.Object
}

// Emit gives n to req.Notify if the caller listens.
func (req *Request) Emit(n Notification) {
	if req.Notify != nil {
		req.Notify(n)
	}
}

// Again is the same call once more, with answers to what the server has asked for
// in asked, and with the server's state as it came with the questions, if any did.
func (req *Request) Again(asked Result, answers []byte) *Request {
	again := *req
	again.Params = req.Params.With(
		jsonrpc.Edit{Name: "inputResponses", Value: answers},
		jsonrpc.Edit{Name: "requestState", Value: asked.Get("requestState")})
	return &again
}

// GiveUp lets whoever holds the call behind next know that it will not be made
// again, and waits for that as long as wait, also when ctx has ended. Without a
// state in asked nobody holds it.
func (req *Request) GiveUp(ctx context.Context, next Handler, asked Result, wait time.Duration) {
	if asked.Get("requestState") == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wait)
	defer cancel()
	last := req.Again(asked, nil)
	last.Abandon, last.Notify = true, nil
	_, _ = next.Handle(ctx, last) // always an error; there is nobody to tell
}

// Result is the result object of an answered request, checked but untouched.
type Result struct{ jsonrpc.Object }

// ResultType tells whether a result is the last word.
type ResultType string

// The result types of revision 2026-07-28; extensions add others, such as
// "task". A result without resultType is complete.
const (
	Complete      ResultType = "complete"
	InputRequired ResultType = "input_required"
)

// Type returns the result's resultType, [Complete] when it has none.
func (r Result) Type() ResultType {
	if r.Object.IsZero() {
		return Complete
	}
	kind := r.Get("resultType")
	if jsonrpc.IsString(kind, string(Complete)) {
		return Complete
	}
	if s, ok := jsonrpc.Unquote(kind); ok {
		return ResultType(s)
	}
	return Complete
}

// RawResult makes a result of text that this program has written itself or has
// already checked. Text that is not an object panics: that is a programmer's error.
func RawResult(text []byte) Result {
	o, ok := jsonrpc.Split(text)
	if !ok {
		panic("mcp: result is not a JSON object: " + string(text))
	}
	return Result{o}
}

// EmptyResult is the result that says only "done".
func EmptyResult() Result { return RawResult([]byte(`{}`)) }
