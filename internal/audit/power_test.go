package audit_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/audit"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// plug is a disk whose power can be cut: what was flushed is there, and of the rest
// anything or nothing.
type plug struct {
	mu      sync.Mutex
	flushed map[string]int64 // bytes of each file, by its path
}

func (p *plug) open(path string, flag int, perm fs.FileMode) (audit.File, error) {
	f, err := os.OpenFile(path, flag, perm)
	return &pluggedFile{f, p}, err
}

type pluggedFile struct {
	*os.File
	p *plug
}

func (f *pluggedFile) Write(b []byte) (int, error) {
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	return f.File.Write(b)
}

func (f *pluggedFile) Sync() error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	err = f.File.Sync()
	f.p.mu.Lock()
	defer f.p.mu.Unlock()
	if err == nil && !info.IsDir() {
		f.p.flushed[f.Name()] = max(f.p.flushed[f.Name()], info.Size())
	}
	return err
}

// cut gives what a log has when the power comes back.
func (p *plug) cut(t *testing.T, c config.Audit) config.Audit {
	t.Helper()
	p.mu.Lock()
	d := copyOf(t, c)
	flushed := make(map[string]int64)
	for path, size := range p.flushed {
		flushed[path] = size
	}
	p.mu.Unlock()
	logs, _ := filepath.Glob(filepath.Join(d.Dir, "audit-*.jsonl"))
	for _, path := range append(logs, filepath.Join(d.Checkpoints, "checkpoints.jsonl")) {
		from := filepath.Join(c.Dir, filepath.Base(path))
		if filepath.Dir(path) == d.Checkpoints {
			from = filepath.Join(c.Checkpoints, filepath.Base(path))
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		rest := text[flushed[from]:]
		ways := 3
		if d.Checkpoints == filepath.Dir(path) {
			ways = 2 // each is one line, on disk before the next
		}
		switch rand.IntN(ways) {
		case 0:
			rest = nil
		case 1:
			rest = rest[:rand.IntN(len(rest)+1)]
		case 2: // pages come to the disk in any order
			rest = append(bytes.Repeat([]byte{0}, len(rest)/2), rest[len(rest)/2:]...)
		}
		if err := os.WriteFile(path, append(text[:flushed[from]:flushed[from]], rest...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// TestALossOfPowerTakesNoIntent cuts the power again and again while calls are made:
// the log can be gone on with, is whole, and has every call that was made.
func TestALossOfPowerTakesNoIntent(t *testing.T) {
	c := settings(t.TempDir())
	c.SegmentSize, c.CheckpointRecords = 64<<10, 100
	p := &plug{flushed: make(map[string]int64)}
	l := open(t, audit.Options{Config: c, OpenFile: p.open})
	var mu sync.Mutex
	var made []string
	h := l.Record("files")(mcp.HandlerFunc(func(_ context.Context, req *mcp.Request) (mcp.Result, error) {
		mu.Lock()
		defer mu.Unlock()
		made = append(made, string(req.Params.Get("arguments")))
		return mcp.EmptyResult(), nil
	}))
	ctx, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	for caller := range 6 {
		work.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				if _, err := h.Handle(context.Background(), call("write", fmt.Sprintf(`{"id":"c%dn%dx"}`, caller, n))); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	defer func() { stop(); work.Wait() }()
	cuts, unfinished := 12, uint64(0)
	for range cuts {
		mu.Lock()
		before := made[:len(made):len(made)]
		mu.Unlock()
		d := p.cut(t, c)
		closeLog(t, open(t, audit.Options{Config: d}))
		unfinished += whole(t, d).Unfinished
		text := onDisk(t, d.Dir)
		for _, id := range before {
			if !strings.Contains(text, id) {
				t.Errorf("call %s was made, and is not in the log", id)
			}
		}
	}
	stop()
	work.Wait()
	closeLog(t, l)
	whole(t, c)
	t.Logf("%d calls made, the power cut %d times, %d calls without an outcome after that", len(made), cuts, unfinished)
}
