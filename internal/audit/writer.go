package audit

import (
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

	overdue chan struct{} // closed when the first record has waited as long as one may
	timer   *time.Timer   // closes overdue
}

// memory is what a batch is made in. Batches come one after the other, and are alike.
type memory struct {
	text []byte
	ends []int
}

// maxMemory bounds what is kept of a batch for the next, in bytes.
const maxMemory = 1 << 20

func newBatch(m memory) *batch {
	return &batch{text: m.text[:0], ends: m.ends[:0], taken: make(chan struct{}), done: make(chan struct{}), overdue: make(chan struct{})}
}

// begin notes that the first record has come.
func (b *batch) begin(seq uint64, timeout time.Duration) {
	b.first = seq
	b.timer = time.AfterFunc(timeout, func() { close(b.overdue) })
}

// end tells who waits that err, which may be nil, is final. It is called once.
func (b *batch) end(err error) {
	if b.timer != nil {
		b.timer.Stop()
	}
	b.err = err
	close(b.done)
}

// memory gives back what the batch was made in, once nobody reads it.
func (b *batch) memory() memory {
	if cap(b.text) > maxMemory {
		return memory{}
	}
	return memory{b.text, b.ends}
}

// waited is how many of the records somebody waits for.
func (b *batch) waited() int { return len(b.ends) - int(b.quiet) }

func (b *batch) full() bool { return len(b.ends) >= maxBatch || len(b.text) >= maxBatchBytes }

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
		b.begin(l.seq, l.o.Config.Timeout)
		l.later.Reset(quietFor)
	}
	switch {
	case until != onDisk:
		b.quiet++
	case b.waited() == 0: // the first that somebody waits for
		l.rouse()
	case b.waited()+1 == l.crowd: // nobody else is known of who could come
		l.gather()
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
	b, l.next = l.next, newBatch(l.spare)
	l.spare = memory{}
	l.crowd = max(int(l.inside.Load()), l.crowd*7/8)
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
			several = b.waited() > 1
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
	select {
	case <-l.gathered: // for the batch before
	default:
	}
	return l.closing || l.next.full() || l.next.waited() >= l.crowd
}

// linger waits for others to share the flush, until all have come who did of late,
// or for the window.
func (l *Log) linger() {
	limit := time.NewTimer(l.o.Config.Window)
	defer limit.Stop()
	select {
	case <-l.gathered:
	case <-limit.C:
	}
}

// gather ends a linger.
func (l *Log) gather() {
	select {
	case l.gathered <- struct{}{}:
	default:
	}
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
		l.spare = b.memory()
		l.mu.Unlock()
		b.end(nil)
		return
	}
	refused := fmt.Errorf("%w: %w", ErrUnavailable, err)
	l.broken = refused
	also := l.next
	l.next = newBatch(memory{})
	l.seq = l.disk.seq
	l.dropped += b.quiet + also.quiet
	l.mu.Unlock()
	b.end(refused)
	close(also.taken)
	also.end(refused)
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
		b := newBatch(memory{})
		b.first = l.disk.seq + 1
		b.text = fmt.Appendf(nil, `{"seq":%d,"batch":%d`, b.first, b.first)
		b.text = e.append(b.text, l)
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
