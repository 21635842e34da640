package streamhttp

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/sse"
)

// errNoEvents is the error of sending to a client that takes JSON answers only.
var errNoEvents = errors.New("the client does not accept event streams")

// stream is what a session sends to its client about one POST, or about none.
// It outlives its connections: events are numbered and kept, and a client that
// comes back with the number of the last one that it saw gets the rest.
//
// A POST's stream is opened by the first message that is sent before the
// response; without one, the response is the whole answer.
type stream struct {
	held *held
	kind byte
	x    *exchange // of the POST, which opens the stream; nil for a GET's
	loan *mcp.Loan // for its response; nil when there is none

	mu   sync.Mutex // guards what follows, and the order of events
	no   uint64     // 0: not opened
	seq  uint64     // of the last event
	sent uint64     // of the last event that a connection took
	conn *eventWriter
	over bool // nothing is sent any more

	// The rest is guarded by held.mu.
	ended  bool // as over, for those who look from there
	stored int  // events
	expiry *time.Timer
}

var (
	_ mcp.Stream  = (*stream)(nil)
	_ mcp.Lending = (*stream)(nil)
)

// postStream makes the stream of a POST.
func (h *held) postStream(x *exchange) *stream {
	return &stream{held: h, kind: postStream, x: x}
}

// getStream makes a stream that belongs to no request.
func (h *held) getStream() *stream {
	st := &stream{held: h, kind: getStream}
	st.no = h.open(st)
	return st
}

// Loan implements mcp.Lending.
func (st *stream) Loan() *mcp.Loan { return st.loan }

// Send implements mcp.Stream. A message that is kept for a client that may come
// back counts as sent.
func (st *stream) Send(_ context.Context, m jsonrpc.Message) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.send(m)
}

func (st *stream) send(m jsonrpc.Message) error {
	if st.over {
		return errGone
	}
	if err := st.open(); err != nil {
		return err
	}
	st.seq++
	text := appendMessageEvent(nil, st.eventID(), m)
	kept := st.held.keep(storedEvent{stream: st, seq: st.seq, text: text, response: m.IsResponse()})
	if st.conn != nil {
		err := st.conn.write(text)
		if err == nil {
			st.sent = st.seq
			return nil
		}
		st.lose()
		if !kept {
			return err
		}
	}
	if !kept {
		return errGone
	}
	return nil
}

// open begins the event stream of a POST.
func (st *stream) open() error {
	if st.no != 0 {
		return nil
	}
	if !st.x.can.events {
		return errNoEvents
	}
	st.no = st.held.open(st)
	st.conn = openEvents(st.x.out, st.held.server)
	st.primeLocked()
	return nil
}

// prime sends an id before anything has happened, so that the client can come
// back (2025-11-25, basic/transports, "Sending Messages to the Server", item 6).
// Older clients would take the empty data for a message.
func (st *stream) prime() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.primeLocked()
}

func (st *stream) primeLocked() {
	if st.conn == nil || !st.held.keeps() || st.held.session.Revision() < mcp.Revision20251125 {
		return
	}
	first := sse.Event{ID: st.eventID(), Retry: st.held.server.o.Retry, Data: []byte{}}
	if st.conn.write(sse.Append(nil, first)) != nil {
		st.lose()
	}
}

// eventID is the id of the last event; empty when nobody can come back for it.
func (st *stream) eventID() string {
	if !st.held.keeps() {
		return ""
	}
	return eventID(st.kind, st.no, st.seq)
}

// polls reports whether clients of the stream are sent away after a while.
func (st *stream) polls() bool {
	return st.held.server.o.PollAfter > 0 && st.held.keeps() && st.held.session.Revision() >= mcp.Revision20251125
}

// finish sends the response of a POST and ends its stream. A call that was
// cancelled may have none.
func (st *stream) finish(m jsonrpc.Message) {
	st.mu.Lock()
	if st.no == 0 && (st.x.can.json && !st.x.can.preferEvents || !m.IsResponse()) {
		st.over = true
		st.mu.Unlock()
		if m.IsResponse() {
			st.x.answer(http.StatusOK, m)
		} else {
			st.x.accept()
		}
		return
	}
	defer st.mu.Unlock()
	if m.IsResponse() {
		_ = st.send(m) // a client that has gone comes back for it, or does not want it
	}
	st.close()
}

// close ends the stream.
func (st *stream) close() {
	st.over = true
	if st.conn != nil {
		st.conn.end()
		st.conn = nil
	}
	st.held.ended(st)
}

// take gives the stream a new connection, in the place of the one it had, and
// sends what came after seq. It reports whether that was all.
func (st *stream) take(conn *eventWriter, seq uint64) (over bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.conn != nil {
		st.conn.end()
	}
	st.conn = conn
	if !st.over {
		st.held.stay(st)
	}
	for _, e := range st.held.after(st, seq) {
		if conn.write(e.text) != nil {
			st.lose()
			break
		}
		st.sent = max(st.sent, e.seq)
	}
	return st.over
}

// deserted returns the last event that a connection took, when there is none
// now but a client may still come.
func (st *stream) deserted() (sent uint64, ok bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.sent, st.conn == nil && !st.over
}

// release sends the reader away, to come back for the rest. It returns false
// when there is no reader to send away, or no rest.
func (st *stream) release() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.over || st.open() != nil {
		return false
	}
	if st.conn != nil {
		_ = st.conn.write(sse.Append(nil, sse.Event{Retry: st.held.server.o.Retry}))
		st.conn.end()
	}
	st.lose()
	return true
}

// left is called when a connection has ended. A standalone stream to which
// nobody can come back goes with it.
func (st *stream) left(conn *eventWriter) {
	st.mu.Lock()
	if st.conn == conn {
		st.lose()
	}
	deserted := st.conn == nil && st.kind == getStream
	st.mu.Unlock()
	if deserted && !st.held.keeps() {
		st.retire()
	}
}

// lose forgets the connection. A standalone stream is kept for a while; a
// POST's as long as its call runs, and a while.
func (st *stream) lose() {
	st.conn = nil
	if st.kind == getStream {
		st.held.linger(st)
	}
}

// retire ends a standalone stream that another has replaced.
func (st *stream) retire() {
	st.mu.Lock()
	st.over = true
	if st.conn != nil {
		st.conn.end()
		st.conn = nil
	}
	st.mu.Unlock()
	st.held.forget(st)
}

// expired lets the stream go unless its client has come back.
func (st *stream) expired() {
	st.mu.Lock()
	keep := st.conn != nil && !st.over
	if !keep {
		st.over = true
	}
	st.mu.Unlock()
	if !keep {
		st.held.forget(st)
	}
}

// stopExpiry is called with held.mu held.
func (st *stream) stopExpiry() {
	if st.expiry != nil {
		st.expiry.Stop()
		st.expiry = nil
	}
}
