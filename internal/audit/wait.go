package audit

import (
	"context"
	"fmt"
	"time"
)

// patience is what is waited for.
type patience int

const (
	atOnce    patience = iota // nothing: what cannot be taken is dropped, and counted
	toBeTaken                 // a place among those that will be written; dropped and counted as well
	onDisk                    // the disk
)

// append gives a record its place and returns when what is waited for has come.
// The number that it returns is the record's even when it was not waited long
// enough; it is 0 when the record is not in the log and will not be.
func (l *Log) append(ctx context.Context, e *entry, until patience) (uint64, error) {
	text := l.texts.Get().(*[]byte)
	*text = e.append((*text)[:0], l)
	seq, b, err := l.place(*text, until)
	if seq == 0 && err == nil {
		seq, b, err = l.queue(ctx, *text, b, until)
	}
	if cap(*text) <= maxMemory {
		l.texts.Put(text)
	}
	if err != nil || until != onDisk {
		return seq, err
	}
	return l.await(ctx, seq, b)
}

// queue waits for a place when the batch that is being filled is full.
func (l *Log) queue(ctx context.Context, text []byte, full *batch, until patience) (seq uint64, b *batch, err error) {
	limit := time.NewTimer(l.o.Config.Timeout)
	defer limit.Stop()
	for b = full; seq == 0 && err == nil; seq, b, err = l.place(text, until) {
		select {
		case <-b.taken:
		case <-ctx.Done():
			return 0, nil, l.late(until, context.Cause(ctx))
		case <-limit.C:
			return 0, nil, l.late(until, fmt.Errorf("not within %s", l.o.Config.Timeout))
		}
	}
	return seq, b, err
}

// await waits until the record's batch is on disk. Batches have a timer in common
// for their records; one of its own is made for a record only if that has run out.
func (l *Log) await(ctx context.Context, seq uint64, b *batch) (uint64, error) {
	since := time.Now()
	select {
	case <-b.done:
	case <-ctx.Done():
		return seq, l.late(onDisk, context.Cause(ctx))
	case <-b.overdue:
		limit := time.NewTimer(l.o.Config.Timeout - time.Since(since))
		defer limit.Stop()
		select {
		case <-b.done:
		case <-ctx.Done():
			return seq, l.late(onDisk, context.Cause(ctx))
		case <-limit.C:
			return seq, l.late(onDisk, fmt.Errorf("not within %s", l.o.Config.Timeout))
		}
	}
	if b.err != nil {
		return 0, b.err
	}
	return seq, nil
}

// late is the error of a record that was not waited for any longer. One that has
// no place, and that nobody waits for, is lost.
func (l *Log) late(until patience, why error) error {
	if until != onDisk {
		l.mu.Lock()
		l.dropped++
		l.mu.Unlock()
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, why)
}
