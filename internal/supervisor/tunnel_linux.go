package supervisor

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// receiveListener takes the listener that a child sends over its socket, and
// closes the socket.
func receiveListener(conn *net.UnixConn) (net.Listener, error) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetReadDeadline(time.Now().Add(proxyBound)) // cannot fail on a socket
	one, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(one, oob)
	if err != nil {
		return nil, fmt.Errorf("receive the listener: %w", err)
	}
	fds := rights(oob[:n])
	if len(fds) != 1 {
		return nil, errors.New("receive the listener: the child has ended before it made one")
	}
	file := os.NewFile(uintptr(fds[0]), "proxy")
	l, err := net.FileListener(file)
	_ = file.Close() // FileListener has its copy
	if err != nil {
		return nil, fmt.Errorf("receive the listener: %w", err)
	}
	return l, nil
}
