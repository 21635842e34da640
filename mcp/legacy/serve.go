package legacy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// ServeOptions are the bounds of one connection. Zero values mean the defaults.
type ServeOptions struct {
	Limits jsonrpc.Limits
	// MaxCalls bounds the requests under way; 256 by default. Beyond it they
	// are answered with CodeBusy.
	MaxCalls int
	// Grace is how long requests under way may still be answered after the
	// client has closed its end, where it can go on reading: a pipe, not a
	// socket; and after the context of Serve has ended. None by default.
	Grace time.Duration
}

// Serve answers a client on one lasting connection, stdio, a WebSocket or an
// HTTP+SSE session, of any revision: a request that says in _meta who asks is
// stateless; initialize opens the session that all other requests belong to
// (2026-07-28, basic/versioning, "dual-era servers").
//
// It returns nil when the client has closed the connection, and otherwise why
// it ended. When ctx ends, subscriptions are answered with their result, and what
// is under way after the grace with an error, before the connection is closed.
// It closes conn, and when it returns nothing is under way.
func Serve(ctx context.Context, conn mcp.Conn, h mcp.Handler, sessions mcp.Sessions, o ServeOptions) error {
	if o.MaxCalls == 0 {
		o.MaxCalls = 256
	}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx)) // of the connection: what ctx ends can still be told
	s := &serving{
		conn: conn, handler: h, sessions: sessions, o: o,
		slots: make(chan struct{}, o.MaxCalls),
		calls: make(map[jsonrpc.ID]context.CancelCauseFunc),
	}
	listening, deafen := context.WithCancel(own)
	s.listening = listening
	parted := make(chan struct{})
	stay := context.AfterFunc(ctx, func() {
		defer close(parted)
		deafen()
		s.part(own)
		cancel()
	})
	err := s.read(own)
	if !stay() {
		<-parted
	}
	deafen()
	if errors.Is(err, io.EOF) && o.Grace > 0 {
		s.finish(own, o.Grace)
	}
	cancel()
	if s.session != nil {
		s.session.End()
	}
	s.work.Wait()
	_ = conn.Close()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// part lets a client that has not gone hear how its requests ended before we go:
// those under way have the grace to be answered, then they are cancelled and
// answered with that.
func (s *serving) part(ctx context.Context) {
	if s.o.Grace > 0 {
		s.finish(ctx, s.o.Grace)
	}
	s.mu.Lock()
	for _, cancel := range s.calls {
		cancel(nil)
	}
	s.mu.Unlock()
	s.finish(ctx, courtesy)
}

// finish waits until every request under way is answered, at most for grace.
func (s *serving) finish(ctx context.Context, grace time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	held := 0
	defer func() {
		for range held {
			<-s.slots
		}
	}()
	for range cap(s.slots) {
		select {
		case s.slots <- struct{}{}: // a place that nobody holds, or that has become free
			held++
		case <-ctx.Done():
			return
		}
	}
}

// serving is one connection being served.
type serving struct {
	listening context.Context // of subscriptions, which end before calls do
	conn      mcp.Conn
	handler   mcp.Handler
	sessions  mcp.Sessions
	o         ServeOptions
	work      sync.WaitGroup
	slots     chan struct{}
	session   mcp.Session // set by the reader, once

	mu    sync.Mutex // guards calls
	calls map[jsonrpc.ID]context.CancelCauseFunc
}

// Send implements mcp.Stream: on a connection everything goes the same way.
func (s *serving) Send(ctx context.Context, m jsonrpc.Message) error {
	return s.conn.Write(ctx, m.Append(nil))
}

func (s *serving) read(ctx context.Context) error {
	for {
		text, err := s.conn.Read(ctx)
		if err != nil {
			return err
		}
		if err := s.take(ctx, text); err != nil {
			return fmt.Errorf("answer the client: %w", err)
		}
	}
}

// take handles one message. Its error means that the client cannot be reached.
func (s *serving) take(ctx context.Context, text []byte) error {
	if jsonrpc.IsBatch(text) {
		return s.batch(ctx, text)
	}
	msg, err := jsonrpc.Parse(text, s.o.Limits)
	if err != nil {
		return s.Send(ctx, jsonrpc.Message{ID: msg.ID, Error: mcp.WireError(err)})
	}
	return s.dispatch(ctx, msg, s.respond(ctx))
}

// respond sends one response by itself.
func (s *serving) respond(ctx context.Context) func(jsonrpc.Message) error {
	return func(m jsonrpc.Message) error {
		if m.ID.IsZero() {
			return nil // its client has cancelled it
		}
		return s.Send(ctx, m)
	}
}

// dispatch handles a message and gives the response, if there is one, to done.
func (s *serving) dispatch(ctx context.Context, msg jsonrpc.Message, done func(jsonrpc.Message) error) error {
	switch {
	case !msg.IsRequest():
		s.receive(ctx, msg)
		return nil
	case mcp.IsModern(msg.Params):
		return s.start(ctx, msg, done, s.modern)
	case msg.Method == "initialize" && s.session == nil:
		return done(s.open(ctx, msg))
	case s.session != nil:
		return s.start(ctx, msg, done, func(ctx context.Context, msg jsonrpc.Message) jsonrpc.Message {
			return s.session.Handle(ctx, msg, s)
		})
	case msg.Method == "ping":
		return done(jsonrpc.Message{ID: msg.ID, Result: mcp.EmptyResult().Object})
	default:
		_, err := mcp.ReadClient(msg.Params)
		return done(jsonrpc.Message{ID: msg.ID, Error: mcp.WireError(err)})
	}
}

func (s *serving) open(ctx context.Context, msg jsonrpc.Message) jsonrpc.Message {
	session, answer := s.sessions.Open(ctx, msg)
	if session != nil {
		s.session = session
		session.Attach(s)
	}
	return answer
}

// receive handles what wants no answer.
func (s *serving) receive(ctx context.Context, msg jsonrpc.Message) {
	if msg.Method == "notifications/cancelled" {
		s.cancel(jsonrpc.ID(msg.Params.Get("requestId")), errCancelled)
	}
	if s.session != nil {
		s.session.Receive(ctx, msg)
	}
}

func (s *serving) cancel(id jsonrpc.ID, why error) {
	s.mu.Lock()
	cancel := s.calls[id]
	s.mu.Unlock()
	if cancel != nil {
		cancel(why)
	}
}

// start runs a request beside the others. A request that its client has
// cancelled gets no response (basic/patterns/cancellation).
func (s *serving) start(ctx context.Context, msg jsonrpc.Message, done func(jsonrpc.Message) error,
	run func(context.Context, jsonrpc.Message) jsonrpc.Message,
) error {
	select {
	case s.slots <- struct{}{}:
	default:
		return done(jsonrpc.Message{ID: msg.ID, Error: mcp.Errorf(mcp.CodeBusy, "%d requests are under way, no more are taken", s.o.MaxCalls)})
	}
	callCtx, cancel := context.WithCancelCause(ctx)
	if !s.enter(msg.ID, cancel) {
		cancel(nil)
		<-s.slots
		return done(jsonrpc.Message{ID: msg.ID, Error: mcp.Errorf(jsonrpc.CodeInvalidRequest, "a request with id %s is already under way", string(msg.ID))})
	}
	s.work.Go(func() {
		defer func() { <-s.slots }()
		defer cancel(nil)
		answer := run(callCtx, msg)
		if s.leave(msg.ID, callCtx) {
			answer = jsonrpc.Message{}
		}
		_ = done(answer) // the reader notices when the client has gone
	})
	return nil
}

func (s *serving) enter(id jsonrpc.ID, cancel context.CancelCauseFunc) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.calls[id]; ok {
		return false
	}
	s.calls[id] = cancel
	return true
}

// leave reports whether the client has cancelled the call before it was answered.
func (s *serving) leave(id jsonrpc.ID, ctx context.Context) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.calls, id)
	return errors.Is(context.Cause(ctx), errCancelled)
}

// modern answers a stateless request.
func (s *serving) modern(ctx context.Context, msg jsonrpc.Message) (answer jsonrpc.Message) {
	client, err := mcp.ReadClient(msg.Params)
	if err != nil {
		return jsonrpc.Message{ID: msg.ID, Error: mcp.WireError(err)}
	}
	if mcp.Removed(msg.Method) {
		return jsonrpc.Message{ID: msg.ID, Error: mcp.MethodNotFound(msg.Method)}
	}
	req := mcp.ReadRequest(msg.Method, msg.Params, client)
	listening := msg.Method == "subscriptions/listen"
	req.Notify = func(n mcp.Notification) {
		if listening {
			n = mcp.Tagged(n, msg.ID)
		}
		_ = s.Send(ctx, jsonrpc.Message{Method: n.Method, Params: n.Params}) // the reader notices when the client has gone
	}
	if listening {
		stop := context.AfterFunc(s.listening, func() { s.cancel(msg.ID, nil) })
		defer stop()
	}
	result, err := s.handler.Handle(ctx, req)
	if listening && err != nil && s.listening.Err() != nil {
		result, err = mcp.EmptyResult(), nil // 2026-07-28, basic/patterns/subscriptions, "Graceful Closure"
	}
	if err != nil {
		return jsonrpc.Message{ID: msg.ID, Error: mcp.WireError(err)}
	}
	if listening {
		result.Object = mcp.Tagged(mcp.Notification{Params: result.Object}, msg.ID).Params
	}
	return jsonrpc.Message{ID: msg.ID, Result: result.Object, Edits: mcp.ModernEdits(msg.Method, result)}
}

// batch answers several messages at once, which only 2025-03-26 has.
func (s *serving) batch(ctx context.Context, text []byte) error {
	if s.session == nil || s.session.Revision() != mcp.Revision20250326 {
		return s.Send(ctx, jsonrpc.Message{Error: mcp.Errorf(jsonrpc.CodeInvalidRequest, "batches exist only in protocol revision 2025-03-26")})
	}
	msgs, err := jsonrpc.ParseBatch(text, s.o.Limits)
	if err != nil {
		return s.Send(ctx, jsonrpc.Message{Error: mcp.WireError(err)})
	}
	answers := make(chan jsonrpc.Message, len(msgs))
	waiting := 0
	for _, msg := range msgs {
		if msg.IsRequest() {
			waiting++
		}
		collect := func(m jsonrpc.Message) error { answers <- m; return nil }
		if err := s.dispatch(ctx, msg, collect); err != nil {
			return err
		}
	}
	if waiting == 0 {
		return nil
	}
	s.work.Go(func() { s.answerBatch(ctx, answers, waiting) })
	return nil
}

func (s *serving) answerBatch(ctx context.Context, answers <-chan jsonrpc.Message, waiting int) {
	out := []byte{'['}
	for range waiting {
		select {
		case m := <-answers:
			if m.ID.IsZero() {
				continue
			}
			if len(out) > 1 {
				out = append(out, ',')
			}
			out = m.Append(out)
		case <-ctx.Done():
			return
		}
	}
	if len(out) == 1 {
		return // all were cancelled
	}
	_ = s.conn.Write(ctx, append(out, ']')) // the reader notices when the client has gone
}
