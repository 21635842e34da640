package stdio

import (
	"context"
	"errors"
	"io"
	"os"
	"time"
)

type readDeadliner interface {
	io.Reader
	SetReadDeadline(t time.Time) error
}

// directSource reads in the caller's goroutine; a deadline in the past
// interrupts it.
type directSource struct {
	text *lines
	file readDeadliner
}

func (d *directSource) next(ctx context.Context) ([]byte, error) {
	for d.text.ready() {
		if message, err := d.text.one(); message != nil || err != nil {
			return message, err
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = d.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		message, err := d.text.next()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return message, err
		}
		// Set by this context's end, or late by that of an earlier one. When
		// this one ends after the check above, it sets the deadline again.
		if err := d.file.SetReadDeadline(time.Time{}); err != nil {
			return nil, err
		}
	}
}

// pumpSource reads in a goroutine of its own.
type pumpSource struct {
	text     *lines
	messages chan []byte // closed by run, which sets err before; one at a time, so that the peer is slowed down
	err      error
	done     <-chan struct{} // closed when the connection has ended
}

func newPumpSource(text *lines, done <-chan struct{}) *pumpSource {
	return &pumpSource{text: text, messages: make(chan []byte), done: done}
}

func (p *pumpSource) run() {
	defer close(p.messages)
	for {
		message, err := p.text.next()
		if err != nil {
			p.err = err
			return
		}
		select {
		case p.messages <- message:
		case <-p.done:
			p.err = io.ErrClosedPipe
			return
		}
	}
}

func (p *pumpSource) next(ctx context.Context) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case message, ok := <-p.messages:
		if !ok {
			return nil, p.err
		}
		return message, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.done:
		return nil, io.ErrClosedPipe
	}
}
