package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// bufferBytes is the size of a read buffer: a small answer with its head fits.
// Larger bodies are read past it, into the caller's memory.
const bufferBytes = 4 << 10

// buffers lends read buffers. A connection has one only while there is
// something in it: not between requests, and on plain TCP not while it waits.
type buffers struct{ pool sync.Pool }

func (b *buffers) get() []byte {
	if p, ok := b.pool.Get().(*[bufferBytes]byte); ok {
		return p[:]
	}
	return make([]byte, bufferBytes)
}

// put takes back what get lent; a larger one is left to the collector.
func (b *buffers) put(buf []byte) {
	if cap(buf) == bufferBytes {
		b.pool.Put((*[bufferBytes]byte)(buf[:bufferBytes]))
	}
}

// conn is one connection. At any time it belongs to one exchange, or to the
// idle list of its host; only the owner touches it, except for close and interrupt.
type conn struct {
	host      *host
	net       net.Conn
	tls       *tls.ConnectionState // nil for plain TCP
	socket    *socket              // below net; nil on systems without
	interrupt func()               // makes reads and writes under way fail

	buf     []byte // what was read and not yet used is buf[r:w]
	r, w    int
	heard   bool      // something of the answer under way has come
	early   error     // what a read has met that was made ahead of fill
	used    bool      // it has answered a request
	expires time.Time // while idle: when it may no longer be used
}

// newConn makes a conn of a TCP connection, or of TLS over one.
func newConn(h *host, c net.Conn) *conn {
	nc := &conn{host: h, net: c}
	nc.interrupt = func() { _ = c.SetDeadline(time.Unix(1, 0)) }
	if over, ok := c.(*tls.Conn); ok {
		state := over.ConnectionState()
		nc.tls = &state
		c = over.NetConn()
	}
	nc.socket = newSocket(c, &h.pool.network.buffers)
	return nc
}

// close closes the connection and gives its buffer back. Only the owner may
// call it, with no read under way.
func (c *conn) close() {
	_ = c.net.Close()
	c.dropBuffer()
}

func (c *conn) dropBuffer() {
	if c.buf != nil {
		c.host.pool.network.buffers.put(c.buf)
		c.buf, c.r, c.w = nil, 0, 0
	}
}

func (c *conn) buffered() []byte { return c.buf[c.r:c.w] }

// fill reads more into the buffer, at least one byte, after what is there. A
// buffer that is full grows to twice its size.
func (c *conn) fill() error {
	if err := c.early; err != nil {
		c.early = nil
		return err
	}
	if c.r == c.w {
		c.r, c.w = 0, 0
		if c.socket != nil && c.tls == nil {
			return c.fillWhenReady()
		}
	}
	c.makeRoom()
	n, err := c.net.Read(c.buf[c.w:])
	c.w += n
	c.heard = c.heard || n > 0
	if n > 0 {
		return nil
	}
	return orEOF(err)
}

// fillWhenReady takes a buffer only when there is something to put into it, so
// that a connection that waits, a quiet event stream for one, holds none.
func (c *conn) fillWhenReady() error {
	c.dropBuffer()
	buf, n, err := c.socket.read()
	c.buf, c.w = buf, n
	c.heard = c.heard || n > 0
	return err
}

func (c *conn) makeRoom() {
	switch {
	case c.buf == nil:
		c.buf = c.host.pool.network.buffers.get()
	case c.w < len(c.buf):
	case c.r > 0:
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	default:
		grown := make([]byte, 2*len(c.buf))
		copy(grown, c.buf)
		c.host.pool.network.buffers.put(c.buf)
		c.buf = grown
	}
}

// readDirect reads into p, past the buffer, which is empty.
func (c *conn) readDirect(p []byte) (int, error) {
	n, err := c.net.Read(p)
	if n > 0 {
		return n, nil
	}
	return 0, orEOF(err)
}

func orEOF(err error) error {
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// quiet reports whether the connection is open and the peer has sent nothing
// since its last answer. What it has sent unasked would be taken for the next answer.
func (c *conn) quiet() bool {
	if c.socket != nil && !c.socket.quiet() {
		return false
	}
	if c.socket != nil && c.tls == nil {
		return true
	}
	return c.readsNothing()
}

// readsNothing tells what quiet does by a read that is out of time. It finds
// what TLS has decrypted already. What the system holds it finds only by
// waiting a little, which is worth it after a while of silence and where a
// socket cannot be asked.
func (c *conn) readsNothing() bool {
	until := time.Unix(1, 0)
	if idle := c.host.pool.limits.IdleTimeout - time.Until(c.expires); c.socket == nil && idle > time.Second {
		until = time.Now().Add(time.Millisecond)
	}
	if err := c.net.SetReadDeadline(until); err != nil {
		return false
	}
	var one [1]byte
	n, err := c.net.Read(one[:])
	if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	return c.net.SetReadDeadline(time.Time{}) == nil
}

// watch makes the connection fail when ctx ends, until stop is called. When
// stop returns false, the connection may fail at any moment.
func (c *conn) watch(ctx context.Context) (stop func() bool) {
	if own, ok := ctx.(interface{ AfterFunc(func()) func() bool }); ok {
		return own.AfterFunc(c.interrupt) // what context.AfterFunc would do in the end
	}
	if ctx.Done() == nil {
		return func() bool { return true }
	}
	return context.AfterFunc(ctx, c.interrupt)
}
