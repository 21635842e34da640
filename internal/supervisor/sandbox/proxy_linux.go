package sandbox

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// offerProxy makes the listener at ProxyAddress and gives it away over
// ProxySocket. A socket belongs to the network that it was made in: whoever gets
// it accepts the connections of this sandbox, from wherever that is.
//
// Plain system calls, since this process must have no other thread that keeps
// what it gives up.
func offerProxy() error {
	defer func() { _ = unix.Close(ProxySocket) }()
	at, err := netip.ParseAddrPort(ProxyAddress)
	if err != nil {
		return fmt.Errorf("offer the proxy: %w", err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("offer the proxy: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	const waiting = 64 // connections that are not accepted yet
	err = unix.Bind(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()})
	if err == nil {
		err = unix.Listen(fd, waiting)
	}
	if err == nil {
		err = unix.Sendmsg(ProxySocket, []byte{1}, unix.UnixRights(fd), nil, 0)
	}
	if err != nil {
		return fmt.Errorf("offer the proxy: %w", err)
	}
	return nil
}
