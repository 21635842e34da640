package streamhttp

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/sse"
)

// writePiece is how much a client must take within the write timeout.
const writePiece = 256 << 10

// errGone is the error of writing to a stream whose connection has ended.
var errGone = errors.New("the connection of the stream has ended")

// output is the answer to one HTTP request, with a deadline for each piece of it.
type output struct {
	w       http.ResponseWriter
	control http.ResponseController
	timeout time.Duration
	conn    net.Conn // in the place of both when it was taken over
}

func newOutput(w http.ResponseWriter, timeout time.Duration) output {
	return output{w: w, control: *http.NewResponseController(w), timeout: timeout}
}

// write writes text piece by piece. A client that does not take a piece in time
// is cut: the deadline ends the connection. Writers without deadlines, as in
// tests, have none.
func (o *output) write(text []byte) error {
	if o.conn != nil {
		return o.writeChunk(text)
	}
	for len(text) > 0 {
		piece := text[:min(len(text), writePiece)]
		_ = o.control.SetWriteDeadline(time.Now().Add(o.timeout))
		if _, err := o.w.Write(piece); err != nil {
			return err
		}
		text = text[len(piece):]
	}
	return nil
}

// writeChunk writes text as one chunk (RFC 9112 §7.1), piece by piece as write.
func (o *output) writeChunk(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	framed := append(strconv.AppendInt(make([]byte, 0, len(text)+20), int64(len(text)), 16), "\r\n"...)
	framed = append(append(framed, text...), "\r\n"...)
	for len(framed) > 0 {
		piece := framed[:min(len(framed), writePiece)]
		_ = o.conn.SetWriteDeadline(time.Now().Add(o.timeout))
		if _, err := o.conn.Write(piece); err != nil {
			return err
		}
		framed = framed[len(piece):]
	}
	return nil
}

// flush sends what net/http holds back.
func (o *output) flush() error {
	if o.conn != nil {
		return nil
	}
	_ = o.control.SetWriteDeadline(time.Now().Add(o.timeout))
	return o.control.Flush()
}

// eventWriter is the event stream that answers one HTTP request. Its methods may
// be called concurrently; the request's handler calls end before it returns, and
// from then on nothing is written.
type eventWriter struct {
	out   output
	every time.Duration // between comments on a quiet stream
	ended chan struct{} // closed by end; nil where nobody waits for it

	mu    sync.Mutex // guards what follows, and the writing
	err   error      // why nothing can be written any more
	alive *time.Timer
}

// openEvents begins an event stream.
func openEvents(out output, s *Server) *eventWriter {
	h := out.w.Header()
	h["Content-Type"] = s.fixed.events
	h["Cache-Control"] = s.fixed.noCache
	h["X-Accel-Buffering"] = s.fixed.no
	out.w.WriteHeader(http.StatusOK)
	e := &eventWriter{out: out, every: s.o.KeepAlive}
	e.mu.Lock() // the timer may fire before it is stored
	defer e.mu.Unlock()
	e.alive = time.AfterFunc(e.every, e.comment)
	return e
}

// write sends text, whole events, at once. After a failure the stream is dead.
func (e *eventWriter) write(text []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.put(text)
}

func (e *eventWriter) put(text []byte) error {
	if e.err != nil {
		return e.err
	}
	err := e.out.write(text)
	if err == nil {
		err = e.out.flush()
	}
	if err != nil {
		e.stop(err)
		return err
	}
	e.alive.Reset(e.every)
	return nil
}

// comment keeps proxies from taking a quiet stream for a dead one, and notices
// clients that have gone without a word.
func (e *eventWriter) comment() {
	e.mu.Lock()
	defer e.mu.Unlock()
	_ = e.put(sse.AppendComment(nil, "keep-alive"))
}

// end stops the stream; what is being written is finished first.
func (e *eventWriter) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stop(errGone)
}

func (e *eventWriter) stop(err error) {
	if e.err != nil {
		return
	}
	e.err = err
	e.alive.Stop()
	if e.ended != nil {
		close(e.ended)
	}
	if e.out.conn != nil {
		e.hangUp(err)
	}
}

// lastChunkTimeout bounds the last word to a client that may have gone.
const lastChunkTimeout = time.Second

// hangUp closes a connection that was taken over; a stream that nothing broke
// gets its last chunk.
func (e *eventWriter) hangUp(why error) {
	if errors.Is(why, errGone) {
		_ = e.out.conn.SetWriteDeadline(time.Now().Add(lastChunkTimeout))
		_, _ = e.out.conn.Write([]byte("0\r\n\r\n"))
	}
	_ = e.out.conn.Close()
}

// takeOver makes the connection of a stream that has begun our own, so that
// net/http lets go of its goroutines and buffers for it. It reports false when
// the server does not give connections away, and nothing has changed then.
func (e *eventWriter) takeOver() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		return false
	}
	conn, buffered, err := e.out.control.Hijack()
	if err != nil {
		return false
	}
	if err := buffered.Flush(); err != nil {
		_ = conn.Close()
		e.stop(err)
	}
	e.out = output{conn: conn, timeout: e.out.timeout}
	return true
}

// maxIgnored is how much a client may send behind a request whose answer lasts
// as long as the connection: what it sends means nothing.
const maxIgnored = 64 << 10

// await waits until the client has closed a connection that was taken over, or
// end has.
func (e *eventWriter) await() {
	e.mu.Lock()
	conn := e.out.conn
	e.mu.Unlock()
	ignored := make([]byte, 64)
	for sum := 0; sum < maxIgnored; {
		n, err := conn.Read(ignored)
		if err != nil {
			return
		}
		sum += n
	}
}

// appendMessageEvent appends m as one event.
func appendMessageEvent(dst []byte, id string, m jsonrpc.Message) []byte {
	if id != "" {
		dst = append(append(dst, "id: "...), id...)
		dst = append(dst, '\n')
	}
	dst = append(dst, "data: "...)
	start := len(dst)
	dst = m.Append(dst)
	onOneLine(dst[start:], '\n')
	onOneLine(dst[start:], '\r')
	return append(dst, "\n\n"...)
}

// onOneLine puts spaces in the place of line breaks, which stand between the
// tokens of a message only.
func onOneLine(text []byte, lineBreak byte) {
	for i := bytes.IndexByte(text, lineBreak); i >= 0; i = bytes.IndexByte(text, lineBreak) {
		text[i] = ' '
		text = text[i+1:]
	}
}
