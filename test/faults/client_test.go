//go:build linux

package faults

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// outcome is all that came back for one request.
type outcome struct {
	answers []obj // responses with its id
	heard   []obj // notifications
	foreign []obj // what has no business there
	status  int   // of HTTP
	session string
	raw     []byte
	err     error // why there may be no answer
	took    time.Duration
}

// result is the only answer's result; nil when there is none.
func (o outcome) result() obj {
	if len(o.answers) != 1 {
		return nil
	}
	r, _ := o.answers[0]["result"].(obj)
	return r
}

// failure is the only answer's error message; empty when there is none.
func (o outcome) failure() string {
	if len(o.answers) != 1 {
		return ""
	}
	return text(o.answers[0], "error", "message")
}

func (o outcome) String() string {
	if len(o.raw) > 0 || o.err == nil {
		return fmt.Sprintf("HTTP %d %.300q, error %v, %d answers after %s", o.status, o.raw, o.err, len(o.answers), o.took)
	}
	return fmt.Sprintf("error %v, %d answers after %s", o.err, len(o.answers), o.took)
}

// client is one of the four kinds that call: HTTP or WebSocket, with or without
// sessions.
type client interface {
	kind() string
	// request makes a request and waits until its answer is complete.
	request(ctx context.Context, method string, params obj) outcome
	close()
}

// sort puts a message where it belongs.
func (o *outcome) sort(id any, msg obj) {
	switch {
	case msg["method"] != nil && msg["id"] == nil:
		o.heard = append(o.heard, msg)
	case msg["method"] == nil && fmt.Sprint(msg["id"]) == fmt.Sprint(id):
		o.answers = append(o.answers, msg)
	default:
		o.foreign = append(o.foreign, msg)
	}
}

// web is a client over Streamable HTTP.
type web struct {
	url     string
	http    *http.Client
	session string // empty for one of 2026-07-28
	rev     string

	mu   sync.Mutex // guards next
	next int
}

func newWeb(url string) *web {
	transport := &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}
	return &web{url: url, rev: revModern, http: &http.Client{Transport: transport}}
}

// newSession opens a session.
func newSession(ctx context.Context, url, rev string) (*web, error) {
	w := newWeb(url)
	w.rev = rev
	o := w.request(ctx, "initialize", initialize(rev))
	w.session = o.session
	if o.result() == nil {
		w.close()
		return nil, fmt.Errorf("initialize: %s", o)
	}
	if o := w.post(ctx, notification("notifications/initialized", obj{})); o.status != http.StatusAccepted {
		w.close()
		return nil, fmt.Errorf("notifications/initialized: %s", o)
	}
	return w, nil
}

func initialize(rev string) obj {
	return obj{"protocolVersion": rev, "capabilities": obj{}, "clientInfo": obj{"name": "faults", "version": "1"}}
}

func (w *web) kind() string {
	if w.rev == revModern {
		return "HTTP " + w.rev
	}
	return "HTTP session " + w.rev
}

func (w *web) close() {
	if w.session != "" {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if req, err := http.NewRequestWithContext(ctx, http.MethodDelete, w.url, nil); err == nil {
			req.Header.Set("Mcp-Session-Id", w.session)
			if resp, err := w.http.Do(req); err == nil {
				_ = resp.Body.Close()
			}
		}
	}
	w.http.CloseIdleConnections()
}

func (w *web) number() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next++
	return w.next
}

func (w *web) request(ctx context.Context, method string, params obj) outcome {
	id := w.number()
	if w.rev == revModern {
		params = withMeta(params)
	}
	o := w.post(ctx, obj{"jsonrpc": "2.0", "id": id, "method": method, "params": params})
	for _, msg := range messages(&o) {
		o.sort(id, msg)
	}
	return o
}

// withMeta adds what 2026-07-28 demands of each request.
func withMeta(params obj) obj {
	out := obj{}
	for k, v := range params {
		out[k] = v
	}
	meta := modernMeta()
	given, _ := params["_meta"].(obj)
	for k, v := range given {
		meta[k] = v
	}
	out["_meta"] = meta
	return out
}

// post sends a message and reads all that comes back.
func (w *web) post(ctx context.Context, msg obj) (o outcome) {
	begin := time.Now()
	defer func() { o.took = time.Since(begin) }()
	req, err := w.prepare(ctx, msg)
	if err != nil {
		return outcome{err: err}
	}
	resp, err := w.http.Do(req)
	if err != nil {
		return outcome{err: err}
	}
	defer resp.Body.Close()
	o.status = resp.StatusCode
	o.raw, o.err = io.ReadAll(resp.Body)
	o.session = resp.Header.Get("Mcp-Session-Id")
	return o
}

func (w *web) prepare(ctx context.Context, msg obj) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(encode(msg)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	switch {
	case w.rev == revModern:
		method := text(msg, "method")
		req.Header.Set("Mcp-Protocol-Version", revModern)
		req.Header.Set("Mcp-Method", method)
		if method == "tools/call" {
			req.Header.Set("Mcp-Name", text(msg, "params", "name"))
		}
	case w.session != "":
		req.Header.Set("Mcp-Session-Id", w.session)
		req.Header.Set("Mcp-Protocol-Version", w.rev)
	}
	return req, nil
}

// messages reads the body of an answer: JSON, or events.
func messages(o *outcome) []obj {
	body := bytes.TrimSpace(o.raw)
	if len(body) == 0 {
		return nil
	}
	if body[0] == '{' {
		msg, err := decode(body)
		if err != nil {
			o.err = errors.Join(o.err, err)
			return nil
		}
		return []obj{msg}
	}
	var out []obj
	for line := range bytes.Lines(o.raw) {
		data, ok := bytes.CutPrefix(line, []byte("data:"))
		if data = bytes.TrimSpace(data); !ok || len(data) == 0 {
			continue
		}
		msg, err := decode(data)
		if err != nil {
			o.err = errors.Join(o.err, err)
			continue
		}
		out = append(out, msg)
	}
	return out
}

// sock is a client over a WebSocket. All its calls share the connection.
type sock struct {
	rev  string
	conn net.Conn
	in   *bufio.Reader
	done chan struct{} // closed when nothing comes any more

	mu      sync.Mutex // guards what follows, and writing
	next    int
	pending map[string]*waiting
	token   map[string]*waiting
	sent    map[string]bool // tokens that were ever given
	foreign []obj
	notes   []obj // of no call
	err     error
}

type waiting struct {
	o    outcome
	done chan struct{}
}

func newSock(ctx context.Context, addr, path, rev string) (*sock, error) {
	conn, in, err := dialSocket(addr, path)
	if err != nil {
		return nil, err
	}
	s := &sock{rev: rev, conn: conn, in: in, done: make(chan struct{}), pending: map[string]*waiting{}, token: map[string]*waiting{}, sent: map[string]bool{}}
	go s.read()
	if rev == revModern {
		return s, nil
	}
	if o := s.request(ctx, "initialize", initialize(rev)); o.result() == nil {
		s.close()
		return nil, fmt.Errorf("initialize over WebSocket: %s", o)
	}
	return s, s.write(notification("notifications/initialized", obj{}))
}

func (s *sock) kind() string {
	if s.rev == revModern {
		return "WebSocket " + s.rev
	}
	return "WebSocket session " + s.rev
}

func (s *sock) write(msg obj) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writeLocked(frame(opText, encode(msg), true))
}

func (s *sock) writeLocked(wire []byte) error {
	_ = s.conn.SetWriteDeadline(time.Now().Add(patience))
	_, err := s.conn.Write(wire)
	return err
}

func (s *sock) read() {
	defer close(s.done)
	for {
		raw, err := readText(s.in, true, func(b []byte) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.writeLocked(b)
		})
		var msg obj
		if err == nil {
			msg, err = decode(raw)
		}
		if err != nil {
			s.fail(err)
			return
		}
		s.take(msg, raw)
	}
}

func (s *sock) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	for id, w := range s.pending {
		w.o.err = fmt.Errorf("the socket ended: %w", err)
		close(w.done)
		delete(s.pending, id)
	}
}

func (s *sock) take(msg obj, raw []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if msg["method"] != nil {
		token := text(msg, "params", "progressToken")
		w := s.token[token]
		if w == nil {
			if token != "" && !s.sent[token] {
				s.foreign = append(s.foreign, msg)
			}
			if len(s.notes) < 1000 {
				s.notes = append(s.notes, msg)
			}
			return
		}
		w.o.heard = append(w.o.heard, msg)
		w.o.raw = append(append(w.o.raw, raw...), '\n')
		return
	}
	id := fmt.Sprint(msg["id"])
	w := s.pending[id]
	if w == nil {
		s.foreign = append(s.foreign, msg)
		return
	}
	w.o.answers = append(w.o.answers, msg)
	w.o.raw = append(append(w.o.raw, raw...), '\n')
	delete(s.pending, id)
	close(w.done)
}

func (s *sock) request(ctx context.Context, method string, params obj) outcome {
	begin := time.Now()
	w := &waiting{done: make(chan struct{})}
	if s.rev == revModern {
		params = withMeta(params)
	}
	s.mu.Lock()
	if s.err != nil {
		err := s.err
		s.mu.Unlock()
		return outcome{err: err}
	}
	s.next++
	id := fmt.Sprint(s.next)
	s.pending[id] = w
	token := ""
	if given, ok := dig(params, "_meta", "progressToken").(string); ok {
		token = given
		s.token[token], s.sent[token] = w, true
	}
	err := s.writeLocked(frame(opText, encode(obj{"jsonrpc": "2.0", "id": json.Number(id), "method": method, "params": params}), true))
	s.mu.Unlock()
	if err != nil {
		return outcome{err: err}
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		s.mu.Lock()
		delete(s.pending, id)
		s.mu.Unlock()
		return outcome{err: ctx.Err(), took: time.Since(begin)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.token, token)
	w.o.took = time.Since(begin)
	return w.o
}

// stray is what came that nobody had asked for.
func (s *sock) stray() []obj {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.foreign
}

func (s *sock) close() {
	s.mu.Lock()
	_ = s.writeLocked(frame(opClose, []byte{3, 232}, true))
	s.mu.Unlock()
	select {
	case <-s.done:
	case <-time.After(time.Second):
	}
	_ = s.conn.Close()
	<-s.done
}

// clients are several of each kind, at one endpoint of the gateway.
func clients(t testing.TB, g *gateway, each int) []client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var all []client
	t.Cleanup(func() {
		for _, c := range all {
			c.close()
		}
	})
	add := func(c client, err error) {
		if err != nil {
			t.Fatalf("%v\n%s", err, g.log.tail(20))
		}
		all = append(all, c)
	}
	for range each {
		add(newWeb(g.base+"/mcp"), nil)
		s, err := newSession(ctx, g.base+"/mcp", rev2511)
		add(s, err)
		w, err := newSock(ctx, g.addr, "/mcp", rev2506)
		add(w, err)
		m, err := newSock(ctx, g.addr, "/mcp", revModern)
		add(m, err)
	}
	return all
}
