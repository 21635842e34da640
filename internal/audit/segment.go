package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	segmentBegin = "audit-"
	segmentEnd   = ".jsonl"
)

func segmentName(first uint64) string {
	return fmt.Sprintf("%s%020d%s", segmentBegin, first, segmentEnd)
}

// segment is a file of the log, by its name.
type segment struct {
	path  string
	first uint64
}

// segments lists the files of a log in order.
func segments(dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []segment
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), segmentBegin)
		name, also := strings.CutSuffix(name, segmentEnd)
		first, err := strconv.ParseUint(name, 10, 64)
		if ok && also && err == nil && e.Name() == segmentName(first) {
			found = append(found, segment{filepath.Join(dir, e.Name()), first})
		}
	}
	slices.SortFunc(found, func(a, b segment) int { return strings.Compare(a.path, b.path) })
	return found, nil
}

// Holds tells whether a directory has any of a log in it.
func Holds(dir string) (bool, error) {
	all, err := segments(dir)
	return len(all) > 0, err
}

// disk is the end of the log that is written to. Whoever holds Log.out uses it;
// what is said of records on disk is changed by the writer alone, which may read
// it at any time.
type disk struct {
	o    Options
	file File
	path string
	born time.Time
	bare bool // the name of the file is not on disk yet

	size int64  // bytes of the file that are on disk
	seq  uint64 // last record on disk
	prev link   // its hash

	end end // of what has been written
	buf []byte

	links links // of the batch that is being written
}

// end is how far something has come: bytes of the file, last record, its hash.
type end struct {
	at   int64
	seq  uint64
	hash link
}

func newDisk(o Options, t tail) *disk {
	return &disk{links: newLinks(), o: o, path: t.path, size: t.size, born: t.born, seq: t.seq, prev: t.prev,
		end: end{t.size, t.seq, t.prev}}
}

// begin opens the file that is there, if any.
func (d *disk) begin() error {
	if d.path == "" {
		return nil
	}
	f, err := d.o.OpenFile(d.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	d.file = f
	return nil
}

func (d *disk) close() error {
	if d.file == nil {
		return nil
	}
	return d.file.Close()
}

// due tells whether what comes belongs into a new segment.
func (d *disk) due() bool {
	return d.file != nil && (d.end.at >= int64(d.o.Config.SegmentSize) || d.o.Now().Sub(d.born) >= d.o.Config.SegmentAge)
}

// finish has a segment on disk as a whole and lets go of it: what the next has on
// disk proves that nothing is missing in this one.
func (d *disk) finish() error {
	if d.size < d.end.at {
		if err := d.sync(d.file, d.bare); err != nil {
			return err
		}
		d.synced(d.end)
	}
	f := d.file
	d.file = nil
	return f.Close()
}

// write writes a batch into the file. Then it survives the end of the process; sync
// is for the end of everything.
func (d *disk) write(b *batch) error {
	out := d.buf[:0]
	d.links.at = d.end.hash
	if d.file == nil {
		now := d.o.Now()
		if err := d.roll(now); err != nil {
			return err
		}
		out = append(out, header{first: b.first, time: now, prev: d.end.hash}.text()...)
		out = d.links.seal(out, 0)
	}
	begin := 0
	for _, to := range b.ends {
		from := len(out)
		out = append(out, b.text[begin:to]...)
		out = d.links.seal(out, from)
		begin = to
	}
	n, err := d.file.Write(out)
	d.end.at += int64(n)
	if err != nil {
		return err
	}
	d.end.seq, d.end.hash = b.last(), d.links.at
	if d.buf = out; cap(out) > maxBatchBytes {
		d.buf = nil
	}
	return nil
}

// sync has everything on disk that was written into a file before it is called;
// bare says that its name is not. Without a file all is on disk, in a segment that
// is finished. It needs nothing that others change meanwhile.
func (d *disk) sync(file File, bare bool) error {
	if file == nil {
		return nil
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if bare {
		return syncDir(d.o.OpenFile, d.o.Config.Dir)
	}
	return nil
}

// synced notes what is on disk.
func (d *disk) synced(e end) {
	d.size, d.seq, d.prev, d.bare = e.at, e.seq, e.hash, false
}

// roll begins the next segment. Its header is written with its first batch.
func (d *disk) roll(now time.Time) error {
	path := filepath.Join(d.o.Config.Dir, segmentName(d.seq+1))
	f, err := d.o.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	d.file, d.path, d.size, d.end.at, d.born, d.bare = f, path, 0, 0, now, true
	return nil
}

// mend cuts off what is not on disk and lets go of the file, so that the
// next batch begins a new one: what a failed flush has left in the memory of the
// system cannot be trusted. It returns how many bytes it cut off.
func (d *disk) mend() (int64, error) {
	if d.file != nil {
		_ = d.file.Close() // its bytes are judged by what is on disk alone
		d.file = nil
	}
	lost := d.end.at - d.size
	d.end.seq, d.end.hash = d.seq, d.prev
	if d.path == "" {
		return 0, nil
	}
	if d.size == 0 {
		if err := os.Remove(d.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
	} else if err := cutOff(d.o.OpenFile, d.path, d.size); err != nil {
		return 0, err
	}
	if err := syncDir(d.o.OpenFile, d.o.Config.Dir); err != nil {
		return 0, err
	}
	d.path, d.end.at = "", d.size
	return lost, nil
}

type opener = func(path string, flag int, perm fs.FileMode) (File, error)

// cutOff shortens a file, on disk.
func cutOff(open opener, path string, size int64) error {
	f, err := open(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if err := f.Truncate(size); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}

// syncDir has the names in a directory on disk.
func syncDir(open opener, dir string) error {
	f, err := open(dir, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// retire removes segments whose last record is older than keep, and has that
// signed before. It returns how many it removed.
func (d *disk) retire(keep time.Duration, sink *sealer) (int, error) {
	if keep <= 0 {
		return 0, nil
	}
	all, err := segments(d.o.Config.Dir)
	if err != nil {
		return 0, err
	}
	for i := range len(all) - 1 {
		next, err := firstLine(all[i+1].path)
		if err != nil || d.o.Now().Sub(next.time) < keep {
			return i, err
		}
		if err := sink.retire(d.o.Now(), next.first-1, next.prev); err != nil {
			return i, err
		}
		if err := os.Remove(all[i].path); err != nil {
			return i, err
		}
	}
	return max(len(all)-1, 0), nil
}
