package audit

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	// maxBatch and maxBatchBytes bound what waits to be written. Whoever comes
	// when it is full waits for the next.
	maxBatch      = 4096
	maxBatchBytes = 4 << 20
	// maxHeld bounds what has been written and not flushed, in bytes, beyond which
	// records that nobody waits for are dropped: a disk that does not answer must not
	// take all memory. The others are bounded by the calls that are under way.
	maxHeld = 16 << 20
	// maxMemory bounds what is kept of a batch for another, in bytes, and maxSpare
	// of how many batches it is kept.
	maxMemory = 1 << 20
	maxSpare  = 64
)

// What has become of a batch.
const (
	pending int32 = iota
	inFile        // it survives the end of the process
	refused       // it is not in the log, and will not be
)

// batch is what is written together. It is filled under Log.mu and, once taken,
// belongs to whoever holds Log.out.
type batch struct {
	text  []byte     // the records, without hashes
	ends  []int      // where each ends in text
	until []patience // what each is waited for
	first uint64     // sequence number of the first
	taken chan struct{}

	state atomic.Int32
	err   error // why it is refused; set before state says so
}

// memory is what a batch is made in. Batches come one after the other, and are alike.
type memory struct {
	text  []byte
	ends  []int
	until []patience
}

func newBatch(m memory) *batch {
	return &batch{text: m.text[:0], ends: m.ends[:0], until: m.until[:0]}
}

func (b *batch) full() bool { return len(b.ends) >= maxBatch || len(b.text) >= maxBatchBytes }

// last is the sequence number of the last record.
func (b *batch) last() uint64 { return b.first + uint64(len(b.ends)) - 1 }

// add puts a record at the end. synced is the last that is on disk.
func (b *batch) add(seq, synced uint64, text []byte, until patience) {
	if len(b.ends) == 0 {
		b.first = seq
	}
	b.text = strconv.AppendUint(append(b.text, `{"seq":`...), seq, 10)
	b.text = strconv.AppendUint(append(b.text, `,"batch":`...), synced+1, 10)
	b.text = append(b.text, text...)
	b.ends = append(b.ends, len(b.text))
	b.until = append(b.until, until)
}

// quiet is how many of the records nobody waits for.
func (b *batch) quiet() (n uint64) {
	for _, u := range b.until {
		if u < written {
			n++
		}
	}
	return n
}

// keep gives the members of the records that were acknowledged when they had been
// written, without their place in the log.
func (b *batch) keep(each func(members []byte)) {
	begin := 0
	for i, end := range b.ends {
		if _, rest, ok := readNumbers(b.text[begin:end]); ok && b.until[i] == written {
			each(rest)
		}
		begin = end
	}
}

// refuse tells who waits for the batch that it will not be written.
func (b *batch) refuse(err error) {
	b.err = err
	b.state.Store(refused)
}

// release lets those try again who found the batch full. It is called under Log.mu.
func (b *batch) release() {
	if b.taken != nil {
		close(b.taken)
		b.taken = nil
	}
}

// group is what is flushed together, in one batch or several.
type group struct {
	records int // in it
	answers int // of them, outcomes whose callers are answered before the flush
	waited  int // of them, for which somebody waits until they are on disk
	done    chan struct{}
	err     error // final when done is closed

	overdue chan struct{} // closed when the first record has waited as long as one may
	timer   *time.Timer   // closes overdue
}

func newGroup() *group {
	return &group{done: make(chan struct{}), overdue: make(chan struct{})}
}

// end tells who waits that err, which may be nil, is final. It is called once.
func (g *group) end(err error) {
	if g.timer != nil {
		g.timer.Stop()
	}
	g.err = err
	close(g.done)
}

// ticket is the place of a record.
type ticket struct {
	seq   uint64 // 0 when there was no place
	batch *batch
	group *group
	room  <-chan struct{} // without a place: closed when there may be one
}

// place puts a record into the batch that is being filled. When that is full,
// there is no number, and there will be another batch when it has been taken.
func (l *Log) place(text []byte, until patience) (ticket, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, g := l.next, l.group
	err := l.broken
	switch {
	case err != nil:
	case l.closing:
		err = fmt.Errorf("%w: it is being closed", ErrUnavailable)
	case b.full() && until == atOnce, until < written && l.held >= maxHeld:
		err = fmt.Errorf("%w as fast as records come", ErrUnavailable)
	case b.full():
		if b.taken == nil {
			b.taken = make(chan struct{})
		}
		return ticket{room: b.taken}, nil
	}
	if err != nil {
		if until < written {
			l.dropped++
		}
		return ticket{}, err
	}
	l.seq++
	if g.records++; g.records == 1 {
		l.later.Reset(quietFor)
	}
	switch until {
	case onDisk:
		l.expect(g)
	case written:
		if g.answers++; g.answers == 1 {
			l.later.Reset(answeredFor)
		}
	}
	b.add(l.seq, l.synced, text, until)
	if b.full() {
		l.rouse()
	}
	return ticket{seq: l.seq, batch: b, group: g}, nil
}

// expect notes that somebody waits until the group is on disk.
func (l *Log) expect(g *group) {
	switch g.waited++; g.waited {
	case 1:
		g.timer = time.AfterFunc(l.o.Config.Timeout, func() { close(g.overdue) })
		l.rouse()
	case l.crowd: // nobody else is known of who could come
		l.gather()
	}
}

// take gives what is to be written now; nil when there is nothing.
func (l *Log) take() *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.takeLocked()
}

func (l *Log) takeLocked() *batch {
	b := l.next
	if len(b.ends) == 0 {
		return nil
	}
	m := memory{}
	if n := len(l.spare); n > 0 {
		m, l.spare = l.spare[n-1], l.spare[:n-1]
	}
	l.next = newBatch(m)
	l.held += len(b.text)
	b.release()
	return b
}

// takeAll gives what is to be written and who waits for it and for what has been
// written before to be on disk.
func (l *Log) takeAll() (b *batch, g *group) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g, l.group = l.group, newGroup()
	l.crowd = max(int(l.inside.Load()), l.crowd*7/8)
	return l.takeLocked(), g
}

// recycle takes back the memory of batches that are on disk.
func (l *Log) recycle(done []*batch) {
	for _, b := range done {
		l.held -= len(b.text)
		if cap(b.text) <= maxMemory && len(l.spare) < maxSpare {
			l.spare = append(l.spare, memory{b.text, b.ends, b.until})
		}
	}
}
