//go:build unix

package filesystem_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem"
	"github.com/dragoman-mcp/dragoman/server/servertest"
)

// TestTenGigabytesAreReadInLittleMemory reads parts of a sparse file, and measures what is allocated meanwhile.
func TestTenGigabytesAreReadInLittleMemory(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "big.txt")
	const size = 10 << 30
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(strings.Repeat("the beginning\n", 1000)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte(strings.Repeat("the end\n", 10_000)), size-80_000); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	c := servertest.Open(t, filesystem.New, env(t, dir, nil))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, tc := range []struct {
		in   args
		want string
	}{
		{args{"path": "big.txt", "head": 2}, `"text":"the beginning\nthe beginning\n"`},
		{args{"path": "big.txt", "tail": 2}, `"text":"the end\nthe end\n"`},
		{args{"path": "big.txt", "offset": size - 8, "length": 100}, `"text":"the end\n"`},
		{args{"path": "big.txt"}, `"truncated":true`},
	} {
		if r := c.Must(t, "read", tc.in, nil); !strings.Contains(string(r.Structured), tc.want) {
			t.Errorf("%v: got %.300s, want %s", tc.in, r.Structured, tc.want)
		}
	}
	runtime.ReadMemStats(&after)
	allocated := after.TotalAlloc - before.TotalAlloc
	t.Logf("4 reads of a file of 10 GiB allocated %d KiB in all", allocated>>10)
	if allocated > 64<<20 {
		t.Errorf("allocated %d bytes, want at most 64 MiB", allocated)
	}
}

// TestSearchIsFreshAndBounded searches many lines: 50,000, or DRAGOMAN_LINES. It prints the median of later searches.
func TestSearchIsFreshAndBounded(t *testing.T) {
	lines := 50_000
	if s := os.Getenv("DRAGOMAN_LINES"); s != "" {
		lines, _ = strconv.Atoi(s)
	}
	dir := t.TempDir()
	const each = 500
	for i := range lines / each {
		var b strings.Builder
		for j := range each {
			fmt.Fprintf(&b, "func handler%d(w int) { return value%d + other%d }\n", i, i*j, j*j)
		}
		sub := filepath.Join(dir, fmt.Sprintf("pkg%d", i%20))
		if err := os.MkdirAll(sub, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("f%d.go", i)), []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	<-time.After(200 * time.Millisecond) // until the files are old enough to be remembered
	c := servertest.Open(t, filesystem.New, env(t, dir, nil))
	count := func(text string) (n int, took time.Duration) {
		var out struct{ Matches []json.RawMessage }
		began := time.Now()
		c.Must(t, "search", args{"text": text}, &out)
		return len(out.Matches), time.Since(began)
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, first := count("nowhere to be found")
	var times []time.Duration
	for i := range 21 {
		n, took := count(fmt.Sprintf("needle number %d", i))
		if n != 0 {
			t.Fatalf("got %d matches of what is not there", n)
		}
		times = append(times, took)
	}
	slices.Sort(times)
	runtime.GC()
	runtime.ReadMemStats(&after)
	held := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d lines: first search %v, then p50 %v, %d KiB held", lines, first, times[len(times)/2], held>>10)
	if held > 80<<20 {
		t.Errorf("%d bytes held, want at most 80 MiB", held)
	}
	if err := os.WriteFile(filepath.Join(dir, "pkg3", "new.txt"), []byte("a needle number 5 here\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if n, _ := count("Needle NUMBER 5"); n != 1 {
		t.Errorf("right after the write: got %d matches, want 1", n)
	}
}

// TestSearchPagesGiveEachMatchOnce follows cursors, within a file and from file to file.
func TestSearchPagesGiveEachMatchOnce(t *testing.T) {
	files := map[string]string{}
	for _, name := range []string{"a.txt", "a/b.txt", "a-b.txt", "a/c/d.txt", "z.txt"} {
		files[name] = strings.Repeat("hit\nmiss\n", 7)
	}
	c := servertest.Open(t, filesystem.New, env(t, tree(t, files), nil))
	seen := map[string]int{}
	in := args{"text": "hit", "limit": 3, "context": 1}
	for range 100 {
		var out struct {
			Matches []struct {
				Path string
				Line int
			}
			Next string `json:"next_cursor"`
		}
		c.Must(t, "search", in, &out)
		for _, m := range out.Matches {
			seen[fmt.Sprintf("%s:%d", m.Path, m.Line)]++
		}
		if out.Next == "" {
			break
		}
		in["cursor"] = out.Next
	}
	for at, n := range seen {
		if n != 1 {
			t.Errorf("%s came %d times", at, n)
		}
	}
	if len(seen) != 35 {
		t.Errorf("got %d matches, want 35", len(seen))
	}
}

// TestAWriteKeepsWhatAFileIs looks at mode and names of a file that is edited.
func TestAWriteKeepsWhatAFileIs(t *testing.T) {
	dir := tree(t, map[string]string{"one.sh": "old\n", "two.txt": "old\n"})
	if err := os.Chmod(filepath.Join(dir, "one.sh"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(dir, "two.txt"), filepath.Join(dir, "three.txt")); err != nil {
		t.Fatal(err)
	}
	c := servertest.Open(t, filesystem.New, env(t, dir, nil))
	for _, name := range []string{"one.sh", "two.txt"} {
		c.Must(t, "edit", args{"path": name, "edits": []args{{"old": "old", "new": "new"}}}, nil)
	}
	info, err := os.Stat(filepath.Join(dir, "one.sh"))
	if err != nil || info.Mode().Perm() != 0o750 {
		t.Errorf("one.sh: got %v, %v, want mode 0750", info, err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "three.txt")); string(text) != "new\n" {
		t.Errorf("the other name: got %q, %v, want the new text", text, err)
	}
}

// TestAPipeDoesNotHangARead would wait for its writer.
func TestAPipeDoesNotHangARead(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Skip(err)
	}
	c := servertest.Open(t, filesystem.New, env(t, dir, nil))
	r, err := c.Call(t.Context(), "read", args{"path": "pipe"})
	if err != nil || !r.IsError || !strings.Contains(r.Text(), "neither a file nor a directory") {
		t.Errorf("got %s, %v", r.Text(), err)
	}
}
