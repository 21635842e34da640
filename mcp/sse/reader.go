package sse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// DefaultMaxEvent is the bound of an event when NewReader is given none.
const DefaultMaxEvent = 64 << 20

const (
	// firstBuffer is what a reader takes before it knows how big the events
	// are; most streams that are held open carry small ones, or none.
	firstBuffer = 2 << 10
	// handOver is the size from which an event's data is not copied: the caller
	// gets the buffer, and the reader takes a new one.
	handOver = 8 << 10
	// maxIdleReads bounds readers that return neither bytes nor an error.
	maxIdleReads = 100
)

// ErrTooLarge is the error of a stream with an event that exceeds the reader's
// bound. Nothing more can be read from that stream.
var ErrTooLarge = errors.New("event exceeds the size bound")

// Reader reads the events of one stream. It is used by one goroutine at a time.
type Reader struct {
	r      io.Reader
	max    int
	lastID string
	err    error // of r, returned when buf is used up

	buf    []byte // what has been read and is still needed
	base   int    // where the event that is looked at begins
	pos    int    // where the line that is looked at begins
	seen   int    // up to where no line break was found
	begun  bool   // the byte order mark has been looked for
	skipLF bool   // the last line ended with CR: a LF that follows belongs to it
	event  partial
}

// partial is an event of which the blank line has not come yet.
type partial struct {
	fields     bool // it has at least one field
	lines      int  // data fields
	start, end int  // the first data field, in buf
	more       []byte
	id, name   string
	hasID      bool
	retry      time.Duration
}

// NewReader returns a reader of r. An event may take maxEvent bytes as it
// stands in the stream, field names included; 0 means DefaultMaxEvent.
func NewReader(r io.Reader, maxEvent int) *Reader {
	if maxEvent <= 0 {
		maxEvent = DefaultMaxEvent
	}
	return &Reader{r: r, max: maxEvent}
}

// LastID is the id with which a client asks for what came after the last event
// that was read: it stays until another event sets it.
func (r *Reader) LastID() string { return r.lastID }

// Next returns the next event that has at least one field; its Data belongs to
// the caller. An event that the end of the stream cuts off is dropped. The error
// is io.EOF at the end, ErrTooLarge, or what reading returned.
func (r *Reader) Next() (Event, error) {
	for {
		line, ok, err := r.line()
		if err != nil {
			return Event{}, err
		}
		if !ok {
			continue
		}
		if len(line) > 0 {
			r.field(line)
			continue
		}
		if r.event.fields {
			return r.finish(), nil
		}
		r.base = r.pos
	}
}

// line returns the next line without its end; ok is false when there was only
// the second half of one.
func (r *Reader) line() (line []byte, ok bool, err error) {
	for {
		rest := r.buf[r.pos:]
		if r.skipLF && len(rest) > 0 {
			r.skipLF = false
			if rest[0] == '\n' {
				r.pos++
				r.seen = max(r.seen, r.pos)
				return nil, false, nil
			}
		}
		if n, _ := lineEnd(r.buf[r.seen:]); n >= 0 {
			end := r.seen + n
			line := r.buf[r.pos:end]
			r.skipLF = r.buf[end] == '\r'
			r.pos, r.seen = end+1, end+1
			return line, true, nil
		}
		r.seen = len(r.buf)
		if err := r.fill(); err != nil {
			return nil, false, err
		}
	}
}

// fill reads more of the stream behind what is in buf.
func (r *Reader) fill() error {
	if r.err != nil {
		return r.err
	}
	r.drop()
	if len(r.buf) >= r.max {
		r.err = fmt.Errorf("%w of %d bytes", ErrTooLarge, r.max)
		return r.err
	}
	if len(r.buf) == cap(r.buf) {
		r.grow()
	}
	for range maxIdleReads {
		n, err := r.r.Read(r.buf[len(r.buf):min(cap(r.buf), r.max)])
		r.buf = r.buf[:len(r.buf)+n]
		r.err = err
		if n > 0 {
			r.skipMark()
			return nil
		}
		if err != nil {
			return err
		}
	}
	r.err = io.ErrNoProgress
	return r.err
}

// grow takes four times the room while buffers are cheap, then twice.
func (r *Reader) grow() {
	size := max(firstBuffer, cap(r.buf)*2)
	if size < 256<<10 && cap(r.buf) > 0 {
		size *= 2
	}
	bigger := make([]byte, len(r.buf), size)
	copy(bigger, r.buf)
	r.buf = bigger
}

// skipMark drops the byte order mark that a stream may begin with.
func (r *Reader) skipMark() {
	const mark = "\xEF\xBB\xBF"
	if r.begun || len(r.buf) < len(mark) && strings.HasPrefix(mark, string(r.buf)) {
		return
	}
	r.begun = true
	if bytes.HasPrefix(r.buf, []byte(mark)) {
		r.pos, r.seen = len(mark), len(mark)
	}
}

// drop forgets what is before the event that is looked at, so that the bound
// counts that event alone. Comments outside of an event go too.
func (r *Reader) drop() {
	if !r.event.fields {
		r.base = r.pos
	}
	n := r.base
	if n == 0 {
		return
	}
	r.buf = r.buf[:copy(r.buf, r.buf[n:])]
	if cap(r.buf) > 8*handOver && len(r.buf) < handOver {
		r.buf = append([]byte(nil), r.buf...)
	}
	r.base = 0
	r.pos -= n
	r.seen -= n
	r.event.start -= n
	r.event.end -= n
}

// field takes one line of an event.
func (r *Reader) field(line []byte) {
	name, value, colon := bytes.Cut(line, []byte{':'})
	if colon && len(name) == 0 {
		return // a comment
	}
	value = bytes.TrimPrefix(value, []byte{' '})
	e := &r.event
	switch string(name) {
	case "data":
		r.data(value)
	case "event":
		e.name = string(value)
	case "id":
		if bytes.IndexByte(value, 0) >= 0 {
			return
		}
		e.id, e.hasID = string(value), true
	case "retry":
		ms, ok := digits(value)
		if !ok {
			return
		}
		e.retry = ms
	default:
		return
	}
	e.fields = true
}

// data takes one data field. The first stays where it is; with a second, all
// are joined elsewhere.
func (r *Reader) data(value []byte) {
	e := &r.event
	e.lines++
	switch e.lines {
	case 1:
		e.end = r.lineStop()
		e.start = e.end - len(value)
		return
	case 2:
		e.more = append(e.more, r.buf[e.start:e.end]...)
	}
	e.more = append(append(e.more, '\n'), value...)
}

// lineStop is where the line that was just read ends, without its break.
func (r *Reader) lineStop() int { return r.pos - 1 }

func (r *Reader) finish() Event {
	e := r.event
	r.event = partial{}
	if e.hasID {
		r.lastID = e.id
	}
	ev := Event{ID: e.id, Name: e.name, Retry: e.retry}
	switch {
	case e.lines > 1:
		ev.Data = e.more
	case e.lines == 1 && e.end-e.start >= handOver:
		ev.Data = r.buf[e.start:e.end:e.end]
		r.buf = append([]byte(nil), r.buf[r.pos:]...)
		r.pos, r.seen = 0, 0
	case e.lines == 1:
		ev.Data = append([]byte{}, r.buf[e.start:e.end]...)
	}
	r.base = r.pos
	return ev
}

// lineEnd returns where the first line of b ends and how long its break is; -1
// when it has none. It looks for both kinds of break in steps, so that lines
// that end with CR do not cost a walk to the next LF each.
func lineEnd(b []byte) (at, size int) {
	const step = 4 << 10
	for from := 0; from < len(b); from += step {
		window := b[from:min(from+step, len(b))]
		at := bytes.IndexByte(window, '\n')
		if at >= 0 {
			window = window[:at]
		}
		if cr := bytes.IndexByte(window, '\r'); cr >= 0 {
			at = cr
		}
		if at < 0 {
			continue
		}
		at += from
		if b[at] == '\r' && at+1 < len(b) && b[at+1] == '\n' {
			return at, 2
		}
		return at, 1
	}
	return -1, 0
}

// digits reads a reconnection time: ASCII digits only. What does not fit into
// 31 bits is cut to that: three weeks.
func digits(b []byte) (time.Duration, bool) {
	if len(b) == 0 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	ms, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil || ms > math.MaxInt32 {
		ms = math.MaxInt32
	}
	return time.Duration(ms) * time.Millisecond, true
}
