// Package h1 reads and writes HTTP/1.1 messages on a connection at the least cost that Go allows: one growing buffer, no
// map of headers, no goroutine. The benchmark's client and upstream use it, so that what they spend is small beside what is
// measured. It trusts its peers to be the benchmark's own or a gateway under test: it checks framing and bounds. It does not
// know TLS, HTTP/2 or trailers, and knows nothing of MCP.
package h1

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Bounds on what a peer may send: a head of MaxHead bytes and a body of MaxBody bytes.
const (
	MaxHead = 64 << 10
	MaxBody = 64 << 20
)

// ErrTooLarge says that a head or a body went over its bound.
var ErrTooLarge = errors.New("read HTTP message: larger than the bound")

// Field is one header line. Both slices point into the Reader's buffer.
type Field struct{ Name, Value []byte }

// Message is one request or response. What it holds is valid until the next ReadHead on the same Reader.
type Message struct {
	Start  []byte // the request line or the status line
	Fields []Field
	Body   []byte
	// Close says that the sender closes the connection after this message.
	Close bool

	length  int64 // of the body; -1 is chunked, -2 is until the end of the connection
	hasSize bool
}

// Get returns the value of the first field called name, or nil. Case of letters does not count.
func (m *Message) Get(name string) []byte {
	for i := range m.Fields {
		if equalFold(m.Fields[i].Name, name) {
			return m.Fields[i].Value
		}
	}
	return nil
}

// Status returns the number in a status line, or 0.
func (m *Message) Status() int {
	if len(m.Start) < 12 {
		return 0
	}
	status, err := strconv.Atoi(string(m.Start[9:12]))
	if err != nil {
		return 0
	}
	return status
}

// Sized reports whether the head says how long the body is; else it ends with a last chunk or with the connection.
func (m *Message) Sized() bool { return m.length >= 0 }

// Request returns method and target of a request line.
func (m *Message) Request() (method, target []byte) {
	method, rest, _ := bytes.Cut(m.Start, []byte{' '})
	target, _, _ = bytes.Cut(rest, []byte{' '})
	return method, target
}

// Reader reads messages one after another. It is not safe for concurrent use.
type Reader struct {
	from    io.Reader
	buf     []byte // buf[r:w] is read and not yet taken
	r, w    int
	chunked []byte // the joined body of a chunked message
}

// NewReader returns a Reader with a buffer of size bytes, which grows when a message needs it.
func NewReader(from io.Reader, size int) *Reader {
	return &Reader{from: from, buf: make([]byte, size)}
}

// Buffered returns what has been read and not yet taken: of a body to come, or of later messages.
func (r *Reader) Buffered() []byte { return r.buf[r.r:r.w] }

// ReadHead reads the start line and the fields into m. io.EOF means that the peer closed between two messages.
func (r *Reader) ReadHead(m *Message) error {
	copy(r.buf, r.buf[r.r:r.w])
	r.w -= r.r
	r.r = 0
	seen := 0
	for {
		if n := bytes.Index(r.buf[max(0, seen-3):r.w], []byte("\r\n\r\n")); n >= 0 {
			end := max(0, seen-3) + n
			r.r = end + 4
			return m.parse(r.buf[:end])
		}
		seen = r.w
		if seen > MaxHead {
			return ErrTooLarge
		}
		if err := r.fill(); err != nil {
			if err == io.EOF && seen > 0 {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
}

// ReadBody reads the whole body of the message whose head m holds. Of a response to be read, status 204 and 304 have none.
func (r *Reader) ReadBody(m *Message) error {
	var err error
	switch {
	case m.length >= 0:
		m.Body, err = r.take(m.length)
	case m.length == -1:
		m.Body, err = r.takeChunks()
	default:
		m.Body, err = r.takeRest()
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (r *Reader) fill() error {
	if r.w == len(r.buf) {
		r.buf = append(r.buf, make([]byte, len(r.buf))...)
	}
	n, err := r.from.Read(r.buf[r.w:])
	r.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// take returns the next n bytes, in place.
func (r *Reader) take(n int64) ([]byte, error) {
	if n > MaxBody {
		return nil, ErrTooLarge
	}
	end := r.r + int(n)
	if end > len(r.buf) {
		r.buf = append(r.buf, make([]byte, end-len(r.buf))...)
	}
	for r.w < end {
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
	body := r.buf[r.r:end]
	r.r = end
	return body, nil
}

func (r *Reader) takeRest() ([]byte, error) {
	for {
		if r.w-r.r > MaxBody {
			return nil, ErrTooLarge
		}
		if err := r.fill(); err == io.EOF {
			return r.take(int64(r.w - r.r))
		} else if err != nil {
			return nil, err
		}
	}
}

func (r *Reader) takeChunks() ([]byte, error) {
	r.chunked = r.chunked[:0]
	for {
		size, err := r.chunkSize()
		if err != nil {
			return nil, err
		}
		if int64(len(r.chunked))+size > MaxBody {
			return nil, ErrTooLarge
		}
		chunk, err := r.take(size + 2) // the chunk and its line end; the last chunk's is the end of an empty trailer
		if err != nil {
			return nil, err
		}
		if string(chunk[size:]) != "\r\n" {
			return nil, errors.New("read HTTP chunk: no line end after it, or a trailer")
		}
		if size == 0 {
			return r.chunked, nil
		}
		r.chunked = append(r.chunked, chunk[:size]...)
	}
}

func (r *Reader) chunkSize() (int64, error) {
	for {
		line, _, ok := bytes.Cut(r.buf[r.r:r.w], []byte("\r\n"))
		if ok {
			r.r += len(line) + 2
			text, _, _ := bytes.Cut(line, []byte{';'})
			size, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 16, 31)
			if err != nil {
				return 0, fmt.Errorf("read HTTP chunk size: %w", err)
			}
			return int64(size), nil
		}
		if len(line) > 256 {
			return 0, ErrTooLarge
		}
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
}

// parse reads the head, which ends before the empty line.
func (m *Message) parse(head []byte) error {
	line, rest, _ := bytes.Cut(head, []byte("\r\n"))
	*m = Message{Start: line, Fields: m.Fields[:0]}
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 {
			return fmt.Errorf("read HTTP head: line %q has no name", line)
		}
		field := Field{Name: line[:colon], Value: bytes.TrimSpace(line[colon+1:])}
		m.Fields = append(m.Fields, field)
		if err := m.frame(field); err != nil {
			return err
		}
	}
	m.settle()
	return nil
}

// frame notes what a field says about where the body ends.
func (m *Message) frame(field Field) error {
	switch {
	case equalFold(field.Name, "content-length"):
		n, err := strconv.ParseUint(string(field.Value), 10, 62)
		if err != nil || m.hasSize {
			return fmt.Errorf("read HTTP head: content length %q given badly or twice", field.Value)
		}
		m.length, m.hasSize = int64(n), true
	case equalFold(field.Name, "transfer-encoding"):
		if !equalFold(field.Value, "chunked") || m.hasSize {
			return fmt.Errorf("read HTTP head: transfer encoding %q not supported", field.Value)
		}
		m.length, m.hasSize = -1, true
	case equalFold(field.Name, "connection"):
		m.Close = equalFold(field.Value, "close")
	}
	return nil
}

// settle decides the body of a message that names no length: none for a request and for 1xx, 204 and 304, else until the end
// of the connection (RFC 9112 §6.3).
func (m *Message) settle() {
	if !bytes.HasPrefix(m.Start, []byte("HTTP/")) {
		return
	}
	status := m.Status()
	switch {
	case status < 200 || status == 204 || status == 304:
		m.length = 0
	case !m.hasSize:
		m.length, m.Close = -2, true
	}
}

func equalFold(got []byte, want string) bool {
	return len(got) == len(want) && bytes.EqualFold(got, []byte(want))
}
