package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/audit"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/secret/scan"
)

// written gives a closed log of a few hundred records in several segments.
func written(t testing.TB) config.Audit {
	t.Helper()
	c := settings(t.TempDir())
	c.SegmentSize, c.CheckpointRecords = 64<<10, 50
	l := open(t, audit.Options{Config: c})
	h := l.Record("files")(&counting{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 70 {
				_, _ = h.Handle(context.Background(), call("write", `{"path":"/home/ada/notes/today.md"}`))
			}
		})
	}
	wg.Wait()
	closeLog(t, l)
	return c
}

// copyOf copies a log, so that it can be damaged.
func copyOf(t testing.TB, c config.Audit) config.Audit {
	t.Helper()
	dir := t.TempDir()
	for from, to := range map[string]*string{c.Dir: &c.Dir, c.CheckpointDir(): &c.Checkpoints} {
		*to = filepath.Join(dir, filepath.Base(from))
		if err := os.CopyFS(*to, os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(c.Key(), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// damages are what can be done to one file; each gives another text, or nil for
// the file to be removed.
var damages = map[string]func(text []byte) []byte{
	"flip a bit": func(text []byte) []byte {
		text[rand.IntN(len(text))] ^= 1 << rand.IntN(8)
		return text
	},
	"change a letter's case": func(text []byte) []byte {
		for i := rand.IntN(len(text)); ; i = (i + 1) % len(text) {
			if c := text[i] | 0x20; c >= 'a' && c <= 'z' {
				text[i] ^= 0x20
				return text
			}
		}
	},
	"delete a line": func(text []byte) []byte {
		lines := split(text)
		i := rand.IntN(len(lines))
		return bytes.Join(slices.Delete(lines, i, i+1), nil)
	},
	"double a line": func(text []byte) []byte {
		lines := split(text)
		i := rand.IntN(len(lines))
		return bytes.Join(slices.Insert(lines, rand.IntN(len(lines)), lines[i]), nil)
	},
	"swap two lines": func(text []byte) []byte {
		lines := split(text)
		i := rand.IntN(len(lines) - 1)
		j := i + 1 + rand.IntN(len(lines)-i-1)
		lines[i], lines[j] = lines[j], lines[i]
		return bytes.Join(lines, nil)
	},
	"cut the end": func(text []byte) []byte { return text[:rand.IntN(len(text))] },
	"cut lines at the end": func(text []byte) []byte {
		lines := split(text)
		return bytes.Join(lines[:rand.IntN(len(lines))], nil)
	},
	"cut the beginning": func(text []byte) []byte { return text[1+rand.IntN(len(text)-1):] },
	"move a time":       func(text []byte) []byte { return bytes.Replace(text, []byte(`"time":"2`), []byte(`"time":"1`), 1) },
	"change an argument": func(text []byte) []byte {
		return bytes.Replace(text, []byte("/ada/"), []byte("/eve/"), 1+rand.IntN(20))
	},
	"put in a space":    func(text []byte) []byte { return slices.Insert(text, rand.IntN(len(text)), ' ') },
	"put in a line end": func(text []byte) []byte { return slices.Insert(text, rand.IntN(len(text)), '\n') },
	"remove the file":   func([]byte) []byte { return nil },
}

func split(text []byte) [][]byte { return slices.Collect(bytes.Lines(text)) }

func TestEveryChangeToALogIsFound(t *testing.T) {
	c := written(t)
	if r := whole(t, c); r.Segments < 3 || r.Checkpoints < 5 {
		t.Fatalf("the log to be damaged is too small: %+v", r)
	}
	damaged := copyOf(t, c)
	files, _ := filepath.Glob(filepath.Join(c.Dir, "audit-*.jsonl"))
	files = append(files, filepath.Join(c.CheckpointDir(), "checkpoints.jsonl"))
	names := make([]string, 0, len(damages))
	for name := range damages {
		names = append(names, name)
	}
	slices.Sort(names)
	begun, missed, made, n := time.Now(), 0, 0, times(t, envMutations, 500)
	for made < n {
		file, name := files[rand.IntN(len(files))], names[made%len(names)]
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		changed := damages[name](bytes.Clone(text))
		path := filepath.Join(damaged.Dir, filepath.Base(file))
		if filepath.Dir(file) != c.Dir {
			path = filepath.Join(damaged.Checkpoints, filepath.Base(file))
		}
		if bytes.Equal(changed, text) || len(changed) < len(text) && filepath.Dir(file) != c.Dir && bytes.HasPrefix(text, changed) {
			continue // the same after all; and what cut checkpoints still prove is tested below
		}
		made++
		if err = os.WriteFile(path, changed, 0o600); changed == nil {
			err = os.Remove(path)
		}
		if err != nil {
			t.Fatal(err)
		}
		if r := verify(t, damaged); len(r.Faults) == 0 {
			missed++
			t.Errorf("%s in %s was not found: %+v", name, filepath.Base(file), r)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d of %d changes were found in %s", made-missed, made, time.Since(begun).Round(time.Millisecond))
}

func TestALogWrittenAnewIsFound(t *testing.T) {
	c, forged := written(t), written(t)
	forged.Checkpoints = c.CheckpointDir() // a whole log, and not the one that was sealed
	if r := verify(t, forged); len(r.Faults) == 0 {
		t.Errorf("a log with the checkpoints of another has no faults: %+v", r)
	}
	both := forged
	both.Checkpoints = written(t).CheckpointDir()
	key, err := audit.PublicKey(c.CheckpointDir())
	if err != nil {
		t.Fatal(err)
	}
	r, err := audit.Verify(context.Background(), audit.VerifyOptions{Dir: forged.Dir, Checkpoints: both.Checkpoints, Key: key})
	if err != nil || len(r.Faults) == 0 {
		t.Errorf("a log with checkpoints that another key signed: %+v, %v", r, err)
	}
	if _, err := audit.Verify(context.Background(), audit.VerifyOptions{Dir: c.Dir, Checkpoints: c.Checkpoints}); err == nil {
		t.Error("without a key there is no error")
	}
}

// TestATornTail cuts a log at every byte of its last flush, and changes what
// follows: what a crash can leave behind is cut off, what was acknowledged is not.
func TestATornTail(t *testing.T) {
	c := settings(t.TempDir())
	c.CheckpointRecords = 1 << 20
	l := open(t, audit.Options{Config: c})
	for range 5 {
		if err := l.Event(context.Background(), audit.Event{Name: "something"}); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(c.Dir, "audit-00000000000000000001.jsonl")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	if err := os.Remove(filepath.Join(c.Checkpoints, "checkpoints.jsonl")); err != nil { // made at the end, and a crash makes none
		t.Fatal(err)
	}
	lines := split(text) // a header, opened, five events
	last := len(text) - len(lines[len(lines)-1])
	reopened := func(text []byte) (config.Audit, error) {
		d := copyOf(t, c)
		if err := os.WriteFile(filepath.Join(d.Dir, filepath.Base(path)), text, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := audit.Open(audit.Options{Config: d, Redactor: scan.New(nil)})
		if err == nil {
			closeLog(t, l)
		}
		return d, err
	}
	for at := last; at <= len(text); at += 7 {
		d, err := reopened(text[:at])
		if err != nil {
			t.Fatalf("cut at byte %d: %v", at, err)
		}
		want, torn := uint64(6), at > last && at < len(text)
		if at == len(text) {
			want++
		}
		if r := whole(t, d); r.Records != want || (r.Recoveries == 1) != torn {
			t.Errorf("cut at byte %d: %+v, want %d records, told as recovered: %v", at, r, want, torn)
		}
	}
	for name, text := range map[string][]byte{
		"the last flush was changed":     append(bytes.Clone(text[:last]), bytes.Replace(lines[6], []byte("something"), []byte("somethinG"), 1)...),
		"zeros stand where the last was": append(bytes.Clone(text[:last]), make([]byte, 300)...),
		"only a part of the first":       text[:40],
		"a header and no record":         lines[0],
		"nothing":                        nil,
	} {
		d, err := reopened(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if r := whole(t, d); r.Recoveries != 1 {
			t.Errorf("%s: %+v, want it told as recovered", name, r)
		}
	}
	for i := 1; i < len(lines)-1; i++ {
		bad := slices.Clone(lines)
		bad[i] = bytes.Replace(lines[i], []byte(`"time":"2`), []byte(`"time":"1`), 1)
		if _, err := reopened(bytes.Join(bad, nil)); !errors.Is(err, audit.ErrDamaged) {
			t.Errorf("acknowledged line %d was changed: Open gives %v, want ErrDamaged", i+1, err)
		}
	}
}

func TestALogShorterThanItsCheckpointsIsNotGoneOnWith(t *testing.T) {
	c := written(t)
	all, _ := filepath.Glob(filepath.Join(c.Dir, "audit-*.jsonl"))
	for i := len(all) - 1; i >= 0; i-- {
		if err := os.Remove(all[i]); err != nil {
			t.Fatal(err)
		}
		if _, err := audit.Open(audit.Options{Config: c, Redactor: scan.New(nil)}); !errors.Is(err, audit.ErrDamaged) {
			t.Errorf("with %d of %d segments Open gives %v, want ErrDamaged", i, len(all), err)
		}
	}
}

func TestCutCheckpointsStillProveWhatTheyCover(t *testing.T) {
	c := copyOf(t, written(t))
	path := filepath.Join(c.Checkpoints, "checkpoints.jsonl")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := split(text)
	if err := os.WriteFile(path, bytes.Join(lines[:2], nil), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := whole(t, c); r.Unsealed == 0 || r.Checkpoints != 2 {
		t.Errorf("%+v, want the records after the second checkpoint told as unsealed", r)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, c); len(r.Faults) == 0 {
		t.Errorf("without checkpoints there are no faults: %+v", r)
	}
}

// sunk takes checkpoints in memory.
type sunk struct {
	lines  []string
	closed bool
}

func (s *sunk) Put(line []byte) error { s.lines = append(s.lines, string(line)); return nil }
func (s *sunk) Close() error          { s.closed = true; return nil }

func TestAnotherSinkGetsEveryCheckpoint(t *testing.T) {
	c := settings(t.TempDir())
	c.CheckpointRecords = 2
	sink := &sunk{}
	l := open(t, audit.Options{Config: c, Sink: sink})
	for i := range 7 {
		if err := l.Event(context.Background(), audit.Event{Name: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	closeLog(t, l)
	text, err := os.ReadFile(filepath.Join(c.Checkpoints, "checkpoints.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, line := range sink.lines {
		got += line
	}
	if got != string(text) || len(sink.lines) < 4 || !sink.closed {
		t.Errorf("got %d lines, closed %v:\n%swant\n%s", len(sink.lines), sink.closed, got, text)
	}
}
