package index_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/index"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/local"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counting is a volume that counts the files which are opened, apart from .gitignore.
type counting struct {
	volume.Volume
	opened []string
}

func (c *counting) Open(ctx context.Context, key string) (volume.File, error) {
	if !strings.HasSuffix(key, ".gitignore") {
		c.opened = append(c.opened, key)
	}
	return c.Volume.Open(ctx, key)
}

// grow makes a volume of files that are old enough to be remembered.
func grow(t *testing.T, files map[string]string) (*counting, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	v, err := local.Open(dir, func(string, bool) error { return nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	<-time.After(150 * time.Millisecond)
	return &counting{Volume: v}, dir
}

func options() index.Options { return index.Options{Bytes: 1 << 20, MaxFile: 1 << 20} }

// find searches in pages of so many matches and gives them as key:line.
func find(t *testing.T, x *index.Index, q index.Query, page int) (found []string) {
	t.Helper()
	if q.Permit == nil {
		q.Permit = func(string, bool) bool { return true }
	}
	for range 10_000 {
		n := 0
		out, err := x.Search(t.Context(), q, func(m index.Match) bool {
			if n == page {
				return false
			}
			n++
			found = append(found, fmt.Sprintf("%s:%d", m.Info.Key, m.Line))
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		if !out.More {
			return found
		}
		q.After = out.Next
	}
	t.Fatal("the pages do not end")
	return nil
}

func glob(t *testing.T, s string) *index.Glob {
	t.Helper()
	g, err := index.ParseGlob(s)
	if err != nil {
		t.Fatal(err)
	}
	return &g
}

func TestSearch(t *testing.T) {
	v, _ := grow(t, map[string]string{
		"a.go": "package a\nfunc Needle() {}\n// needle\n", "b/c.md": "no\r\nNEEDLE\r\n", "b/d/e.txt": "x\nneedle", "z.bin": "needle\x00\x01\x02", "k.txt": "\u212Aelvin Stra\u00dfe\n",
		".gitignore": "/ignored\n*.log\n!keep.log\n", "ignored/x.txt": "needle", "b/y.log": "needle", "b/keep.log": "needle", "b/d/.gitignore": "sub/\n", "b/d/sub/f": "needle", ".git/config": "needle", "wide.txt": "\xff\xfen\x00e\x00e\x00d\x00l\x00e\x00",
	})
	for _, tc := range []struct {
		name string
		q    index.Query
		want string
	}{
		{"a text whatever its case", index.Query{Text: "needle"}, "a.go:2 a.go:3 b/c.md:2 b/d/e.txt:2 b/keep.log:1 wide.txt:1"},
		{"a text of one case", index.Query{Text: "Needle", Exact: true}, "a.go:2"},
		{"below a directory", index.Query{Text: "needle", Dir: "b/d"}, "b/d/e.txt:2"},
		{"in one file", index.Query{Text: "needle", Dir: "a.go"}, "a.go:2 a.go:3"},
		{"what is ignored, too", index.Query{Text: "needle", All: true}, ".git/config:1 a.go:2 a.go:3 b/c.md:2 b/d/e.txt:2 b/d/sub/f:1 b/keep.log:1 b/y.log:1 ignored/x.txt:1 wide.txt:1"},
		{"an expression", index.Query{Text: `^func N\w+\(`, Regexp: true, Exact: true}, "a.go:2"},
		{"letters with more than two cases", index.Query{Text: "kelvin"}, ""},
		{"the same as an expression, which knows them", index.Query{Text: "(?i)kelvin", Regexp: true}, "k.txt:1"},
		{"beyond ASCII", index.Query{Text: "STRAßE"}, "k.txt:1"},
		{"names", index.Query{Name: glob(t, "*.{md,txt}")}, "b/c.md:0 b/d/e.txt:0 k.txt:0 wide.txt:0"},
		{"directories", index.Query{Name: glob(t, "d")}, "b/d:0"},
		{"a text in files of a name", index.Query{Text: "needle", Name: glob(t, "b/**")}, "b/c.md:2 b/d/e.txt:2 b/keep.log:1"},
		{"only what may be seen", index.Query{Text: "needle", Permit: func(key string, _ bool) bool { return !strings.HasPrefix(key, "b") }}, "a.go:2 a.go:3 wide.txt:1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := index.New(v, options())
			for _, page := range []int{100, 1, 2} { // the later ones with what the first has remembered
				if got := strings.Join(find(t, x, tc.q, page), " "); got != tc.want {
					t.Errorf("in pages of %d: got %q, want %q", page, got, tc.want)
				}
			}
		})
	}
}

// TestALaterSearchOpensWhatMayMatch and finds what has changed.
func TestALaterSearchOpensWhatMayMatch(t *testing.T) {
	files := map[string]string{}
	for i := range 50 {
		files[fmt.Sprintf("f%02d.txt", i)] = fmt.Sprintf("some words and the number %d\n", 1000+i)
	}
	v, dir := grow(t, files)
	x := index.New(v, options())
	for i, step := range []struct {
		name, text, want string
		most             int // files that may be opened
		write            string
	}{
		{"the first search reads everything", "1007", "f07.txt:1", 50, ""},
		{"the second what may match", "1008", "f08.txt:1", 10, ""},
		{"what is not there opens nearly nothing", "zebra crossing", "", 5, ""},
		{"what was just written is found", "zebra crossing", "f03.txt:1", 6, "f03.txt"},
	} {
		if step.write != "" {
			if err := os.WriteFile(filepath.Join(dir, step.write), []byte("a zebra crossing\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		v.opened = nil
		got := strings.Join(find(t, x, index.Query{Text: step.text}, 100), " ")
		if got != step.want || len(v.opened) > step.most {
			t.Errorf("%d, %s: got %q and %d files opened, want %q and at most %d", i, step.name, got, len(v.opened), step.want, step.most)
		}
	}
}

// TestWithoutRoomAllIsReadAndFound gives the index no memory to speak of.
func TestWithoutRoomAllIsReadAndFound(t *testing.T) {
	v, _ := grow(t, map[string]string{"a": "needle", "b": "needle", "c": "hay"})
	x := index.New(v, index.Options{Bytes: 1, MaxFile: 1 << 20})
	for range 2 {
		if diff := cmp.Diff([]string{"a:1", "b:1"}, find(t, x, index.Query{Text: "needle"}, 100)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}

func TestGlob(t *testing.T) {
	for _, tc := range []struct {
		pattern, key string
		want         bool
	}{
		{"*.go", "a/b.go", true}, {"*.go", "a/b.gox", false}, {"a/*.go", "a/b.go", true}, {"a/*.go", "a/c/b.go", false}, {"a/**", "a/c/b.go", true}, {"**/b.go", "b.go", true}, {"**/x/**/b", "x/b", true}, {"**/x/**/b", "a/x/y/z/b", true},
		{"{a,b}.txt", "b.txt", true}, {"{a,b}/{c,d}", "b/c", true}, {"[a-c]?", "bx", true}, {"[^a]x", "ax", false}, {"**", "any/thing", true}, {"a*b*c", "aXbYc", true},
	} {
		g, err := index.ParseGlob(tc.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := g.Match(tc.key); got != tc.want {
			t.Errorf("%s of %s: got %v, want %v", tc.pattern, tc.key, got, tc.want)
		}
	}
	for _, bad := range []string{"[", "{a", "{a,b}{c,d}{e,f}{g,h}{i,j}{k,l}{m,n}"} {
		if _, err := index.ParseGlob(bad); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
	// What takes other matchers exponential time.
	g := *glob(t, strings.Repeat("**/a/", 30)+"b")
	if g.Match(strings.Repeat("a/", 500) + "c") {
		t.Error("a pattern of many ** matches what it must not")
	}
}

// FuzzSearch compares with a plain reading of the same lines.
func FuzzSearch(f *testing.F) {
	f.Add("one\ntwo\r\nthree", "t", false)
	f.Add("Straße\nSTRASSE\n\u212A", "k", true)
	f.Add("aXa\n\n\nx", `x`, false)
	f.Fuzz(func(t *testing.T, content, text string, exact bool) {
		if text == "" || !utf8.ValidString(content+text) || !utf8.ValidString(text) || strings.ContainsAny(content+text, "\x00\ufffd\ufeff") || !printable(content) || !printable(text) || len(text) > 300 {
			return
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "f"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		v, err := local.Open(dir, func(string, bool) error { return nil }, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = v.Close() }()
		var want []string
		pattern := regexp.QuoteMeta(text)
		folded := !exact && ascii(text)
		if !exact && !folded {
			pattern = "(?i:" + pattern + ")"
		}
		re := regexp.MustCompile(pattern)
		n := 0
		for line := range strings.Lines(content) {
			n++
			line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
			if folded && strings.Contains(lower(line), lower(text)) || !folded && re.MatchString(line) {
				want = append(want, fmt.Sprintf("f:%d", n))
			}
		}
		if diff := cmp.Diff(want, find(t, index.New(v, options()), index.Query{Text: text, Exact: exact}, 2)); diff != "" {
			t.Errorf("%q in %q (-want +got)\n%s", text, content, diff)
		}
	})
}

// printable says whether a text is what the server takes for text, and has no end of line but \n.
func printable(s string) bool {
	return !strings.ContainsFunc(strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", ""), "\n", ""), func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

func lower(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}
