package stdio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	// firstBuffer is what a silent connection takes.
	firstBuffer = 4 << 10
	// keptBuffer is the largest buffer that is kept after a message.
	keptBuffer = 64 << 10
	// handOver is the length from which a message is not copied: the caller
	// gets the buffer that it was read into.
	handOver = 16 << 10
	// maxNoise is the number of lines in a row that are no message after which
	// the peer is taken for something else than an MCP server.
	maxNoise = 1000
	// shownNoise is how much of such a line is shown.
	shownNoise = 200
	// maxIdleReads bounds readers that return neither bytes nor an error.
	maxIdleReads = 100
)

// lines cuts what is read into messages. It is used by one goroutine at a time.
type lines struct {
	r     io.Reader
	max   int
	noise func(string)

	buf     []byte // what has been read and not yet been returned begins at start
	start   int
	seen    int // up to where there is no line end
	strikes int
	err     error // of r, final
}

// next returns the next message. It may be called again after an
// os.ErrDeadlineExceeded: nothing that was read is lost.
func (l *lines) next() ([]byte, error) {
	for {
		if message, err := l.one(); message != nil || err != nil {
			return message, err
		}
	}
}

// one returns the next line if it is a message, and nil if it is none.
func (l *lines) one() ([]byte, error) {
	line, err := l.line()
	if err != nil {
		return nil, err
	}
	line = bytes.TrimSuffix(line, []byte{'\r'})
	if len(line) > l.max {
		return nil, l.tooLong()
	}
	switch first := firstByte(line); {
	case first == 0:
	case first == '{' || first == '[':
		l.strikes = 0
		return l.take(line), nil
	default:
		if err := l.strike(line); err != nil {
			return nil, err
		}
	}
	l.shrink()
	return nil, nil
}

// ready reports whether one returns without reading.
func (l *lines) ready() bool {
	return l.err != nil || bytes.IndexByte(l.buf[l.seen:], '\n') >= 0
}

// line returns the next line, which is valid until the buffer is touched. What
// the end of the input cuts off is a line, too.
func (l *lines) line() ([]byte, error) {
	for {
		if n := bytes.IndexByte(l.buf[l.seen:], '\n'); n >= 0 {
			line := l.buf[l.start : l.seen+n]
			l.start = l.seen + n + 1
			l.seen = l.start
			return line, nil
		}
		l.seen = len(l.buf)
		err := l.fill()
		if errors.Is(err, io.EOF) && l.start < len(l.buf) {
			line := l.buf[l.start:]
			l.start = len(l.buf)
			return line, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// fill reads more behind what is in the buffer.
func (l *lines) fill() error {
	if l.err != nil {
		return l.err
	}
	if l.start > 0 {
		l.buf = l.buf[:copy(l.buf, l.buf[l.start:])]
		l.start, l.seen = 0, len(l.buf)
	}
	room := l.max + len("\r\n")
	if len(l.buf) >= room {
		return l.tooLong()
	}
	if len(l.buf) == cap(l.buf) {
		l.grow(room)
	}
	for range maxIdleReads {
		n, err := l.r.Read(l.buf[len(l.buf):min(cap(l.buf), room)])
		l.buf = l.buf[:len(l.buf)+n]
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			l.err = err
		}
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	l.err = io.ErrNoProgress
	return l.err
}

// grow takes four times the room while buffers are cheap, then twice.
func (l *lines) grow(room int) {
	size := max(firstBuffer, 2*cap(l.buf))
	if cap(l.buf) > 0 && size < keptBuffer {
		size *= 2
	}
	bigger := make([]byte, len(l.buf), min(size, room))
	copy(bigger, l.buf)
	l.buf = bigger
}

// take returns line as the caller's own.
func (l *lines) take(line []byte) []byte {
	if len(line) < handOver {
		own := bytes.Clone(line)
		l.shrink()
		return own
	}
	l.restart()
	return line[:len(line):len(line)]
}

func (l *lines) shrink() {
	if cap(l.buf) > keptBuffer && len(l.buf)-l.start < firstBuffer {
		l.restart()
	}
}

// restart leaves the buffer to whoever has parts of it.
func (l *lines) restart() {
	rest := l.buf[l.start:]
	l.buf = append(make([]byte, 0, max(firstBuffer, len(rest))), rest...)
	l.start, l.seen = 0, 0
}

func (l *lines) tooLong() error {
	l.err = fmt.Errorf("read message: line is longer than the bound of %d bytes", l.max)
	l.buf, l.start, l.seen = nil, 0, 0
	return l.err
}

// strike counts a line that is no message. The server "MUST NOT write anything
// to its stdout that is not a valid MCP message", but many print a banner first.
func (l *lines) strike(line []byte) error {
	l.strikes++
	shown := string(line[:min(len(line), shownNoise)])
	l.noise(shown)
	if l.strikes < maxNoise {
		return nil
	}
	l.err = fmt.Errorf("read message: %d lines in a row are not JSON, the last begins with %q", l.strikes, shown)
	return l.err
}

// firstByte returns '{' or '[' for a line that looks like a message or a batch
// of messages, 0 for one that holds only white space, and '?' for all else, such
// as "[INFO] listening".
func firstByte(line []byte) byte {
	line = bytes.TrimLeft(line, " \t\r")
	if len(line) == 0 {
		return 0
	}
	if line[0] == '{' {
		return '{'
	}
	if line[0] != '[' {
		return '?'
	}
	inner := bytes.TrimLeft(line[1:], " \t\r")
	if len(inner) == 0 || inner[0] != '{' && inner[0] != ']' {
		return '?'
	}
	return '['
}
