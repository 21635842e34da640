package egress

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// maxInterim bounds the 1xx answers before the real one.
const maxInterim = 8

// RoundTrip implements http.RoundTripper.
func (p *Pool) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := p.roundTrip(req)
	if err != nil {
		return nil, fmt.Errorf("%s %s://%s: %w", req.Method, req.URL.Scheme, req.URL.Host, err)
	}
	return resp, nil
}

func (p *Pool) roundTrip(req *http.Request) (*http.Response, error) {
	h, err := p.hostOf(req)
	if err != nil {
		closeBody(req)
		return nil, notSent(err)
	}
	if h.indirect.Load() {
		return p.fallback.RoundTrip(req, p.network.o.UserAgent)
	}
	lent := p.network.texts.get()
	out, err := p.prepare((*lent)[:0], h, req)
	defer func() { p.network.texts.put(lent, out.text) }()
	if err != nil {
		closeBody(req)
		return nil, notSent(err)
	}
	if out.rest == nil {
		closeBody(req)
	}
	resp, err := p.send(req, h, out)
	if errors.Is(err, errOnlyHTTP2) {
		h.indirect.Store(true)
		return p.sendAgain(req, out)
	}
	return resp, err
}

// sendAgain sends over HTTP/2 what could not be sent otherwise. A small body
// has been read already.
func (p *Pool) sendAgain(req *http.Request, out outgoing) (*http.Response, error) {
	again := *req
	switch {
	case out.rest != nil:
		again.Body = out.rest
	case out.size == 0:
		again.Body, again.ContentLength = http.NoBody, 0
	default: // a copy, for the transport may read it after it has returned
		body := bytes.Clone(out.text[len(out.text)-int(out.size):])
		again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(body)), out.size
	}
	return p.fallback.RoundTrip(&again, p.network.o.UserAgent)
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

func notSent(err error) error { return fmt.Errorf("%w: %w", ErrNotSent, err) }

// send exchanges the request for an answer, on a second connection if the
// first was kept for too long.
func (p *Pool) send(req *http.Request, h *host, out outgoing) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		out.closeRest()
		return nil, notSent(err)
	}
	for fresh := false; ; fresh = true {
		c, err := h.acquire(req.Context(), fresh)
		if err != nil {
			if !errors.Is(err, errOnlyHTTP2) {
				out.closeRest()
			}
			return nil, notSent(err)
		}
		was := c.used
		resp, fault := c.exchange(req, out)
		if fault == nil {
			return resp, nil
		}
		if !was || !fault.mayRepeat(req, out) {
			out.closeRest()
			return nil, fault.explain(req.Context())
		}
	}
}

// exchangeError says how far an exchange came before it failed.
type exchangeError struct {
	err     error
	written bool // some of the request was
	started bool // some of the answer has come, or some of a large body was read
}

// mayRepeat reports whether the peer cannot have acted on the request: a kept
// connection was closed before anything was written, or nothing came back for
// a request that only reads.
func (e *exchangeError) mayRepeat(req *http.Request, out outgoing) bool {
	if e.started || req.Context().Err() != nil {
		return false
	}
	if !e.written {
		return true
	}
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return out.size == 0
	}
	return false
}

func (e *exchangeError) explain(ctx context.Context) error {
	err := contextError(ctx, e.err)
	if !e.written {
		return notSent(err)
	}
	return err
}

// exchange writes the request and reads the head of its answer. On success the
// answer's body owns the connection; otherwise it has been closed.
func (c *conn) exchange(req *http.Request, out outgoing) (*http.Response, *exchangeError) {
	a := &answer{}
	a.body = body{conn: c, req: req, stop: c.watch(req.Context())}
	c.heard = false
	n, sendErr := c.send(out)
	if sendErr != nil && n == 0 {
		return nil, a.fail(&exchangeError{err: fmt.Errorf("send request: %w", sendErr)})
	}
	if out.rest != nil && sendErr == nil {
		a.body.sender = startSender(c, out)
	}
	f, err := c.readHead(&a.resp)
	if err != nil {
		// What broke the sending says more than the end that it led to.
		if restErr := a.body.sender.fault(); restErr != nil {
			err = restErr
		} else if sendErr != nil {
			err = fmt.Errorf("send request: %w", sendErr)
		}
		return nil, a.fail(&exchangeError{err: err, written: true, started: c.heard || out.rest != nil})
	}
	if sendErr != nil { // refused before it was read: the answer says why
		out.closeRest()
		f.keepAlive = false
	}
	f.keepAlive = f.keepAlive && !out.last
	return a.open(req, f, out.upgrade)
}

// early is what came of a request that was written, and its answer waited for,
// in one go.
type early struct {
	sent    int
	sendErr error
	answer  []byte // a buffer that was lent, of which n bytes are filled
	n       int
	readErr error
}

// errUnsent says that a descriptor took less than all that was to be written.
var errUnsent = errors.New("not all was written")

// send writes the request, and where it is all there reads what comes first in
// the same go.
func (c *conn) send(out outgoing) (int, error) {
	if c.socket == nil || c.tls != nil || out.rest != nil {
		return c.net.Write(out.text)
	}
	e := c.socket.send(out.text)
	switch {
	case errors.Is(e.sendErr, errUnsent):
		more, err := c.net.Write(out.text[e.sent:])
		return e.sent + more, err
	case e.sendErr != nil:
		return e.sent, e.sendErr
	case e.sent == 0: // it was interrupted, or is closed
		return 0, e.readErr
	}
	c.buf, c.r, c.w = e.answer, 0, e.n
	c.heard, c.early = e.n > 0, e.readErr
	return e.sent, nil
}

// answer is a response and its body in one piece of memory.
type answer struct {
	resp http.Response
	body body
}

// fail ends an exchange without an answer.
func (a *answer) fail(e *exchangeError) *exchangeError {
	a.body.stop()
	a.body.conn.host.discard(a.body.conn)
	return e
}

// open hands the connection over to the answer's body, or back to its host
// when there is none.
func (a *answer) open(req *http.Request, f framingOf, upgrade bool) (*http.Response, *exchangeError) {
	r, b := &a.resp, &a.body
	r.Request, r.TLS, r.Close, r.ContentLength = req, b.conn.tls, !f.keepAlive, f.length
	b.keepFor, b.reusable = f.keepFor, f.keepAlive
	switch {
	case r.StatusCode == http.StatusSwitchingProtocols && !upgrade:
		err := errors.New("peer switched protocols unasked")
		return nil, a.fail(&exchangeError{err: err, written: true, started: true})
	case r.StatusCode == http.StatusSwitchingProtocols:
		b.stop()
		r.Body = &tunnel{conn: b.conn}
	case bodiless(req.Method, r.StatusCode):
		if req.Method != http.MethodHead {
			// What such an answer announces and must not have may come nevertheless.
			b.reusable = b.reusable && f.length <= 0 && !f.chunked
			r.ContentLength = 0
		}
		a.withoutBody()
	case f.length == 0:
		a.withoutBody()
	default:
		b.kind, b.left = f.kind(), max(f.length, 0)
		b.reusable = b.reusable && b.kind != toTheEnd
		if b.kind == chunked {
			r.TransferEncoding = []string{"chunked"}
		}
		r.Body = b
	}
	return r, nil
}

func (a *answer) withoutBody() {
	a.body.finish(nil)
	a.resp.Body = http.NoBody
}

// readHead reads the head of the final answer; interim ones are passed over
// (RFC 9110 §15.2). All of them together are bounded.
func (c *conn) readHead(r *http.Response) (framingOf, error) {
	budget := c.host.pool.network.o.MaxHeadBytes
	for range maxInterim {
		end, err := c.awaitHead(budget)
		if err != nil {
			return framingOf{}, fmt.Errorf("read head of answer: %w", err)
		}
		budget -= end
		f, err := parseHead(string(c.buf[c.r:c.r+end]), r)
		if err != nil {
			return framingOf{}, fmt.Errorf("read head of answer: %w", err)
		}
		c.r += end
		if r.StatusCode >= 200 || r.StatusCode == http.StatusSwitchingProtocols {
			return f, nil
		}
	}
	return framingOf{}, fmt.Errorf("more than %d interim answers", maxInterim)
}

// awaitHead reads until a whole head is buffered and returns its length.
func (c *conn) awaitHead(budget int) (int, error) {
	for seen := 0; ; {
		end, err := headEnd(c.buffered(), seen)
		if err != nil {
			return 0, err
		}
		seen = len(c.buffered())
		if end > budget || end == 0 && len(c.buffered()) >= budget {
			return 0, fmt.Errorf("head is larger than %d bytes", c.host.pool.network.o.MaxHeadBytes)
		}
		if end > 0 {
			return end, nil
		}
		if err := c.fill(); err != nil {
			return 0, unexpected(err)
		}
	}
}

// unexpected says of an end in mid-message that it is one.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// tunnel is the connection of an answer 101: both directions are the caller's,
// who closes it.
type tunnel struct {
	conn *conn
}

var _ io.ReadWriteCloser = (*tunnel)(nil)

// Read implements io.Reader. One goroutine at a time may call it.
func (t *tunnel) Read(p []byte) (int, error) {
	c := t.conn
	if c.r == c.w {
		return c.net.Read(p)
	}
	n := copy(p, c.buf[c.r:c.w])
	if c.r += n; c.r == c.w {
		c.dropBuffer()
	}
	return n, nil
}

// Write implements io.Writer.
func (t *tunnel) Write(p []byte) (int, error) { return t.conn.net.Write(p) }

// Close implements io.Closer.
func (t *tunnel) Close() error {
	err := t.conn.net.Close()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	t.conn.host.vacate()
	return err
}

// expiry says until when a connection may be used again.
func (c *conn) expiry(peerKeeps time.Duration) time.Time {
	keep := c.host.pool.limits.IdleTimeout
	if peerKeeps > 0 {
		keep = min(keep, peerKeeps)
	}
	return time.Now().Add(keep)
}
