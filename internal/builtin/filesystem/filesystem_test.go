package filesystem_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type args = map[string]any

// env has one mount, which may be written to, with more settings.
func env(t testing.TB, dir string, more args) *server.Env {
	t.Helper()
	mount := args{"url": dir, "write": true}
	for k, v := range more {
		mount[k] = v
	}
	text, err := json.Marshal(args{"mounts": []any{mount}})
	if err != nil {
		t.Fatal(err)
	}
	return &server.Env{Settings: text}
}

// tree makes files in a new directory.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestDefinitions(t *testing.T) {
	servertest.Check(t, filesystem.New, env(t, t.TempDir(), nil))
}

func TestWire(t *testing.T) {
	servertest.Script(t, filesystem.New, func(t *testing.T) *server.Env { return env(t, t.TempDir(), nil) }, "testdata/wire.txt")
}

// TestWithoutSettingsTheDirectoryIsRead serves where it runs, without keys and without writing.
func TestWithoutSettingsTheDirectoryIsRead(t *testing.T) {
	dir := tree(t, map[string]string{"a.txt": "x", "server.key": "k", "dragoman.yaml": "y", ".env": "z"})
	c := servertest.Open(t, filesystem.New, &server.Env{Dir: dir})
	var out struct{ Entries []struct{ Path string } }
	c.Must(t, "list", nil, &out)
	if len(out.Entries) != 1 || out.Entries[0].Path != "a.txt" {
		t.Errorf("got %v, want a.txt alone", out.Entries)
	}
	if r, err := c.Call(t.Context(), "write", args{"path": "b.txt", "text": "x"}); err == nil && !r.IsError {
		t.Error("a file was written")
	}
}

func TestTools(t *testing.T) {
	dir := tree(t, map[string]string{
		"a.txt": "one\r\ntwo\nthree\n", "docs/b.md": "# Title\nNeedle here\n", ".env": "SECRET=1", "docs/key.pem": "PRIVATE",
		".gitignore": "ignored/\n", "ignored/c.txt": "needle", "wide.txt": "\xff\xfeh\x00i\x00\n\x00",
		"x.png": "\x89PNG\r\n\x1a\n\x00\x00", "data.bin": "\x00\x01\x02\x00\xff",
	})
	if err := os.Symlink("docs/key.pem", filepath.Join(dir, "link.txt")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "out.txt")); err != nil {
		t.Fatal(err)
	}
	c := servertest.Open(t, filesystem.New, env(t, dir, args{"deny": []string{"*.pem"}}))
	for _, tc := range []struct {
		name, tool string
		args       args
		want       string
		fails      bool
	}{
		{"a directory is listed without what is hidden", "list", args{}, `"path":"a.txt","kind":"file","size":15`, false},
		{"text is read", "read", args{"path": "a.txt"}, `"text":"one\r\ntwo\nthree\n"`, false},
		{"the first lines are read", "read", args{"path": "a.txt", "head": 1}, `"text":"one\r\n"`, false},
		{"the last lines are read", "read", args{"path": "a.txt", "tail": 1}, `"text":"three\n","size":15,"offset":9`, false},
		{"a range is read", "read", args{"path": "a.txt", "offset": 5, "length": 3}, `"text":"two"`, false},
		{"UTF-16 is read", "read", args{"path": "wide.txt"}, `"text":"hi\n","size":8,"offset":2,"encoding":"utf-16le"`, false},
		{"what is hidden is not read", "read", args{"path": ".env"}, "may not be used", true},
		{"what is denied is not read", "read", args{"path": "docs/key.pem"}, "may not be used", true},
		{"a link to what is denied is not followed", "read", args{"path": "link.txt"}, "leads out", true},
		{"a link out of the mount is not followed", "read", args{"path": "out.txt"}, "leads out", true},
		{"a path with .. is refused", "read", args{"path": "docs/../../x"}, "cannot use the path", true},
		{"a search finds lines whatever their case", "search", args{"text": "needle", "context": 1}, `[{"path":"docs/b.md","line":2,"text":"Needle here","before":["# Title"]}]`, false},
		{"a search finds what is ignored when asked", "search", args{"text": "needle", "ignored": true}, `"path":"ignored/c.txt"`, false},
		{"a search finds names", "search", args{"name": "*.md"}, `[{"path":"docs/b.md"}]`, false},
		{"what a denied file has is not found", "search", args{"text": "private"}, `"matches":[]`, false},
		{"a regular expression finds", "search", args{"text": "n.edl+e", "regexp": true}, `"line":2`, false},
		{"an edit shows its diff in a dry run", "edit", args{"path": "a.txt", "edits": []args{{"old": "two", "new": "2"}}, "dry_run": true}, `"diff":"@@ line 2 @@\n-two\n+2\n"`, false},
		{"a wrong etag is refused", "write", args{"path": "a.txt", "text": "x", "if_match": "sha256:0"}, "has changed", true},
		{"an existing file is not made", "write", args{"path": "a.txt", "text": "x", "create": true}, "is there already", true},
		{"a directory with a denied file is not deleted", "change", args{"op": "delete", "path": "docs", "recursive": true}, "may not be used", true},
		{"a file is not copied to a denied name", "change", args{"op": "copy", "path": "a.txt", "to": "x.pem"}, "may not be used", true},
		{"the root is not deleted", "change", args{"op": "delete", "path": "/"}, "cannot be deleted", true},
		{"a file is written with its directories", "write", args{"path": "new/deep/f.txt", "text": "hello"}, "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824", false},
		{"a file moves", "change", args{"op": "move", "path": "new/deep/f.txt", "to": "new/g.txt"}, `"path":"new/g.txt"`, false},
		{"a tree is deleted", "change", args{"op": "delete", "path": "new", "recursive": true}, `"path":"new"`, false},
		{"what is gone is not there", "list", args{"path": "new"}, "is not there", true},
		{"an image is an image", "read", args{"path": "x.png"}, "image/png", false},
		{"other bytes are a link", "read", args{"path": "data.bin"}, "not text", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := c.Call(t.Context(), tc.tool, tc.args)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(r.Structured) + r.Text(); r.IsError != tc.fails || !strings.Contains(got, tc.want) {
				t.Errorf("%s %v: error %v, got %s, want %q", tc.tool, tc.args, r.IsError, got, tc.want)
			}
		})
	}
}

// TestALongTextIsReadInPages puts the pages together again.
func TestALongTextIsReadInPages(t *testing.T) {
	long := strings.Repeat("Grüße, 世界! A line of text.\n", 20_000)
	c := servertest.Open(t, filesystem.New, env(t, tree(t, map[string]string{"long.txt": long}), nil))
	var got strings.Builder
	in := args{"path": "long.txt"}
	for range 100 {
		var page struct {
			Text, NextCursor string
			Next             string `json:"next_cursor"`
		}
		c.Must(t, "read", in, &page)
		got.WriteString(page.Text)
		if page.Next == "" {
			break
		}
		in["cursor"] = page.Next
	}
	if got.String() != long {
		t.Errorf("got %d bytes, want %d", got.Len(), len(long))
	}
}

func mkdir(t testing.TB, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
}
