//go:build unix

package egress

import (
	"io"
	"net"
	"syscall"
)

// socket reads a TCP connection without holding a buffer while it waits, and
// can look whether anything has come without waiting.
type socket struct {
	raw     syscall.RawConn
	buffers *buffers
	onReady func(fd uintptr) bool // made once; a closure per read would be garbage
	onProbe func(fd uintptr) bool
	onSend  func(fd uintptr) bool

	text []byte // what send still has to write
	sent int    // what it has written of it
	fail error  // why it could not write more

	buf []byte // result of the last call
	n   int
	err error
	one [1]byte
}

func newSocket(c net.Conn, b *buffers) *socket {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	s := &socket{raw: raw, buffers: b}
	s.onReady = s.readReady
	s.onProbe = s.probe
	s.onSend = s.sendThenRead
	return s
}

// send writes a request and waits for the first bytes of its answer, in one go:
// nothing can have come right after the write, so that nobody looks before the
// descriptor is readable. It returns how much was written, and why not all of
// it; the rest is then the caller's to write, and nothing has been waited for.
func (s *socket) send(text []byte) early {
	s.text, s.sent, s.fail, s.buf, s.n, s.err = text, 0, nil, nil, 0, nil
	e := early{readErr: s.raw.Read(s.onSend)}
	if e.readErr == nil {
		e.readErr = s.err
	}
	e.answer, e.n, e.sent, e.sendErr = s.buf, s.n, s.sent, s.fail
	s.text, s.buf, s.fail = nil, nil, nil
	return e
}

// sendThenRead is called before the wait and after it. The write is within what
// the runtime watches: an answer that comes at once ends the wait.
func (s *socket) sendThenRead(fd uintptr) bool {
	if s.text == nil {
		return s.readReady(fd)
	}
	n, err := writeRetrying(int(fd), s.text)
	s.sent, s.fail = max(n, 0), err
	if err == nil && n < len(s.text) || err == syscall.EAGAIN {
		s.fail = errUnsent
	}
	s.text = nil
	return s.fail != nil
}

// read waits for at least one byte and returns it in a buffer of its own.
func (s *socket) read() ([]byte, int, error) {
	s.buf, s.n, s.err = nil, 0, nil
	err := s.raw.Read(s.onReady)
	if err == nil {
		err = s.err
	}
	buf := s.buf
	s.buf = nil
	return buf, s.n, err
}

// readReady reports whether there is something to tell; otherwise it is called
// again when the descriptor is readable.
func (s *socket) readReady(fd uintptr) bool {
	buf := s.buffers.get()
	n, err := readRetrying(int(fd), buf)
	if n > 0 {
		s.buf, s.n = buf, n
		return true
	}
	s.buffers.put(buf)
	if err == nil {
		err = io.EOF
	}
	s.err = err
	if err == syscall.EAGAIN {
		s.err = nil
		return false
	}
	return true
}

// quiet reports whether the connection is open and has nothing to read.
func (s *socket) quiet() bool {
	s.err = nil
	err := s.raw.Read(s.onProbe)
	return err == nil && s.err == syscall.EAGAIN
}

// probe never waits. It may take a byte away: then the connection is of no use anyhow.
func (s *socket) probe(fd uintptr) bool {
	_, s.err = readRetrying(int(fd), s.one[:])
	return true
}

func writeRetrying(fd int, p []byte) (int, error) {
	for {
		n, err := syscall.Write(fd, p)
		if err != syscall.EINTR {
			return n, err
		}
	}
}

func readRetrying(fd int, p []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, p)
		if err != syscall.EINTR {
			return n, err
		}
	}
}
