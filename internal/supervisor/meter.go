package supervisor

import (
	"net"
	"sync"
	"sync/atomic"
)

// meter counts what comes over the network to the commands of one fetch, and lets no more than its bound through. It
// sees what a sandbox's proxy sees: nothing of a command that has the network of the machine.
type meter struct {
	bound int64 // bytes
	came  atomic.Int64
	full  chan struct{} // closed when more than bound wanted to come
	once  sync.Once
}

func newMeter(bound int64) *meter { return &meter{bound: bound, full: make(chan struct{})} }

// over reports whether more wanted to come than may.
func (m *meter) over() bool {
	select {
	case <-m.full:
		return true
	default:
		return false
	}
}

// listen counts what is written to the connections of l. Without a meter nothing is counted.
func (m *meter) listen(l net.Listener) net.Listener {
	if m == nil {
		return l
	}
	return &meteredListener{Listener: l, meter: m}
}

type meteredListener struct {
	net.Listener
	meter *meter
}

// Accept implements net.Listener.
func (l *meteredListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &meteredConn{Conn: c, meter: l.meter}, nil
}

type meteredConn struct {
	net.Conn
	meter *meter
}

// Write implements net.Conn. Nothing of what is over the bound is passed on.
func (c *meteredConn) Write(b []byte) (int, error) {
	if c.meter.came.Add(int64(len(b))) > c.meter.bound {
		c.meter.once.Do(func() { close(c.meter.full) })
		return 0, errTraffic
	}
	return c.Conn.Write(b)
}

// CloseWrite ends one direction, as proxies do with tunnels.
func (c *meteredConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}
