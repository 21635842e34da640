package egress

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"time"
)

// Open returns how many connections of the pool exist and how many are idle.
func (p *Pool) Open() (open, idle int) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for _, h := range p.hosts {
		h.mu.Lock()
		open += h.open
		idle += len(h.idle)
		h.mu.Unlock()
	}
	return open, idle
}

// Hosts returns how many hosts the pool remembers.
func (p *Pool) Hosts() int {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return len(p.hosts)
}

// Reap does what the reaper would do at that time.
func (n *Network) Reap(now time.Time) {
	for _, p := range n.snapshot() {
		p.reap(now)
	}
}

// Own returns the pool behind RoundTripper.
func (n *Network) Own() *Pool { return n.pool }

// script is a connection on which an answer arrives in pieces of a given size.
type script struct {
	net.Conn
	left  io.Reader
	piece int
}

func (s *script) Read(p []byte) (int, error)       { return s.left.Read(p[:min(len(p), s.piece)]) }
func (s *script) Write(p []byte) (int, error)      { return len(p), nil }
func (s *script) Close() error                     { return nil }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

// ReadAnswer sends req on a connection that answers with raw in pieces, and
// reports whether the connection was kept afterwards.
func ReadAnswer(n *Network, req *http.Request, raw []byte, piece int) (r *http.Response, body []byte, kept bool, err error) {
	p := n.Pool(Limits{})
	defer p.Close()
	h, err := p.hostOf(req)
	if err != nil {
		return nil, nil, false, err
	}
	h.open++
	c := newConn(h, &script{left: bytes.NewReader(raw), piece: piece})
	out, err := p.prepare(nil, h, req)
	if err != nil {
		return nil, nil, false, err
	}
	r, fault := c.exchange(req, out)
	if fault != nil {
		return nil, nil, false, fault.err
	}
	if t, ok := r.Body.(*tunnel); ok {
		return r, nil, false, t.Close()
	}
	body, err = io.ReadAll(r.Body)
	_, idle := p.Open()
	return r, body, idle == 1, err
}

// KeepFor is how long a connection is used after an answer with that Keep-Alive
// header; 0 when it does not tell.
func KeepFor(header string) time.Duration { return keepFor(header) }
