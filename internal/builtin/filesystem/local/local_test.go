//go:build unix

package local_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/local"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func allowed(string, bool) error { return nil }

func open(t *testing.T, dir string) *local.Volume {
	t.Helper()
	v, err := local.Open(dir, allowed, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

// grow makes a tree of lines like "dir a/b", "file a/b text" and "link a/b target", in which ROOT is the directory.
func grow(t *testing.T, root string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		f := append(strings.SplitN(strings.ReplaceAll(line, "ROOT", root), " ", 3), "")
		name := filepath.Join(root, f[1])
		err := os.MkdirAll(filepath.Dir(name), 0o755)
		switch f[0] {
		case "dir":
			err = errors.Join(err, os.MkdirAll(name, 0o755))
		case "file":
			err = errors.Join(err, os.WriteFile(name, []byte(f[2]), 0o644))
		case "link":
			err = errors.Join(err, os.Symlink(f[2], name))
		case "fifo":
			err = errors.Join(err, syscall.Mkfifo(name, 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// place is a mount within a directory that must stay as it is.
func place(t *testing.T) (parent, root string) {
	t.Helper()
	// A socket's path has room for a hundred bytes, and links are resolved by the name that the system has for it.
	parent, err := os.MkdirTemp("", "local")
	if err == nil {
		parent, err = filepath.EvalSymlinks(parent)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(parent) })
	root = filepath.Join(parent, "root")
	grow(t, parent, "file secret OUTSIDE", "file root2/secret OUTSIDE", "file target/f OUTSIDE", "dir cousinparent/cousin", "file cousinparent/test OUTSIDE", "file etc/passwd OUTSIDE", "dir root")
	grow(t, root,
		"dir a", "dir b/c/d/e/f", "file b/c/file text", "link b-file b/c/file", "fifo b/fifo",
		"link e /b/c/d/e", "link whole ROOT/b/c/d/e", "file target/f target", "dir subdir", "file subdir/test lexical", "dir cousinparent/cousin", "file cousinparent/cousin/test cousin", "file cousinparent/test parent",
		"link subdir/link ../cousinparent/cousin", "link subdir/link2 /../cousinparent/cousin", "link subdir/link3 "+strings.Repeat("../", 16)+"cousinparent/cousin", "link subdir/link4 ROOT/cousinparent/cousin",
		"link through subdir/link/../test", "link through2 ROOT/subdir/link/../test", "link through3 subdir/link/../../subdir/./link4/test", "link over subdir/link/../../../target/f",
		"link link1/rel ../target", "link link1/abs ROOT/target", "link link2/rel ../link1/rel", "link link2/abs ROOT/link1/abs", "link link2/mixed ROOT/link1/rel", "link link2/down ../link1/../target", "link link3/all ../link2/abs/../link2/mixed",
		"link up ..", "link up2 ../..", "link sibling ../root2", "link sibling2 ROOT2", "link sibling3 ROOT/../root2", "link system /etc", "link self-abs ROOT", "link self .", "link proc /proc/self/root",
		"link a-fake1 a/fake", "link a-fake2 a/fake/foo", "link a-fake3 a/fake/../../b", "link c/a-fake ../a/fake", "link out-fake ../new", "link out-fake2 ROOT/../new", "link out-dir ../newdir/x",
		"link loop/basic1 basic1", "link loop/basic2 ROOT/loop/basic2", "link loop/basic3 ../loop/basic3", "link loop/a/link ../b/link", "link loop/b/link ROOT/loop/c/link", "link loop/c/link ../d/link", "link loop/d e", "link loop/e/link ../a/link", "link loop/link a/link",
		"link dangling/a b/c", "link dangling/b/c ../c", "link dangling/c d/e", "link dangling/d/e ../e", "link dangling/e f/../g", "dir dangling/f", "link dangling/g h/i/j/none", "dir dangling/h/i",
		"link as-dir b/c/file/..", "link as-dir2 b-file/x", "file plain no directory", "link odd we\\ird", "link empty-rest target//f", "link dots ./target/./f",
	)
	l, err := net.Listen("unix", filepath.Join(root, "b/sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return parent, root
}

// text reads all of a file of a volume.
func text(ctx context.Context, v *local.Volume, key string) (string, error) {
	f, err := v.Open(ctx, key)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	body, err := f.Range(ctx, 0, -1)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(body)
	return string(b), errors.Join(err, body.Close())
}

// TestLinksLeadWhereTheSystemSaysAndNeverOut has the kinds of scenarios that filepath-securejoin is tested with: .. that
// is not lexical, links through links, loops, links that dangle deeply, files in the place of directories, pipes and
// sockets.
func TestLinksLeadWhereTheSystemSaysAndNeverOut(t *testing.T) {
	_, root := place(t)
	v := open(t, root)
	for _, tc := range []struct {
		key, want string // the text; dir for a directory
		err       error
	}{
		{"a", "dir", nil}, {"b/c/d/e/f", "dir", nil}, {"b-file", "text", nil}, {"whole/f", "dir", nil}, {"e", "", volume.ErrOutside}, {"e/f", "", volume.ErrOutside},
		{"subdir/link/test", "cousin", nil}, {"subdir/link4/test", "cousin", nil}, {"subdir/link2/test", "", volume.ErrOutside}, {"subdir/link3/test", "", volume.ErrOutside},
		{"through", "parent", nil}, {"through2", "parent", nil}, {"through3", "cousin", nil}, {"over", "", volume.ErrOutside},
		{"link1/rel/f", "target", nil}, {"link1/abs/f", "target", nil}, {"link2/rel/f", "target", nil}, {"link2/abs/f", "target", nil}, {"link2/mixed/f", "target", nil}, {"link2/down/f", "target", nil}, {"link3/all/f", "target", nil},
		{"up", "", volume.ErrOutside}, {"up/secret", "", volume.ErrOutside}, {"up2/secret", "", volume.ErrOutside}, {"sibling/secret", "", volume.ErrOutside}, {"sibling2/secret", "", volume.ErrOutside}, {"sibling3/secret", "", volume.ErrOutside},
		{"system/passwd", "", volume.ErrOutside}, {"proc/etc/passwd", "", volume.ErrOutside}, {"self/a", "dir", nil}, {"self/self/self/b-file", "text", nil},
		{"a-fake1", "", fs.ErrNotExist}, {"a-fake1/foo", "", fs.ErrNotExist}, {"a-fake2", "", fs.ErrNotExist}, {"a-fake3", "", fs.ErrNotExist}, {"a-fake3/c/file", "", fs.ErrNotExist}, {"c/a-fake", "", fs.ErrNotExist}, {"out-fake", "", volume.ErrOutside}, {"out-fake2", "", volume.ErrOutside},
		{"loop/basic1", "", volume.ErrOutside}, {"loop/basic2", "", volume.ErrOutside}, {"loop/basic3", "", volume.ErrOutside}, {"loop/link", "", volume.ErrOutside}, {"loop/link/x/y", "", volume.ErrOutside},
		{"dangling/a", "", fs.ErrNotExist}, {"dangling/b/c", "", fs.ErrNotExist}, {"dangling/e", "", fs.ErrNotExist}, {"dangling/g", "", fs.ErrNotExist},
		{"plain/child", "", volume.ErrNotDir}, {"b/c/file/x", "", volume.ErrNotDir}, {"as-dir", "", volume.ErrNotDir}, {"as-dir2", "", volume.ErrNotDir}, {"b/fifo", "", volume.ErrSpecial}, {"b/sock", "", volume.ErrSpecial}, {"b/fifo/x", "", volume.ErrNotDir},
		{"odd", "", volume.ErrOutside}, {"empty-rest", "target", nil}, {"dots", "target", nil},
	} {
		got, err := text(t.Context(), v, tc.key)
		if errors.Is(err, volume.ErrIsDir) {
			got, err = "dir", nil
		}
		if got != tc.want || !errors.Is(err, tc.err) {
			t.Errorf("%s: got %q, %v, want %q, %v", tc.key, got, err, tc.want, tc.err)
		}
		// What the system itself makes of the path is what we serve, if we serve it.
		if tc.err != nil || tc.want == "dir" {
			continue
		}
		if real, err := os.ReadFile(filepath.Join(root, tc.key)); string(real) != tc.want {
			t.Errorf("%s: the system reads %q, %v, want %q", tc.key, real, err, tc.want)
		}
	}
}

// TestNothingOutsideIsTouched does everything to each key of the tree, and to names below it.
func TestNothingOutsideIsTouched(t *testing.T) {
	parent, root := place(t)
	before := snapshot(t, parent)
	v := open(t, root)
	var keys []string
	err := filepath.WalkDir(root, func(name string, _ fs.DirEntry, err error) error {
		key, _ := filepath.Rel(root, name)
		for _, below := range []string{"", "/secret", "/new/deep"} {
			keys = append(keys, key+below)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for _, key := range keys {
		if key == "." {
			continue
		}
		if got, err := text(ctx, v, key); err == nil && strings.Contains(got, "OUTSIDE") {
			t.Errorf("read %s: %q", key, got)
		}
		if list, err := v.List(ctx, key, "", 100); err == nil {
			for _, i := range list {
				if strings.HasSuffix(i.Key, "secret") || strings.HasSuffix(i.Key, "passwd") {
					t.Errorf("list %s: %v", key, i)
				}
			}
		}
		for _, try := range []func() error{
			func() error { _, err := v.Put(ctx, key, strings.NewReader("x"), 1, volume.Condition{}); return err },
			func() error { return v.Mkdir(ctx, key+"/made") },
			func() error { _, err := v.Copy(ctx, "b/c/file", key, volume.Condition{}); return err },
			func() error { _, err := v.Move(ctx, key, "moved", volume.Condition{}); return err },
			func() error { _, err := v.Move(ctx, "moved", key, volume.Condition{}); return err },
			func() error { return v.Remove(ctx, key, volume.Condition{}) },
		} {
			_ = try()
		}
	}
	if diff := cmp.Diff(before, snapshot(t, parent)); diff != "" {
		t.Errorf("outside is changed (-before +after)\n%s", diff)
	}
}

// snapshot has the names and texts below a directory, without the mount.
func snapshot(t *testing.T, parent string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(parent, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == filepath.Join(parent, "root") {
			return errors.Join(err, fs.SkipDir)
		}
		if all[name] = "dir"; !d.IsDir() {
			b, err := os.ReadFile(name)
			all[name] = string(b)
			return err
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.SkipDir) {
		t.Fatal(err)
	}
	return all
}

// TestWhatALinkLeadsToMustBePermitted asks for the key at the end of the links.
func TestWhatALinkLeadsToMustBePermitted(t *testing.T) {
	root := t.TempDir()
	grow(t, root, "file private/key k", "link a private/key", "link b a", "link c b/../private/key", "file open/x x", "link d open/x")
	var asked []string
	v, err := local.Open(root, func(key string, _ bool) error {
		asked = append(asked, key)
		if volume.Within(key, "private") {
			return volume.ErrOutside
		}
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Close() }()
	for key, want := range map[string]error{"a": volume.ErrOutside, "b": volume.ErrOutside, "d": nil} {
		if _, err := v.Stat(t.Context(), key); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v; it asked for %q", key, err, want, asked)
		}
	}
	if info, err := v.Lstat(t.Context(), "a"); err != nil || info.Link != "private/key" || info.Key != "a" {
		t.Errorf("the link itself: got %+v, %v", info, err)
	}
}

// TestConditionsAreForAllWritersAtOnce has writers that each add a line to what they have seen.
func TestConditionsAreForAllWritersAtOnce(t *testing.T) {
	root := t.TempDir()
	grow(t, root, "file f ")
	v := open(t, root)
	const writers, lines = 4, 25
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for n := 0; n < lines; {
				f, err := v.Open(t.Context(), "f")
				if err != nil {
					continue // it is being replaced
				}
				tag, _ := f.Tag(t.Context())
				body, _ := f.Range(t.Context(), 0, -1)
				now, _ := io.ReadAll(body)
				_ = f.Close()
				next := fmt.Sprintf("%swriter %d line %d\n", now, w, n)
				info, err := v.Put(t.Context(), "f", strings.NewReader(next), int64(len(next)), volume.Condition{Match: tag})
				if err == nil {
					n++
				} else if !errors.Is(err, volume.ErrChanged) {
					t.Errorf("got %v, want that it has changed", err)
					return
				}
				if err == nil && !strings.HasPrefix(info.Tag, "sha256:") {
					t.Errorf("the new tag is %q", info.Tag)
				}
			}
		})
	}
	all.Wait()
	got, err := os.ReadFile(filepath.Join(root, "f"))
	if n := strings.Count(string(got), "\n"); err != nil || n != writers*lines {
		t.Errorf("got %d lines, %v, want %d", n, err, writers*lines)
	}
}

// TestListsGoOnWhereTheyEnded reads a directory in pages while files in it come and go.
func TestListsGoOnWhereTheyEnded(t *testing.T) {
	root := t.TempDir()
	var want []string
	for i := range 100 {
		name := fmt.Sprintf("f%02d", i)
		kind := "file "
		if i%7 == 0 {
			kind = "dir "
		}
		grow(t, root, kind+name)
		want = append(want, name)
	}
	v := open(t, root)
	var got []string
	for after := ""; ; {
		page, err := v.List(t.Context(), "", after, 9)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range page {
			got, after = append(got, i.Key), i.Position()
		}
		if err := os.RemoveAll(filepath.Join(root, "f00")); err != nil {
			t.Fatal(err)
		}
		if len(page) < 9 {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
