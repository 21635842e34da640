package egress

import (
	"context"
	"net"
)

// Dial opens a connection for protocols other than HTTP, such as a database's.
// network is tcp, tcp4 or tcp6, and address HOST:PORT. Every address that the
// host stands for passes Options.Allow before it is connected to, and the wait
// is bounded by Options.DialTimeout and ctx. The caller closes the connection.
func (n *Network) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return n.dialTCP(ctx, network, address)
}
