package streamhttp

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// held is what the transport keeps of one session: which requests are under
// way, its streams, and the events that a client may come back for. It is let
// go when the session ends.
type held struct {
	server  *Server
	session mcp.Session
	gone    chan struct{} // closed when it is let go
	once    sync.Once     // lets it go

	// A stream's lock is taken before this one.
	mu         sync.Mutex // guards what follows
	calls      map[jsonrpc.ID]struct{}
	streams    map[uint64]*stream // that a client may come back to
	streamNo   uint64             // the last number given out
	getters    int                // GET requests under way
	standalone *stream
	readers    []*eventWriter // streams of GET requests whose handlers have returned
	detach     func()         // from the session; nil when none is attached
	forgetEnd  func()         // takes back the wish to know when the session ends
	events     []storedEvent
	bytes      int // of all events
}

// storedEvent is an event as it was sent.
type storedEvent struct {
	stream   *stream
	seq      uint64
	text     []byte
	response bool
}

// hold returns what is kept of a session. A session that comes under the id of
// one that has ended has nothing of it.
func (s *Server) hold(session mcp.Session) *held {
	id := session.ID()
	s.mu.Lock()
	h := s.held[id]
	if h != nil && h.session == session {
		s.mu.Unlock()
		return h
	}
	h = &held{server: s, session: session, gone: make(chan struct{})}
	closed := s.closed
	if !closed {
		s.held[id] = h
	}
	s.mu.Unlock()
	if closed {
		h.letGo()
		return h
	}
	stop := session.OnEnd(h.letGo)
	h.mu.Lock()
	h.forgetEnd = stop
	h.mu.Unlock()
	if h.isGone() {
		stop()
	}
	return h
}

// letGo forgets all that is kept, and ends the streams.
func (h *held) letGo() { h.once.Do(h.leaveAll) }

func (h *held) leaveAll() {
	s, id := h.server, h.session.ID()
	s.mu.Lock()
	if s.held[id] == h {
		delete(s.held, id)
	}
	s.mu.Unlock()
	close(h.gone)
	h.mu.Lock()
	detach, forget, readers := h.detach, h.forgetEnd, h.readers
	h.detach, h.standalone, h.events, h.bytes, h.readers, h.forgetEnd = nil, nil, nil, 0, nil, nil
	for _, st := range h.streams {
		st.stopExpiry()
	}
	h.streams = nil
	h.mu.Unlock()
	for _, conn := range readers {
		conn.end()
	}
	if forget != nil {
		forget()
	}
	if detach != nil {
		detach()
	}
}

// letAllGo ends what is kept of all sessions.
func (s *Server) letAllGo() {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.held))
	s.mu.Unlock()
	for _, h := range all {
		h.letGo()
	}
}

// keepReader has a stream ended with the session; false when that is over.
func (h *held) keepReader(conn *eventWriter) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.isGone() {
		return false
	}
	h.readers = append(h.readers, conn)
	return true
}

func (h *held) dropReader(conn *eventWriter) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.readers = slices.DeleteFunc(h.readers, func(c *eventWriter) bool { return c == conn })
}

// begin registers a request. An id that is under way is refused: its answers
// could not be told apart.
func (h *held) begin(id jsonrpc.ID) *mcp.Error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, twice := h.calls[id]; twice {
		return mcp.Errorf(jsonrpc.CodeInvalidRequest, "a request with id %s is under way in this session", string(id))
	}
	if len(h.calls) >= h.server.o.MaxCalls {
		return mcp.Errorf(mcp.CodeBusy, "%d requests are under way in this session, no more are taken", len(h.calls))
	}
	if h.calls == nil {
		h.calls = make(map[jsonrpc.ID]struct{})
	}
	h.calls[id] = struct{}{}
	return nil
}

func (h *held) finish(id jsonrpc.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.calls, id)
}

// enter counts a stream that is held open with GET; leave counts it out.
func (h *held) enter(ctx context.Context) (leave func(), refusal *mcp.Error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.getters >= h.server.o.MaxCalls {
		return nil, mcp.Errorf(mcp.CodeBusy, "%d streams of this session are open, no more are taken", h.getters)
	}
	left, refusal := h.server.o.Hold(ctx)
	if refusal != nil {
		return nil, refusal
	}
	h.getters++
	return func() {
		left()
		h.mu.Lock()
		defer h.mu.Unlock()
		h.getters--
	}, nil
}

// answer runs a request. A client of this era that goes away has cancelled
// nothing (2025-11-25, basic/transports, "Sending Messages to the Server"); one
// that may not have the answer any more has.
func (h *held) answer(ctx context.Context, msg jsonrpc.Message, out mcp.Stream) (m jsonrpc.Message) {
	defer func() {
		if v := recover(); v != nil {
			m = jsonrpc.Message{ID: msg.ID, Error: h.server.recovered(ctx, msg.Method, v)}
		}
	}()
	return h.session.Handle(h.server.o.Detached(ctx), msg, out)
}

// standAlone makes st the stream for what belongs to no request.
func (h *held) standAlone(st *stream) {
	h.mu.Lock()
	before := h.standalone
	h.standalone = st
	h.mu.Unlock()
	detach := h.session.Attach(st)
	if before != nil {
		before.retire()
	}
	h.mu.Lock()
	current := h.standalone == st
	if current {
		h.detach = detach
	}
	h.mu.Unlock()
	if !current { // another came meanwhile, or the session has ended
		detach()
	}
}

// open gives a stream its number, under which a client may come back to it.
func (h *held) open(st *stream) uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.streamNo++
	if h.streams == nil {
		h.streams = make(map[uint64]*stream)
	}
	if !h.isGone() && h.keeps() {
		h.streams[h.streamNo] = st
	}
	return h.streamNo
}

func (h *held) isGone() bool {
	select {
	case <-h.gone:
		return true
	default:
		return false
	}
}

// keeps reports whether events are stored at all.
func (h *held) keeps() bool { return h.server.o.ReplayEvents > 0 && h.server.o.ReplayBytes > 0 }

// alone returns the standalone stream; nil when there is none.
func (h *held) alone() *stream {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.standalone
}

func (h *held) stream(no uint64) *stream {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.streams[no]
}

// keep stores an event. Others give way: the oldest, and responses last, since
// a client comes back for those. A response is stored however long it is, so
// that one of them may exceed the bound. It returns false when the event is not
// stored.
func (h *held) keep(e storedEvent) bool {
	o := &h.server.o
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.streams[e.stream.no] != e.stream || len(e.text) > o.ReplayBytes && !e.response {
		return false
	}
	h.events = append(h.events, e)
	h.bytes += len(e.text)
	e.stream.stored++
	for len(h.events) > o.ReplayEvents || h.bytes > o.ReplayBytes && len(h.events) > 1 {
		h.evict()
	}
	return true
}

func (h *held) evict() {
	at := slices.IndexFunc(h.events[:len(h.events)-1], func(e storedEvent) bool { return !e.response })
	at = max(at, 0)
	oldest := h.events[at]
	h.events = slices.Delete(h.events, at, at+1)
	h.bytes -= len(oldest.text)
	oldest.stream.stored--
	h.dropIfUseless(oldest.stream)
}

// dropIfUseless forgets a stream that has ended and of which nothing is left.
func (h *held) dropIfUseless(st *stream) {
	if st.ended && st.stored == 0 {
		delete(h.streams, st.no)
		st.stopExpiry()
	}
}

// after returns what is stored of a stream after an event.
func (h *held) after(st *stream, seq uint64) []storedEvent {
	h.mu.Lock()
	defer h.mu.Unlock()
	var events []storedEvent
	for _, e := range h.events {
		if e.stream == st && e.seq > seq {
			events = append(events, e)
		}
	}
	return events
}

// ended marks a stream that gets no more events, which is kept for a while for
// a client that has not seen all of them.
func (h *held) ended(st *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	st.ended = true
	h.dropIfUseless(st)
	h.expire(st)
}

// linger lets a standalone stream go when its client does not come back.
func (h *held) linger(st *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.expire(st)
}

func (h *held) expire(st *stream) {
	if h.streams[st.no] == st && st.expiry == nil {
		st.expiry = time.AfterFunc(h.server.o.ReplayWindow, func() { st.expired() })
	}
}

// stay keeps a stream whose client has come back.
func (h *held) stay(st *stream) {
	h.mu.Lock()
	defer h.mu.Unlock()
	st.stopExpiry()
}

// forget drops a stream, its events, and its place in the session.
func (h *held) forget(st *stream) {
	h.mu.Lock()
	var detach func()
	if h.standalone == st {
		detach, h.detach, h.standalone = h.detach, nil, nil
	}
	delete(h.streams, st.no)
	st.stopExpiry()
	h.events = slices.DeleteFunc(h.events, func(e storedEvent) bool {
		if e.stream == st {
			h.bytes -= len(e.text)
		}
		return e.stream == st
	})
	h.mu.Unlock()
	if detach != nil {
		detach()
	}
}
