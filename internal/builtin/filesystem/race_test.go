package filesystem_test

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem"
	"github.com/dragoman-mcp/dragoman/server/servertest"
)

// TestNothingEscapesWhileLinksAreSwapped swaps a directory for a link to one outside, over and over, while files below
// it are read, listed, searched, written, edited, copied, moved and deleted. DRAGOMAN_SWAPS is how often; 20000 if it is
// not set. Nothing outside may be shown or touched.
func TestNothingEscapesWhileLinksAreSwapped(t *testing.T) {
	swaps := 20_000
	if s := os.Getenv("DRAGOMAN_SWAPS"); s != "" {
		var err error
		if swaps, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	dir := tree(t, map[string]string{"d/f.txt": "inside", "d/sub/g.txt": "inside", "other/f.txt": "inside"})
	outside := tree(t, map[string]string{"f.txt": "OUTSIDE", "sub/g.txt": "OUTSIDE"})
	for link, to := range map[string]string{"l": outside, "up": "../" + filepath.Base(outside), "f": filepath.Join(outside, "f.txt")} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	c := servertest.Open(t, filesystem.New, env(t, dir, nil))
	var stop atomic.Bool
	var group sync.WaitGroup
	var calls, worked atomic.Int64
	try := func(tool string, in args) {
		r, err := c.Call(t.Context(), tool, in)
		calls.Add(1)
		if err != nil {
			t.Errorf("%s %v: %v", tool, in, err)
			return
		}
		if !r.IsError {
			worked.Add(1)
		}
		if strings.Contains(string(r.Structured)+r.Text(), "OUTSIDE") {
			t.Errorf("%s %v shows what is outside: %s", tool, in, r.Structured)
		}
	}
	group.Go(func() {
		for !stop.Load() {
			try("read", args{"path": "d/f.txt"})
			try("read", args{"path": "d/sub/g.txt"})
			try("list", args{"path": "d/sub"})
			try("search", args{"text": "outside"})
		}
	})
	group.Go(func() {
		for !stop.Load() {
			try("write", args{"path": "d/f.txt", "text": "inside"})
			try("write", args{"path": "d/sub/new.txt", "text": "inside"})
			try("edit", args{"path": "d/sub/g.txt", "edits": []args{{"old": "i", "new": "i", "all": true}}})
			try("change", args{"op": "copy", "path": "other/f.txt", "to": "d/copied.txt", "overwrite": true})
			try("change", args{"op": "move", "path": "d/copied.txt", "to": "d/sub/moved.txt", "overwrite": true})
			try("change", args{"op": "delete", "path": "d/sub/moved.txt"})
			try("change", args{"op": "mkdir", "path": "d/sub/dir"})
		}
	})
	names := [2]string{filepath.Join(dir, "d"), filepath.Join(dir, "l")}
	aside := filepath.Join(dir, "aside")
	for range swaps / 2 { // two swaps: the link in, and the link out
		for _, step := range [][2]string{{names[0], aside}, {names[1], names[0]}, {names[0], names[1]}, {aside, names[0]}} {
			if err := os.Rename(step[0], step[1]); err != nil && !os.IsExist(err) && !strings.Contains(err.Error(), "exists") {
				continue // a write has made the directory meanwhile
			}
		}
		if _, err := os.Lstat(names[0]); err != nil {
			_ = os.Rename(aside, names[0])
		}
	}
	stop.Store(true)
	group.Wait()
	t.Logf("%d swaps, %d calls of which %d worked", swaps, calls.Load(), worked.Load())
	if worked.Load() == 0 {
		t.Error("no call worked")
	}
	var found []string
	_ = filepath.WalkDir(outside, func(name string, d os.DirEntry, _ error) error {
		if !d.IsDir() {
			text, _ := os.ReadFile(name)
			found = append(found, strings.TrimPrefix(name, outside)+"="+string(text))
		}
		return nil
	})
	if got, want := strings.Join(found, " "), "/f.txt=OUTSIDE /sub/g.txt=OUTSIDE"; got != want {
		t.Errorf("outside there is %s, want %s", got, want)
	}
}

// escapes are ways to write a path that leads out somewhere, by element, encoding or separator.
func escapes() []string {
	return []string{
		"..", "../", "../f.txt", "../../etc/passwd", "/../f.txt", "./../f.txt", "d/../../f.txt", "d/../d/../../f.txt", "....//f.txt", "..//f.txt",
		"/etc/passwd", "//etc/passwd", "///etc/passwd", "file:///etc/passwd", "/proc/self/root/etc/passwd", "/dev/fd/0", "~/f.txt", "~root/f.txt",
		`..\f.txt`, `..\..\f.txt`, `d\..\..\f.txt`, `..\/f.txt`, `C:\f.txt`, `\\host\share`, "C:/f.txt", "C:f.txt", "//?/C:/f.txt", "CON", "nul.txt",
		"%2e%2e/f.txt", "%2e%2e%2ff.txt", "..%2ff.txt", "%252e%252e%252ff.txt", "..%c0%aff.txt", "..%5cf.txt", "%uff0e%uff0e/f.txt", ".%00./f.txt",
		"..\x00/f.txt", "d\x00/../../f.txt", "f.txt\x00.png", "../f.txt\n", "\u2025/f.txt", "\uff0e\uff0e/f.txt", "..\u2215f.txt", "..\uff0ff.txt", "\u202e../f.txt",
		"d/f.txt/../../../f.txt", "l/f.txt", "up/f.txt", "f", "l/../f.txt", "l/sub/g.txt", "up", "l", "loop/loop/f.txt", "dangling",
		strings.Repeat("../", 64) + "etc/passwd", strings.Repeat("d/", 600), strings.Repeat("a", 300), strings.Repeat("d/../", 20) + "../f.txt",
	}
}

// TestNoPathLeadsOut tries the paths of escapes, and with DRAGOMAN_TRAVERSALS those in the files that it names, separated
// by commas, one to a line.
func TestNoPathLeadsOut(t *testing.T) {
	paths := escapes()
	for name := range strings.SplitSeq(os.Getenv("DRAGOMAN_TRAVERSALS"), ",") {
		if name == "" {
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		for s := bufio.NewScanner(f); s.Scan(); {
			line := s.Text()
			paths = append(paths, line, strings.ReplaceAll(line, "{FILE}", "etc/passwd"), strings.ReplaceAll(line, "{FILE}", "f.txt"))
		}
		_ = f.Close()
	}
	parent := tree(t, map[string]string{"f.txt": "OUTSIDE", "sub/g.txt": "OUTSIDE", "root/d/f.txt": "inside"})
	root := filepath.Join(parent, "root")
	for link, to := range map[string]string{"l": parent, "up": "..", "f": "../f.txt", "loop": "loop", "dangling": "../new.txt"} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	c := servertest.Open(t, filesystem.New, env(t, root, nil))
	for _, p := range paths {
		for tool, in := range map[string]args{
			"read": {"path": p}, "list": {"path": p}, "search": {"path": p, "text": "o"},
			"write": {"path": p + ".new", "text": "x"}, "change": {"op": "copy", "path": "d/f.txt", "to": p, "overwrite": true},
		} {
			r, err := c.Call(t.Context(), tool, in)
			if err != nil {
				continue // not even JSON
			}
			if got := string(r.Structured); strings.Contains(got, "OUTSIDE") || strings.Contains(got, "root:") || strings.Contains(r.Text(), "internal error") {
				t.Errorf("%s %q: got %s %s", tool, p, got, r.Text())
			}
		}
	}
	t.Logf("%d paths", len(paths))
	if r, err := c.Call(t.Context(), "read", args{"path": "d/f.txt"}); err != nil || r.IsError {
		t.Errorf("a file inside: got %s %v", r.Text(), err)
	}
	entries, err := os.ReadDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	text, _ := os.ReadFile(filepath.Join(parent, "f.txt"))
	if got := strings.Join(left, " "); got != "f.txt root sub" || string(text) != "OUTSIDE" {
		t.Errorf("outside there is %s, f.txt has %q", got, text)
	}
}
