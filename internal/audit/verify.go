package audit

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// VerifyOptions say what is verified.
type VerifyOptions struct {
	// Dir is the log, Checkpoints the directory or file of its checkpoints.
	Dir, Checkpoints string
	// Key is whose signatures count.
	Key ed25519.PublicKey
}

// maxFaults bounds the faults that are told one by one, and maxOpen the calls
// under way that are followed.
const (
	maxFaults = 100
	maxOpen   = 1 << 20
)

// Fault is a record, a line or a file that is not as it was written.
type Fault struct {
	Path string
	Line int // 0 when the file is meant
	Text string
}

func (f Fault) String() string {
	if f.Line == 0 {
		return f.Path + ": " + f.Text
	}
	return fmt.Sprintf("%s:%d: %s", f.Path, f.Line, f.Text)
}

// Report is what was found. The log is whole when it has no faults.
type Report struct {
	Segments, Checkpoints int
	Records               uint64 // that were read
	First, Last           uint64 // sequence numbers
	Retired               uint64 // records that were removed on purpose, which is signed
	Unsealed              uint64 // records after the last checkpoint: if some more had been there, nobody could tell
	Unfinished            uint64 // intents without an outcome: under way, or cut short by a crash
	Recoveries            uint64 // crashes and failures of the disk that the log tells of
	Torn                  int64  // bytes of a last line that has no end: being written, or left by a crash
	Faults                []Fault
	MoreFaults            int // that were not told one by one
}

// Verify reads a whole log, in memory that grows with nothing but the number of
// segments that were removed, and compares it with its checkpoints. The error is nil when it could be read,
// whatever was found. The log may be in use.
func Verify(ctx context.Context, o VerifyOptions) (*Report, error) {
	if len(o.Key) != ed25519.PublicKeySize {
		return nil, errors.New("verify audit log: no public key was given")
	}
	v := &verifier{o: o, report: &Report{}, open: make(map[uint64]struct{}), gone: make(map[uint64]string)}
	// The checkpoints are read first: what is written meanwhile is after them.
	if err := v.checkpoints(); err != nil {
		return nil, fmt.Errorf("verify audit log: %w", err)
	}
	all, err := segments(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("verify audit log: %w", err)
	}
	if err := v.rewind(); err != nil {
		return nil, fmt.Errorf("verify audit log: %w", err)
	}
	defer v.seals.close()
	for i, s := range all {
		if err := v.segment(ctx, s, i == len(all)-1); err != nil {
			return nil, fmt.Errorf("verify audit log: %w", err)
		}
	}
	v.finish()
	if v.seals.err != nil {
		return nil, fmt.Errorf("verify audit log: %w", v.seals.err)
	}
	return v.report, nil
}

type verifier struct {
	o      VerifyOptions
	report *Report
	seals  *seals
	upTo   checkpoint        // the last that seals
	gone   map[uint64]string // the hash of records up to which all was removed on purpose; one for each segment
	seq    uint64            // last record that was read
	hash   link              // its hash; or what the line says that it is
	prev   link              // of the line read last
	open   map[uint64]struct{}
	path   string
	line   int
}

func (v *verifier) fault(format string, args ...any) {
	if len(v.report.Faults) == maxFaults {
		v.report.MoreFaults++
		return
	}
	v.report.Faults = append(v.report.Faults, Fault{v.path, v.line, fmt.Sprintf(format, args...)})
}

// checkpoints checks the checkpoints among themselves.
func (v *verifier) checkpoints() error {
	path := v.o.Checkpoints
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, checkpointsName)
	}
	v.o.Checkpoints, v.path = path, path
	s, err := openSeals(path, v.o.Key)
	if errors.Is(err, fs.ErrNotExist) {
		v.fault("there are no checkpoints: whether records are missing at the end, or all was written anew, cannot be told")
		return nil
	}
	if err != nil {
		return err
	}
	defer s.close()
	var was checkpoint
	prev := link{}
	for {
		c, line, err := s.next()
		if err == io.EOF {
			break
		}
		if v.line = s.line; err != nil {
			v.fault("this checkpoint %v", err)
			continue
		}
		v.report.Checkpoints++
		if c.N != was.N+1 || c.Prev != prev.String() {
			v.fault("checkpoint %d follows checkpoint %d, and does not continue it", c.N, was.N)
		}
		was, prev = c, after(link{}, line)
		if c.Kind == retired {
			v.gone[c.Seq] = c.Hash
		} else {
			v.upTo = c
		}
	}
	v.line = 0
	return s.err
}

// rewind begins to read the checkpoints again, beside the log.
func (v *verifier) rewind() error {
	s, err := openSeals(v.o.Checkpoints, v.o.Key)
	if errors.Is(err, fs.ErrNotExist) {
		s, err = &seals{}, nil
	}
	v.seals = s
	return err
}

// segment reads one segment.
func (v *verifier) segment(ctx context.Context, s segment, last bool) error {
	f, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer f.Close()
	v.report.Segments++
	v.path, v.line = filepath.Base(s.path), 0
	r := newLines(f)
	for {
		line, whole, err := r.next()
		if err == io.EOF && v.line == 0 && !last {
			v.fault("the segment is empty")
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		v.line++
		if v.line%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		v.take(s, line, whole, last)
	}
}

// take looks at one line.
func (v *verifier) take(s segment, line []byte, whole, last bool) {
	if !whole && last {
		v.report.Torn += int64(len(line))
		return
	}
	text, says, ok := unseal(line)
	if !ok {
		v.fault("is not a line of the log: changed, or added")
		return
	}
	if v.line == 1 {
		v.header(s, text, says)
		return
	}
	n, rest, ok := readNumbers(text)
	if !ok {
		v.fault("is not a record: changed, or added")
		return
	}
	v.order(n)
	if after(v.prev, text) != says {
		v.fault("record %d, or one between it and the record before it, was changed or is missing: the chain does not continue", n.seq)
	}
	v.seq, v.hash, v.prev = n.seq, says, says
	v.report.Records++
	v.follow(n.seq, string(rest[:min(len(rest), 64)]))
	v.compare()
}

// order checks that no number is left out or used twice.
func (v *verifier) order(n numbers) {
	switch {
	case n.seq == v.seq+1:
	case n.seq > v.seq+1:
		v.fault("records %d to %d are missing", v.seq+1, n.seq-1)
	default:
		v.fault("record %d comes after record %d: moved, or doubled", n.seq, v.seq)
	}
}

// header looks at the first line of a segment.
func (v *verifier) header(s segment, text []byte, says link) {
	h, ok := readHeader(text)
	if !ok || h.first != s.first || after(h.prev, text) != says {
		v.fault("is not the header of this segment: changed, or the file was renamed")
		v.prev = says
		return
	}
	switch first := v.report.Segments == 1; {
	case first && h.first == 1 && h.prev == (link{}):
	case first && v.gone[h.first-1] == h.prev.String():
		v.report.Retired = h.first - 1
	case first:
		v.fault("records before %d are missing, and no checkpoint says that they were removed on purpose", h.first)
	case h.first > v.seq+1:
		v.fault("records %d to %d are missing", v.seq+1, h.first-1)
	case h.first <= v.seq || h.prev != v.hash:
		v.fault("does not continue the segment before it")
	}
	if v.report.Segments == 1 {
		v.report.First = h.first
	}
	v.seq, v.hash, v.prev = h.first-1, h.prev, says
	v.compare()
}

// compare holds the record that was just read against its checkpoint.
func (v *verifier) compare() {
	for {
		c, ok := v.seals.peek()
		if !ok || c.Seq > v.seq {
			return
		}
		v.seals.skip()
		if c.Seq == v.seq && c.Hash != v.hash.String() {
			v.fault("record %d is not the one that checkpoint %d was made of: the log was written anew", c.Seq, c.N)
		}
	}
}

// follow keeps account of calls that have begun and not ended.
func (v *verifier) follow(seq uint64, rest string) {
	value, ok := strings.CutPrefix(rest, `,"kind":"`)
	if !ok {
		return
	}
	switch what, more, _ := strings.Cut(value, `"`); kind(what) {
	case kindIntent:
		if len(v.open) < maxOpen {
			v.open[seq] = struct{}{}
		}
		v.report.Unfinished++
	case kindOutcome:
		of, _, ok := readNumber([]byte(more), `,"of":`)
		if _, known := v.open[of]; ok && known {
			delete(v.open, of)
			v.report.Unfinished--
		}
	case kindRecovered:
		v.report.Recoveries++
	}
}

// finish looks at what should have come and has not.
func (v *verifier) finish() {
	v.report.Last = v.seq
	v.path, v.line = v.o.Dir, 0
	if v.upTo.Seq > v.seq {
		v.fault("records %d to %d are missing at the end: checkpoint %d says that they were there", v.seq+1, v.upTo.Seq, v.upTo.N)
		return
	}
	v.report.Unsealed = v.seq - v.upTo.Seq
}

// seals reads checkpoints one by one.
type seals struct {
	file *os.File
	r    *lines
	key  ed25519.PublicKey
	line int
	held *checkpoint
	err  error // why reading ended before the end
}

func openSeals(path string, key ed25519.PublicKey) (*seals, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &seals{file: f, r: newLines(f), key: key}, nil
}

// next returns a checkpoint and its line. A last line that is torn is none.
func (s *seals) next() (checkpoint, []byte, error) {
	line, whole, err := s.r.next()
	if err != nil || !whole {
		if err != nil && err != io.EOF {
			s.err = err
		}
		return checkpoint{}, nil, io.EOF
	}
	s.line++
	c, err := readCheckpoint(line, s.key)
	return c, line, err
}

// peek gives the next one that seals.
func (s *seals) peek() (checkpoint, bool) {
	for s.held == nil && s.file != nil {
		c, _, err := s.next()
		if err == io.EOF {
			return checkpoint{}, false
		}
		if err == nil && c.Kind == sealed {
			s.held = &c
		}
	}
	if s.held == nil {
		return checkpoint{}, false
	}
	return *s.held, true
}

func (s *seals) skip() { s.held = nil }

func (s *seals) close() {
	if s.file != nil {
		_ = s.file.Close() // it was only read
	}
}
