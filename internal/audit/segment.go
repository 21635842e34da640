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

// disk is the end of the log that is written to. Only the writer uses it.
type disk struct {
	o    Options
	file File
	path string
	size int64 // acknowledged bytes of the file
	at   int64 // bytes of the file, whether acknowledged or not
	born time.Time

	seq  uint64 // last acknowledged record
	prev link   // its hash
	buf  []byte

	links links // of the batch that is being written
}

func newDisk(o Options, t tail) *disk {
	return &disk{links: newLinks(), o: o, path: t.path, size: t.size, at: t.size, born: t.born, seq: t.seq, prev: t.prev}
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

// write writes a batch and has it on disk when it returns nil. Otherwise nothing
// of it is acknowledged.
func (d *disk) write(b *batch) error {
	now := d.o.Now()
	fresh := d.file == nil || d.size >= int64(d.o.Config.SegmentSize) || now.Sub(d.born) >= d.o.Config.SegmentAge
	if fresh {
		if err := d.roll(now); err != nil {
			return err
		}
	}
	out := d.buf[:0]
	d.links.at = d.prev
	if fresh {
		out = append(out, header{first: b.first, time: now, prev: d.prev}.text()...)
		out = d.links.seal(out, 0)
	}
	begin := 0
	for _, end := range b.ends {
		from := len(out)
		out = append(out, b.text[begin:end]...)
		out = d.links.seal(out, from)
		begin = end
	}
	n, err := d.file.Write(out)
	d.at += int64(n)
	if err != nil {
		return err
	}
	if err := d.file.Sync(); err != nil {
		return err
	}
	if fresh {
		if err := syncDir(d.o.OpenFile, d.o.Config.Dir); err != nil {
			return err
		}
	}
	d.size, d.prev, d.seq = d.at, d.links.at, b.first+uint64(len(b.ends))-1
	if d.buf = out; cap(out) > maxBatchBytes {
		d.buf = nil
	}
	return nil
}

// roll begins the next segment. Its header is written with its first batch.
func (d *disk) roll(now time.Time) error {
	if d.file != nil {
		if err := d.file.Close(); err != nil {
			return err
		}
		d.file = nil
	}
	path := filepath.Join(d.o.Config.Dir, segmentName(d.seq+1))
	f, err := d.o.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	d.file, d.path, d.size, d.at, d.born = f, path, 0, 0, now
	return nil
}

// mend cuts off what was not acknowledged and lets go of the file, so that the
// next batch begins a new one: what a failed flush has left in the memory of the
// system cannot be trusted. It returns how many bytes it cut off.
func (d *disk) mend() (int64, error) {
	if d.file != nil {
		_ = d.file.Close() // its bytes are judged by their acknowledgement alone
		d.file = nil
	}
	lost := d.at - d.size
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
	d.path, d.at = "", d.size
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
