package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Sink takes checkpoints: one line each, in order. Put returns when the line is
// kept for good.
type Sink interface {
	Put(line []byte) error
	Close() error
}

const (
	checkpointsName = "checkpoints.jsonl"
	// sealed says that the log had a record with this hash, retired that
	// everything up to that record was removed on purpose.
	sealed  = "checkpoint"
	retired = "retired"
	// signedAs is put before what is signed, so that the signature is good for nothing else.
	signedAs = "dragoman audit checkpoint 1\n"
)

// checkpoint is one line of the sink. Its fields are written in this order.
type checkpoint struct {
	N    uint64 `json:"n"` // counts checkpoints
	Kind string `json:"kind"`
	Seq  uint64 `json:"seq"`  // of a record
	Hash string `json:"hash"` // of that record
	Time string `json:"time"`
	Prev string `json:"prev"` // SHA-256 of the line before, so that none can be left out
	Key  string `json:"key"`  // which key signed
	Sig  string `json:"sig,omitempty"`
}

func (c checkpoint) line() []byte {
	text, err := json.Marshal(c)
	if err != nil {
		panic("audit: a checkpoint does not marshal: " + err.Error())
	}
	return append(text, '\n')
}

// signed is what the signature is over.
func (c checkpoint) signed() []byte {
	c.Sig = ""
	return append([]byte(signedAs), c.line()...)
}

// readCheckpoint reads a line and checks its signature.
func readCheckpoint(line []byte, key ed25519.PublicKey) (checkpoint, error) {
	var c checkpoint
	if err := json.Unmarshal(line, &c); err != nil {
		return c, errors.New("is not a checkpoint")
	}
	sig, err := hex.DecodeString(c.Sig)
	switch {
	case err != nil || hex.EncodeToString(sig) != c.Sig || !bytes.Equal(c.line(), line):
		return c, errors.New("is not written as checkpoints are")
	case c.Kind != sealed && c.Kind != retired:
		return c, fmt.Errorf("is of the unknown kind %q", c.Kind)
	case !ed25519.Verify(key, c.signed(), sig):
		return c, fmt.Errorf("is not signed by the key %s", keyID(key))
	}
	return c, nil
}

// sealer writes checkpoints. Only the writer uses it.
type sealer struct {
	sinks []Sink // the file, and then those of others
	key   ed25519.PrivateKey
	id    string
	n     uint64     // of the last line
	prev  link       // hash of the last line
	last  checkpoint // that sealed
}

// newSealer goes on after the checkpoints that there are, and refuses a log that
// does not have what the last of them says.
func newSealer(o Options, key ed25519.PrivateKey, log tail) (*sealer, error) {
	public := key.Public().(ed25519.PublicKey)
	s := &sealer{key: key, id: keyID(public)}
	dir := o.Config.CheckpointDir()
	if err := publish(dir, public); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, checkpointsName)
	size, err := s.resume(path, public)
	if err != nil {
		return nil, err
	}
	if s.last.Seq > log.seq || s.last.Seq == log.seq && s.n > 0 && s.last.Hash != log.prev.String() {
		return nil, fmt.Errorf("%w: it ends with record %d, and a checkpoint says that there was a record %d with another hash; run dragoman audit verify, and begin a new log in another directory", ErrDamaged, log.seq, s.last.Seq)
	}
	f, err := o.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syncDir(o.OpenFile, dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s.sinks = []Sink{&fileSink{file: f, open: o.OpenFile, path: path, size: size}}
	if o.Sink != nil {
		s.sinks = append(s.sinks, o.Sink)
	}
	return s, nil
}

// resume reads the checkpoints that there are, and cuts off a torn last line.
func (s *sealer) resume(path string, key ed25519.PublicKey) (size int64, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	r := newLines(f)
	for {
		line, whole, err := r.next()
		if err == io.EOF {
			return size, nil
		}
		if err != nil {
			return 0, err
		}
		if !whole {
			return size, cutOff(openFile, path, size)
		}
		c, err := readCheckpoint(line, key)
		if err != nil {
			return 0, fmt.Errorf("%w: the checkpoint after %d in %s %w", ErrDamaged, s.n, path, err)
		}
		s.n, s.prev, size = c.N, after(link{}, line), r.read
		if c.Kind == sealed {
			s.last = c
		}
	}
}

// seal says of the record seq what its hash is, unless that has been said.
func (s *sealer) seal(now time.Time, seq uint64, hash link) error {
	if seq == s.last.Seq {
		return nil
	}
	return s.put(sealed, now, seq, hash)
}

// retire says that the records up to seq are removed on purpose.
func (s *sealer) retire(now time.Time, seq uint64, hash link) error {
	return s.put(retired, now, seq, hash)
}

func (s *sealer) put(kind string, now time.Time, seq uint64, hash link) error {
	c := checkpoint{
		N: s.n + 1, Kind: kind, Seq: seq, Hash: hash.String(), Time: now.UTC().Format(timeForm),
		Prev: s.prev.String(), Key: s.id,
	}
	c.Sig = hex.EncodeToString(ed25519.Sign(s.key, c.signed()))
	line := c.line()
	if err := s.sinks[0].Put(line); err != nil {
		return err
	}
	s.n, s.prev = c.N, after(link{}, line)
	if kind == sealed {
		s.last = c
	}
	var errs []error
	for _, more := range s.sinks[1:] {
		errs = append(errs, more.Put(line))
	}
	return errors.Join(errs...)
}

func (s *sealer) close() error {
	var errs []error
	for _, sink := range s.sinks {
		errs = append(errs, sink.Close())
	}
	return errors.Join(errs...)
}

// fileSink keeps checkpoints in one file.
type fileSink struct {
	file File
	open opener
	path string
	size int64 // of what is kept for good
}

var _ Sink = (*fileSink)(nil)

// Put implements Sink. After a failure it cuts off what that left, first.
func (s *fileSink) Put(line []byte) error {
	if s.file == nil {
		if err := cutOff(s.open, s.path, s.size); err != nil {
			return err
		}
		f, err := s.open(s.path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		s.file = f
	}
	_, err := s.file.Write(line)
	if err == nil {
		err = s.file.Sync()
	}
	if err != nil {
		_ = s.file.Close() // what it holds is not trusted any more
		s.file = nil
		return fmt.Errorf("write checkpoint: %w", err)
	}
	s.size += int64(len(line))
	return nil
}

// Close implements Sink.
func (s *fileSink) Close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
