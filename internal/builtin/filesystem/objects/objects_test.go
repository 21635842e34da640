package objects_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/objects"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bucket is a store in memory that writes down which names it was asked for.
type bucket struct {
	held  map[string]string
	asked []string
	extra []objects.Object // what a service that lies puts into every page
	stuck bool             // gives the same page for ever
}

func (b *bucket) object(name string) (objects.Object, error) {
	b.asked = append(b.asked, name)
	text, ok := b.held[name]
	if !ok {
		return objects.Object{}, fs.ErrNotExist
	}
	return objects.Object{Name: name, Size: int64(len(text)), Tag: "tag of " + text}, nil
}

func (b *bucket) Head(_ context.Context, name string) (objects.Object, error) { return b.object(name) }

func (b *bucket) Get(_ context.Context, name string, r objects.Range) (objects.Object, io.ReadCloser, error) {
	o, err := b.object(name)
	if err != nil {
		return o, nil, err
	}
	if r.Tag != "" && r.Tag != o.Tag {
		return o, nil, volume.ErrChanged
	}
	text := b.held[name][min(r.Offset, o.Size):]
	if r.Length >= 0 {
		text = text[:min(r.Length, int64(len(text)))]
	}
	return o, io.NopCloser(strings.NewReader(text)), nil
}

func (b *bucket) List(_ context.Context, q objects.Query) (page []objects.Object, more bool, err error) {
	b.asked = append(b.asked, q.Prefix)
	seen := map[string]bool{}
	for name, text := range b.held {
		rest, ok := strings.CutPrefix(name, q.Prefix)
		if !ok {
			continue
		}
		o := objects.Object{Name: name, Size: int64(len(text)), Tag: "tag of " + text}
		if dir, _, found := strings.Cut(rest, "/"); found {
			o = objects.Object{Name: q.Prefix + dir + "/", Dir: true}
		}
		if name > q.After && !seen[o.Name] {
			seen[o.Name] = true
			page = append(page, o)
		}
	}
	page = append(page, b.extra...)
	slices.SortFunc(page, func(a, b objects.Object) int { return strings.Compare(a.Name, b.Name) })
	if b.stuck {
		return page[:1], true, nil
	}
	return page[:min(q.Max, len(page))], len(page) > q.Max, nil
}

func (b *bucket) Put(_ context.Context, name string, body io.Reader, _ int64, _ volume.Condition) (objects.Object, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return objects.Object{}, err
	}
	b.held[name] = string(text)
	return b.object(name)
}

func (b *bucket) Copy(_ context.Context, from objects.Object, to string, _ volume.Condition) (objects.Object, error) {
	b.held[to] = b.held[from.Name]
	return b.object(to)
}

func (b *bucket) Delete(_ context.Context, name, _ string) error {
	b.asked = append(b.asked, name)
	delete(b.held, name)
	return nil
}

func (b *bucket) Close() error { return nil }

// full is a bucket with a sibling of the prefix that is served, and names that lead to nothing.
func full() *bucket {
	return &bucket{held: map[string]string{
		"pre/a.txt": "a", "pre/d/b.txt": "b", "pre/d/": "", "pre/a/b": "below a file's name", "pre2/secret": "s", "pre": "s", "pre-secret": "s",
		"pre/": "", "pre//x": "no key", "pre/../up": "no key", "pre/./here": "no key", "pre/back\\slash": "no key", "pre/nul\x00": "no key", "pre/line\nbreak": "no key",
	}}
}

// TestKeysThatAreNotCleanReachNothing tries them with every method, as if whoever calls had not checked them.
func TestKeysThatAreNotCleanReachNothing(t *testing.T) {
	long := strings.Repeat("x", 300)
	for _, key := range []string{
		"..", "../pre2/secret", "a/../../pre2/secret", "./a.txt", "/a.txt", "a.txt/", "a//b", "//", "/", "pre/../..", "a\\b", "..\\pre2", "nul\x00", "a\x00.txt",
		"line\nbreak", "tab\t", "\xff\xfe", "a\u2028b", "\x7f", long, strings.Repeat("d/", 512) + "f", strings.Repeat("d/", 510) + "f",
	} {
		for name, try := range map[string]func(*objects.Volume) error{
			"Stat":  func(v *objects.Volume) error { _, err := v.Stat(t.Context(), key); return err },
			"Lstat": func(v *objects.Volume) error { _, err := v.Lstat(t.Context(), key); return err },
			"List":  func(v *objects.Volume) error { _, err := v.List(t.Context(), key, "", 10); return err },
			"after": func(v *objects.Volume) error { _, err := v.List(t.Context(), "", "x/"+key, 10); return err },
			"Open":  func(v *objects.Volume) error { _, err := v.Open(t.Context(), key); return err },
			"Put":   func(v *objects.Volume) error { _, err := put(t, v, key); return err },
			"Copy":  func(v *objects.Volume) error { _, err := v.Copy(t.Context(), key, "n", volume.Condition{}); return err },
			"Copy to": func(v *objects.Volume) error {
				_, err := v.Copy(t.Context(), "a.txt", key, volume.Condition{})
				return err
			},
			"Move": func(v *objects.Volume) error { _, err := v.Move(t.Context(), key, "n", volume.Condition{}); return err },
			"Move to": func(v *objects.Volume) error {
				_, err := v.Move(t.Context(), "a.txt", key, volume.Condition{})
				return err
			},
			"Remove": func(v *objects.Volume) error { return v.Remove(t.Context(), key, volume.Condition{}) },
			"Mkdir":  func(v *objects.Volume) error { return v.Mkdir(t.Context(), key) },
		} {
			b := full()
			before := len(b.held)
			v, err := objects.New(b, "pre")
			if err != nil {
				t.Fatal(err)
			}
			if err := try(v); err == nil {
				t.Errorf("%s %.40q: no error", name, key)
			}
			if len(b.held) != before {
				t.Errorf("%s %.40q changed something", name, key)
			}
			for _, asked := range b.asked {
				if !strings.HasPrefix(asked, "pre/") || strings.Contains(asked, "..") {
					t.Errorf("%s %.40q asked the service for %q", name, key, asked)
				}
			}
		}
	}
	if _, err := objects.New(full(), "pre/.."); err == nil {
		t.Error("a prefix with .. is taken")
	}
}

func put(t *testing.T, v *objects.Volume, key string) (volume.Info, error) {
	return v.Put(t.Context(), key, strings.NewReader("new"), 3, volume.Condition{})
}

// TestAListHasOnlyWhatIsBelowThePrefix leaves out what no key leads to, even when the service puts it there.
func TestAListHasOnlyWhatIsBelowThePrefix(t *testing.T) {
	lies := []objects.Object{{Name: "pre2/secret"}, {Name: "pre2/", Dir: true}, {Name: "pre"}, {Name: "pre/x/../../pre2"}, {Name: ""}, {Name: "/etc/passwd"}}
	for _, tc := range []struct {
		name  string
		extra []objects.Object
		page  int
	}{{"all at once", lies, 100}, {"one by one", nil, 1}, {"in pages", nil, 2}} {
		t.Run(tc.name, func(t *testing.T) {
			b := full()
			b.extra = tc.extra
			v, err := objects.New(b, "pre")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			after := ""
			for range 100 {
				list, err := v.List(t.Context(), "", after, tc.page)
				if err != nil {
					t.Fatal(err)
				}
				for _, i := range list {
					after = i.Position()
					got = append(got, after)
				}
				if len(list) < tc.page {
					break
				}
			}
			if diff := cmp.Diff([]string{"a.txt", "a/", "d/"}, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestAServiceThatDoesNotGoOnIsLeft(t *testing.T) {
	v, err := objects.New(&bucket{held: map[string]string{"a/b": ""}, stuck: true}, "")
	if err != nil {
		t.Fatal(err)
	}
	if list, err := v.List(t.Context(), "", "", 10); err == nil {
		t.Errorf("got %v, want an error", list)
	}
}

// TestDirectoriesAreWhatNamesSay is what makes directories of names.
func TestDirectoriesAreWhatNamesSay(t *testing.T) {
	v, err := objects.New(full(), "pre")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		try  func() error
		want error
	}{
		{"a file is there", func() error { _, err := v.Stat(t.Context(), "a.txt"); return err }, nil},
		{"nothing is not there", func() error { _, err := v.Stat(t.Context(), "none"); return err }, fs.ErrNotExist},
		{"a directory is not opened", func() error { _, err := v.Open(t.Context(), "d"); return err }, volume.ErrIsDir},
		{"the root is not opened", func() error { _, err := v.Open(t.Context(), ""); return err }, volume.ErrIsDir},
		{"a file is not listed", func() error { _, err := v.List(t.Context(), "d/b.txt", "", 10); return err }, volume.ErrNotDir},
		{"nothing is not listed", func() error { _, err := v.List(t.Context(), "none", "", 10); return err }, fs.ErrNotExist},
		{"no file takes a directory's place", func() error { _, err := put(t, v, "d"); return err }, volume.ErrIsDir},
		{"no file takes the root's place", func() error { _, err := put(t, v, ""); return err }, volume.ErrIsDir},
		{"no file is below a file", func() error { _, err := put(t, v, "a.txt/b/c"); return err }, volume.ErrNotDir},
		{"no directory is below a file", func() error { return v.Mkdir(t.Context(), "a.txt/b") }, volume.ErrNotDir},
		{"no directory takes a file's place", func() error { return v.Mkdir(t.Context(), "a.txt") }, fs.ErrExist},
		{"the root is not removed", func() error { return v.Remove(t.Context(), "", volume.Condition{}) }, fs.ErrInvalid},
		{"a directory with files is not removed", func() error { return v.Remove(t.Context(), "d", volume.Condition{}) }, volume.ErrNotEmpty},
		{"nothing is not removed", func() error { return v.Remove(t.Context(), "none", volume.Condition{}) }, fs.ErrNotExist},
		{"a directory is not moved", func() error { _, err := v.Move(t.Context(), "d", "n", volume.Condition{}); return err }, volume.ErrIsDir},
		{"a file is moved", func() error { _, err := v.Move(t.Context(), "d/b.txt", "n/b.txt", volume.Condition{}); return err }, nil},
		{"an empty directory is removed", func() error { return v.Remove(t.Context(), "d", volume.Condition{}) }, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.try(); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

// TestWhatIsReadIsOfOneVersion changes an object between its opening and its reading.
func TestWhatIsReadIsOfOneVersion(t *testing.T) {
	b := &bucket{held: map[string]string{"f": strings.Repeat("old ", 50_000)}}
	v, err := objects.New(b, "")
	if err != nil {
		t.Fatal(err)
	}
	f, err := v.Open(t.Context(), "f")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	b.held["f"] = strings.Repeat("new ", 50_000)
	body, err := f.Range(t.Context(), 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = body.Close() }()
	if text, err := io.ReadAll(body); !errors.Is(err, volume.ErrChanged) || strings.Contains(string(text), "new") {
		t.Errorf("got %d bytes, %v, want what was there and that it has changed", len(text), err)
	}
}
