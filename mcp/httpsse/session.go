package httpsse

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp/sse"
)

// keptScratch is the largest buffer that a session keeps between two events.
const keptScratch = 16 << 10

// session is a client that holds a stream open, as a mcp.Conn.
type session struct {
	id        string
	principal string
	o         ServerOptions
	cancel    context.CancelFunc // of the context that serve was given

	in    chan []byte   // from POSTs to Read; without buffer, so that a POST is answered when its message was read
	posts chan struct{} // held by POSTs that have a body, or are about to

	turn    chan struct{} // held by who uses the response
	w       http.ResponseWriter
	rc      *http.ResponseController
	scratch []byte
	last    time.Time // of the last event
	beat    *time.Timer
	broken  bool // a write failed
	retired bool // the handler returns: the response must not be used

	endOnce sync.Once
	done    chan struct{}
	err     error // why it has ended; set before done is closed
}

func newSession(w http.ResponseWriter, o ServerOptions, cancel context.CancelFunc) *session {
	return &session{
		o: o, cancel: cancel, w: w, rc: http.NewResponseController(w),
		in:    make(chan []byte),
		posts: make(chan struct{}, o.MaxPosts),
		turn:  make(chan struct{}, 1),
		done:  make(chan struct{}),
	}
}

// open begins the stream: "the server MUST send an endpoint event containing a
// URI for the client to use for sending messages" (2024-11-05,
// basic/transports).
func (c *session) open(endpoint string) error {
	if err := c.rc.SetWriteDeadline(time.Now().Add(c.o.WriteTimeout)); err != nil {
		http.Error(c.w, "this server cannot stream here", http.StatusInternalServerError)
		return fmt.Errorf("bound the writes of the response: %w", err)
	}
	header := c.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // asks nginx to pass events on at once
	c.turn <- struct{}{}
	defer c.release()
	c.beat = time.AfterFunc(c.o.KeepAlive, c.keepAlive)
	return c.put(sse.Append(nil, sse.Event{Name: "endpoint", Data: []byte(endpoint)}))
}

// Read implements mcp.Conn. When its context ends, the session can still be used.
func (c *session) Read(ctx context.Context) ([]byte, error) {
	if c.ended() {
		return nil, c.err
	}
	select {
	case message := <-c.in:
		return message, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.done:
		return nil, c.err
	}
}

// Write implements mcp.Conn. ctx bounds the waiting for other writers; once the
// message is on its way, the write timeout does.
func (c *session) Write(ctx context.Context, message []byte) error {
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
	defer c.release()
	text := sse.Append(c.scratch[:0], sse.Event{Name: "message", Data: message})
	if cap(text) <= keptScratch {
		c.scratch = text
	}
	return c.put(text)
}

func (c *session) release() { <-c.turn }

// put writes text within the bound of time; the turn must be held. A failure
// ends the session.
func (c *session) put(text []byte) error {
	limit := c.o.WriteTimeout + time.Duration(len(text))*time.Second/minRate
	began := time.Now()
	if c.retired {
		return c.err
	}
	err := c.rc.SetWriteDeadline(began.Add(limit))
	if c.ended() { // after the deadline was set: see end
		return c.err
	}
	if err == nil {
		_, err = c.w.Write(text)
	}
	if err == nil {
		err = c.rc.Flush()
	}
	if err == nil {
		c.last = time.Now()
		return nil
	}
	c.broken = true
	if time.Since(began) >= limit {
		err = fmt.Errorf("client does not read: %d bytes were not taken within %s", len(text), limit)
	}
	return c.end(fmt.Errorf("write message: %w", err))
}

// keepAlive puts a comment on a quiet stream, so that nobody on the way takes it
// for dead, and so that a client that has vanished is noticed.
func (c *session) keepAlive() {
	select {
	case c.turn <- struct{}{}:
	case <-c.done:
		return
	}
	defer c.release()
	quiet := time.Since(c.last)
	if quiet < c.o.KeepAlive {
		c.beat.Reset(c.o.KeepAlive - quiet)
		return
	}
	if c.put(sse.AppendComment(nil, "keep-alive")) == nil {
		c.beat.Reset(c.o.KeepAlive)
	}
}

// end ends the session; the first reason is kept, and returned. A write that is
// under way is interrupted: its deadline was set before it looked whether the
// session has ended, so the one that is set here comes later.
func (c *session) end(reason error) error {
	c.endOnce.Do(func() {
		c.err = reason
		close(c.done)
		c.cancel()
		if len(c.turn) > 0 {
			_ = c.rc.SetWriteDeadline(time.Unix(1, 0))
		}
	})
	return c.err
}

// gone ends the session of a client that has gone. A failed write looks like
// that, too: whoever writes knows better, and its write is bounded.
func (c *session) gone() {
	select {
	case c.turn <- struct{}{}:
		c.release()
		c.end(io.EOF)
	case <-c.done:
	}
}

// retire ends the session and waits until nobody uses the response.
func (c *session) retire() {
	c.end(io.ErrClosedPipe)
	c.turn <- struct{}{}
	c.retired = true
	if !c.broken { // for what the HTTP server still has to write
		_ = c.rc.SetWriteDeadline(time.Now().Add(c.o.WriteTimeout))
	}
	if c.beat != nil {
		c.beat.Stop()
	}
	c.release()
}

func (c *session) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// Close implements mcp.Conn. Read and Write then return io.ErrClosedPipe.
func (c *session) Close() error {
	c.end(io.ErrClosedPipe)
	return nil
}
