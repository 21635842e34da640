package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

const (
	// pollEvery is how often a log that is followed is looked at.
	pollEvery = 200 * time.Millisecond
	// maxLast bounds how many records from the end are given.
	maxLast = 10000
)

// Tail gives the last records of a log to each, oldest first: at most last of
// them, and no more than the two newest segments have. With follow it goes on
// with what is written, until ctx ends. It checks nothing. The line that each
// gets is valid until it returns; its error ends Tail.
func Tail(ctx context.Context, dir string, last int, follow bool, each func(line []byte) error) error {
	all, err := segments(dir)
	if err != nil {
		return fmt.Errorf("read audit log: %w", err)
	}
	last = min(max(last, 0), maxLast)
	t := &tailer{dir: dir}
	defer t.close()
	var held [][]byte
	for _, s := range all[max(len(all)-2, 0):] {
		err := t.open(s)
		if err == nil {
			err = t.lines(func(line []byte) error {
				held = append(held, bytes.Clone(line))
				held = held[max(len(held)-last, 0):]
				return nil
			})
		}
		if err != nil {
			return fmt.Errorf("read audit log: %w", err)
		}
	}
	for _, line := range held {
		if err := each(line); err != nil {
			return err
		}
	}
	if !follow {
		return nil
	}
	return t.follow(ctx, each)
}

// tailer reads from one segment to the next.
type tailer struct {
	dir  string
	file *os.File
	at   segment
	rest []byte // of a line that has not ended
}

func (t *tailer) open(s segment) error {
	f, err := os.Open(s.path)
	if err != nil {
		return err
	}
	t.close()
	t.file, t.at, t.rest = f, s, nil
	return nil
}

func (t *tailer) close() {
	if t.file != nil {
		_ = t.file.Close() // it was only read
	}
}

// lines gives the records from here to the end of the segment, as it is now.
func (t *tailer) lines(each func([]byte) error) error {
	buf := make([]byte, 64<<10)
	for t.file != nil {
		n, err := t.file.Read(buf)
		t.rest = append(t.rest, buf[:n]...)
		for {
			end := bytes.IndexByte(t.rest, '\n')
			if end < 0 {
				break
			}
			line := t.rest[:end]
			t.rest = t.rest[end+1:]
			if bytes.HasPrefix(line, []byte(`{"segment":`)) {
				continue
			}
			if err := each(line); err != nil {
				return err
			}
		}
		if len(t.rest) > maxLine {
			return fmt.Errorf("%w: %s has a line of more than %d bytes", ErrDamaged, t.at.path, maxLine)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// follow goes on with what is written.
func (t *tailer) follow(ctx context.Context, each func([]byte) error) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if err := t.lines(each); err != nil {
			return err
		}
		next, err := t.next()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("read audit log: %w", err)
		}
		if next {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// next opens the segment after this one, if there is one. What this one got in
// the meantime has been read: it gets nothing more when the next is there.
func (t *tailer) next() (bool, error) {
	all, err := segments(t.dir)
	if err != nil {
		return false, err
	}
	for _, s := range all {
		if s.first > t.at.first || t.file == nil {
			return true, t.open(s)
		}
	}
	return false, nil
}
