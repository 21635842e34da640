package audit

import (
	"context"
	"fmt"
	"runtime"
	"time"
)

// patience is what is waited for.
type patience uint8

const (
	atOnce    patience = iota // nothing: what cannot be taken is dropped, and counted
	toBeTaken                 // a place among those that will be written; dropped and counted as well
	written                   // that it is in the file, and so survives the end of the process
	onDisk                    // the disk
)

// append gives a record its place and returns when what is waited for has come.
// The number that it returns is the record's even when it was not waited long
// enough; it is 0 when the record is not in the log and will not be.
func (l *Log) append(ctx context.Context, e *entry, until patience) (uint64, error) {
	text := l.texts.Get().(*[]byte)
	*text = e.append((*text)[:0], l)
	t, err := l.place(*text, until)
	if t.seq == 0 && err == nil {
		t, err = l.queue(ctx, *text, t, until)
	}
	if cap(*text) <= maxMemory {
		l.texts.Put(text)
	}
	switch {
	case err != nil:
		return t.seq, err
	case until == onDisk:
		return l.await(ctx, t)
	case until == written:
		return l.settle(t)
	}
	return t.seq, nil
}

// queue waits for a place when the batch that is being filled is full. A record of what
// has been done waits on when its caller has gone.
func (l *Log) queue(ctx context.Context, text []byte, t ticket, until patience) (ticket, error) {
	if until != onDisk {
		ctx = context.WithoutCancel(ctx)
	}
	limit := time.NewTimer(l.o.Config.Timeout)
	defer limit.Stop()
	var err error
	for ; t.seq == 0 && err == nil; t, err = l.place(text, until) {
		select {
		case <-t.room:
		case <-ctx.Done():
			return ticket{}, l.late(until, context.Cause(ctx))
		case <-limit.C:
			return ticket{}, l.late(until, fmt.Errorf("not within %s", l.o.Config.Timeout))
		}
	}
	return t, err
}

// settle has the record in the file when it returns, and everything before it. It
// writes itself what nobody has written yet, and so waits for nobody but those who
// do the same; a write that the system does not return from holds one caller. Before
// it does, it lets those go on who can: calls are answered several at a time, and of
// their outcomes, which are in the same batch by then, the first to come back writes all.
func (l *Log) settle(t ticket) (uint64, error) {
	if t.batch.state.Load() == pending {
		runtime.Gosched()
	}
	if t.batch.state.Load() == pending {
		if !l.enter() {
			return t.seq, l.late(written, fmt.Errorf("not within %s", l.o.Config.Timeout))
		}
		if t.batch.state.Load() == pending { // it is next: what is taken does not stay pending
			if err := l.put(l.take()); err != nil {
				l.fail(err)
			}
		}
		l.leave()
	}
	if t.batch.state.Load() == refused {
		return 0, t.batch.err
	}
	return t.seq, nil
}

// await waits until the record's group is on disk. Groups have a timer in common
// for their records; one of its own is made for a record only if that has run out.
func (l *Log) await(ctx context.Context, t ticket) (uint64, error) {
	since, g := time.Now(), t.group
	select {
	case <-g.done:
	case <-ctx.Done():
		return t.seq, l.late(onDisk, context.Cause(ctx))
	case <-g.overdue:
		limit := time.NewTimer(l.o.Config.Timeout - time.Since(since))
		defer limit.Stop()
		select {
		case <-g.done:
		case <-ctx.Done():
			return t.seq, l.late(onDisk, context.Cause(ctx))
		case <-limit.C:
			return t.seq, l.late(onDisk, fmt.Errorf("not within %s", l.o.Config.Timeout))
		}
	}
	if g.err != nil {
		return 0, g.err
	}
	return t.seq, nil
}

// late is the error of a record that was not waited for any longer. One that has
// no place, and that nobody waits for, is lost.
func (l *Log) late(until patience, why error) error {
	if until < written {
		l.mu.Lock()
		l.dropped++
		l.mu.Unlock()
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, why)
}

// enter waits for the right to write into the file, at most as long as a call
// waits for its record; leave gives it back.
func (l *Log) enter() bool {
	select {
	case l.out <- struct{}{}:
		return true
	default:
	}
	limit := time.NewTimer(l.o.Config.Timeout)
	defer limit.Stop()
	select {
	case l.out <- struct{}{}:
		return true
	case <-limit.C:
		return false
	}
}

func (l *Log) leave() { <-l.out }
