package egress

import (
	"errors"
	"fmt"
	"io"

	"golang.org/x/net/http/httpguts"
)

// chunkState is what a chunked body has next (RFC 9112 §7.1).
type chunkState int

const (
	chunkSize chunkState = iota
	chunkData
	chunkEnd
	chunkTrailer
	chunkDone
)

const (
	// maxChunkLine bounds the line with a chunk's size and its extensions, of
	// which no peer needs any.
	maxChunkLine = 256
	// maxTrailers bounds the bytes of trailers, which are checked and dropped.
	maxTrailers = 4 << 10
	// maxChunkDigits keeps the size of a chunk within an int64.
	maxChunkDigits = 15
)

// errNotYet says that the next line of framing has not come.
var errNotYet = errors.New("not yet")

// readChunked reads pieces until p is full or nothing more has come. Framing
// that has come after the last piece is read too, so that the end is seen with
// the last byte.
func (b *body) readChunked(p []byte) (int, error) {
	n := 0
	for b.chunk != chunkDone {
		if b.chunk == chunkData {
			got, err := b.chunkPiece(p[n:], n == 0)
			if n += got; err != nil || b.left > 0 {
				return n, err
			}
			b.chunk = chunkEnd
		}
		err := b.frame(n == 0 && len(p) > 0)
		if err == errNotYet {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
	return n, io.EOF
}

// chunkPiece reads some of a chunk into p, and waits only if it may and must.
func (b *body) chunkPiece(p []byte, wait bool) (int, error) {
	n := b.take(p)
	if n > 0 || len(p) == 0 || !wait {
		return n, nil
	}
	n, err := b.more(p)
	if err != nil {
		return n, unexpected(err)
	}
	return n, nil
}

// frame reads one line of framing and sets what comes next. It waits for the
// line only if it may.
func (b *body) frame(wait bool) error {
	line, err := b.line(wait)
	if err != nil {
		return err
	}
	switch b.chunk {
	case chunkSize:
		if b.left, err = parseChunkSize(line); err != nil {
			return err
		}
		b.chunk = chunkData
		if b.left == 0 {
			b.chunk = chunkTrailer
		}
	case chunkEnd:
		if len(line) > 0 {
			return fmt.Errorf("chunk is longer than its size: %.20q", line)
		}
		b.chunk = chunkSize
	case chunkTrailer:
		return b.trailer(line)
	}
	return nil
}

func (b *body) trailer(line []byte) error {
	if len(line) == 0 {
		b.chunk = chunkDone
		return nil
	}
	if b.extra += len(line); b.extra > maxTrailers {
		return fmt.Errorf("trailers are larger than %d bytes", maxTrailers)
	}
	_, _, err := parseLine(string(line))
	return err
}

// line takes a line out of the buffer, without its CR LF. It is valid until
// the next read.
func (b *body) line(wait bool) ([]byte, error) {
	limit := maxChunkLine
	if b.chunk == chunkTrailer {
		limit = maxTrailers
	}
	for {
		line, found, err := cutFraming(b.conn.buffered(), limit)
		if err != nil {
			return nil, err
		}
		if found {
			b.conn.r += len(line) + 2
			return line, nil
		}
		if !wait {
			return nil, errNotYet
		}
		if err := b.conn.fill(); err != nil {
			return nil, unexpected(err)
		}
	}
}

// cutFraming returns the first line of buf if it is there.
func cutFraming(buf []byte, limit int) (line []byte, found bool, err error) {
	for i, c := range buf {
		switch {
		case c == '\r' && i+1 == len(buf):
			return nil, false, nil
		case c == '\r' && buf[i+1] == '\n':
			return buf[:i], true, nil
		case c == '\r' || c == '\n':
			return nil, false, errBareLF
		case i >= limit:
			return nil, false, fmt.Errorf("line of chunk framing is longer than %d bytes", limit)
		}
	}
	return nil, false, nil
}

// parseChunkSize reads 1*HEXDIG and passes over extensions (RFC 9112 §7.1.1).
func parseChunkSize(line []byte) (int64, error) {
	var size int64
	digits := 0
	for digits < len(line) {
		d, ok := hexDigit(line[digits])
		if !ok {
			break
		}
		size = size<<4 | d
		digits++
		if digits > maxChunkDigits {
			return 0, fmt.Errorf("size of chunk is too large: %.20q", line)
		}
	}
	rest := line[digits:]
	if digits == 0 || len(rest) > 0 && rest[0] != ';' || !httpguts.ValidHeaderFieldValue(string(rest)) {
		return 0, fmt.Errorf("not the size of a chunk: %.20q", line)
	}
	return size, nil
}

func hexDigit(c byte) (int64, bool) {
	switch {
	case '0' <= c && c <= '9':
		return int64(c - '0'), true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int64(c|0x20-'a') + 10, true
	}
	return 0, false
}
