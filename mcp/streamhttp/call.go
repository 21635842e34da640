package streamhttp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/sse"
)

// Handle implements mcp.Handler for a server of the stateless era. The end of
// ctx closes the call's stream, which cancels it. A call whose answer is lost is
// an error (mcp.CodeCallLost) and never repeated; one that was not sent is
// mcp.CodeUnavailable. The one exception is an answer that says that the mirrored
// headers are wrong: nothing has been done then, the tools are listed anew and
// the call is sent once more (2026-07-28, basic/transports/streamable-http,
// "Client Behavior").
func (c *Client) Handle(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	result, err := c.call(ctx, req)
	if err == nil || req.Method != "tools/call" || !isMismatch(err) {
		return result, err
	}
	before := c.mirrors(req.Name)
	if failure := c.refresh(ctx, req); failure != nil {
		c.o.Log.Warn("tools could not be listed after a header mismatch", "tool", req.Name, "err", failure)
		return result, err
	}
	if equalMirrors(before, c.mirrors(req.Name)) {
		return result, err
	}
	return c.call(ctx, req)
}

func isMismatch(err error) bool {
	var status *StatusError
	return errors.As(err, &status) && status.Err != nil && status.Err.Code == mcp.CodeHeaderMismatch
}

// call sends the request and waits for the answer.
func (c *Client) call(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	s := statelessSend{client: c, req: req, id: jsonrpc.NumberID(c.ids.Add(1))}
	if req.ProgressToken != nil && req.Notify != nil {
		s.token = string(s.id)
	}
	resp, sent, err := c.roundTrip(ctx, http.MethodPost, s.header(), s.body())
	if err != nil {
		if ctx.Err() != nil {
			return mcp.Result{}, ctx.Err()
		}
		return mcp.Result{}, unreachable(sent, err)
	}
	result, err := s.receive(ctx, resp)
	if err == nil && req.Method == "tools/list" {
		return c.learn(result), nil
	}
	return result, err
}

// statelessSend is one request of the stateless era.
type statelessSend struct {
	client *Client
	req    *mcp.Request
	id     jsonrpc.ID
	token  string // our progress token; empty when none is wanted
}

func (s *statelessSend) body() []byte {
	dst := make([]byte, 0, len(s.req.Params.Raw())+512)
	dst = append(dst, `{"jsonrpc":"2.0","id":`...)
	dst = append(dst, s.id...)
	dst = append(dst, `,"method":`...)
	dst = jsonrpc.AppendString(dst, s.req.Method)
	dst = append(dst, `,"params":`...)
	dst = s.req.AppendModern(dst, s.token)
	return append(dst, '}')
}

// header mirrors what the body says (2026-07-28,
// basic/transports/streamable-http, "Request Metadata"). It is not to be changed.
func (s *statelessSend) header() http.Header {
	c, req := s.client, s.req
	var mirrors []mirror
	if req.Method == "tools/call" {
		mirrors = c.mirrors(req.Name)
	}
	if len(mirrors) > 0 || req.TraceParent != "" {
		return s.written(mirrors)
	}
	key := headerKey{req.Method, req.Name}
	h := c.remembered(key)
	if h == nil {
		h = s.written(nil)
		c.remember(key, h)
	}
	return h
}

// written makes the headers.
func (s *statelessSend) written(mirrors []mirror) http.Header {
	c, req := s.client, s.req
	h := c.header(6 + len(mirrors))
	values := make([]string, 0, 3+len(mirrors))
	set := func(name, value string) {
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	h["Content-Type"] = c.fixed.json
	h["Accept"] = c.fixed.both
	h[headerVersion] = c.fixed.modern
	set(headerMethod, encodeValue(req.Method))
	if mcp.MirrorsName(req.Method) {
		set(headerName, encodeValue(req.Name))
	}
	if req.TraceParent != "" && safeValue(req.TraceParent) {
		set(headerTraceParent, req.TraceParent)
	}
	if len(mirrors) > 0 {
		arguments, _ := jsonrpc.Split(req.Params.Get("arguments"))
		for _, m := range mirrors {
			if value, ok := m.value(arguments); ok {
				set(m.header, encodeValue(value))
			}
		}
	}
	return h
}

// receive reads the answer, which it closes.
func (s *statelessSend) receive(ctx context.Context, resp *http.Response) (mcp.Result, error) {
	contentType := resp.Header.Get("Content-Type")
	switch {
	case resp.StatusCode != http.StatusOK:
		return mcp.Result{}, s.client.statusError(resp)
	case isMedia(contentType, mediaJSON):
		return s.receiveJSON(ctx, resp)
	case isMedia(contentType, mediaEvents):
		return s.receiveEvents(ctx, resp)
	}
	_ = resp.Body.Close()
	return mcp.Result{}, lost(errors.New("content type "+strconv.Quote(contentType)),
		"the server's answer is neither JSON nor an event stream")
}

func (s *statelessSend) receiveJSON(ctx context.Context, resp *http.Response) (mcp.Result, error) {
	body, err := s.client.readBody(resp, s.req.Loan)
	if err != nil {
		return mcp.Result{}, s.broken(ctx, err)
	}
	msg, err := jsonrpc.Parse(body, s.client.o.Limits)
	if err != nil {
		return mcp.Result{}, lost(err, "the server's answer is not a message")
	}
	if !s.answers(msg) {
		return mcp.Result{}, lost(fmt.Errorf("response to id %.40s, want %s", string(msg.ID), string(s.id)),
			"the server answered something else")
	}
	result, err := mcp.ResponseOf(msg)
	if err != nil || result.Type() != mcp.Complete {
		s.req.Loan.Keep() // errors, questions and tasks are remembered here and there
	}
	return result, err
}

// answers reports whether msg is the response. Errors may lack the id.
func (s *statelessSend) answers(msg jsonrpc.Message) bool {
	return msg.IsResponse() && (msg.ID == s.id || msg.ID.IsZero() && msg.Error != nil)
}

func (s *statelessSend) receiveEvents(ctx context.Context, resp *http.Response) (mcp.Result, error) {
	defer resp.Body.Close()
	r := eventReader{client: s.client, events: sse.NewReader(resp.Body, s.client.o.MaxMessageBytes)}
	for {
		msgs, err := r.next()
		if err != nil {
			return mcp.Result{}, s.broken(ctx, err)
		}
		for _, msg := range msgs {
			if s.answers(msg) {
				s.client.drain(resp.Body)
				return mcp.ResponseOf(msg)
			}
			s.pass(msg)
		}
	}
}

// pass hands a notification to the caller: progress and log messages that it
// asked for, and changes. Servers of this era send no requests.
func (s *statelessSend) pass(msg jsonrpc.Message) {
	switch {
	case !msg.IsNotification():
		return
	case msg.Method == "notifications/progress" && (s.token == "" || string(msg.Params.Get("progressToken")) != s.token):
		return
	case msg.Method == "notifications/message" && s.req.LogLevel == "":
		return
	}
	s.req.Emit(mcp.OwnNotification(s.req, msg))
}

// broken is the error of an answer that could not be read to its end.
func (s *statelessSend) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return brokenAnswer(err)
}

func brokenAnswer(err error) error {
	if errors.Is(err, errTooLarge) || errors.Is(err, sse.ErrTooLarge) {
		return lost(err, "the server's answer exceeds the size bound")
	}
	return unreachable(true, err)
}

// maxStrikes is the number of events in a row that carry no message after which
// a stream is given up.
const maxStrikes = 1000

// eventReader reads the messages of an event stream. What is no message is
// dropped and nowhere passed on.
type eventReader struct {
	client  *Client
	events  *sse.Reader
	batches bool // arrays of messages are taken too
	strikes int

	read   int           // events
	retry  time.Duration // what the server asked for last; 0 for nothing
	lastID string        // of the last event that set one
}

// next returns the messages of the next event that has any: one, or those of a
// batch where the revision has batches.
func (r *eventReader) next() ([]jsonrpc.Message, error) {
	for {
		ev, err := r.events.Next()
		if err != nil {
			return nil, err
		}
		r.read++
		r.lastID = r.events.LastID()
		if ev.Retry > 0 {
			r.retry = ev.Retry
		}
		if len(ev.Data) == 0 || ev.Name != "" && ev.Name != "message" {
			continue
		}
		msgs, err := r.parse(ev.Data)
		if err == nil {
			r.strikes = 0
			return msgs, nil
		}
		if r.strikes++; r.strikes >= maxStrikes {
			return nil, fmt.Errorf("%w, the last: %v", errTooManyStrikes, err)
		}
		r.client.o.Log.Warn("server sent an event that is no message", "err", err)
	}
}

func (r *eventReader) parse(data []byte) ([]jsonrpc.Message, error) {
	if r.batches && jsonrpc.IsBatch(data) {
		return jsonrpc.ParseBatch(data, r.client.o.Limits)
	}
	msg, err := jsonrpc.Parse(data, r.client.o.Limits)
	return []jsonrpc.Message{msg}, err
}
