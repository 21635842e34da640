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
	return s
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

func readRetrying(fd int, p []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, p)
		if err != syscall.EINTR {
			return n, err
		}
	}
}
