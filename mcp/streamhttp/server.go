package streamhttp

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Server answers clients of all revisions on one endpoint. It is an
// http.Handler for that endpoint alone; whoever routes to it has checked Host,
// Origin and the caller's credentials.
type Server struct {
	handler  mcp.Handler
	sessions mcp.Sessions
	o        ServerOptions
	buffers  buffers
	lender   mcp.Lender
	fixed    fixedHeaders
	noParams map[string]string // empty: no Mcp-Param-* headers came

	closing context.Context // ends with Close
	close   context.CancelFunc
	work    sync.WaitGroup // goroutines that outlive their request

	mu     sync.Mutex // guards what follows, and the beginning of work
	held   map[string]*held
	closed bool
}

// fixedHeaders are values that many answers have, made once.
type fixedHeaders struct{ json, events, noCache, no, closing []string }

var _ http.Handler = (*Server)(nil)

// NewServer returns a Server whose stateless requests go to h and whose
// session-shaped ones go to sessions; without sessions (nil), it serves
// 2026-07-28 only.
func NewServer(h mcp.Handler, sessions mcp.Sessions, o ServerOptions) *Server {
	ctx, cancel := context.WithCancel(context.Background())
	return &Server{
		handler: h, sessions: sessions, o: o.withDefaults(),
		closing: ctx, close: cancel,
		held: make(map[string]*held), noParams: make(map[string]string),
		fixed: fixedHeaders{
			json: []string{mediaJSON}, events: []string{mediaEvents},
			noCache: []string{"no-cache, no-transform"}, no: []string{"no"}, closing: []string{"close"},
		},
	}
}

// Close ends the streams that clients hold open, subscriptions with the result
// that says so, and forgets what is kept for clients that might come back. It
// does not end sessions, and waits for calls of sessions whose clients have gone.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.close()
	s.letAllGo()
	s.work.Wait()
}

// start runs f by itself, or before it returns when the server is closing.
func (s *Server) start(f func()) {
	s.mu.Lock()
	if !s.closed {
		s.work.Go(f)
		f = nil
	}
	s.mu.Unlock()
	if f != nil {
		f()
	}
}

// ServeHTTP answers one request to the endpoint.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{s: s, r: r, out: newOutput(w, s.o.WriteTimeout)}
	switch {
	case r.Method == http.MethodPost:
		x.post()
	case s.sessions != nil && isSessionRequest(r):
		x.session()
	default:
		// 2026-07-28 has POST only; the older revisions have GET and DELETE of a
		// session (2026-07-28, basic/transports/streamable-http, "Earlier
		// Streamable HTTP Revisions").
		w.Header()["Allow"] = []string{"POST"}
		x.refuse(http.StatusMethodNotAllowed, "", mcp.Errorf(jsonrpc.CodeInvalidRequest,
			"%s needs a session: send messages with POST", r.Method))
	}
}

func isSessionRequest(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodDelete {
		return false
	}
	return len(r.Header[headerSession]) > 0 && !mcp.Revision(r.Header.Get(headerVersion)).Modern()
}

// exchange is one HTTP request and its answer.
type exchange struct {
	s   *Server
	r   *http.Request
	out output
	can accepted
	// leave counts a stream that is held open out; nil where there is none.
	leave func()
	// loan is for the answer of a call. Not over HTTP/2, which may still read an
	// answer that its client has given up when the writing of it has returned.
	loan mcp.Loan
}

// lend returns memory for the answer of a call, to be returned when that is written.
func (x *exchange) lend(method string) *mcp.Loan {
	if method != "tools/call" || x.r.ProtoMajor != 1 {
		return nil
	}
	x.loan = x.s.lender.NewLoan()
	return &x.loan
}

// post reads the message and finds its era.
func (x *exchange) post() {
	if !isJSON(x.r.Header) {
		x.refuse(http.StatusUnsupportedMediaType, "", mcp.Errorf(jsonrpc.CodeInvalidRequest,
			"Content-Type must be %s, without Content-Encoding", mediaJSON))
		return
	}
	if x.can = readAccept(x.r.Header); x.can == (accepted{}) {
		x.refuse(http.StatusNotAcceptable, "", mcp.Errorf(jsonrpc.CodeInvalidRequest,
			"Accept must list %s and %s", mediaJSON, mediaEvents))
		return
	}
	body, ok := x.body()
	if !ok {
		return
	}
	if jsonrpc.IsBatch(body) {
		x.batch(body)
		return
	}
	msg, err := jsonrpc.Parse(body, x.s.o.Limits)
	switch {
	case err != nil:
		x.refuse(http.StatusBadRequest, msg.ID, mcp.WireError(err))
	case isModern(x.r.Header, msg):
		x.modern(msg)
	default:
		x.legacy(msg)
	}
}

// body reads the whole body before anything else happens: only then does
// net/http watch an HTTP/1.1 connection for the client's going away.
func (x *exchange) body() ([]byte, bool) {
	_ = x.out.control.SetReadDeadline(time.Now().Add(x.s.o.BodyTimeout))
	body, err := readBody(x.r.Body, x.r.ContentLength, x.s.o.MaxBodyBytes)
	if err == nil {
		_ = x.out.control.SetReadDeadline(time.Time{})
		return body, true
	}
	x.out.w.Header()["Connection"] = []string{"close"} // the rest of the body is not worth reading
	switch {
	case errors.Is(err, errTooLarge):
		x.refuse(http.StatusRequestEntityTooLarge, "", mcp.Errorf(jsonrpc.CodeInvalidRequest, "%s", err))
	case errors.Is(err, os.ErrDeadlineExceeded):
		x.refuse(http.StatusRequestTimeout, "", mcp.Errorf(jsonrpc.CodeInvalidRequest,
			"the body did not arrive within %s", x.s.o.BodyTimeout))
	default:
		x.refuse(http.StatusBadRequest, "", mcp.Errorf(jsonrpc.CodeInvalidRequest, "the body ended before its announced length"))
	}
	return nil, false
}

// isModern tells the era of a message. The body decides: a revision in _meta is
// of the stateless era (2026-07-28, basic/versioning, "dual-era server"). Where
// it says nothing, a version header of that era does, or Mcp-Method where no
// session is named: the request is then answered with what it lacks.
func isModern(h http.Header, msg jsonrpc.Message) bool {
	if mcp.IsModern(msg.Params) {
		return true
	}
	if version := h[headerVersion]; len(version) > 0 {
		return mcp.Revision(version[0]).Modern()
	}
	return len(h[headerMethod]) > 0 && len(h[headerSession]) == 0 && msg.Method != "initialize"
}

// refuse answers with an error and its HTTP status.
func (x *exchange) refuse(status int, id jsonrpc.ID, err *mcp.Error) {
	x.answer(status, jsonrpc.Message{ID: id, Error: err})
}

// copyLimit is the size up to which it is cheaper to put an answer together than
// to write it in parts; net/http buffers as much.
const copyLimit = 4 << 10

// answer writes m as the whole answer.
func (x *exchange) answer(status int, m jsonrpc.Message) {
	w := x.out.w
	w.Header()["Content-Type"] = x.s.fixed.json
	buf := x.s.buffers.get()
	defer x.s.buffers.put(buf)
	if m.Error != nil || len(m.Result.Raw()) <= copyLimit {
		*buf = m.Append(*buf)
		x.writeAnswer(status, *buf)
		return
	}
	*buf = append(*buf, `{"jsonrpc":"2.0","id":`...)
	*buf = append(*buf, m.ID...)
	*buf = append(*buf, `,"result":`...)
	parts := append([][]byte{*buf}, m.Result.Pieces(m.Edits...)...)
	x.writeAnswer(status, append(parts, []byte{'}'})...)
}

// writeAnswer writes the parts of an answer. The error of writing to a client
// that has gone is nobody's.
func (x *exchange) writeAnswer(status int, parts ...[]byte) {
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	if size > 1<<10 { // net/http counts what fits into its buffer
		x.out.w.Header()["Content-Length"] = []string{strconv.Itoa(size)}
	}
	x.out.w.WriteHeader(status)
	for _, part := range parts {
		if x.out.write(part) != nil {
			return
		}
	}
}

// accept answers that a notification or a response was taken (202, no body).
func (x *exchange) accept() { x.out.w.WriteHeader(http.StatusAccepted) }
