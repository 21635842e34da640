package streamhttp

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

// errTooLarge is why a body was not read to its end.
var errTooLarge = errors.New("body exceeds the size bound")

// firstRead is what is set aside for a body before any of it has come: a peer
// that announces much and sends nothing costs no more.
const firstRead = 64 << 10

// readBody reads r to its end. length is what the peer announced, -1 if it did
// not say. The memory belongs to the caller: handlers and parked calls keep
// slices of it for as long as they like.
func readBody(r io.Reader, length, limit int64) ([]byte, error) {
	if length > limit {
		return nil, fmt.Errorf("%w of %d bytes", errTooLarge, limit)
	}
	if length >= 0 && length <= firstRead {
		buf := make([]byte, length)
		_, err := io.ReadFull(r, buf)
		return buf, err
	}
	buf := make([]byte, 0, 4<<10)
	if length > 0 {
		buf = make([]byte, 0, firstRead)
	}
	return readGrowing(r, buf, length, limit)
}

func readGrowing(r io.Reader, buf []byte, length, limit int64) ([]byte, error) {
	for {
		if len(buf) == cap(buf) {
			buf = grown(buf, int(min(nextSize(int64(cap(buf)), length), limit+1)))
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case int64(len(buf)) > limit:
			return nil, fmt.Errorf("%w of %d bytes", errTooLarge, limit)
		case err == io.EOF && length > int64(len(buf)):
			return nil, io.ErrUnexpectedEOF
		case err == io.EOF, err == nil && length > 0 && int64(len(buf)) == length:
			return buf, nil
		case err != nil:
			return nil, err
		}
	}
}

// maxTrusted is how much is set aside at once for a peer that has announced and
// begun to send it; further memory follows what comes.
const maxTrusted = 4 << 20

// nextSize is the size of the buffer after one of the given size is full.
func nextSize(size, length int64) int64 {
	if length <= 0 {
		return 4 * size
	}
	return min(length, max(4*size, maxTrusted))
}

func grown(buf []byte, size int) []byte {
	bigger := make([]byte, len(buf), max(size, len(buf)+1))
	copy(bigger, buf)
	return bigger
}

// buffers lends memory for what is written and then forgotten.
type buffers struct{ pool sync.Pool }

// maxPooled is the size beyond which a buffer is not kept.
const maxPooled = 64 << 10

func (b *buffers) get() *[]byte {
	if buf, ok := b.pool.Get().(*[]byte); ok {
		return buf
	}
	buf := make([]byte, 0, 1<<10)
	return &buf
}

func (b *buffers) put(buf *[]byte) {
	if cap(*buf) <= maxPooled {
		*buf = (*buf)[:0]
		b.pool.Put(buf)
	}
}
