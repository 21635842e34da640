package audit

import (
	"fmt"
	"time"
)

const (
	// quietFor is how long records that nobody waits for stay in memory, and answeredFor
	// how long outcomes are in the file and not flushed, unless a record comes for which
	// somebody waits until it is on disk.
	quietFor    = 50 * time.Millisecond
	answeredFor = 20 * time.Millisecond
	// maxWindows is how many windows are waited for others, while in each some came, and
	// maxStretch how many one may be long: as a flush takes of late, since to wait
	// that long for others costs no more than the flush that they would need otherwise.
	maxWindows = 8
	maxStretch = 4
	// maxAlone is after how many flushes, for which one record waited each, others are
	// not waited for any longer. One or two are no sign that there are none: who
	// missed a flush that all others share comes alone, in turns with them.
	maxAlone = 3
	// retryAfter is how long after a failure the log tries to go on; it doubles up
	// to retryMost.
	retryAfter = time.Second
	retryMost  = 30 * time.Second
)

// write is the one goroutine that flushes, begins segments and writes checkpoints.
func (l *Log) write() {
	defer close(l.done)
	defer l.later.Stop()
	tick := time.NewTicker(l.o.Config.CheckpointInterval)
	defer tick.Stop()
	alone := maxAlone // so many flushes one after the other had one that waited
	for {
		select {
		case <-l.wake:
			if alone < maxAlone && l.o.Config.Window > 0 && !l.filled() {
				l.linger()
			}
		case <-tick.C:
			l.upkeep()
		}
		switch waited := l.flush(); {
		case waited > 1:
			alone = 0
		case waited == 1:
			alone++
		}
		l.mend()
		if l.disk.seq-l.sink.last.Seq >= uint64(l.o.Config.CheckpointRecords) {
			l.checkpoint()
		}
		if l.finished() {
			l.checkpoint()
			return
		}
	}
}

// finished tells whether the log is being closed and nothing is left to be written.
func (l *Log) finished() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing && l.group.records > 0 {
		l.rouse() // for what came since
	}
	return l.closing && l.group.records == 0
}

// filled tells whether there is no use in waiting for more.
func (l *Log) filled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.gathered: // for the group before
	default:
	}
	return l.closing || l.next.full() || l.group.waited >= l.crowd
}

// linger waits for others to share the flush, until all have come who did of late,
// or for as long as they keep coming, within bounds.
func (l *Log) linger() {
	window := max(l.o.Config.Window, min(l.took, maxStretch*l.o.Config.Window))
	last := time.Now().Add(maxWindows * l.o.Config.Window)
	limit := time.NewTimer(window)
	defer limit.Stop()
	came := l.waiting()
	for {
		select {
		case <-l.gathered:
			return
		case <-limit.C:
		}
		now, left := l.waiting(), time.Until(last)
		if now == came || left <= 0 {
			return
		}
		came = now
		limit.Reset(min(window, left))
	}
}

// waiting is how many wait for the next flush.
func (l *Log) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.group.waited
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

// flush has everything on disk that has its place, and tells those who wait how
// that went. It returns how many they were. While the disk is busy others write on,
// for the next flush.
func (l *Log) flush() (waited int) {
	l.out <- struct{}{} // those who have it have a system call to make, and no more
	b, g := l.takeAll()
	if g.records == 0 {
		l.leave()
		return 0
	}
	l.flushing = g
	var err error
	if l.disk.due() {
		err = l.disk.finish()
	}
	if err == nil {
		err = l.put(b)
	} else if b != nil {
		l.unsynced = append(l.unsynced, b)
	}
	if err != nil {
		l.fail(err)
	}
	file, bare, upTo, covered := l.disk.file, l.disk.bare, l.disk.end, len(l.unsynced)
	failed := l.flushing == nil
	l.leave()
	if failed {
		return g.waited
	}
	begun := time.Now()
	err = l.disk.sync(file, bare)
	l.took += (time.Since(begun) - l.took) / 8
	l.out <- struct{}{}
	defer l.leave()
	switch {
	case l.flushing == nil: // somebody could not write meanwhile
		return g.waited
	case err != nil:
		l.fail(err)
		return g.waited
	}
	l.flushing = nil
	l.disk.synced(upTo)
	l.mu.Lock()
	l.status.Records, l.synced = upTo.seq, upTo.seq
	l.recycle(l.unsynced[:covered])
	l.mu.Unlock()
	l.unsynced = append(l.unsynced[:0], l.unsynced[covered:]...)
	g.end(nil)
	return g.waited
}

// put writes a batch, which may be nil, into the file. Whoever calls it has entered,
// and calls fail with the error.
func (l *Log) put(b *batch) error {
	if b == nil {
		return nil
	}
	l.unsynced = append(l.unsynced, b)
	if err := l.disk.write(b); err != nil {
		return err
	}
	b.state.Store(inFile)
	return nil
}

// fail refuses everything that is not on disk, but for what was acknowledged when it
// had been written: that is written anew when the log is mended, and until then the
// log refuses. Whoever calls it has entered.
func (l *Log) fail(err error) {
	why := fmt.Errorf("%w: %w", ErrUnavailable, err)
	l.mu.Lock()
	l.broken = why
	also, g := l.next, l.group
	l.next, l.group = newBatch(memory{}), newGroup()
	l.seq = l.disk.seq
	l.dropped += also.quiet()
	also.release()
	also.refuse(why)
	kept := l.unsynced[:0]
	for _, b := range l.unsynced {
		l.dropped += b.quiet()
		if b.state.Load() == inFile {
			kept = append(kept, b)
		} else {
			b.refuse(why)
		}
	}
	l.unsynced, l.held = kept, 0
	l.mu.Unlock()
	if l.flushing != nil {
		l.flushing.end(why)
		l.flushing = nil
	}
	g.end(why)
	l.o.Log.Error("the audit log cannot be written; calls with side effects are refused", "err", err)
	l.rouse()
}

// mend tries until the log can be written again, or is closed. It returns at once
// when nothing is broken.
func (l *Log) mend() {
	for wait := retryAfter; l.isBroken(); wait = min(2*wait, retryMost) {
		closing := l.pause(wait)
		l.out <- struct{}{}
		err := l.goOn()
		if err != nil && closing {
			_, _ = l.disk.mend() // else the next start finds what was refused, and takes it for written
			l.giveUp()
		}
		l.leave()
		if err == nil {
			l.o.Log.Info("the audit log can be written again", "record", l.disk.seq)
			return
		}
		l.o.Log.Error("the audit log still cannot be written", "err", err)
		if closing {
			return
		}
	}
}

func (l *Log) isBroken() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken != nil
}

// goOn cuts off what is not on disk, and has on disk, in a new segment, a record that
// says so and what was acknowledged when it had been written.
func (l *Log) goOn() error {
	lost, err := l.disk.mend()
	if err != nil {
		return err
	}
	seq, b := l.disk.seq, newBatch(memory{})
	text := fmt.Sprintf("writing failed after record %d; what was not acknowledged was cut off (%d bytes)", seq, lost)
	var kept [][]byte
	for _, old := range l.unsynced {
		if old.last() > seq { // else it is on disk
			old.keep(func(members []byte) { kept = append(kept, members) })
		}
	}
	if len(kept) > 0 {
		text += fmt.Sprintf(", and %d outcomes that had been acknowledged follow anew", len(kept))
	}
	e := entry{kind: kindRecovered, time: l.o.Now(), text: text}
	b.add(seq+1, seq, e.append(nil, l), onDisk)
	for i, members := range kept {
		b.add(seq+2+uint64(i), seq, members, written)
	}
	if err := l.disk.write(b); err != nil {
		return err
	}
	if err := l.disk.sync(l.disk.file, l.disk.bare); err != nil {
		return err
	}
	l.disk.synced(l.disk.end)
	l.unsynced = nil
	l.mu.Lock()
	seq = l.disk.seq
	l.broken, l.seq, l.synced, l.status.Records = nil, seq, seq, seq
	l.mu.Unlock()
	return nil
}

// giveUp tells what a log loses that is closed before it could be mended.
func (l *Log) giveUp() {
	lost := 0
	for _, b := range l.unsynced {
		b.keep(func([]byte) { lost++ })
	}
	l.unsynced = nil
	if lost > 0 {
		l.o.Log.Error("outcomes of calls that were answered are lost from the audit log; their intents are in it", "records", lost)
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
