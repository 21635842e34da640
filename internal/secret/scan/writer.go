package scan

import (
	"bytes"
	"io"
	"sync"
)

// maxLine bounds the part of a line that waits for its end, in bytes.
const maxLine = 64 << 10

// Writer returns a writer that passes whole lines on to w without what looks
// like a secret. It may be used concurrently. A line without an end is passed on
// when it has 64 KiB; the rest of one that has not, by Close, which does not
// close w.
func (s *Scanner) Writer(w io.Writer) io.WriteCloser { return &writer{w: w, s: s} }

type writer struct {
	w io.Writer
	s *Scanner

	mu   sync.Mutex // guards rest, and the order of what is written
	rest []byte     // of a line that has not ended
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	end := bytes.LastIndexByte(p, '\n') + 1
	if end == 0 && len(w.rest)+len(p) < maxLine {
		w.rest = append(w.rest, p...)
		return len(p), nil
	}
	if end == 0 {
		end = len(p)
	}
	text := string(p[:end])
	if len(w.rest) > 0 {
		text = string(w.rest) + text
	}
	w.rest = append(w.rest[:0], p[end:]...)
	if _, err := io.WriteString(w.w, w.s.Text(text)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close implements io.Closer.
func (w *writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := io.WriteString(w.w, w.s.Text(string(w.rest)))
	w.rest = nil
	return err
}
