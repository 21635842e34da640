package serve

import (
	"net"
	"sync"
)

// limited accepts so many connections at once; further ones wait in the system's
// queue.
type limited struct {
	net.Listener
	slots chan struct{}
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	l.slots <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &counted{Conn: c, free: func() { <-l.slots }}, nil
}

// counted gives its slot back when it is closed.
type counted struct {
	net.Conn
	once sync.Once
	free func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	defer c.once.Do(c.free)
	return c.Conn.Close()
}
