package parcel_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/parcel"
)

func nothing(string) bool { return false }

// laid makes a directory with files, in whose texts DIR stands for the directory itself.
func laid(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "20260102T030405.678-"+filepath.Base(t.TempDir()))
	for file, text := range files {
		write(t, filepath.Join(dir, file), string(replaced(text, dir)))
	}
	return dir
}

func replaced(text, dir string) []byte {
	return []byte(fmt.Sprintf(text, dir, filepath.Base(dir)))
}

func contentsOf(t *testing.T, line, dir string) *parcel.Contents {
	t.Helper()
	c, err := parse(t, line).Contents(t.Context(), dir, nothing)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const info = "venv/lib/python3.12/site-packages/some_server-1.0.dist-info/"

// python is what a client of Python's indexes leaves.
func python() map[string]string {
	return map[string]string{
		"venv/bin/some-server": "#!%[1]s/venv/bin/python\nimport some_server\n%.0[2]s",
		"venv/pyvenv.cfg":      "home = /usr/bin\nuv = 0.1\n%.0[1]s%.0[2]s",
		info + "METADATA":      "Name: some-server\n%.0[1]s%.0[2]s",
		info + "RECORD":        "some_server.py,sha256=a,1\n../../../bin/some-server,sha256=%[2]s,9\n%.0[1]s",
		"venv/lib/python3.12/site-packages/some_server.py": "x = 1\n%.0[1]s%.0[2]s",
	}
}

func TestTheDigestOfAPackageIsThatOfWhatCanBeRunOfIt(t *testing.T) {
	was := contentsOf(t, "uvx some-server", laid(t, python()))
	if want := map[string]string{"some_server": "1.0"}; !maps.Equal(was.Packages, want) || was.Files != 5 {
		t.Errorf("got %+v, want %v and 5 files", was, want)
	}
	for _, tt := range []struct {
		name, file, text string
		same             bool
	}{
		{"another directory", "", "", true},
		{"another version of the client", "venv/pyvenv.cfg", "home = /usr/bin\nuv = 0.2\n%.0[1]s%.0[2]s", true},
		{"another Python", "venv/pyvenv.cfg", "home = /tmp\nuv = 0.1\n%.0[1]s%.0[2]s", false},
		{"what the client keeps for itself", "package-lock.json", "%[1]s%.0[2]s", true},
		{"a module", "venv/lib/python3.12/site-packages/some_server.py", "x = 2\n%.0[1]s%.0[2]s", false},
		{"a module that is compiled already", "venv/lib/python3.12/site-packages/__pycache__/some_server.cpython-312.pyc", "%.0[1]s%.0[2]s", false},
		{"a digest in the list of a package", info + "RECORD", "some_server.py,sha256=b,1\n%.0[1]s%.0[2]s", false},
		{"a file beside the packages", "venv/x", "%.0[1]s%.0[2]s", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := python()
			if tt.file != "" {
				files[tt.file] = tt.text
			}
			if now := contentsOf(t, "uvx some-server", laid(t, files)); (now.Digest == was.Digest) != tt.same {
				t.Errorf("got the digests %s and %s, want the same: %v; trees -was +now:\n%s", was.Digest, now.Digest, tt.same, cmp.Diff(was.Tree, now.Tree))
			}
		})
	}
}

func TestPackagesWithinPackagesAreTold(t *testing.T) {
	files := map[string]string{"package.json": "{}%.0[1]s%.0[2]s"}
	for name, version := range map[string]string{"a": "1", "@s/b": "2", "a/node_modules/c": "3"} {
		files["node_modules/"+name+"/package.json"] = `{"version":"` + version + `"}%.0[1]s%.0[2]s`
	}
	files["node_modules/a/lib/x/package.json"] = "{}%.0[1]s%.0[2]s"
	want := map[string]string{"a": "1", "@s/b": "2", "a/node_modules/c": "3"}
	if got := contentsOf(t, "npx a", laid(t, files)).Packages; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestOfAPackageWithTooManyFilesDirectoriesAreTold(t *testing.T) {
	files := make(map[string]string)
	for i := range 3000 {
		files[fmt.Sprintf("node_modules/a/%d/a-file-with-a-name-that-is-so-long-that-it-takes-some-room-beside-all-others/%d-%060d", i%50, i, i)] = "%.0[1]s%.0[2]s"
	}
	dir := laid(t, files)
	c := contentsOf(t, "npx a", dir)
	if c.Files != 3000 || len(c.Tree) != 50 || c.Tree["node_modules/a/7"] != "" && len(c.Tree["node_modules/a/7"]) != 12 {
		t.Errorf("got %d files and %d entries, want 3000 and the 50 directories", c.Files, len(c.Tree))
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if _, err := parse(t, "npx a").Contents(ctx, dir, nothing); !errors.Is(err, enough) {
		t.Errorf("after the end: got %v, want %v", err, enough)
	}
}

func TestAStampChangesWithWhatASealTells(t *testing.T) {
	dir := laid(t, python())
	seal := func() string {
		s, err := parcel.Seal(t.Context(), dir, nothing)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before, stamp := seal(), parcel.Stamp(t.Context(), dir, nothing)
	if again := parcel.Stamp(t.Context(), dir, nothing); again != stamp || seal() != before {
		t.Errorf("untouched: got the stamps %q and %q", stamp, again)
	}
	file := filepath.Join(dir, "venv/bin/some-server")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(file)
	text[0]++ // as long as it was, and at a time that it sets itself
	write(t, file+".new", string(text))
	if err := errors.Join(os.Chmod(file+".new", info.Mode()), os.Chtimes(file+".new", info.ModTime(), info.ModTime()), os.Rename(file+".new", file)); err != nil {
		t.Fatal(err)
	}
	if seal() == before || stamp != "" && parcel.Stamp(t.Context(), dir, nothing) == stamp {
		t.Error("a file was changed and its time set back: want another seal, and another stamp")
	}
}
