package stdio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
)

const (
	// copied is the length up to which a message is copied, to be written
	// together with its line end.
	copied = 32 << 10
	// keptScratch is the largest buffer for that which is kept.
	keptScratch = 8 << 10
	// writeSlice is how soon a blocked write notices that its caller has gone.
	writeSlice = 100 * time.Millisecond
)

// oneLine returns message without line breaks. In a checked message they are
// white space between tokens, as a JSON string cannot hold them; CR goes too,
// because some readers take it for a line end.
func oneLine(message []byte) []byte {
	if bytes.IndexByte(message, '\n') < 0 && bytes.IndexByte(message, '\r') < 0 {
		return message
	}
	line := make([]byte, 0, len(message))
	for _, c := range message {
		if c != '\n' && c != '\r' {
			line = append(line, c)
		}
	}
	return line
}

// errStuck is the end of a connection whose peer does not read.
var errStuck = errors.New("peer does not read")

func errNotTaken(size int, within time.Duration) error {
	return fmt.Errorf("write message: %w: %d bytes were not taken within %s", errStuck, size, within)
}

type writeDeadliner interface {
	io.WriteCloser
	SetWriteDeadline(t time.Time) error
}

// directSink writes in the caller's goroutine, with a deadline.
type directSink struct {
	c       *conn
	file    writeDeadliner
	o       Options
	scratch []byte // guarded by turn, as the next
	broken  error  // why nothing more can be written: half a line may be out
}

func (d *directSink) write(ctx context.Context, message []byte) error {
	defer d.c.turn.release()
	if d.broken != nil {
		return fmt.Errorf("%w: %w", mcp.ErrNotSent, d.broken)
	}
	message = oneLine(message)
	attempt := attempt{limit: d.o.allowance(len(message)), size: len(message), began: time.Now()}
	rest := []byte{'\n'}
	if len(message) < copied {
		message, rest = append(append(d.scratch[:0], message...), '\n'), nil
		if cap(message) <= keptScratch {
			d.scratch = message
		}
	}
	for _, part := range [][]byte{message, rest} {
		if err := attempt.put(ctx, d.file, part); err != nil {
			return d.judge(ctx, &attempt, err)
		}
	}
	return nil
}

// judge decides what a failed write means for the connection: nothing when the
// caller has gone in time, its end when the peer does not read, and else that
// it can only be read: a child that has gone may have left answers.
func (d *directSink) judge(ctx context.Context, a *attempt, err error) error {
	switch {
	case errors.Is(err, errStuck):
		_ = d.c.end(err)
	case a.touched || ctx.Err() == nil:
		d.broken = err
	}
	return err
}

// attempt is one message on its way out.
type attempt struct {
	limit   time.Duration
	size    int
	began   time.Time
	touched bool // some of it is out
}

// put writes part. It gives up when ctx has ended, as long as nothing is out,
// and when the limit has passed.
func (a *attempt) put(ctx context.Context, w writeDeadliner, part []byte) error {
	for len(part) > 0 {
		if err := w.SetWriteDeadline(time.Now().Add(writeSlice)); err != nil {
			return a.failed(err)
		}
		n, err := w.Write(part)
		part = part[n:]
		a.touched = a.touched || n > 0
		switch {
		case err == nil:
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return a.failed(err)
		case !a.touched && ctx.Err() != nil:
			return ctx.Err()
		case time.Since(a.began) >= a.limit:
			return errNotTaken(a.size, a.limit)
		}
	}
	return nil
}

// failed is the error of an attempt that nobody has interrupted.
func (a *attempt) failed(err error) error {
	if !a.touched {
		return fmt.Errorf("write message: %w: %w", mcp.ErrNotSent, err)
	}
	return fmt.Errorf("write message: %w", err)
}

// pumpSink writes in a goroutine of its own, which may be stuck for as long as
// it likes.
type pumpSink struct {
	c      *conn
	w      io.Writer
	o      Options
	jobs   chan job // one: whoever has the turn sends
	broken error    // guarded by the turn
}

type job struct {
	line  []byte
	limit time.Duration
	err   chan error // one, so that nobody needs to wait for it
}

func (p *pumpSink) write(ctx context.Context, message []byte) error {
	if p.broken != nil {
		defer p.c.turn.release()
		return p.broken
	}
	line := oneLine(message)
	// A copy: the caller may be gone before it is written.
	line = append(append(make([]byte, 0, len(line)+1), line...), '\n')
	j := job{line: line, limit: p.o.allowance(len(line)), err: make(chan error, 1)}
	p.jobs <- j
	select {
	case err := <-j.err:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-p.c.done:
		return p.c.err
	}
}

func (p *pumpSink) run() {
	for {
		select {
		case j := <-p.jobs:
			p.put(j)
		case <-p.c.done:
			return
		}
	}
}

func (p *pumpSink) put(j job) {
	late := time.AfterFunc(j.limit, func() { _ = p.c.end(errNotTaken(len(j.line), j.limit)) })
	_, err := p.w.Write(j.line)
	late.Stop()
	if err != nil {
		p.broken = fmt.Errorf("write message: %w", err)
	}
	j.err <- p.broken
	p.c.turn.release()
}
