package legacy

import (
	"container/list"
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// ServerOptions are the bounds of a Server. Zero values mean the defaults.
type ServerOptions struct {
	// Endpoint is bound into session ids: a session of one endpoint is unknown at others.
	Endpoint string
	// MaxSessions bounds the live sessions; 10,000 by default. When it is
	// reached, the session unused for longest that has nothing under way gives way.
	MaxSessions int
	// SessionTTL is how long a session lives unused; 24 hours by default.
	SessionTTL time.Duration
	// InputTimeout is how long the client's user may take to answer; 10 minutes by default.
	InputTimeout time.Duration
	// MaxCalls bounds the requests under way in one session; 256 by default.
	MaxCalls int
	// ListsDiffer reports whether sessions of one principal may have different
	// lists, so that each must hear of its own; no by default.
	ListsDiffer func() bool
	// Now is the clock; time.Now by default.
	Now func() time.Time
	Log *slog.Logger
}

func (o ServerOptions) withDefaults() ServerOptions {
	if o.MaxSessions == 0 {
		o.MaxSessions = 10_000
	}
	if o.SessionTTL == 0 {
		o.SessionTTL = 24 * time.Hour
	}
	if o.InputTimeout == 0 {
		o.InputTimeout = 10 * time.Minute
	}
	if o.MaxCalls == 0 {
		o.MaxCalls = 256
	}
	if o.ListsDiffer == nil {
		o.ListsDiffer = func() bool { return false }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Server opens sessions for clients of one endpoint. A session's id is a sealed
// token that carries what the handshake agreed, bound to the principal: a
// process that has the same secret can serve the session without having seen
// its handshake.
type Server struct {
	handler mcp.Handler
	sealer  *Sealer
	o       ServerOptions
	listens sync.WaitGroup // the sessions' subscriptions
	news    newsroom
	shapes  shapes

	mu       sync.Mutex // guards what follows
	sessions map[string]*list.Element
	order    *list.List      // of *Session, least recently used first
	ended    map[string]bool // ids that must not come back
	endedIDs []string        // the same, oldest first
}

var _ mcp.Sessions = (*Server)(nil)

// NewServer returns a Server whose sessions' requests are answered by h.
func NewServer(h mcp.Handler, sealer *Sealer, o ServerOptions) *Server {
	return &Server{
		handler: h, sealer: sealer, o: o.withDefaults(),
		sessions: make(map[string]*list.Element),
		order:    list.New(),
		ended:    make(map[string]bool),
	}
}

// ticket is what a session id carries.
type ticket struct {
	Principal    string          `json:"p,omitempty"`
	Revision     mcp.Revision    `json:"r"`
	Info         json.RawMessage `json:"i,omitempty"`
	Capabilities json.RawMessage `json:"c,omitempty"`
	Opened       int64           `json:"t"`
}

// maxTicketText bounds what a client's own words may add to its session id: a
// longer description of itself is not kept in it.
const maxTicketText = 1024

// Open implements mcp.Sessions.
func (s *Server) Open(ctx context.Context, msg jsonrpc.Message) (mcp.Session, jsonrpc.Message) {
	fail := func(format string, args ...any) (mcp.Session, jsonrpc.Message) {
		return nil, jsonrpc.Message{ID: msg.ID, Error: mcp.Errorf(jsonrpc.CodeInvalidParams, format, args...)}
	}
	asked, ok := msg.Params.String("protocolVersion")
	if !ok {
		return fail("initialize needs protocolVersion, a string such as %q", mcp.Revision20251125)
	}
	capabilities, ok := jsonrpc.Split(msg.Params.Get("capabilities"))
	if !ok {
		return fail("initialize needs capabilities, an object")
	}
	info := msg.Params.Get("clientInfo")
	if _, ok := jsonrpc.Split(info); !ok {
		return fail("initialize needs clientInfo, an object")
	}
	t := ticket{
		Principal: mcp.PrincipalOf(ctx).ID,
		Revision:  mcp.NegotiateLegacy(mcp.Revision(asked)),
		Opened:    s.o.Now().UnixNano(),
	}
	t.Capabilities = capabilities.Raw()
	if len(info) <= maxTicketText {
		t.Info = info
	}
	text, err := json.Marshal(t)
	if err != nil || len(text) > 4*maxTicketText {
		return fail("capabilities are too long: at most %d bytes", 3*maxTicketText)
	}
	session := newSession(s, s.sealer.seal(s.purpose(), text), t, mcp.PrincipalOf(ctx))
	if !s.add(session) {
		return nil, jsonrpc.Message{ID: msg.ID, Error: mcp.Errorf(mcp.CodeBusy, "%d sessions are open, no more are taken", s.o.MaxSessions)}
	}
	result, err := session.welcome(ctx)
	if err != nil {
		session.End()
		return nil, jsonrpc.Message{ID: msg.ID, Error: mcp.WireError(err)}
	}
	return session, jsonrpc.Message{ID: msg.ID, Result: result.Object}
}

func (s *Server) purpose() string { return "session " + s.o.Endpoint }

// Find implements mcp.Sessions.
func (s *Server) Find(ctx context.Context, id string) (mcp.Session, bool) {
	session := s.lookup(id)
	if session == nil {
		session = s.revive(ctx, id)
	}
	if session == nil || session.who.ID != mcp.PrincipalOf(ctx).ID {
		return nil, false
	}
	return session, true
}

func (s *Server) lookup(id string) *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.sessions[id]
	if e == nil {
		return nil
	}
	session := e.Value.(*Session)
	session.used = s.o.Now()
	s.order.MoveToBack(e)
	return session
}

// revive makes the session of an id that this process does not know, or has
// let go to make room, and that is still good.
func (s *Server) revive(ctx context.Context, id string) *Session {
	text, err := s.sealer.open(s.purpose(), id)
	if err != nil {
		return nil
	}
	var t ticket
	who := mcp.PrincipalOf(ctx)
	if json.Unmarshal(text, &t) != nil || t.Principal != who.ID || s.o.Now().Sub(time.Unix(0, t.Opened)) > s.o.SessionTTL {
		return nil
	}
	session := newSession(s, id, t, who)
	if !s.add(session) {
		return s.lookup(id) // somebody else was quicker, or there is no room
	}
	return session
}

// add makes room for session; false when there is none, or when its id has ended.
func (s *Server) add(session *Session) bool {
	s.mu.Lock()
	var out []*Session
	for e := s.order.Front(); e != nil; {
		next, old := e.Next(), e.Value.(*Session)
		stale := s.o.Now().Sub(old.used) > s.o.SessionTTL
		if !stale && len(s.sessions) < s.o.MaxSessions {
			break
		}
		if stale || !old.busy() {
			s.drop(e)
			out = append(out, old)
		}
		e = next
	}
	ok := len(s.sessions) < s.o.MaxSessions && !s.ended[session.id] && s.sessions[session.id] == nil
	if ok {
		session.used = s.o.Now()
		s.sessions[session.id] = s.order.PushBack(session)
	}
	s.mu.Unlock()
	for _, old := range out {
		old.close()
	}
	return ok
}

func (s *Server) drop(e *list.Element) {
	s.order.Remove(e)
	delete(s.sessions, e.Value.(*Session).id)
}

// maxEnded bounds the memory of ended ids; the oldest are forgotten first.
const maxEnded = 20_000

// forget removes a session that has ended, for good.
func (s *Server) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.sessions[id]; e != nil {
		s.drop(e)
	}
	if s.ended[id] {
		return
	}
	s.ended[id] = true
	s.endedIDs = append(s.endedIDs, id)
	if len(s.endedIDs) > maxEnded {
		delete(s.ended, s.endedIDs[0])
		s.endedIDs = s.endedIDs[1:]
	}
}

// Len returns the number of live sessions.
func (s *Server) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Close ends all sessions and waits for their subscriptions.
func (s *Server) Close() {
	s.mu.Lock()
	var all []*Session
	for e := s.order.Front(); e != nil; e = e.Next() {
		all = append(all, e.Value.(*Session))
	}
	s.mu.Unlock()
	for _, session := range all {
		session.End()
	}
	s.listens.Wait()
}
