// Package websocket carries messages over a WebSocket (RFC 6455): one message
// in one text message, subprotocol "mcp". No revision of MCP defines this
// transport; it is a custom one with the semantics of stdio (2026-07-28,
// basic/transports, "Custom transports"): one socket is one channel.
//
// It knows nothing of what the messages mean, of sessions and eras, or of who
// calls: that is decided before the upgrade. It does not dial by itself.
package websocket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/coder/websocket"

	"github.com/dragoman-mcp/dragoman/mcp"
)

// Subprotocol is the subprotocol that both ends name.
const Subprotocol = "mcp"

// Options are those of a connection. The zero value serves; Dial needs HTTPClient.
type Options struct {
	// MaxMessageBytes bounds a message that is read; 0 means 64 MiB.
	MaxMessageBytes int
	// WriteTimeout bounds how long a peer may take for a message, to which is
	// added a second for each 64 KiB; 0 means 10 s. A peer that needs longer is
	// cut off.
	WriteTimeout time.Duration
	// PingInterval is how often the peer is asked whether it is still there; 0
	// means 30 s, less than 0 never.
	PingInterval time.Duration
	// PongTimeout is how long it may take to answer; 0 means 15 s.
	PongTimeout time.Duration
	// CheckOrigin decides whether Upgrade takes a request, by its Origin. When
	// nil, a request with an Origin must come from the host that it goes to.
	CheckOrigin func(*http.Request) bool
	// HTTPClient makes the request of Dial. It must have a Transport, and
	// responses that switch protocols must come out of that with their body as
	// it was. Unless it has a CheckRedirect, redirects are refused.
	HTTPClient *http.Client
	// Header is sent by Dial.
	Header http.Header
}

const (
	// closeTimeout bounds the closing handshake.
	closeTimeout = 2 * time.Second
	// minRate is what a peer must take of a long message, in bytes per second.
	minRate = 64 << 10
	// fragment is the length from which a message is sent in several frames,
	// between which answers to pings can go.
	fragment = 1 << 20
	// firstBuffer is the room that a message is given before its length is known.
	firstBuffer = 1 << 10
)

func (o Options) withDefaults() Options {
	or := func(d *time.Duration, fallback time.Duration) {
		if *d == 0 {
			*d = fallback
		}
	}
	or(&o.WriteTimeout, 10*time.Second)
	or(&o.PingInterval, 30*time.Second)
	or(&o.PongTimeout, 15*time.Second)
	if o.MaxMessageBytes <= 0 {
		o.MaxMessageBytes = 64 << 20
	}
	return o
}

// conn is one socket. When the context of a Read ends, the socket is closed.
type conn struct {
	ws  *websocket.Conn
	cut io.Closer // ends the socket without ceremony
	o   Options

	turn     chan struct{} // held by who writes
	reading  atomic.Bool   // pongs are seen only while somebody reads
	progress atomic.Int64  // counts what was read

	pinger  sync.WaitGroup
	endOnce sync.Once
	done    chan struct{} // closed when the connection ends
	err     error         // why; set before done is closed
}

func newConn(ws *websocket.Conn, cut io.Closer, o Options) mcp.Conn {
	c := &conn{ws: ws, cut: cut, o: o, turn: make(chan struct{}, 1), done: make(chan struct{})}
	ws.SetReadLimit(int64(o.MaxMessageBytes))
	if o.PingInterval > 0 {
		c.pinger.Go(c.keepAlive)
	}
	return c
}

// Read implements mcp.Conn.
func (c *conn) Read(ctx context.Context) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, c.end(err, websocket.StatusGoingAway)
	}
	stop := context.AfterFunc(ctx, func() { c.end(ctx.Err(), websocket.StatusGoingAway) })
	defer stop()
	c.reading.Store(true)
	defer c.reading.Store(false)
	kind, r, err := c.ws.Reader(context.Background()) // the library's use of contexts costs more
	switch {
	case err != nil:
		return nil, c.readFailed(err)
	case kind != websocket.MessageText:
		return nil, c.end(errors.New("read message: peer sent a binary message, want text"), websocket.StatusUnsupportedData)
	}
	message, err := c.readMessage(r)
	if err != nil {
		return nil, c.readFailed(err)
	}
	if c.ended() {
		return nil, c.err
	}
	if !utf8.Valid(message) { // RFC 6455, 8.1; the library leaves it to its users
		return nil, c.end(errors.New("read message: text is not UTF-8"), websocket.StatusInvalidFramePayloadData)
	}
	return message, nil
}

func (c *conn) readMessage(r io.Reader) ([]byte, error) {
	message := make([]byte, 0, firstBuffer)
	for {
		if len(message) == cap(message) {
			bigger := make([]byte, len(message), 2*cap(message))
			copy(bigger, message)
			message = bigger
		}
		n, err := r.Read(message[len(message):cap(message)])
		message = message[:len(message)+n]
		c.progress.Add(1)
		if err == io.EOF {
			return message, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// readFailed ends the connection and returns why.
func (c *conn) readFailed(err error) error {
	switch websocket.CloseStatus(err) {
	case websocket.StatusNormalClosure, websocket.StatusGoingAway, websocket.StatusNoStatusRcvd:
		return c.end(io.EOF, websocket.StatusNormalClosure)
	}
	if errors.Is(err, websocket.ErrMessageTooBig) {
		return c.end(fmt.Errorf("read message: longer than the bound of %d bytes", c.o.MaxMessageBytes), websocket.StatusMessageTooBig)
	}
	if errors.Is(err, io.EOF) { // without the closing handshake
		err = io.ErrUnexpectedEOF
	}
	return c.end(fmt.Errorf("read message: %w", err), websocket.StatusProtocolError)
}

// Write implements mcp.Conn. ctx bounds the waiting for other writers; once the
// message is on its way, the write timeout does.
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
	defer func() { <-c.turn }()
	limit := c.o.WriteTimeout + time.Duration(len(message))*time.Second/minRate
	late := time.AfterFunc(limit, func() {
		c.kill(fmt.Errorf("write message: peer does not read: %d bytes were not taken within %s", len(message), limit))
	})
	defer late.Stop()
	if err := c.put(message); err != nil {
		return c.end(fmt.Errorf("write message: %w", err), websocket.StatusNormalClosure)
	}
	return nil
}

func (c *conn) put(message []byte) error {
	ctx := context.Background()
	if len(message) <= fragment {
		return c.ws.Write(ctx, websocket.MessageText, message)
	}
	w, err := c.ws.Writer(ctx, websocket.MessageText)
	for err == nil && len(message) > 0 {
		n := min(len(message), fragment)
		_, err = w.Write(message[:n])
		message = message[n:]
	}
	if err != nil {
		return err
	}
	return w.Close()
}

// keepAlive finds out that a peer has gone without a word.
func (c *conn) keepAlive() {
	tick := time.NewTicker(c.o.PingInterval)
	defer tick.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-tick.C:
		}
		before := c.progress.Load()
		if !c.reading.Load() || c.ping() == nil {
			continue
		}
		// A pong waits behind a long message of the peer's, a ping behind one
		// of ours, which has its own bound.
		if c.reading.Load() && c.progress.Load() == before && len(c.turn) == 0 {
			c.kill(fmt.Errorf("peer has not answered a ping within %s", c.o.PongTimeout))
			return
		}
	}
}

func (c *conn) ping() error {
	ctx, cancel := context.WithTimeout(context.Background(), c.o.PongTimeout)
	defer cancel()
	return c.ws.Ping(ctx)
}

// kill ends a connection whose peer cannot be talked to.
func (c *conn) kill(reason error) { c.end(reason, 0) }

// end closes the socket and waits until it is closed. The handshake is given
// closeTimeout; status 0 means none. The first reason is kept, and returned.
func (c *conn) end(reason error, status websocket.StatusCode) error {
	c.endOnce.Do(func() {
		c.err = reason
		close(c.done)
		if status == 0 {
			_ = c.cut.Close()
		}
		late := time.AfterFunc(closeTimeout, func() { _ = c.cut.Close() })
		defer late.Stop()
		_ = c.ws.Close(max(status, websocket.StatusNormalClosure), "")
	})
	return c.err
}

func (c *conn) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// Close implements mcp.Conn. Read and Write then return io.ErrClosedPipe.
func (c *conn) Close() error {
	c.end(io.ErrClosedPipe, websocket.StatusNormalClosure)
	c.pinger.Wait()
	return nil
}
