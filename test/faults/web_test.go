//go:build linux

package faults

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// webSession is a session of a peer over Streamable HTTP.
type webSession struct {
	id   string
	end  chan struct{}
	once sync.Once
}

func (s *webSession) close() { s.once.Do(func() { close(s.end) }) }

func (p *peer) serveHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case p.how == socket:
		p.serveSocket(w, r)
	case p.how == sse && r.Method == http.MethodGet:
		p.serveSSE(w, r)
	case p.how == sse:
		p.postSSE(w, r)
	case p.how == session && r.Method != http.MethodPost:
		p.sessionStream(w, r)
	case r.Method == http.MethodPost:
		p.post(w, r)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func (p *peer) serveSocket(w http.ResponseWriter, r *http.Request) {
	conn, in, err := acceptSocket(w, r)
	if err != nil {
		return
	}
	defer p.house.keep(conn)()
	l := &line{frame: func(m []byte) []byte { return frame(opText, m, false) }, write: writer(conn), cut: func() { _ = conn.Close() }}
	p.serve(l, func() ([]byte, error) { return readText(in, false, l.raw) })
}

// chunk is one piece of a body whose length is not known.
func chunk(b []byte) []byte { return fmt.Appendf(nil, "%x\r\n%s\r\n", len(b), b) }

func event(message []byte) []byte { return fmt.Appendf(nil, "event: message\ndata: %s\n\n", message) }

// takeOver answers a request with an event stream that the peer writes itself.
func (p *peer) takeOver(w http.ResponseWriter, header string) (*line, net.Conn, *bufio.Reader, error) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, nil, err
	}
	l := &line{
		frame: func(m []byte) []byte { return chunk(event(m)) },
		write: func(b []byte) error {
			_ = conn.SetWriteDeadline(time.Now().Add(20 * time.Second))
			_, err := conn.Write(b)
			return err
		},
		cut: func() { _ = conn.Close() },
	}
	err = l.raw([]byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n" + header + "\r\n"))
	return l, conn, rw.Reader, err
}

// serveSSE opens the stream of HTTP+SSE, over which the peer says all that it
// has to say.
func (p *peer) serveSSE(w http.ResponseWriter, _ *http.Request) {
	l, conn, in, err := p.takeOver(w, "")
	if err != nil {
		return
	}
	defer p.house.keep(conn)()
	s := &webSession{id: rand.Text(), end: make(chan struct{})}
	inbox := make(chan []byte, 256)
	p.mu.Lock()
	p.sessions[s.id] = s
	p.mu.Unlock()
	p.house.mu.Lock()
	p.house.inboxes[s.id] = inbox
	p.house.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.sessions, s.id)
		p.mu.Unlock()
		p.house.mu.Lock()
		delete(p.house.inboxes, s.id)
		p.house.mu.Unlock()
	}()
	var watch sync.WaitGroup
	defer watch.Wait()
	defer func() { _ = conn.Close() }()
	watch.Go(func() {
		_, _ = in.ReadByte() // the client says nothing more here
		s.close()
	})
	if l.raw(chunk(fmt.Appendf(nil, "event: endpoint\ndata: /sse?session=%s\n\n", s.id))) != nil {
		return
	}
	p.serve(l, func() ([]byte, error) {
		select {
		case m := <-inbox:
			return m, nil
		case <-s.end:
			return nil, io.EOF
		}
	})
}

func (p *peer) postSSE(w http.ResponseWriter, r *http.Request) {
	if f := p.fault.Load(); f != nil && f.kind == refused {
		http.Error(w, "it hurts", http.StatusInternalServerError)
		return
	}
	body, err := io.ReadAll(r.Body)
	p.house.mu.Lock()
	inbox := p.house.inboxes[r.URL.Query().Get("session")]
	p.house.mu.Unlock()
	if inbox == nil || err != nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	select {
	case inbox <- body:
	case <-r.Context().Done():
	}
}

// find returns the session that a request names; nil when it was refused.
func (p *peer) find(w http.ResponseWriter, r *http.Request) *webSession {
	id := r.Header.Get("Mcp-Session-Id")
	p.mu.Lock()
	s := p.sessions[id]
	p.mu.Unlock()
	switch {
	case id == "":
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":null}`)
	case s == nil:
		http.Error(w, "session not found", http.StatusNotFound)
	}
	return s
}

// forget ends all sessions, as a server does that was started anew.
func (p *peer) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, s := range p.sessions {
		s.close()
		delete(p.sessions, id)
	}
}

// sessionStream answers GET and DELETE.
func (p *peer) sessionStream(w http.ResponseWriter, r *http.Request) {
	s := p.find(w, r)
	switch {
	case s == nil:
		return
	case r.Method == http.MethodDelete:
		p.mu.Lock()
		delete(p.sessions, s.id)
		p.mu.Unlock()
		s.close()
		w.WriteHeader(http.StatusNoContent)
		return
	}
	l, conn, in, err := p.takeOver(w, "")
	if err != nil {
		return
	}
	defer p.house.keep(conn)()
	p.addFeed(&feed{line: l})
	defer p.dropFeeds(l, nil)
	p.until(conn, in, s.end)
}

// until waits for the end of a stream, from either side.
func (p *peer) until(conn net.Conn, in *bufio.Reader, end <-chan struct{}) {
	ctx, cancel := context.WithCancel(p.house.ctx)
	var watch sync.WaitGroup
	defer watch.Wait()
	defer func() { _ = conn.Close() }()
	watch.Go(func() {
		_, _ = in.ReadByte()
		cancel()
	})
	select {
	case <-ctx.Done():
	case <-end:
	}
	cancel()
}

// post answers one POST of either era.
func (p *peer) post(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	msg, err := decode(body)
	if err != nil {
		p.house.t.Errorf("%s was sent what is no message: %v", p.name, err)
		return
	}
	method, header := text(msg, "method"), ""
	if f := p.breaks(method); f != nil && f.kind == refused {
		http.Error(w, "it hurts", http.StatusInternalServerError)
		return
	}
	switch {
	case p.how == modern:
	case method == "initialize":
		s := &webSession{id: rand.Text(), end: make(chan struct{})}
		p.mu.Lock()
		p.sessions[s.id] = s
		p.mu.Unlock()
		w.Header().Set("Mcp-Session-Id", s.id)
		header = "Mcp-Session-Id: " + s.id + "\r\n"
	case p.find(w, r) == nil:
		return
	}
	params, _ := msg["params"].(obj)
	if msg["id"] == nil || method == "" {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	c := &call{ctx: r.Context(), id: msg["id"], method: method, params: params}
	if method == "subscriptions/listen" {
		p.listen(w, c)
		return
	}
	p.respond(w, c, header)
}

// listen holds a subscription of 2026-07-28.
func (p *peer) listen(w http.ResponseWriter, c *call) {
	l, conn, in, err := p.takeOver(w, "")
	if err != nil {
		return
	}
	defer p.house.keep(conn)()
	p.addFeed(&feed{line: l, tag: c.id})
	defer p.dropFeeds(l, nil)
	if l.send(acknowledged(c)) == nil {
		p.until(conn, in, nil)
	}
}

// respond answers a POST, as wrong as the peer's fault demands.
func (p *peer) respond(w http.ResponseWriter, c *call, header string) {
	f := p.breaks(c.method)
	if f != nil {
		p.respondWrongly(w, c, f, header)
		return
	}
	if !p.events {
		text := encode(withID(p.answer(c), c.id))
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(text) // who has gone does not want it
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w).Flush
	var mu sync.Mutex
	put := func(o obj) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = w.Write(event(encode(o)))
		_ = flush()
	}
	c.notify = put
	put(withID(p.answer(c), c.id))
}

func (p *peer) respondWrongly(w http.ResponseWriter, c *call, f *fault, header string) {
	message := withID(p.answer(c), c.id)
	kind := f.kind
	if kind == huge && !f.once.CompareAndSwap(false, true) {
		kind = ""
	}
	body, media := encode(message), "application/json"
	wrap := func(b []byte) []byte { return b }
	if p.events {
		media, wrap = "text/event-stream", event
	}
	switch kind {
	case late:
		if !pause(p.house.ctx, p.house.late) {
			return
		}
	case garbage:
		body = p.variant(message)
	case twice:
		if p.events || p.turn.Add(1)%2 == 0 {
			body = append(wrap(body), wrap(body)...)
			wrap = func(b []byte) []byte { return b }
			break
		}
		p.hijack(w, func(conn net.Conn) { // a second answer that nobody asked for
			one := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s", header, len(body), body)
			_, _ = conn.Write(bytes.Repeat(one, 2))
			pause(c.ctx, time.Second)
		})
		return
	case cut:
		p.hijack(w, func(conn net.Conn) {
			text := wrap(body)
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s",
				media, header, len(text), text[:len(text)/2])
		})
		return
	case huge:
		p.hijack(w, func(conn net.Conn) {
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n%sTransfer-Encoding: chunked\r\n\r\n%x\r\n", media, header, hugeBytes)
			_ = conn.SetWriteDeadline(time.Now().Add(20 * time.Second))
			_ = endless(writer(conn))
		})
		return
	}
	w.Header().Set("Content-Type", media)
	_, _ = w.Write(wrap(body)) // who has gone does not want it
}

// hijack lets answer write to the connection, which ends then.
func (p *peer) hijack(w http.ResponseWriter, answer func(net.Conn)) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer p.house.keep(conn)()
	answer(conn)
}
