package volume_test

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestClean(t *testing.T) {
	for _, tc := range []struct {
		name, path, want string
		ok               bool
	}{
		{"nothing is the root", "", "", true},
		{"a slash is the root", "/", "", true},
		{"elements stay", "a/b.txt", "a/b.txt", true},
		{"slashes and dots at the ends go", "/a//b/./c/", "a/b/c", true},
		{"nothing is decoded", "%2e%2e/%2f/a+b", "%2e%2e/%2f/a+b", true},
		{"three dots are a name", ".../a", ".../a", true},
		{"composed and decomposed letters stay what they are", "é/e\u0301", "é/e\u0301", true},
		{"two dots are refused", "a/../b", "", false},
		{"two dots alone are refused", "..", "", false},
		{"a backslash is refused", `a\b`, "", false},
		{"a NUL is refused", "a\x00b", "", false},
		{"a line end is refused", "a\nb", "", false},
		{"a control character beyond ASCII is refused", "a\u0085b", "", false},
		{"a line separator is refused", "a\u2028b", "", false},
		{"what is not UTF-8 is refused", "a\xffb", "", false},
		{"the replacement character is refused", "a\uFFFDb", "", false},
		{"the longest element is taken", strings.Repeat("a", 255), strings.Repeat("a", 255), true},
		{"a longer one is refused", strings.Repeat("a", 256), "", false},
		{"a path that is too long is refused", strings.Repeat("a/", 513), "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := volume.Clean(tc.path)
			if got != tc.want || (err == nil) != tc.ok {
				t.Errorf("%q: got %q, %v, want %q", tc.path, got, err, tc.want)
			}
		})
	}
}

func TestWithinComparesElements(t *testing.T) {
	for _, tc := range []struct {
		key, dir string
		want     bool
	}{
		{"docs", "docs", true}, {"docs/a", "docs", true}, {"docs-secret", "docs", false}, {"docs2/a", "docs", false}, {"doc", "docs", false}, {"a/docs/b", "docs", false}, {"anything", "", true}, {"", "", true}, {"", "docs", false},
	} {
		if got := volume.Within(tc.key, tc.dir); got != tc.want {
			t.Errorf("%q within %q: got %v, want %v", tc.key, tc.dir, got, tc.want)
		}
	}
}

// FuzzClean wants of every key that it comes out of Clean again as it is, and that no element of it leads up.
func FuzzClean(f *testing.F) {
	for _, s := range []string{"", "a/b", "../a", "a//b/", "./..", "a\\b", "%2e%2e/x", "é\u0301", strings.Repeat("x", 300)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		key, err := volume.Clean(name)
		if err != nil {
			return
		}
		again, err := volume.Clean(key)
		if err != nil || again != key {
			t.Fatalf("%q gives %q, and that %q, %v", name, key, again, err)
		}
		for part := range strings.SplitSeq(key, "/") {
			if part == ".." || part == "." || part == "" && key != "" || strings.ContainsAny(part, "\\\x00\n") {
				t.Fatalf("%q gives %q", name, key)
			}
		}
	})
}
