package matrix

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// oldHTTP is a server of 2025-03-26 to 2025-11-25 over Streamable HTTP.
type oldHTTP struct {
	s  *script
	mu sync.Mutex // guards sessions

	sessions map[string]*httpSession
	replies  map[string]*reply // under way, by the prefix of their event ids
}

// httpSession is a session with what waits for its standalone stream.
type httpSession struct {
	*session
	id    string
	alone chan obj
}

// serveOldHTTP serves s at its name.
func (h *house) serveOldHTTP(s *script) {
	s.newsOnCalls = s.rev == rev2503
	o := &oldHTTP{s: s, sessions: map[string]*httpSession{}, replies: map[string]*reply{}}
	h.mux.HandleFunc("/"+s.name, o.serve)
	context.AfterFunc(h.ctx, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, sess := range o.sessions {
			sess.session.close()
		}
	})
}

func (o *oldHTTP) serve(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPost:
		o.post(w, r)
	case http.MethodGet:
		o.get(w, r)
	case http.MethodDelete:
		if sess := o.find(w, r); sess != nil {
			o.mu.Lock()
			delete(o.sessions, sess.id)
			o.mu.Unlock()
			sess.end()
			sess.close()
			w.WriteHeader(http.StatusNoContent)
		}
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

// refuse answers a request that names no session as servers of each revision do.
func (o *oldHTTP) refuse(w http.ResponseWriter) {
	switch o.s.rev {
	case rev2503: // the official SDK for TypeScript
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":null}`)
	case rev2506:
		http.Error(w, "Bad Request: Mcp-Session-Id header is required", http.StatusBadRequest)
	default: // the official SDK for Go
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"Unsupported protocol version","data":{"supported":["2025-11-25","2025-06-18"],"requested":"2026-07-28"}}}`)
	}
}

func (o *oldHTTP) find(w http.ResponseWriter, r *http.Request) *httpSession {
	id := r.Header.Get("Mcp-Session-Id")
	if id == "" {
		o.refuse(w)
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	sess := o.sessions[id]
	if sess == nil {
		http.Error(w, "no such session", http.StatusNotFound)
		return nil
	}
	if version := r.Header.Get("Mcp-Protocol-Version"); o.s.rev >= rev2506 && version != o.s.rev {
		o.s.fault("%s has MCP-Protocol-Version %q, want %s", r.Method, version, o.s.rev)
	}
	for name := range r.Header {
		if name == "Mcp-Method" || name == "Mcp-Name" || strings.HasPrefix(name, "Mcp-Param-") {
			o.s.fault("header %s does not exist in %s", name, o.s.rev)
		}
	}
	return sess
}

func (o *oldHTTP) post(w http.ResponseWriter, r *http.Request) {
	accept := r.Header.Get("Accept")
	if !strings.Contains(accept, "application/json") || !strings.Contains(accept, "text/event-stream") || r.Header.Get("Content-Type") != "application/json" {
		o.s.fault("POST has Accept %q and Content-Type %q", accept, r.Header.Get("Content-Type"))
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	msg, err := decodeObject(body)
	if err != nil {
		o.s.fault("body is no message: %v", err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var sess *httpSession
	if msg["method"] == "initialize" {
		sess = o.open()
		w.Header().Set("Mcp-Session-Id", sess.id)
	} else if sess = o.find(w, r); sess == nil {
		return
	}
	if msg["method"] == nil || msg["id"] == nil {
		sess.receive(msg, nil, nil)
		w.WriteHeader(http.StatusAccepted)
		return
	}
	ids := ""
	if o.s.rev == rev2511 {
		ids = rand.Text()
	}
	answer := newReply(w, o.s, ids)
	if o.s.rev == rev2511 {
		answer.stream = true
		if at(msg, "params", "name") == "progress" {
			answer.cut = 2 // as this revision lets a server do, for a client that comes back
		}
		o.mu.Lock()
		o.replies[ids] = answer
		o.mu.Unlock()
	}
	sess.receive(msg, answer.put, answer.finish)
	o.hold(r, answer)
}

// hold keeps the connection until the answer is complete. A client that goes
// away has cancelled nothing (basic/transports).
func (o *oldHTTP) hold(r *http.Request, answer *reply) {
	select {
	case <-answer.done:
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.replies, answer.ids)
	case <-answer.left():
		return
	case <-r.Context().Done():
	}
	answer.end()
}

// resume gives the rest of an answer.
func (o *oldHTTP) resume(w http.ResponseWriter, r *http.Request, last string) {
	ids, number, _ := strings.Cut(last, "-")
	n, err := strconv.Atoi(number)
	o.mu.Lock()
	answer := o.replies[ids]
	o.mu.Unlock()
	if err != nil || answer == nil {
		o.s.fault("Last-Event-ID %q is of no stream", last)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	answer.resume(w, n)
	o.hold(r, answer)
}

func (o *oldHTTP) open() *httpSession {
	sess := &httpSession{id: "session-" + rand.Text(), alone: make(chan obj, 256)}
	sess.session = o.s.newSession(func(msg obj) {
		select {
		case sess.alone <- msg:
		default: // nobody listens
		}
	})
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sessions[sess.id] = sess
	return sess
}

func (o *oldHTTP) get(w http.ResponseWriter, r *http.Request) {
	sess := o.find(w, r)
	if sess == nil {
		return
	}
	if last := r.Header.Get("Last-Event-Id"); last != "" {
		o.resume(w, r, last)
		return
	}
	events := newEventStream(w, o.s, "")
	events.open()
	defer events.end()
	for {
		select {
		case msg := <-sess.alone:
			events.send("message", encode(msg))
		case <-sess.ctx.Done():
			return
		case <-r.Context().Done():
			return
		}
	}
}

// serveSSE serves s over HTTP+SSE of 2024-11-05: the stream at its name, the
// messages elsewhere.
func (h *house) serveSSE(s *script) {
	var mu sync.Mutex
	streams := map[string]*channel{}
	h.mux.HandleFunc("GET /"+s.name, func(w http.ResponseWriter, r *http.Request) {
		events := newEventStream(w, s, "")
		id := rand.Text()
		c := newChannel(s, quirkUnknown, func(msg any) { events.send("message", encode(msg)) }, func() {})
		mu.Lock()
		streams[id] = c
		mu.Unlock()
		events.send("endpoint", []byte(fmt.Sprintf("/%s/messages?session=%s", s.name, id)))
		select {
		case <-r.Context().Done():
		case <-h.ctx.Done():
		}
		mu.Lock()
		delete(streams, id)
		mu.Unlock()
		c.close()
		events.end()
	})
	h.mux.HandleFunc("POST /"+s.name+"/messages", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		c := streams[r.URL.Query().Get("session")]
		mu.Unlock()
		body, err := io.ReadAll(r.Body)
		msg, bad := decodeObject(body)
		if c == nil || err != nil || bad != nil {
			s.fault("POST %s of %.100s is refused", r.URL, body)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "Accepted")
		_ = http.NewResponseController(w).Flush() // the answer may be quicker
		c.receive(msg)
	})
	h.mux.HandleFunc("POST /"+s.name, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(map[string]int{rev2024: 404, rev2503: 405, rev2506: 400, rev2511: 404}[s.rev])
	})
}

// serveSocket serves s over WebSocket.
func (h *house) serveSocket(s *script) {
	h.mux.HandleFunc("/"+s.name, func(w http.ResponseWriter, r *http.Request) {
		sock, err := acceptSocket(w, r)
		if err != nil {
			s.fault("socket: %v", err)
			return
		}
		stop := context.AfterFunc(h.ctx, sock.close)
		defer stop()
		q := quirkOf(s.rev)
		if q == quirkSilent {
			q = quirkUnknown // waiting for it once is enough
		}
		c := newChannel(s, q, func(msg any) { _ = sock.send(encode(msg)) }, sock.close)
		defer c.close()
		for {
			text, err := sock.receive()
			if err != nil {
				sock.close()
				return
			}
			msg, err := decodeObject(text)
			if err != nil {
				s.fault("a message is none: %v", err)
				continue
			}
			c.receive(msg)
		}
	})
}
