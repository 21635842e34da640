//go:build unix

package local_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/local"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
)

// one is a volume of which only its tags are looked at.
func one(t *testing.T, dir string, key []byte) *local.Volume {
	t.Helper()
	v, err := local.Open(dir, allowed, key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

// ways gives the tag of a file in each of the ways there are to it: as it is read, of what was read, and as it was written.
func ways(t *testing.T, v *local.Volume, content []byte) map[string]string {
	t.Helper()
	made, err := v.Put(t.Context(), "f", bytes.NewReader(content), -1, volume.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	f, err := v.Open(t.Context(), "f")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	streamed, err := f.Tag(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{"Put": made.Tag, "Tag": streamed, "TagOf": f.(interface{ TagOf([]byte) string }).TagOf(content)}
}

// TestATagIsTheSameHoweverItIsMade has contents around the ends of what is authenticated at a time, each of them with
// neighbours that differ in one bit at the beginning or end, in length by a zero byte, or in the order of two parts.
func TestATagIsTheSameHoweverItIsMade(t *testing.T) {
	for name, key := range map[string][]byte{"without a key": nil, "with a key": []byte("a key of tags")} {
		t.Run(name, func(t *testing.T) {
			v, seen := one(t, t.TempDir(), key), map[string][]byte{}
			for _, size := range []int{0, 1, 16, 64<<10 - 1, 64 << 10, 64<<10 + 1, 128 << 10, 192<<10 + 7} {
				for _, content := range neighbours(size) {
					tags := ways(t, v, content)
					for way, tag := range tags {
						if tag != tags["TagOf"] {
							t.Errorf("%d bytes: %s gives %s, and TagOf %s", len(content), way, tag, tags["TagOf"])
						}
					}
					if other, ok := seen[tags["Put"]]; ok && !bytes.Equal(other, content) {
						t.Errorf("%d and %d bytes that differ have the tag %s", len(other), len(content), tags["Put"])
					}
					seen[tags["Put"]] = content
				}
			}
		})
	}
}

func neighbours(size int) [][]byte {
	whole := make([]byte, size)
	for i := range whole {
		whole[i] = byte(i>>16) + byte(i)
	}
	all := [][]byte{whole, append(bytes.Clone(whole), 0)}
	if size == 0 {
		return all
	}
	first, last := bytes.Clone(whole), bytes.Clone(whole)
	first[0] ^= 0x80
	last[size-1] ^= 1
	half := size / 2
	return append(all, first, last, append(bytes.Clone(whole[half:]), whole[:half]...))
}

// TestConditionsHoldOfTagsOfEitherKind gives tags of a volume with a key, of the same with another, and of sha256sum.
func TestConditionsHoldOfTagsOfEitherKind(t *testing.T) {
	dir := t.TempDir()
	const sum = "sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
	ours, again, others, plain := one(t, dir, []byte("ours")), one(t, dir, []byte("ours")), one(t, dir, []byte("others")), one(t, dir, nil)
	tag := func(v *local.Volume) string { return ways(t, v, []byte("hello"))["Tag"] }
	if !strings.HasPrefix(tag(ours), "mac:") || tag(plain) != sum {
		t.Errorf("got the tags %s with a key, want mac:…, and without %s, want %s", tag(ours), tag(plain), sum)
	}
	for name, test := range map[string]struct {
		on    *local.Volume
		match string
		want  error
	}{
		"its own":                        {ours, tag(ours), nil},
		"of another volume with its key": {ours, tag(again), nil},
		"SHA-256":                        {ours, sum, nil},
		"with another key":               {ours, tag(others), volume.ErrChanged},
		"a wrong SHA-256":                {ours, strings.Replace(sum, "2cf", "3cf", 1), volume.ErrChanged},
		"a part of it":                   {ours, tag(ours)[:20], volume.ErrChanged},
		"its beginning":                  {ours, "mac:", volume.ErrChanged},
		"with a key, without one":        {plain, tag(ours), volume.ErrChanged},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(dir, "f"), []byte("hello"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := test.on.Put(t.Context(), "f", strings.NewReader("next"), 4, volume.Condition{Match: test.match})
			if !errors.Is(err, test.want) {
				t.Errorf("write if %s: got %v, want %v", test.match, err, test.want)
			}
			got, err := os.ReadFile(filepath.Join(dir, "f"))
			if want := map[bool]string{true: "next", false: "hello"}[test.want == nil]; err != nil || string(got) != want {
				t.Errorf("the file has %q, %v, want %q", got, err, want)
			}
		})
	}
}
