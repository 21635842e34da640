// Package stdio carries messages over two pipes: a child's standard output and
// input, or the program's own (2025-11-25 and 2026-07-28, basic/transports,
// "stdio"). A message is a line of JSON.
//
// It knows nothing of what the messages mean, of either era's rules, or of
// processes: who starts the child also stops it and reads its standard error.
package stdio

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
)

// Options are the bounds of a connection. The zero value is good for most.
type Options struct {
	// MaxMessageBytes bounds a line that is read, without its end; 0 means 64 MiB.
	MaxMessageBytes int
	// WriteTimeout bounds how long a peer may take for a message, to which is
	// added a second for each MiB; 0 means 10 s. A peer that needs longer has
	// stopped to read, and is cut off.
	WriteTimeout time.Duration
	// OnNoise is told of each line that is no message, such as a banner of a
	// server that does not keep its standard output clean. It gets the first 200
	// bytes, and is called by the goroutine that reads. May be nil.
	OnNoise func(line string)
}

const (
	defaultMaxMessage   = 64 << 20
	defaultWriteTimeout = 10 * time.Second
	// minRate is what a peer must take of a long message, in bytes per second.
	minRate = 1 << 20
)

func (o Options) withDefaults() Options {
	if o.MaxMessageBytes <= 0 {
		o.MaxMessageBytes = defaultMaxMessage
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = defaultWriteTimeout
	}
	if o.OnNoise == nil {
		o.OnNoise = func(string) {}
	}
	return o
}

// allowance is how long a peer may take for n bytes.
func (o Options) allowance(n int) time.Duration {
	return o.WriteTimeout + time.Duration(n)*time.Second/minRate
}

// conn has one way to read and one to write for ends that know deadlines (pipes
// to a child, sockets), which costs no goroutine, and one for those that do not
// (a terminal or pipe that was inherited), where a goroutine does what may
// block for ever.
type conn struct {
	in      source
	out     sink
	r       io.Closer // nil when the reader cannot be closed
	w       io.Closer
	pumps   sync.WaitGroup // goroutines that end when r and w have been closed
	turn    turn
	done    chan struct{} // closed when the connection has ended
	endOnce sync.Once
	err     error // why it has ended; set before done is closed
}

// source yields the next message. An error is final, except the context's.
type source interface {
	next(ctx context.Context) ([]byte, error)
}

// sink writes a whole line. It is entered with the turn taken and gives it
// back, at the latest when the connection has ended. An error is final, except
// the context's.
type sink interface {
	write(ctx context.Context, message []byte) error
}

// turn is taken by who writes, so that lines do not mix.
type turn chan struct{}

func (t turn) release() { <-t }

// NewConn returns a connection that reads from r and writes to w, which it owns
// from now on: Close closes w, and r too if it is an io.Closer.
//
// Close waits for the goroutines that the connection has, unless they sit in a
// read or write that nothing can interrupt: of an inherited file without
// deadlines, or of a reader that is no io.Closer. Such a goroutine ends with
// the next line, or with the process.
//
// When the context of a Read ends, the connection can still be used.
func NewConn(r io.Reader, w io.WriteCloser, o Options) mcp.Conn {
	o = o.withDefaults()
	c := &conn{w: w, turn: make(turn, 1), done: make(chan struct{})}
	c.r, _ = r.(io.Closer)
	text := &lines{r: r, max: o.MaxMessageBytes, noise: o.OnNoise}
	if f, ok := r.(readDeadliner); ok && f.SetReadDeadline(time.Time{}) == nil {
		c.in = &directSource{text: text, file: f}
	} else {
		p := newPumpSource(text, c.done)
		c.in = p
		c.run(p.run, c.r != nil && !uninterruptible(r))
	}
	if f, ok := w.(writeDeadliner); ok && f.SetWriteDeadline(time.Time{}) == nil {
		c.out = &directSink{c: c, file: f, o: o}
	} else {
		p := &pumpSink{c: c, w: w, o: o, jobs: make(chan job, 1)}
		c.out = p
		c.run(p.run, !uninterruptible(w))
	}
	return c
}

// run starts one of the connection's goroutines; Close waits for it if it can
// be relied on to end.
func (c *conn) run(f func(), ends bool) {
	if ends {
		c.pumps.Go(f)
		return
	}
	go f()
}

// uninterruptible reports whether closing x does not end a read or write of it
// that is under way.
func uninterruptible(x any) bool {
	_, ok := x.(*os.File) // with deadlines it would have no goroutine
	return ok
}

// Read implements mcp.Conn.
func (c *conn) Read(ctx context.Context) ([]byte, error) {
	if c.ended() {
		return nil, c.err
	}
	message, err := c.in.next(ctx)
	if err != nil && c.ended() {
		return nil, c.err
	}
	return message, err
}

// Write implements mcp.Conn.
func (c *conn) Write(ctx context.Context, message []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-c.done:
		return c.err
	}
	err := c.out.write(ctx, message)
	if err != nil && c.ended() {
		return c.err // the reason rather than what followed from it
	}
	return err
}

func (c *conn) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// end closes both directions. The first reason is kept.
func (c *conn) end(reason error) error {
	var err error
	c.endOnce.Do(func() {
		c.err = reason
		close(c.done)
		err = c.w.Close()
		if c.r != nil {
			_ = c.r.Close()
		}
	})
	return err
}

// Close implements mcp.Conn. Read and Write then return io.ErrClosedPipe.
func (c *conn) Close() error {
	err := c.end(io.ErrClosedPipe)
	c.pumps.Wait()
	if err != nil {
		return fmt.Errorf("close connection: %w", err)
	}
	return nil
}
