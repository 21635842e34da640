package audit_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/audit"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/secret/scan"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"go.uber.org/goleak"
)

// TestMain makes this binary the child that is killed while it writes.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		writeUntilKilled(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// settings are the defaults, with a log in a directory of its own.
func settings(dir string) config.Audit {
	return config.Audit{
		Dir: filepath.Join(dir, "log"), Checkpoints: filepath.Join(dir, "other"), Reads: "outcome", Arguments: "redacted",
		ArgumentSize: 2 << 10, Window: 500 * time.Microsecond, Timeout: 5 * time.Second, SegmentSize: 64 << 20,
		SegmentAge: 24 * time.Hour, CheckpointRecords: 1000, CheckpointInterval: 10 * time.Second,
	}
}

func open(t testing.TB, o audit.Options) *audit.Log {
	t.Helper()
	if o.Redactor == nil {
		o.Redactor = scan.New(nil)
	}
	l, err := audit.Open(o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return l
}

func closeLog(t testing.TB, l *audit.Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

// verify verifies a log with the key that lies beside its checkpoints.
func verify(t testing.TB, c config.Audit) *audit.Report {
	t.Helper()
	key, err := audit.PublicKey(c.CheckpointDir())
	if err != nil {
		t.Fatal(err)
	}
	r, err := audit.Verify(context.Background(), audit.VerifyOptions{Dir: c.Dir, Checkpoints: c.CheckpointDir(), Key: key})
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	return r
}

func whole(t testing.TB, c config.Audit) *audit.Report {
	t.Helper()
	r := verify(t, c)
	for _, f := range r.Faults {
		t.Errorf("a fault in a log that nobody touched: %s", f)
	}
	return r
}

// record is a line of a log as it is read.
type record map[string]any

// records reads a log, without its headers.
func records(t testing.TB, c config.Audit) []record {
	t.Helper()
	var out []record
	paths, _ := filepath.Glob(filepath.Join(c.Dir, "audit-*.jsonl"))
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		s := bufio.NewScanner(f)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			var r record
			if err := json.Unmarshal(s.Bytes(), &r); err != nil {
				t.Fatalf("%s has a line that is no JSON: %s", path, s.Bytes())
			}
			if r["segment"] == nil {
				out = append(out, r)
			}
		}
	}
	return out
}

// onDisk is everything in a directory and below it, as one text.
func onDisk(t testing.TB, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func call(tool, arguments string) *mcp.Request {
	params, err := jsonrpc.ParseObject([]byte(fmt.Sprintf(`{"name":%q,"arguments":%s}`, tool, arguments)), jsonrpc.Limits{})
	if err != nil {
		panic(err)
	}
	return &mcp.Request{Method: "tools/call", Name: tool, Params: params}
}

// counting is a handler that counts how often it was called.
type counting struct{ n atomic.Int64 }

func (c *counting) Handle(context.Context, *mcp.Request) (mcp.Result, error) {
	c.n.Add(1)
	return mcp.RawResult([]byte(`{"content":[]}`)), nil
}

// faulty opens files whose writing or flushing fails while fail says so.
type faulty struct{ write, sync atomic.Pointer[error] }

func (f *faulty) open(path string, flag int, perm fs.FileMode) (audit.File, error) {
	file, err := os.OpenFile(path, flag, perm)
	return &faultyFile{file, f}, err
}

func (f *faulty) set(write, sync error) {
	f.write.Store(&write)
	f.sync.Store(&sync)
}

type faultyFile struct {
	*os.File
	f *faulty
}

func (f *faultyFile) Write(p []byte) (int, error) {
	if err := f.f.write.Load(); err != nil && *err != nil {
		n, _ := f.File.Write(p[:len(p)/2]) // a full disk takes a part
		return n, *err
	}
	return f.File.Write(p)
}

func (f *faultyFile) Sync() error {
	if err := f.f.sync.Load(); err != nil && *err != nil {
		return *err
	}
	return f.File.Sync()
}
