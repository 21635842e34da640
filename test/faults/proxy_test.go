//go:build linux

package faults

import (
	"errors"
	"net"
	"sync"
	"testing"
)

// proxy is a way to a server that can break as networks do.
type proxy struct {
	t      testing.TB
	target string
	addr   string
	work   sync.WaitGroup

	mu       sync.Mutex // guards what follows
	listener net.Listener
	conns    map[net.Conn]bool
	open     chan struct{} // closed while bytes pass
	over     chan struct{} // closed when the test is
	closed   bool
}

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	p := &proxy{t: t, target: target, conns: map[net.Conn]bool{}, open: make(chan struct{}), over: make(chan struct{})}
	close(p.open)
	p.listen("127.0.0.1:0")
	t.Cleanup(p.close)
	return p
}

func (p *proxy) listen(addr string) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		p.t.Errorf("proxy: %v", err)
		return
	}
	p.mu.Lock()
	p.listener, p.addr = l, l.Addr().String()
	p.mu.Unlock()
	p.work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.work.Go(func() { p.join(conn) })
		}
	})
}

// enter keeps conn until leave; false when nothing is let in any more.
func (p *proxy) enter(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.conns[conn] = true
	return true
}

func (p *proxy) leave(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
	_ = conn.Close()
}

func (p *proxy) join(in net.Conn) {
	if !p.enter(in) {
		_ = in.Close()
		return
	}
	defer p.leave(in)
	out, err := net.Dial("tcp", p.target)
	if err != nil || !p.enter(out) {
		return
	}
	defer p.leave(out)
	var back sync.WaitGroup
	back.Go(func() {
		p.pump(in, out)
		_ = in.Close()
	})
	p.pump(out, in)
	_ = out.Close()
	back.Wait()
}

// pump copies, and holds what it has while nothing may pass.
func (p *proxy) pump(dst, src net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		p.mu.Lock()
		open := p.open
		p.mu.Unlock()
		select {
		case <-open:
		case <-p.over:
			return
		}
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// swallow lets connections be made and nothing come through.
func (p *proxy) swallow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = make(chan struct{})
}

// pass ends swallow: what was held goes on its way, late.
func (p *proxy) pass() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.open:
	default:
		close(p.open)
	}
}

// refuse cuts every connection and takes no more, until admit.
func (p *proxy) refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.listener.Close()
	p.cut()
}

// cut ends all connections with a reset. p.mu is held.
func (p *proxy) cut() {
	for conn := range p.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
}

func (p *proxy) admit() { p.listen(p.addr) }

func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	close(p.over)
	err := p.listener.Close()
	p.cut()
	p.mu.Unlock()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		p.t.Errorf("proxy: %v", err)
	}
	p.work.Wait()
}
