package legacy

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Session is one client's session with the stateless core behind it.
type Session struct {
	server *Server
	id     string
	who    mcp.Principal // as it was when the session began here
	client *mcp.Client
	used   time.Time // guarded by server.mu
	done   chan struct{}
	end    sync.Once
	ends   endings

	mu        sync.Mutex // guards what follows
	level     string     // what logging/setLevel asked for
	wantsLogs bool       // it has asked
	calls     map[jsonrpc.ID]*mcp.CallContext
	hasty     []hasty                             // cancellations that may have overtaken their calls, oldest first
	asked     map[jsonrpc.ID]chan jsonrpc.Message // our requests that wait for the client
	stream    mcp.Stream                          // takes what belongs to no request; nil when none is attached
	attached  int                                 // counts attachments, so that only the last detaches
	watch     watch
	heard     []mcp.Notification // of changed lists, and not told yet
	telling   bool               // somebody is telling it
}

var _ mcp.Session = (*Session)(nil)

// defaultLevel is what a session sees of logs until it says otherwise: the
// revisions leave it to the server.
const defaultLevel = "info"

// errCancelled is why a call ends that its client has cancelled.
var errCancelled = errors.New("cancelled by the client")

func newSession(s *Server, id string, t ticket, who mcp.Principal) *Session {
	capabilities, _ := jsonrpc.Split(t.Capabilities)
	// Extensions are of the stateless era. Others that a client declares do no
	// harm; a task as an answer would not be understood.
	client := mcp.NewClient(t.Revision, t.Info, capabilities).WithoutTasks()
	client.Session = id
	return &Session{
		server: s, id: id, who: who, client: client, level: defaultLevel,
		done: make(chan struct{}),
	}
}

// ID implements mcp.Session.
func (s *Session) ID() string { return s.id }

// Revision implements mcp.Session.
func (s *Session) Revision() mcp.Revision { return s.client.Revision }

// Done implements mcp.Session.
func (s *Session) Done() <-chan struct{} { return s.done }

// OnEnd implements mcp.Session.
func (s *Session) OnEnd(f func()) (stop func()) { return s.ends.add(f) }

// End implements mcp.Session.
func (s *Session) End() {
	s.server.forget(s.id)
	s.close()
}

// close ends what is under way; the id stays good when the session only made room.
func (s *Session) close() {
	s.end.Do(func() {
		close(s.done)
		s.mu.Lock()
		for _, call := range s.calls {
			call.End(context.Canceled, errCancelled)
		}
		s.watch.stop()
		s.watch.deafen()
		s.stream = nil
		s.mu.Unlock()
		s.ends.run()
	})
}

// endings is what happens when a session has ended.
type endings struct {
	mu    sync.Mutex // guards what follows
	over  bool
	last  int // the last number given out
	hooks map[int]func()
}

func (e *endings) add(f func()) (stop func()) {
	e.mu.Lock()
	if e.over {
		e.mu.Unlock()
		f()
		return func() {}
	}
	defer e.mu.Unlock()
	if e.hooks == nil {
		e.hooks = make(map[int]func())
	}
	e.last++
	mine := e.last
	e.hooks[mine] = f
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.hooks, mine)
	}
}

func (e *endings) run() {
	e.mu.Lock()
	hooks := e.hooks
	e.over, e.hooks = true, nil
	e.mu.Unlock()
	for _, f := range hooks {
		f()
	}
}

// busy reports whether closing s would take something away from its client.
func (s *Session) busy() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls) > 0 || s.stream != nil || len(s.watch.uris) > 0
}

// welcome answers the handshake with what the server says of itself.
func (s *Session) welcome(ctx context.Context) (mcp.Result, error) {
	discovered, err := s.server.handler.Handle(ctx, &mcp.Request{Method: "server/discover", Client: s.client})
	if err != nil {
		return mcp.Result{}, err
	}
	about := mcp.ReadServer(discovered)
	info := about.Info
	if info == nil {
		info = []byte(`{"name":"unnamed","version":""}`)
	}
	edits := []jsonrpc.Edit{
		{Name: "protocolVersion", Value: jsonrpc.AppendString(nil, string(s.client.Revision))},
		{Name: "capabilities", Value: legacyCapabilities(about.Capabilities, s.client.Revision)},
		{Name: "serverInfo", Value: info},
	}
	if about.Instructions != "" {
		edits = append(edits, jsonrpc.Edit{Name: "instructions", Value: jsonrpc.AppendString(nil, about.Instructions)})
	}
	return mcp.Result{Object: jsonrpc.Object{}.With(edits...)}, nil
}

// Handle implements mcp.Session. A call that the client has cancelled is
// answered with an error, which the client ignores.
func (s *Session) Handle(ctx context.Context, msg jsonrpc.Message, out mcp.Stream) jsonrpc.Message {
	result, err := s.answer(ctx, msg, out)
	if err != nil {
		return jsonrpc.Message{ID: msg.ID, Error: legacyError(msg, mcp.WireError(err))}
	}
	s.watchTasks(msg, result)
	return jsonrpc.Message{ID: msg.ID, Result: result.Object, Edits: s.server.shapes.edits(msg.Method, result, s.client.Revision)}
}

func (s *Session) answer(ctx context.Context, msg jsonrpc.Message, out mcp.Stream) (mcp.Result, error) {
	switch msg.Method {
	case "ping":
		return mcp.EmptyResult(), nil
	case "initialize":
		return mcp.Result{}, mcp.Errorf(jsonrpc.CodeInvalidRequest, "the session is already initialized")
	case "logging/setLevel":
		return s.setLevel(msg.Params)
	case "resources/subscribe":
		return s.subscribe(ctx, msg.Params)
	case "resources/unsubscribe":
		return s.unsubscribe(msg.Params)
	case "server/discover", "subscriptions/listen":
		return mcp.Result{}, mcp.MethodNotFound(msg.Method)
	}
	call, err := s.begin(ctx, msg.ID)
	if err != nil {
		return mcp.Result{}, err
	}
	defer s.finish(call, msg.ID)
	ctx = call
	req := mcp.ReadRequest(msg.Method, msg.Params, s.client)
	req.LogLevel = s.logLevel()
	if lending, ok := out.(mcp.Lending); ok {
		req.Loan = lending.Loan()
	}
	req.Notify = func(n mcp.Notification) {
		_ = out.Send(ctx, jsonrpc.Message{Method: n.Method, Params: n.Params}) // a client that has gone may come back for the result
	}
	return s.complete(ctx, req, out)
}

// begin registers a call, so that the client can cancel it, until finish.
func (s *Session) begin(ctx context.Context, id jsonrpc.ID) (*mcp.CallContext, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over() {
		return nil, mcp.Errorf(jsonrpc.CodeInvalidRequest, "the session has ended")
	}
	if _, ok := s.calls[id]; ok {
		return nil, mcp.Errorf(jsonrpc.CodeInvalidRequest, "a request with id %s is already under way", string(id))
	}
	if s.overtaken(id) {
		return nil, errCancelled
	}
	if len(s.calls) >= s.server.o.MaxCalls {
		return nil, mcp.Errorf(mcp.CodeBusy, "%d requests are under way in this session, no more are taken", len(s.calls))
	}
	if s.calls == nil {
		s.calls = make(map[jsonrpc.ID]*mcp.CallContext)
	}
	call := mcp.NewCallContext(ctx)
	s.calls[id] = call
	return call, nil
}

func (s *Session) finish(call *mcp.CallContext, id jsonrpc.ID) {
	s.mu.Lock()
	delete(s.calls, id)
	s.mu.Unlock()
	call.End(context.Canceled, nil)
}

// Receive implements mcp.Session.
func (s *Session) Receive(_ context.Context, msg jsonrpc.Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case msg.IsResponse():
		if waiting := s.asked[msg.ID]; waiting != nil {
			delete(s.asked, msg.ID) // the first answer counts
			waiting <- msg
		}
	case msg.Method == "notifications/cancelled":
		id := jsonrpc.ID(msg.Params.Get("requestId"))
		if call := s.calls[id]; call != nil {
			call.End(context.Canceled, errCancelled)
			return
		}
		if len(s.hasty) >= maxHasty {
			s.hasty = s.hasty[1:]
		}
		s.hasty = append(s.hasty, hasty{id, s.server.o.Now()})
	}
}

// Bounds of cancellations that come before their calls: over HTTP each message goes
// its own way. Most of what comes for an unknown call is late and not early.
const (
	maxHasty   = 16
	hastyAhead = 2 * time.Second
)

type hasty struct {
	id jsonrpc.ID
	at time.Time
}

// overtaken reports whether a call has been cancelled before it has come. s.mu is
// held.
func (s *Session) overtaken(id jsonrpc.ID) bool {
	for i, h := range s.hasty {
		if h.id == id {
			s.hasty = slices.Delete(s.hasty, i, i+1)
			return s.server.o.Now().Sub(h.at) < hastyAhead
		}
	}
	return false
}

func (s *Session) setLevel(params jsonrpc.Object) (mcp.Result, error) {
	level, _ := params.String("level")
	if severity(level) < 0 {
		return mcp.Result{}, mcp.Errorf(jsonrpc.CodeInvalidParams, "level must be one of %s", strings.Join(levels(), ", "))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.wantsLogs || s.level != level {
		s.level, s.wantsLogs = level, true
		s.followLogs()
	}
	return mcp.EmptyResult(), nil
}

func (s *Session) logLevel() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.level
}
