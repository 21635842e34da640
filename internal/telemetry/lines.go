package telemetry

import (
	"context"
	"io"
	"strconv"
	"sync"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	// maxPending bounds the bytes of lines that wait to be written. When whoever
	// reads the log has stopped, further lines are dropped and counted; calls go on.
	maxPending = 1 << 20
	// laziness is how long a line may wait for company. It is what makes a line
	// per call cheap: many share one system call.
	laziness = 100 * time.Millisecond
)

// lines takes whole lines and writes them in a goroutine of its own, so that
// nobody waits for the reader of the log.
type lines struct {
	out  io.Writer
	some chan struct{} // there is something to write; one place, for one is as good as many
	now  chan struct{} // and it cannot wait; likewise
	done chan struct{}
	stop func()

	mu      sync.Mutex // guards what follows
	pending []byte
	spare   []byte
	dropped uint64
}

func newLines(out io.Writer) *lines {
	ctx, cancel := context.WithCancel(context.Background())
	l := &lines{
		out: out, stop: cancel,
		some: make(chan struct{}, 1), now: make(chan struct{}, 1), done: make(chan struct{}),
	}
	go l.run(ctx)
	return l
}

// Write implements io.Writer for one whole line. It never fails and never waits.
func (l *lines) Write(line []byte) (int, error) {
	l.add(line, false)
	return len(line), nil
}

// add takes one whole line; in a visible one nothing has to be escaped any more.
func (l *lines) add(line []byte, visible bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending)+len(line) > maxPending {
		l.dropped++
		return
	}
	if len(l.pending) == 0 {
		signal(l.some)
	}
	if visible {
		l.pending = append(l.pending, line...)
	} else {
		l.pending = appendVisible(l.pending, line)
	}
}

// hurry has what waits written at once.
func (l *lines) hurry() { signal(l.now) }

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (l *lines) droppedLines() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped
}

// close writes what waits and ends the goroutine. It waits for that as long as
// ctx lasts; a goroutine that hangs in a write ends with the process.
func (l *lines) close(ctx context.Context) error {
	l.stop()
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *lines) run(ctx context.Context) {
	defer close(l.done)
	timer := time.NewTimer(laziness)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			l.flush()
			return
		case <-l.some:
		}
		timer.Reset(laziness)
		select {
		case <-ctx.Done():
		case <-l.now:
		case <-timer.C:
		}
		l.flush()
	}
}

// flush writes what waits. A log that cannot be written has nobody to be told.
func (l *lines) flush() {
	l.mu.Lock()
	batch := l.pending
	l.pending = l.spare[:0]
	l.mu.Unlock()
	if len(batch) > 0 {
		_, _ = l.out.Write(batch)
	}
	l.mu.Lock()
	l.spare = batch
	l.mu.Unlock()
}

// appendVisible appends a line with everything in it that a terminal would act
// upon written as \uXXXX: DEL, C1 controls, direction marks, invisible and
// unassigned characters (threat T18). The encoders before it have escaped what
// is below U+0020. In JSON the escape means the same character; in text a value
// with such a character has been quoted in the same way.
func appendVisible(dst, line []byte) []byte {
	from := 0
	for i := 0; i < len(line); {
		if line[i] < 0x7f {
			i++
			continue
		}
		r, size := utf8.DecodeRune(line[i:])
		if unicode.IsPrint(r) && (r != utf8.RuneError || size > 1) {
			i += size
			continue
		}
		dst = append(dst, line[from:i]...)
		dst = appendEscape(dst, r)
		i += size
		from = i
	}
	return append(dst, line[from:]...)
}

func appendEscape(dst []byte, r rune) []byte {
	if high, low := utf16.EncodeRune(r); high != unicode.ReplacementChar {
		return appendEscape(appendEscape(dst, high), low)
	}
	digits := strconv.FormatInt(int64(r)|0x10000, 16) // one digit more, for the leading zeros
	return append(append(dst, `\u`...), digits[1:]...)
}
