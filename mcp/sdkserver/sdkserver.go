// Package sdkserver makes a server written with the official Go SDK a Handler,
// without a process, a socket or HTTP between them. It is how built-in servers
// and custom servers in Go enter the house.
//
// It does not know what the server does, nor who calls it.
package sdkserver

import (
	"context"
	"fmt"
	"io"
	"sync"

	sdkrpc "github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// queue is the number of messages that may be on their way in one direction.
const queue = 64

// Server is an SDK server as a Handler. It speaks the stateless era with it, so
// that any number of callers share it. Close it when nobody calls any more.
type Server struct {
	*mcp.Stateless
	session *sdk.ServerSession
}

var _ mcp.Handler = (*Server)(nil)

// New connects to s, which must not be connected to a client of its own that
// would see its notifications twice.
func New(s *sdk.Server) (*Server, error) {
	w := &wire{in: make(chan []byte, queue), out: make(chan []byte, queue), closed: make(chan struct{})}
	session, err := s.Connect(context.Background(), transport{w}, nil)
	if err != nil {
		return nil, fmt.Errorf("connect to the server: %w", err)
	}
	return &Server{Stateless: mcp.NewStateless(mcp.NewMux((*near)(w), jsonrpc.Limits{})), session: session}, nil
}

// Close ends the server's session and waits for it.
func (s *Server) Close() error {
	err := s.Stateless.Close()
	_ = s.session.Wait() // its end, which we have brought about
	return err
}

// wire is a connection in memory: messages for the server, and from it.
type wire struct {
	in, out chan []byte
	once    sync.Once
	closed  chan struct{}
}

func (w *wire) close() { w.once.Do(func() { close(w.closed) }) }

func (w *wire) receive(ctx context.Context, from <-chan []byte) ([]byte, error) {
	select {
	case m := <-from:
		return m, nil
	case <-w.closed:
		return nil, io.EOF
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (w *wire) send(ctx context.Context, to chan<- []byte, m []byte) error {
	select {
	case to <- m:
		return nil
	case <-w.closed:
		return io.ErrClosedPipe
	case <-ctx.Done():
		return ctx.Err()
	}
}

// near is our end.
type near wire

func (n *near) Read(ctx context.Context) ([]byte, error) { return (*wire)(n).receive(ctx, n.out) }

func (n *near) Write(ctx context.Context, m []byte) error {
	return (*wire)(n).send(ctx, n.in, append([]byte(nil), m...))
}

func (n *near) Close() error {
	(*wire)(n).close()
	return nil
}

// transport gives the SDK its end.
type transport struct{ w *wire }

func (t transport) Connect(context.Context) (sdk.Connection, error) { return far(t), nil }

// far is the SDK's end.
type far struct{ w *wire }

func (f far) Read(ctx context.Context) (sdkrpc.Message, error) {
	text, err := f.w.receive(ctx, f.w.in)
	if err != nil {
		return nil, err
	}
	return sdkrpc.DecodeMessage(text)
}

func (f far) Write(ctx context.Context, m sdkrpc.Message) error {
	text, err := sdkrpc.EncodeMessage(m)
	if err != nil {
		return err
	}
	return f.w.send(ctx, f.w.out, text)
}

func (f far) Close() error {
	f.w.close()
	return nil
}

func (f far) SessionID() string { return "" }
