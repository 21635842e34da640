// Package mcptest has what tests of MCP peers need: connections in memory, and
// peers that follow a script. It knows nothing of how real messages travel.
package mcptest

import (
	"bytes"
	"context"
	"io"
	"sync"

	"github.com/dragoman-mcp/dragoman/mcp"
)

// queue is the number of messages that may be under way in one direction.
const queue = 64

// Pipe returns the two ends of a connection in memory. Closing one end ends both.
func Pipe() (mcp.Conn, mcp.Conn) {
	ab, ba := make(chan []byte, queue), make(chan []byte, queue)
	p := &pipe{closed: make(chan struct{})}
	return &end{pipe: p, in: ba, out: ab}, &end{pipe: p, in: ab, out: ba}
}

type pipe struct {
	once   sync.Once
	closed chan struct{}
}

type end struct {
	*pipe
	in  <-chan []byte
	out chan<- []byte
}

// Read implements mcp.Conn. What was written before the end is still read.
func (e *end) Read(ctx context.Context) ([]byte, error) {
	select {
	case m := <-e.in:
		return m, nil
	default:
	}
	select {
	case m := <-e.in:
		return m, nil
	case <-e.closed:
		return nil, io.EOF
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Write implements mcp.Conn.
func (e *end) Write(ctx context.Context, message []byte) error {
	select {
	case <-e.closed:
		return io.ErrClosedPipe
	default:
	}
	select {
	case e.out <- bytes.Clone(message):
		return nil
	case <-e.closed:
		return io.ErrClosedPipe
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close implements mcp.Conn.
func (e *end) Close() error {
	e.once.Do(func() { close(e.closed) })
	return nil
}
