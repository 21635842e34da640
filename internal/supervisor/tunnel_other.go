//go:build !linux

package supervisor

import (
	"errors"
	"net"
)

// receiveListener is for sandboxes, which there are none of on this system.
func receiveListener(conn *net.UnixConn) (net.Listener, error) {
	return nil, errors.Join(errors.New("this system has no sandboxes with a proxy"), conn.Close())
}
