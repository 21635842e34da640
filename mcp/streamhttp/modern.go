package streamhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// modern answers a message of the stateless era.
func (x *exchange) modern(msg jsonrpc.Message) {
	switch {
	case msg.IsResponse():
		x.refuse(http.StatusBadRequest, "", mcp.Errorf(jsonrpc.CodeInvalidRequest,
			"responses are not sent in this revision: answer in the inputResponses of a retry"))
	case msg.IsNotification():
		x.accept() // the revision defines none over HTTP, so that none means anything
	default:
		x.modernRequest(msg)
	}
}

func (x *exchange) modernRequest(msg jsonrpc.Message) {
	req, err := x.readModern(msg)
	if err != nil {
		x.refuse(modernStatus(http.StatusBadRequest, err), msg.ID, err)
		return
	}
	c := &statelessCall{exchange: x, id: msg.ID, req: req}
	if req.Method == "subscriptions/listen" {
		c.listen()
		return
	}
	if x.can.events {
		req.Notify = c.notify
	}
	req.Loan = x.lend(req.Method)
	result, failure := x.handle(x.r.Context(), req)
	c.finish(result, failure)
	x.loan.Return()
}

// readModern checks what a stateless request must carry, in headers and body.
func (x *exchange) readModern(msg jsonrpc.Message) (*mcp.Request, *mcp.Error) {
	h := x.r.Header
	if err := checkVersion(h, msg.Params); err != nil {
		return nil, err
	}
	client, err := mcp.ReadClient(msg.Params)
	if err != nil {
		return nil, mcp.WireError(err)
	}
	req := mcp.ReadRequest(msg.Method, msg.Params, client)
	if err := checkMirrors(h, req); err != nil {
		return nil, err
	}
	if mcp.Removed(req.Method) {
		return nil, mcp.MethodNotFound(req.Method)
	}
	if req.Method == "tools/call" {
		var err *mcp.Error
		if req.ParamHeaders, err = paramHeaders(h, x.s.noParams); err != nil {
			return nil, err
		}
	}
	if req.TraceParent == "" {
		req.TraceParent = traceParent(h)
	}
	return req, nil
}

// modernStatus is the HTTP status of an error that is the whole answer
// (2026-07-28, basic/transports/streamable-http; basic/index, "Error Codes").
// An error that the revision gives no status keeps the usual one.
func modernStatus(usual int, err *mcp.Error) int {
	switch err.Code {
	case jsonrpc.CodeMethodNotFound:
		return http.StatusNotFound
	case mcp.CodeHeaderMismatch, mcp.CodeMissingCapability, mcp.CodeUnsupportedVersion,
		jsonrpc.CodeParse, jsonrpc.CodeInvalidRequest:
		return http.StatusBadRequest
	}
	return usual
}

// errorStatus is the HTTP status of a call that failed. One that can be made
// again after a while is 429, with the time that it takes.
func (c *statelessCall) errorStatus(err *mcp.Error) int {
	if seconds, ok := mcp.RetryAfter(err); ok {
		c.out.w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
		return http.StatusTooManyRequests
	}
	return modernStatus(http.StatusOK, err)
}

// handle runs the handler. One that panics fails its request only.
func (x *exchange) handle(ctx context.Context, req *mcp.Request) (result mcp.Result, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = x.s.recovered(ctx, req.Method, v)
		}
	}()
	return x.s.handler.Handle(ctx, req)
}

func (s *Server) recovered(ctx context.Context, method string, v any) *mcp.Error {
	s.o.Log.Error("handler panicked", "method", method, "request_id", mcp.RequestIDOf(ctx),
		"err", fmt.Sprint(v), "stack", string(debug.Stack()))
	return mcp.Errorf(jsonrpc.CodeInternal, "internal error")
}

// wire returns what the client may know of err, and logs what it may not.
func (s *Server) wire(ctx context.Context, method string, err error) *mcp.Error {
	wire := mcp.WireError(err)
	if wire.Code == jsonrpc.CodeInternal && !errors.Is(err, wire) {
		s.o.Log.Error("request failed", "method", method, "request_id", mcp.RequestIDOf(ctx), "err", err)
	}
	return wire
}

// statelessCall is a request of the stateless era and its answer: JSON, or an
// event stream from the first notification on.
type statelessCall struct {
	*exchange
	id  jsonrpc.ID
	req *mcp.Request

	mu     sync.Mutex // guards what follows: a subscription's stream is also opened by a timer
	events *eventWriter
	over   bool
}

// listen holds a subscription open until its client goes away, the handler ends
// it, or the server closes. The stream begins with the handler's first
// notification, the acknowledgement, so that a refusal keeps its HTTP status; a
// handler that takes long gets a stream with comments meanwhile.
func (c *statelessCall) listen() {
	if !c.can.events {
		c.refuse(http.StatusNotAcceptable, c.id, mcp.Errorf(jsonrpc.CodeInvalidRequest,
			"Accept must list %s for %s", mediaEvents, c.req.Method))
		return
	}
	ctx, cancel := context.WithCancel(c.r.Context())
	defer cancel()
	defer context.AfterFunc(c.s.closing, cancel)()
	opening := time.AfterFunc(c.s.o.KeepAlive, func() { c.stream() })
	defer opening.Stop()
	c.req.Notify = func(n mcp.Notification) { c.notify(mcp.Tagged(n, c.id)) }
	result, err := c.handle(ctx, c.req)
	if err != nil && c.s.closing.Err() != nil {
		result, err = mcp.EmptyResult(), nil // 2026-07-28, basic/patterns/subscriptions, "Graceful Closure"
	}
	if err == nil {
		result = mcp.Result{Object: tagged(result.Object, c.id)}
	}
	c.finish(result, err)
}

// tagged returns the last result of a subscription with the subscription's id.
func tagged(result jsonrpc.Object, id jsonrpc.ID) jsonrpc.Object {
	meta, _ := jsonrpc.Split(result.Get("_meta"))
	text := meta.Append(nil, jsonrpc.Edit{Name: mcp.MetaSubscriptionID, Value: []byte(id)})
	return result.With(jsonrpc.Edit{Name: "_meta", Value: text})
}

// notify sends a notification of the request. A client that cannot take it is
// noticed by net/http, which ends the request's context.
func (c *statelessCall) notify(n mcp.Notification) {
	if events := c.stream(); events != nil {
		c.send(events, jsonrpc.Message{Method: n.Method, Params: n.Params})
	}
}

func (c *statelessCall) send(events *eventWriter, m jsonrpc.Message) {
	buf := c.s.buffers.get()
	defer c.s.buffers.put(buf)
	*buf = appendMessageEvent(*buf, "", m)
	_ = events.write(*buf)
}

// stream returns the event stream, which it opens; nil when the request is over.
func (c *statelessCall) stream() *eventWriter {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return nil
	}
	if c.events == nil {
		c.events = openEvents(c.out, c.s)
		_ = c.events.write(nil) // sends the headers
	}
	return c.events
}

// finish sends the response and ends the stream. Nothing is sent to a client
// that has gone, for that has cancelled the request (2026-07-28,
// basic/transports/streamable-http, "Cancellation"); one that is still there and
// may not have the result any more is told so.
func (c *statelessCall) finish(result mcp.Result, err error) {
	c.mu.Lock()
	c.over = true
	events := c.events
	c.mu.Unlock()
	if events != nil {
		defer events.end()
	}
	if ctx := c.r.Context(); ctx.Err() != nil && !mcp.Revoked(ctx) {
		return
	}
	m := jsonrpc.Message{ID: c.id}
	if err != nil {
		m.Error = c.s.wire(c.r.Context(), c.req.Method, err)
	} else {
		m.Result, m.Edits = result.Object, mcp.ModernEdits(c.req.Method, result)
	}
	switch {
	case events != nil:
		c.send(events, m)
	case m.Error != nil:
		c.refuse(c.errorStatus(m.Error), c.id, m.Error)
	case !c.can.json:
		events = openEvents(c.out, c.s)
		c.send(events, m)
		events.end()
	default:
		c.answer(http.StatusOK, m)
	}
}
