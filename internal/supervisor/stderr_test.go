//go:build unix

package supervisor_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/google/go-cmp/cmp"
)

func TestLinesOfStderr(t *testing.T) {
	long := strings.Repeat("y", supervisor.MaxStderrLine)
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"lines", "one\ntwo\n", []string{"one", "two"}},
		{"a last line without an end", "one\ntwo", []string{"one", "two"}},
		{"empty lines are skipped", "\n\none\n \n", []string{"one"}},
		{"carriage returns end a line", "10%\r20%\r\ndone\n", []string{"10%", "20%", "done"}},
		{"control characters are dropped", "\x1b[31mred\x1b[0m\x00\x07\tx\n", []string{"[31mred[0m\tx"}},
		{"invalid UTF-8 is replaced", "a\xffb\n", []string{"a\uFFFDb"}},
		{"a line of exactly the bound", long + "\nz\n", []string{long, "z"}},
		{"a longer line is cut", long + "more\nz\n", []string{long + " …(cut)", "z"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, read := range []string{"at once", "byte by byte"} {
				var got []string
				r := iotest.DataErrReader(strings.NewReader(c.in))
				if read == "byte by byte" {
					r = iotest.OneByteReader(strings.NewReader(c.in))
				}
				supervisor.ReadLines(r, func(line string) { got = append(got, line) })
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("lines of %.40q read %s (-want +got):\n%s", c.in, read, diff)
				}
			}
		})
	}
}

// recorder is a slog handler that counts.
type recorder struct {
	slog.Handler
	mu    sync.Mutex // guards lines
	lines map[string]int
}

func newRecorder() *recorder {
	return &recorder{Handler: slog.DiscardHandler, lines: map[string]int{}}
}

func (r *recorder) Enabled(context.Context, slog.Level) bool { return true }
func (r *recorder) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *recorder) Handle(_ context.Context, s slog.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines[s.Message]++
	return nil
}

func (r *recorder) count(message string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lines[message]
}

func TestAFloodOfStderrWithoutNewlineIsBounded(t *testing.T) {
	var before, after runtime.MemStats
	dir := t.TempDir()
	sup := newSupervisor(t, supervisor.Options{LogDir: dir})
	child := add(t, sup, supervisor.Spec{Name: "flood", Command: program("flood"), StopTimeout: 10 * time.Millisecond})
	runtime.GC()
	runtime.ReadMemStats(&before)
	p := acquire(t, child)
	line(t, p) // it has written far more than any bound
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("100 MiB of stderr cost %d bytes of memory", grown)
	}
	if err := child.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	got := p.Stderr()
	if len(got) != 1 || len(got[0]) > supervisor.MaxStderrLine+20 || !strings.HasSuffix(got[0], "…(cut)") {
		t.Errorf("kept lines: got %d, want one that is cut", len(got))
	}
}

func TestAFloodOfLinesKeepsTheLastAndSparesTheLog(t *testing.T) {
	dir := t.TempDir()
	records := newRecorder()
	sup := newSupervisor(t, supervisor.Options{LogDir: dir, LogBytes: 10_000, LogFiles: 2, Log: slog.New(records)})
	child := add(t, sup, supervisor.Spec{Name: "chatter", Command: program("chatter"), StderrLines: 10, StopTimeout: 10 * time.Millisecond})
	started := time.Now()
	p := acquire(t, child)
	third := filepath.Join(dir, "chatter.log.2")
	eventually(t, func() (bool, string) {
		_, err := os.Stat(third)
		return err == nil && records.count("child wrote too many lines to stderr") > 0, fmt.Sprint(third, err)
	})
	if err := child.Close(); err != nil {
		t.Fatal(err)
	}
	most := 100 * (2 + int(time.Since(started)/time.Second))
	if got := records.count("child wrote to stderr"); got == 0 || got > most {
		t.Errorf("lines in the gateway's log: got %d, want some and at most %d", got, most)
	}
	last := p.Stderr()
	if len(last) != 10 || !strings.HasPrefix(last[8], "line ") { // its end may have cut the tenth
		t.Errorf("last lines: got %q, want 10", last)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
		if info, err := f.Info(); err != nil || info.Size() > 10_000 {
			t.Errorf("%s: got %d bytes, %v; want at most 10000", f.Name(), info.Size(), err)
		}
	}
	if diff := cmp.Diff([]string{"chatter.log", "chatter.log.1", "chatter.log.2"}, names); diff != "" {
		t.Errorf("log files (-want +got):\n%s", diff)
	}
}

func TestALogFileIsRotatedAndKeptOverARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "files.log")
	write := func(lines ...string) {
		l, err := supervisor.OpenLog(path, 80, 2)
		if err != nil {
			t.Fatal(err)
		}
		defer supervisor.CloseLog(l)
		for _, line := range lines {
			if err := supervisor.WriteLog(l, line); err != nil {
				t.Fatal(err)
			}
		}
	}
	write("one") // of 31 bytes each: two fit
	write("two", "three", "four", "five", "six", "seven")
	want := map[string][]string{path: {"seven"}, path + ".1": {"five", "six"}, path + ".2": {"three", "four"}}
	for file, lines := range want {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
			continue
		}
		var expect strings.Builder
		for _, line := range lines {
			expect.WriteString("1970-01-01T00:00:00.000Z 7 " + line + "\n")
		}
		if diff := cmp.Diff(expect.String(), string(text)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", filepath.Base(file), diff)
		}
	}
	if _, err := os.Stat(path + ".3"); err == nil {
		t.Error("a third rotated file is kept, want two")
	}
}

func TestTheLogsOfChildrenOfOneNameAreOneFile(t *testing.T) {
	dir := t.TempDir()
	sup := newSupervisor(t, supervisor.Options{LogDir: dir})
	for _, word := range []string{"first", "second"} {
		p := acquire(t, add(t, sup, supervisor.Spec{Name: "files", Command: program("exit", "0", word)}))
		wait(t, "end", p.Done())
	}
	text, err := os.ReadFile(filepath.Join(dir, "files.log"))
	if err != nil || !strings.Contains(string(text), "first\n") || !strings.Contains(string(text), "second\n") {
		t.Errorf("log: got %q, %v; want both children's lines", text, err)
	}
}

func TestWhatNoLogMayHaveIsTakenOutOfStderrBeforeAnybodyGetsIt(t *testing.T) {
	dir := t.TempDir()
	sup := newSupervisor(t, supervisor.Options{LogDir: dir, Redact: func() func(string) string {
		n := 0
		return func(line string) string {
			n++
			return fmt.Sprintf("%d: %s", n, strings.ReplaceAll(line, "sesame", "[redacted]"))
		}
	}})
	child := add(t, sup, supervisor.Spec{Name: "chatty", Command: []string{"/bin/sh", "-c", "echo open sesame >&2; echo shut >&2; echo up; read x"}})
	p := acquire(t, child)
	line(t, p)
	if err := child.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	want := []string{"1: open [redacted]", "2: shut"}
	if diff := cmp.Diff(want, p.Stderr()); diff != "" {
		t.Errorf("kept lines (-want +got):\n%s", diff)
	}
	file, err := os.ReadFile(filepath.Join(dir, "chatty.log"))
	if err != nil || !strings.Contains(string(file), want[0]) || strings.Contains(string(file), "sesame") {
		t.Errorf("the log file has %q, %v", file, err)
	}
	if got := p.Redactor()("sesame"); got != "1: [redacted]" {
		t.Errorf("a line of standard output: got %q, want a count of its own", got)
	}
}
