// Package audit is the record of who had what done: a log that can be proven
// whole. A call with side effects is recorded before it is made and again when
// it has ended; it is not made when the first cannot be written.
//
// A log is a directory of segments, files of one JSON object per line:
//
//	{"segment":1,"first":N,"time":…,"prev":H0,"hash":H1}
//	{"seq":N,"batch":N,"kind":"intent",…,"hash":H2}
//	{"seq":N+1,"batch":N,"kind":"outcome","of":N,…,"hash":H3}
//
// The hash of a line is SHA-256 of the hash before it and of the line without
// its own, so that no line can be changed, left out or moved without changing
// all that follow. Checkpoints, signed with Ed25519 and kept in another place,
// say what the hash was at a record, so that not all can be written anew, nor
// the end be cut off. "batch" is the first record that was not known to be on
// disk when a record was made: by it a tail that was torn by a crash is
// told from records that were on disk and damaged later.
//
// An intent is acknowledged when it is on disk, an outcome when it is in the file:
// it survives the end of the process, and is on disk with the next flush, which
// comes with the next intent or 20 ms later. What a loss of power
// takes is outcomes of that long; their calls are in the log as begun and not ended.
//
// Records that arrive while the disk is busy share the next flush. When one fails,
// no intent of it is acknowledged, and the log refuses everything until it could
// cut off what is not on disk, go on in a new segment, and write down there that
// it did, and once more the outcomes that had been acknowledged.
//
// The package does not know what is allowed, and not what a secret is: it is
// given a decision and a redactor.
package audit

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
)

var (
	// ErrUnavailable is a record that was not acknowledged, since the log cannot
	// be written or not in time. Nothing may be done on the strength of it.
	ErrUnavailable = errors.New("the audit log cannot be written")
	// ErrDamaged is a log of which acknowledged records are missing or changed. It
	// is left as it is, for whoever wants to know why.
	ErrDamaged = errors.New("the audit log is damaged")
)

// Redactor takes secrets out of what is recorded. It may be called concurrently.
type Redactor interface {
	// Text returns a text without secrets.
	Text(text string) string
	// AppendView appends to dst valid JSON of about most bytes that shows what may
	// be shown of raw, which is valid JSON.
	AppendView(dst, raw []byte, most int) []byte
}

// File is what is needed of a file to write a segment or checkpoints; *os.File is one.
type File interface {
	Write(p []byte) (int, error)
	Sync() error
	Truncate(size int64) error
	Close() error
}

// Options are what a Log is made of. Only Log, OpenFile, Sink and Now may be left out.
type Options struct {
	Config config.Audit
	// Redactor takes secrets out.
	Redactor Redactor
	// Log takes remarks about the audit log itself.
	Log *slog.Logger
	// OpenFile opens files for writing, and directories to be flushed; os.OpenFile by default.
	OpenFile func(path string, flag int, perm fs.FileMode) (File, error)
	// Sink takes checkpoints besides the file in Config.CheckpointDir. The Log closes it.
	Sink Sink
	// Now is the clock of the records; time.Now by default.
	Now func() time.Time
}

// Log is an audit log that is being written. Close it.
type Log struct {
	o       Options
	rules   rules
	key     ed25519.PrivateKey
	macs    sync.Pool // of *mac
	texts   sync.Pool // of *[]byte, for a record each
	clients words     // by what they say of themselves
	lock    func() error
	sink    *sealer

	out      chan struct{} // holds one: who may write into the file, and guards what follows
	disk     *disk
	unsynced []*batch // taken, and not known to be on disk
	flushing *group   // what is being flushed; nil while nothing is, or when it has failed

	took   time.Duration // by a flush, of late; the writer's alone
	inside atomic.Int64  // calls that are recorded before and after, and have not been answered

	mu      sync.Mutex // guards what follows
	next    *batch     // being filled
	group   *group     // of what is flushed next
	spare   []memory   // for batches to come
	held    int        // bytes that were taken from next and are not on disk
	crowd   int        // how many calls there were at once, of late
	seq     uint64     // last that was given out
	synced  uint64     // last on disk
	broken  error      // why nothing is taken; nil while it is
	closing bool
	later   *time.Timer // wakes the writer for records that nobody waits for
	dropped uint64      // records that nobody waited for and that could not be taken
	status  Status

	wake     chan struct{} // holds one: there is something for the writer
	gathered chan struct{} // holds one: as many wait as there were calls of late
	done     chan struct{} // closed when the writer has ended
}

// Status is how a log is doing.
type Status struct {
	// Records is the sequence number of the last record on disk, Sealed that of
	// the last one that a checkpoint covers.
	Records, Sealed uint64
	// Dropped counts records that nobody waited for and that were lost.
	Dropped uint64
	// Err is why records are refused; nil while they are not.
	Err error
	// SealErr is why the last checkpoint could not be written.
	SealErr error
}

// Open opens the log in a directory, or begins it. What a crash left behind of
// records that were not on disk is cut off, which a record then says.
func Open(o Options) (*Log, error) {
	if o.Redactor == nil {
		return nil, errors.New("open audit log: no redactor was given")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.OpenFile == nil {
		o.OpenFile = openFile
	}
	for _, dir := range []string{o.Config.Dir, o.Config.CheckpointDir()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("open audit log: %w", err)
		}
	}
	unlock, err := lockDir(o.Config.Dir)
	if err != nil {
		return nil, fmt.Errorf("open audit log %s: %w", o.Config.Dir, err)
	}
	l, err := open(o, unlock)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open audit log %s: %w", o.Config.Dir, err), unlock())
	}
	return l, nil
}

func openFile(path string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(path, flag, perm)
	if err != nil || flag&(os.O_WRONLY|os.O_RDWR) == 0 { // a directory
		return f, err
	}
	return flushing(f), nil
}

func open(o Options, unlock func() error) (*Log, error) {
	key, err := loadKey(o.Config.Key())
	if err != nil {
		return nil, err
	}
	l := &Log{
		o: o, key: key, lock: unlock, rules: newRules(o.Config), next: newBatch(memory{}), group: newGroup(), out: make(chan struct{}, 1),
		wake: make(chan struct{}, 1), gathered: make(chan struct{}, 1), done: make(chan struct{}),
	}
	secret := digestKey(key)
	l.texts.New = func() any { text := make([]byte, 0, 1024); return &text }
	l.macs.New = func() any { return &mac{Hash: hmac.New(sha256.New, secret)} }
	found, err := recoverLog(o.Config.Dir, o.OpenFile)
	if err != nil {
		return nil, err
	}
	if l.sink, err = newSealer(o, key, found); err != nil {
		return nil, err
	}
	l.disk = newDisk(o, found)
	l.seq, l.synced = found.seq, found.seq
	l.status = Status{Records: found.seq, Sealed: l.sink.last.Seq}
	if err := l.disk.begin(); err != nil {
		return nil, errors.Join(err, l.sink.close())
	}
	l.later = time.AfterFunc(quietFor, l.rouse)
	go l.write()
	if found.torn > 0 {
		o.Log.Warn("the audit log had a torn tail, which was not on disk; it was cut off", "bytes", found.torn)
	}
	if _, err := l.append(context.Background(), l.opened(found), onDisk); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// opened is the record of a start, and of what was cut off.
func (l *Log) opened(found tail) *entry {
	e := &entry{kind: kindOpened, time: l.o.Now(), text: fmt.Sprintf("key %s", keyID(l.key.Public().(ed25519.PublicKey)))}
	if found.torn > 0 {
		e.kind = kindRecovered
		e.text = fmt.Sprintf("cut off %d bytes after record %d that a crash left behind and that were not on disk; ", found.torn, found.seq) + e.text
	}
	return e
}

// closeTimeout bounds how long Close waits for a disk that does not answer.
const closeTimeout = 15 * time.Second

// Close writes what is waiting and a last checkpoint, and releases everything.
func (l *Log) Close() error {
	l.mu.Lock()
	again := l.closing
	l.closing = true
	l.mu.Unlock()
	l.rouse()
	limit := time.NewTimer(closeTimeout)
	defer limit.Stop()
	select {
	case <-l.done:
	case <-limit.C:
		return fmt.Errorf("close audit log: %w: the disk has not answered for %s", ErrUnavailable, closeTimeout)
	}
	if again {
		return nil
	}
	return errors.Join(l.disk.close(), l.sink.close(), l.lock())
}

// Status tells how the log is doing.
func (l *Log) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.status
	s.Err, s.Dropped = l.broken, l.dropped
	return s
}

func (l *Log) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}
