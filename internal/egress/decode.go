package egress

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

const (
	// maxWindow bounds the memory of a zstd decoder (RFC 9659 §3).
	maxWindow = 8 << 20
	// brotliWindow is the longest that a brotli stream may have (RFC 7932 §9.1);
	// its decoder cannot be told to take less.
	brotliWindow = 16 << 20
	// besides is what a decoder needs besides its window, generously.
	besides = 2 << 20
	// maxRatio is how much longer than its compressed form a body may be. Texts
	// reach 20 to 1; what goes beyond this is made to.
	maxRatio = 100
	// ratioFrom is from how many bytes on the ratio counts: a short body of one
	// letter may well be 500 to 1.
	ratioFrom = 1 << 20
)

// codings are those that are asked for: of which the window is no larger than
// the body may be, so that both together take twice the limit at most.
func codings(limit int64) string {
	switch {
	case limit >= brotliWindow+besides:
		return "gzip, br, zstd"
	case limit >= maxWindow+besides:
		return "gzip, zstd"
	}
	return "gzip"
}

// decoded replaces a compressed body by what it means, bounded, and reports
// whether there was one. asked are the codings that were asked for.
func decoded(res *http.Response, limit int64, asked string) (bool, error) {
	coding := strings.ToLower(strings.TrimSpace(strings.Join(res.Header["Content-Encoding"], ",")))
	if coding == "" || coding == "identity" || res.Body == http.NoBody || res.ContentLength == 0 {
		return false, nil
	}
	if coding == "x-gzip" { // RFC 9110 §8.4.1.3
		coding = "gzip"
	}
	if !slices.Contains(strings.Split(asked, ", "), coding) {
		return false, fmt.Errorf("%w: it comes as %.40q, asked for was %s", ErrCoding, coding, asked)
	}
	packed := &counted{r: res.Body}
	out := &bounded{closers: []io.Closer{res.Body}, left: limit, limit: limit, packed: packed}
	switch coding {
	case "gzip":
		out.Reader = &lazyGzip{r: packed} // its constructor reads, and a body may come late
	case "br":
		out.Reader = brotli.NewReader(packed)
	case "zstd":
		r, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(uint64(max(limit, maxWindow))))
		if err != nil {
			return false, fmt.Errorf("decompress answer: %w", err)
		}
		out.Reader = r
		out.closers = append(out.closers, r.IOReadCloser())
	}
	res.Body = out
	res.Header.Del("Content-Encoding")
	res.Header.Del("Content-Length")
	res.ContentLength = -1
	res.Uncompressed = true
	return true, nil
}

// lazyGzip reads the head of a gzip stream with the first read.
type lazyGzip struct {
	r io.Reader
	z *gzip.Reader
}

func (l *lazyGzip) Read(p []byte) (int, error) {
	if l.z == nil {
		z, err := gzip.NewReader(l.r)
		if err != nil {
			return 0, fmt.Errorf("decompress answer: %w", err)
		}
		l.z = z
	}
	return l.z.Read(p)
}

// counted counts what was read.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// bounded is a body that fails when it becomes longer than it may.
type bounded struct {
	io.Reader
	closers     []io.Closer
	left, limit int64
	packed      *counted // nil when it was not compressed
}

// Read implements io.Reader. A body of exactly the limit ends as usual.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, fmt.Errorf("%w: it has more than %d bytes", ErrTooLarge, b.limit)
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.Reader.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return n - 1, fmt.Errorf("%w: it has more than %d bytes", ErrTooLarge, b.limit)
	}
	if read := b.limit - b.left; b.packed != nil && read > ratioFrom && read/maxRatio > b.packed.n {
		return n, fmt.Errorf("%w: it is more than %d times as long as its compressed form", ErrTooLarge, maxRatio)
	}
	return n, err
}

// Close closes what is below, the connection first.
func (b *bounded) Close() error {
	err := b.closers[0].Close()
	for _, c := range b.closers[1:] {
		_ = c.Close() // decoders have only memory to give back
	}
	return err
}
