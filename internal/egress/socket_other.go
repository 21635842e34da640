//go:build !unix

package egress

import "net"

// socket is not to be had on this system: reads hold their buffer while they wait.
type socket struct{}

func newSocket(net.Conn, *buffers) *socket { return nil }

func (*socket) read() ([]byte, int, error) { return nil, 0, net.ErrClosed }

func (*socket) send([]byte) early { return early{sendErr: errUnsent} }

func (*socket) quiet() bool { return false }
