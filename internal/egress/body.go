package egress

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// body is the body of an answer. Read returns what has come and waits only
// when nothing has; the connection goes back to its host with the last byte.
// Close before that closes the connection, which tells the peer that nobody
// listens any more, unless all of the body has come already; it may be called
// while Read waits.
type body struct {
	conn     *conn
	req      *http.Request
	stop     func() bool // ends the watch over the request's context
	sender   *sender     // nil when the whole request was written with its head
	reusable bool        // what was said so far lets the connection be used again
	keepFor  time.Duration

	kind  bodyKind
	left  int64 // bytes to come of the body, or of the chunk
	chunk chunkState
	extra int // bytes of trailers so far

	mu      sync.Mutex // guards what follows
	reading bool
	closed  bool
	end     error // what Read returns from now on; nil before the end
}

// bodyKind is how a body ends (RFC 9112 §6.3).
type bodyKind int

const (
	sized bodyKind = iota
	chunked
	toTheEnd // of the connection
)

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if err := b.begin(); err != nil {
		return 0, err
	}
	n, err := b.readSome(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reading = false
	switch {
	case b.closed:
		b.finish(http.ErrBodyReadAfterClose)
		return n, http.ErrBodyReadAfterClose
	case err == io.EOF:
		b.finish(nil)
	case err != nil:
		b.finish(fmt.Errorf("read body of answer: %w", contextError(b.req.Context(), err)))
		return n, b.end
	}
	return n, err
}

func (b *body) begin() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return http.ErrBodyReadAfterClose
	}
	if b.end != nil {
		return b.end
	}
	if b.reading {
		return errors.New("body is read by two goroutines")
	}
	b.reading = true
	return nil
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	switch {
	case b.end != nil:
	case b.reading:
		b.reusable = false
		_ = b.conn.net.Close() // Read wakes up and does the rest
	case b.kind == sized && int64(len(b.conn.buffered())) >= b.left:
		b.conn.r += int(b.left) // all of it has come: there is nobody to tell
		b.finish(nil)
	default:
		b.finish(http.ErrBodyReadAfterClose)
	}
	return nil
}

// finish ends the exchange. fault is nil when the body was read to its end.
// Then the connection may be used again, unless the peer has sent more than
// the answer, the request is still being sent, or the context has interrupted it.
func (b *body) finish(fault error) {
	c := b.conn
	b.conn = nil
	b.end = fault
	if fault == nil {
		b.end = io.EOF
	}
	undisturbed := b.stop()
	if fault != nil || !b.reusable || !undisturbed || c.r != c.w || !b.sender.sentAll() {
		c.host.discard(c)
		return
	}
	c.dropBuffer()
	c.used = true
	c.expires = c.expiry(b.keepFor)
	c.host.release(c)
}

// readSome reads what has come, and returns io.EOF with the last of it.
func (b *body) readSome(p []byte) (int, error) {
	switch b.kind {
	case sized:
		return b.readSized(p)
	case chunked:
		return b.readChunked(p)
	default:
		return b.readToEnd(p)
	}
}

// take copies what is buffered, at most b.left, into p.
func (b *body) take(p []byte) int {
	have := b.conn.buffered()
	n := copy(p[:min(int64(len(p)), b.left)], have)
	b.conn.r += n
	b.left -= int64(n)
	return n
}

// more gets more of the body, of which nothing is buffered: what is large goes
// straight into p, the rest into the buffer and from there into p.
func (b *body) more(p []byte) (int, error) {
	if len(p) >= bufferBytes && b.left >= bufferBytes {
		n, err := b.conn.readDirect(p[:min(int64(len(p)), b.left)])
		b.left -= int64(n)
		return n, err
	}
	if err := b.conn.fill(); err != nil {
		return 0, err
	}
	return b.take(p), nil
}

func (b *body) readSized(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n := b.take(p)
	if n == 0 {
		var err error
		if n, err = b.more(p); err != nil {
			return n, unexpected(err)
		}
	}
	if b.left == 0 {
		return n, io.EOF
	}
	return n, nil
}

// readToEnd reads a body that ends with the connection.
func (b *body) readToEnd(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b.left = int64(len(p))
	if n := b.take(p); n > 0 {
		return n, nil
	}
	return b.more(p)
}
