package egress

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"
)

// sender sends a body that did not fit with the head, while the answer is
// awaited: a peer may answer before it has read all (RFC 9112 §9.3).
type sender struct {
	done chan struct{}
	err  error // once done is closed
}

// startSender sends the rest of out over c and closes the body. A body that
// fails breaks c off, so that who waits for the answer learns it. When it is
// the connection that fails, the answer may be there already: who waits will see.
func startSender(c *conn, out outgoing) *sender {
	s := &sender{done: make(chan struct{})}
	go func() {
		var bodyFailed bool
		bodyFailed, s.err = sendRest(c, out)
		_ = out.rest.Close()
		close(s.done) // before who waits is woken and asks why; with an error the connection is used by nobody else
		if bodyFailed {
			c.interrupt()
		}
	}()
	return s
}

// grace is how long a complete answer waits for the sender to say that it has
// ended: it may have written its last byte without having run since. A sender
// that still has bytes to send costs the connection.
const grace = 10 * time.Millisecond

// sentAll reports whether all was sent, after the grace at the latest.
func (s *sender) sentAll() bool {
	if s == nil {
		return true
	}
	wait := time.NewTimer(grace)
	defer wait.Stop()
	select {
	case <-s.done:
		return s.err == nil
	case <-wait.C:
		return false
	}
}

// fault returns why the sending failed; nil if it did not, or not yet.
func (s *sender) fault() error {
	if s == nil {
		return nil
	}
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// sendRest sends a body piece by piece. Without a known size each piece is a
// chunk (RFC 9112 §7.1).
func sendRest(c *conn, out outgoing) (bodyFailed bool, err error) {
	const room = len("10000\r\n") // the size line of the largest chunk
	buf := make([]byte, room+maxInline+2)
	var sent int64
	for {
		n, readErr := out.rest.Read(buf[room : room+maxInline])
		sent += int64(n)
		piece := buf[room : room+n]
		switch {
		case out.size >= 0 && sent > out.size:
			return true, fmt.Errorf("request body is longer than its ContentLength of %d", out.size)
		case out.size < 0 && n > 0:
			piece = asChunk(buf, room, n)
		}
		if _, err := c.net.Write(piece); err != nil {
			return false, fmt.Errorf("send request body: %w", err)
		}
		if errors.Is(readErr, io.EOF) {
			return endOfBody(c, out.size, sent)
		}
		if readErr != nil {
			return true, fmt.Errorf("read request body: %w", readErr)
		}
	}
}

// asChunk frames the n bytes after buf[room] where they are.
func asChunk(buf []byte, room, n int) []byte {
	line := strconv.FormatInt(int64(n), 16) + "\r\n"
	from := room - len(line)
	copy(buf[from:], line)
	copy(buf[room+n:], "\r\n")
	return buf[from : room+n+2]
}

func endOfBody(c *conn, size, sent int64) (bodyFailed bool, err error) {
	switch {
	case size < 0:
		_, err := c.net.Write([]byte("0\r\n\r\n"))
		return false, err
	case sent < size:
		return true, fmt.Errorf("request body has %d bytes, its ContentLength is %d", sent, size)
	}
	return false, nil
}

// texts lends buffers for outgoing.text.
type texts struct{ pool sync.Pool }

func (t *texts) get() *[]byte {
	if p, ok := t.pool.Get().(*[]byte); ok {
		return p
	}
	p := make([]byte, 0, bufferBytes)
	return &p
}

// put takes a buffer back, unless a large body has made it large.
func (t *texts) put(p *[]byte, text []byte) {
	if cap(text) <= 4*bufferBytes {
		*p = text[:0]
		t.pool.Put(p)
	}
}
