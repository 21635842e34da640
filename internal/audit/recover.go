package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// maxLine bounds one line of a segment, in bytes: a record is smaller.
const maxLine = 256 << 10

// tail is where a log ends.
type tail struct {
	path string // of the segment that is written to; empty when one has to be begun
	size int64
	born time.Time
	seq  uint64
	prev link
	torn int64 // bytes that were cut off
}

// recoverLog finds the end of a log, and cuts off what a crash has torn.
func recoverLog(dir string, open opener) (tail, error) {
	all, err := segments(dir)
	if err != nil {
		return tail{}, err
	}
	torn := int64(0)
	for i := len(all) - 1; i >= 0; i-- {
		t, err := endOf(all[i])
		if err != nil {
			return tail{}, err
		}
		if t.torn > 0 && t.size > 0 {
			if err := cutOff(open, t.path, t.size); err != nil {
				return tail{}, err
			}
		}
		t.torn += torn
		if t.size > 0 {
			return t, nil
		}
		// Nothing of the segment was acknowledged, not even its first line.
		if err := errors.Join(os.Remove(all[i].path), syncDir(open, dir)); err != nil {
			return tail{}, err
		}
		torn = max(t.torn, 1)
	}
	return tail{torn: torn}, nil
}

// endOf reads a segment to its last good record. Whatever follows is torn if it
// need not have been on disk: records made after a flush prove that it was.
func endOf(s segment) (tail, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return tail{}, err
	}
	defer f.Close()
	r := newLines(f)
	t := tail{path: s.path}
	for {
		line, whole, err := r.next()
		if err == io.EOF {
			return t.bared(s), nil
		}
		if err != nil {
			return tail{}, err
		}
		if !whole || !t.take(s, line) {
			return t.judge(s, r, line)
		}
		t.size = r.read
	}
}

// take checks one line and moves the end behind it, if it is the one that has to
// come.
func (t *tail) take(s segment, line []byte) bool {
	text, says, ok := unseal(bytes.Clone(line))
	if !ok {
		return false
	}
	if t.size == 0 {
		h, ok := readHeader(text)
		if !ok || h.first != s.first || after(h.prev, text) != says {
			return false
		}
		t.born, t.seq, t.prev = h.time, h.first-1, says
		return true
	}
	n, _, ok := readNumbers(text)
	if !ok || n.seq != t.seq+1 || after(t.prev, text) != says {
		return false
	}
	t.seq, t.prev = n.seq, says
	return true
}

// judge decides about what follows the last good line: bad and the rest of r.
// The record that is bad has a number, t.seq+1, and it was on disk if a record was
// made that says so.
func (t *tail) judge(s segment, r *lines, bad []byte) (tail, error) {
	missing := t.seq + 1
	if t.size == 0 {
		missing = s.first
	}
	for line := bad; ; {
		if n, _, ok := readNumbers(line); ok && n.batch > missing {
			return tail{}, fmt.Errorf("%w: %s: record %d is missing or changed, and record %d, which was made when it was on disk, is there; run dragoman audit verify, and begin a new log in another directory", ErrDamaged, s.path, missing, n.seq)
		}
		var err error
		if line, _, err = r.next(); err == io.EOF {
			break
		} else if err != nil {
			return tail{}, err
		}
	}
	t.torn = r.read - t.size
	return t.bared(s), nil
}

// bared turns a segment that has its header and no record into one of which
// nothing was acknowledged, since the two are written together.
func (t *tail) bared(s segment) tail {
	if t.seq < s.first {
		return tail{path: s.path, torn: t.torn + t.size}
	}
	return *t
}

// lines reads a file line by line in bounded memory.
type lines struct {
	r    *bufio.Reader
	read int64 // bytes up to the end of the line given last
}

func newLines(r io.Reader) *lines { return &lines{r: bufio.NewReaderSize(r, maxLine)} }

// next returns the next line with its end, valid until the call after. A line
// that is too long comes in pieces; whole says that it has its end and its
// beginning.
func (l *lines) next() (line []byte, whole bool, err error) {
	line, err = l.r.ReadSlice('\n')
	l.read += int64(len(line))
	switch {
	case err == nil:
		return line, true, nil
	case errors.Is(err, bufio.ErrBufferFull), err == io.EOF && len(line) > 0:
		return line, false, nil
	}
	return nil, false, err
}

// firstLine reads the header of a segment.
func firstLine(path string) (header, error) {
	f, err := os.Open(path)
	if err != nil {
		return header{}, err
	}
	defer f.Close()
	line, _, err := newLines(f).next()
	if err != nil {
		return header{}, err
	}
	text, _, ok := unseal(line)
	if !ok {
		return header{}, fmt.Errorf("%w: %s does not begin with the header of a segment", ErrDamaged, path)
	}
	h, ok := readHeader(text)
	if !ok {
		return header{}, fmt.Errorf("%w: %s does not begin with the header of a segment", ErrDamaged, path)
	}
	return h, nil
}
