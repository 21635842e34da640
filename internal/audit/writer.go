package audit

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

const (
	// maxBatch and maxBatchBytes bound what waits for one flush. Whoever comes
	// when it is full waits for the next.
	maxBatch      = 4096
	maxBatchBytes = 4 << 20
	// quietFor is how long records that nobody waits for stay in memory, unless one
	// comes that somebody waits for.
	quietFor = 50 * time.Millisecond
	// retryAfter is how long after a failure the log tries to go on; it doubles up
	// to retryMost.
	retryAfter = time.Second
	retryMost  = 30 * time.Second
)

// batch is what is flushed together. It is filled under Log.mu.
type batch struct {
	first uint64 // sequence number of the first record
	text  []byte // the records, without hashes
	ends  []int  // where each ends in text
	quiet uint64 // how many of them nobody waits for
	taken chan struct{}
	done  chan struct{} // closed when err is final
	err   error
}

func newBatch() *batch { return &batch{taken: make(chan struct{}), done: make(chan struct{})} }

func (b *batch) full() bool { return len(b.ends) >= maxBatch || len(b.text) >= maxBatchBytes }

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
func (l *Log) append(ctx context.Context, e entry, until patience) (uint64, error) {
	var buf [1536]byte
	text := e.append(buf[:0])
	seq, b, err := l.place(text, until)
	if err != nil || seq != 0 && until != onDisk {
		return seq, err
	}
	limit := time.NewTimer(l.o.Config.Timeout)
	defer limit.Stop()
	for {
		ready := b.done
		if seq == 0 {
			ready = b.taken
		}
		select {
		case <-ready:
		case <-ctx.Done():
			return seq, l.late(seq, until, context.Cause(ctx))
		case <-limit.C:
			return seq, l.late(seq, until, fmt.Errorf("not within %s", l.o.Config.Timeout))
		}
		switch {
		case seq != 0 && b.err != nil:
			return 0, b.err
		case seq != 0:
			return seq, nil
		}
		if seq, b, err = l.place(text, until); err != nil || seq != 0 && until != onDisk {
			return seq, err
		}
	}
}

// late is the error of a record that was not waited for any longer.
func (l *Log) late(seq uint64, until patience, why error) error {
	if seq == 0 && until != onDisk {
		l.mu.Lock()
		l.dropped++
		l.mu.Unlock()
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, why)
}

// place puts a record into the batch that is being filled. When that is full,
// the number is 0, and there will be another when it has been taken.
func (l *Log) place(text []byte, until patience) (uint64, *batch, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.next
	err := l.broken
	switch {
	case err != nil:
	case l.closing:
		err = fmt.Errorf("%w: it is being closed", ErrUnavailable)
	case b.full() && until == atOnce:
		err = fmt.Errorf("%w as fast as records come", ErrUnavailable)
	case b.full():
		return 0, b, nil
	}
	if err != nil {
		if until != onDisk {
			l.dropped++
		}
		return 0, nil, err
	}
	l.seq++
	if len(b.ends) == 0 {
		b.first = l.seq
		l.later.Reset(quietFor)
	}
	if until != onDisk {
		b.quiet++
	} else if b.quiet == uint64(len(b.ends)) { // the first that somebody waits for
		l.rouse()
	}
	b.text = strconv.AppendUint(append(b.text, `{"seq":`...), l.seq, 10)
	b.text = strconv.AppendUint(append(b.text, `,"batch":`...), b.first, 10)
	b.text = append(b.text, text...)
	b.ends = append(b.ends, len(b.text))
	if b.full() {
		l.rouse()
	}
	return l.seq, b, nil
}

// take gives what is to be written now; nil when there is nothing.
func (l *Log) take() (b *batch, closing bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.next.ends) == 0 {
		return nil, l.closing
	}
	b, l.next = l.next, newBatch()
	close(b.taken)
	return b, l.closing
}

// write is the one goroutine that touches the disk.
func (l *Log) write() {
	defer close(l.done)
	defer l.later.Stop()
	tick := time.NewTicker(l.o.Config.CheckpointInterval)
	defer tick.Stop()
	several := false // the last batch had more than one record: it pays to wait for others
	for {
		select {
		case <-l.wake:
			if several && l.o.Config.Window > 0 && !l.filled() {
				l.linger()
			}
		case <-tick.C:
			l.upkeep()
		}
		b, closing := l.take()
		if b != nil {
			several = len(b.ends)-int(b.quiet) > 1
			l.flush(b)
			if l.disk.seq-l.sink.last.Seq >= uint64(l.o.Config.CheckpointRecords) {
				l.checkpoint()
			}
			if closing {
				l.rouse() // for what came since
			}
			continue
		}
		if closing {
			l.checkpoint()
			return
		}
	}
}

// filled tells whether there is no use in waiting for more.
func (l *Log) filled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closing || l.next.full()
}

// linger waits for others to share the flush.
func (l *Log) linger() {
	limit := time.NewTimer(l.o.Config.Window)
	defer limit.Stop()
	<-limit.C
}

// upkeep is what is done now and then.
func (l *Log) upkeep() {
	l.checkpoint()
	retired, err := l.disk.retire(l.o.Config.Retention, l.sink)
	if err != nil {
		l.o.Log.Error("old audit segments cannot be removed", "err", err)
	}
	if retired > 0 {
		l.o.Log.Info("old audit segments were removed", "segments", retired)
	}
}

// flush writes a batch and tells those who wait. When that fails, everything
// that waits fails with it, and the log refuses until it is mended.
func (l *Log) flush(b *batch) {
	err := l.disk.write(b)
	l.mu.Lock()
	if err == nil {
		l.status.Records = l.disk.seq
		l.mu.Unlock()
		close(b.done)
		return
	}
	b.err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	l.broken = b.err
	also := l.next
	l.next = newBatch()
	also.err = b.err
	l.seq = l.disk.seq
	l.dropped += b.quiet + also.quiet
	l.mu.Unlock()
	close(b.done)
	close(also.taken)
	close(also.done)
	l.o.Log.Error("the audit log cannot be written; calls with side effects are refused", "err", err)
	l.mend()
}

// mend tries until the log can be written again, or is closed.
func (l *Log) mend() {
	for wait := retryAfter; ; wait = min(2*wait, retryMost) {
		if l.pause(wait) {
			_, _ = l.disk.mend() // else the next start finds what was refused, and takes it for written
			return
		}
		lost, err := l.disk.mend()
		if err != nil {
			l.o.Log.Error("the audit log still cannot be written", "err", err)
			continue
		}
		e := entry{kind: kindRecovered, time: l.o.Now(), text: fmt.Sprintf(
			"writing failed after record %d; what was not acknowledged was cut off (%d bytes)", l.disk.seq, lost)}
		b := newBatch()
		b.first = l.disk.seq + 1
		b.text = fmt.Appendf(nil, `{"seq":%d,"batch":%d`, b.first, b.first)
		b.text = e.append(b.text)
		b.ends = []int{len(b.text)}
		if err := l.disk.write(b); err != nil {
			l.o.Log.Error("the audit log still cannot be written", "err", err)
			continue
		}
		l.mu.Lock()
		l.broken, l.seq, l.status.Records = nil, l.disk.seq, l.disk.seq
		l.mu.Unlock()
		l.o.Log.Info("the audit log can be written again", "record", l.disk.seq)
		return
	}
}

// pause waits, and reports whether the log is being closed.
func (l *Log) pause(wait time.Duration) bool {
	limit := time.NewTimer(wait)
	defer limit.Stop()
	for {
		l.mu.Lock()
		closing := l.closing
		l.mu.Unlock()
		if closing {
			l.rouse()
			return true
		}
		select {
		case <-l.wake:
		case <-limit.C:
			return false
		}
	}
}

// checkpoint seals what has been written since the last one.
func (l *Log) checkpoint() {
	err := l.sink.seal(l.o.Now(), l.disk.seq, l.disk.prev)
	l.mu.Lock()
	was := l.status.SealErr
	l.status.SealErr, l.status.Sealed = err, l.sink.last.Seq
	l.mu.Unlock()
	if err != nil && was == nil {
		l.o.Log.Error("a checkpoint of the audit log cannot be written", "err", err)
	}
}
