package streamhttp

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// legacy answers a message of a session-shaped revision.
func (x *exchange) legacy(msg jsonrpc.Message) {
	switch {
	case x.s.sessions == nil:
		// The only diagnostic that an older client can show (2026-07-28,
		// basic/versioning, "Backward Compatibility").
		version, _ := msg.Params.String("protocolVersion")
		x.refuse(http.StatusBadRequest, msg.ID, mcp.UnsupportedVersion(version, []mcp.Revision{mcp.Revision20260728}))
		return
	case msg.Method == "initialize" && len(x.r.Header[headerSession]) == 0 && msg.IsRequest():
		x.initialize(msg)
		return
	}
	h := x.find(msg.ID)
	switch {
	case h == nil:
	case msg.Method == "initialize":
		x.refuse(http.StatusBadRequest, msg.ID, mcp.Errorf(jsonrpc.CodeInvalidRequest,
			"initialize opens a session: send it without %s", headerSession))
	case msg.IsRequest():
		x.call(h, msg)
	default:
		h.session.Receive(context.WithoutCancel(x.r.Context()), msg)
		x.accept()
	}
}

// initialize opens a session and names it in the answer.
func (x *exchange) initialize(msg jsonrpc.Message) {
	session, answer := x.open(msg)
	if session == nil {
		x.refuse(http.StatusBadRequest, msg.ID, answer.Error)
		return
	}
	x.out.w.Header()[headerSession] = []string{session.ID()}
	if x.can.json {
		x.answer(http.StatusOK, answer)
		return
	}
	events := openEvents(x.out, x.s)
	_ = events.write(appendMessageEvent(nil, "", answer))
	events.end()
}

func (x *exchange) open(msg jsonrpc.Message) (session mcp.Session, answer jsonrpc.Message) {
	defer func() {
		if v := recover(); v != nil {
			session, answer = nil, jsonrpc.Message{Error: x.s.recovered(x.r.Context(), msg.Method, v)}
		}
	}()
	return x.s.sessions.Open(x.r.Context(), msg)
}

// find returns the session that the request names; nil when it was refused.
// Without the header it is a bad request, with an unknown one the client must
// begin anew (2025-11-25, basic/transports, "Session Management").
func (x *exchange) find(id jsonrpc.ID) *held {
	name, found, ok := single(x.r.Header, headerSession)
	if !ok || !found {
		x.refuse(http.StatusBadRequest, id, mcp.Errorf(jsonrpc.CodeInvalidRequest,
			"%s is missing or came twice: open a session with initialize, or say in params._meta that the request is of %s",
			headerSession, mcp.Revision20260728))
		return nil
	}
	if err := checkLegacyVersion(x.r.Header); err != nil {
		x.refuse(http.StatusBadRequest, id, err)
		return nil
	}
	session, ok := x.s.sessions.Find(x.r.Context(), name)
	if !ok {
		x.refuse(http.StatusNotFound, id, mcp.Errorf(jsonrpc.CodeInvalidRequest,
			"session not found: open a new one with initialize"))
		return nil
	}
	return x.s.hold(session)
}

// checkLegacyVersion refuses revisions that are not served here; a request
// without the header is of the session's own (2025-11-25, basic/transports,
// "Protocol Version Header"). One that differs from the session's is let pass:
// the rule that it be the same is a SHOULD, and the session knows better.
func checkLegacyVersion(h http.Header) *mcp.Error {
	version, found, ok := single(h, headerVersion)
	if rev := mcp.Revision(version); ok && (!found || rev.Known() && !rev.Modern()) {
		return nil
	}
	return mcp.UnsupportedVersion(version, mcp.Revisions())
}

// call runs a request of a session. Its client may go away and come back for
// the rest of the answer; only notifications/cancelled cancels.
func (x *exchange) call(h *held, msg jsonrpc.Message) {
	if err := h.begin(msg.ID); err != nil {
		x.refuse(busyStatus(err), msg.ID, err)
		return
	}
	st := h.postStream(x)
	st.loan = x.lend(msg.Method)
	if !st.polls() {
		x.run(st, msg)
		return
	}
	x.poll(st, msg)
}

// run answers a request that has begun.
func (x *exchange) run(st *stream, msg jsonrpc.Message) {
	defer st.held.finish(msg.ID)
	st.finish(st.held.answer(x.r.Context(), msg, st))
	x.loan.Return()
}

// poll answers it too, by itself: when that takes long, its client is sent away.
func (x *exchange) poll(st *stream, msg jsonrpc.Message) {
	done := make(chan struct{})
	x.s.start(func() {
		defer close(done)
		x.run(st, msg)
	})
	timer := time.NewTimer(x.s.o.PollAfter)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		if !st.release() {
			<-done
		}
	}
}

// busyStatus is the HTTP status of a request that was not taken.
func busyStatus(err *mcp.Error) int {
	if err.Code == mcp.CodeBusy {
		return http.StatusTooManyRequests
	}
	return http.StatusBadRequest
}

// session answers GET and DELETE of a session.
func (x *exchange) session() {
	h := x.find("")
	if h == nil {
		return
	}
	if x.r.Method == http.MethodDelete {
		h.session.End()
		x.out.w.WriteHeader(http.StatusNoContent)
		return
	}
	if x.can = readAccept(x.r.Header); !x.can.events {
		x.refuse(http.StatusNotAcceptable, "", mcp.Errorf(jsonrpc.CodeInvalidRequest, "Accept must list %s", mediaEvents))
		return
	}
	var refusal *mcp.Error
	if x.leave, refusal = h.enter(x.r.Context()); refusal != nil {
		x.refuse(busyStatus(refusal), "", refusal)
		return
	}
	last := x.r.Header.Get(headerLastEvent)
	kind, no, seq := parseEventID(last)
	switch {
	case last == "":
		x.listen(h)
	case kind == getStream:
		x.listenAgain(h, no, seq)
	default:
		x.resume(h, no, seq)
	}
}

// listen makes the request the session's standalone stream. One that nobody
// reads any more goes on with what its client has not seen. One that is read is
// ended: of two, a client that came back reads the newer one.
func (x *exchange) listen(h *held) {
	if st := h.alone(); st != nil {
		if sent, ok := st.deserted(); ok {
			x.rejoin(h, st, sent)
			return
		}
	}
	st := h.getStream()
	conn := x.connect()
	st.take(conn, 0)
	st.prime()
	h.standAlone(st)
	x.hold(h, st, conn)
}

// listenAgain goes on with a standalone stream, or begins another when it is gone.
func (x *exchange) listenAgain(h *held, no, seq uint64) {
	if st := h.stream(no); st != nil && st == h.alone() {
		x.rejoin(h, st, seq)
		return
	}
	x.listen(h)
}

func (x *exchange) rejoin(h *held, st *stream, seq uint64) {
	conn := x.connect()
	if st.take(conn, seq) {
		conn.end() // nothing comes any more
	}
	x.hold(h, st, conn)
}

// resume goes on with the stream of a POST that was cut.
func (x *exchange) resume(h *held, no, seq uint64) {
	st := h.stream(no)
	if st == nil {
		x.leave()
		x.refuse(http.StatusBadRequest, "", mcp.Errorf(jsonrpc.CodeInvalidRequest,
			"no stream of this session has that Last-Event-ID, or what followed it is no longer kept"))
		return
	}
	x.rejoin(h, st, seq)
}

// connect begins the event stream that answers a GET request. Over HTTP/1.1 it
// is the last on its connection, which is then ours (see takeOver).
func (x *exchange) connect() *eventWriter {
	if x.r.ProtoMajor == 1 {
		x.out.w.Header()["Connection"] = x.s.fixed.closing
	}
	conn := openEvents(x.out, x.s)
	conn.ended = make(chan struct{})
	_ = conn.write(nil) // sends the headers
	return conn
}

// hold keeps the connection of a stream open until one of both ends, or Outlive
// ends it. Where it can, it leaves that to a goroutine that has nothing but the
// connection, and returns at once: a stream that is held for hours costs a third then.
func (x *exchange) hold(h *held, st *stream, conn *eventWriter) {
	var poll *time.Timer
	if st.polls() {
		poll = time.AfterFunc(x.s.o.PollAfter, func() { st.release() })
	}
	leave := x.leave // the stream has no need of the rest
	over := func() {
		if poll != nil {
			poll.Stop()
		}
		conn.end()
		st.left(conn)
		leave()
	}
	forget := x.s.o.Outlive(x.r.Context(), conn.end)
	if x.r.ProtoAtLeast(1, 1) && conn.takeOver() {
		x.s.tend(h, conn, func() { forget(); over() })
		return
	}
	defer over()
	defer forget()
	select {
	case <-x.r.Context().Done():
	case <-conn.ended:
	case <-h.gone:
	}
}

// tend waits for the end of a connection that was taken over.
func (s *Server) tend(h *held, conn *eventWriter, over func()) {
	s.start(func() {
		defer over()
		if !h.keepReader(conn) {
			return
		}
		defer h.dropReader(conn)
		conn.await()
	})
}

// The two kinds of streams, as event ids begin.
const (
	postStream = 'p'
	getStream  = 'g'
)

// eventID names an event of a stream: unique in its session, and it tells the
// stream (2025-11-25, basic/transports, "Resumability and Redelivery").
func eventID(kind byte, no, seq uint64) string {
	b := append(make([]byte, 0, 24), kind)
	b = strconv.AppendUint(b, no, 10)
	b = append(b, '-')
	return string(strconv.AppendUint(b, seq, 10))
}

// parseEventID reads what eventID wrote. Anything else is an event of stream 0,
// which there is not.
func parseEventID(id string) (kind byte, no, seq uint64) {
	if id == "" {
		return postStream, 0, 0
	}
	first, second, _ := strings.Cut(id[1:], "-")
	no, err := strconv.ParseUint(first, 10, 64)
	if err != nil {
		return postStream, 0, 0
	}
	if seq, err = strconv.ParseUint(second, 10, 64); err != nil {
		return postStream, 0, 0
	}
	return id[0], no, seq
}
