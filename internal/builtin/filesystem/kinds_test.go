package filesystem_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/servertest"
	"github.com/dragoman-mcp/dragoman/test/objects"
)

// A kind is a kind of mount. prefix is where files lie in it; the settings of a mount of another prefix differ in that
// alone.
type kind struct {
	name  string
	mount func(t testing.TB) func(prefix string) args
}

func kinds() []kind {
	return []kind{
		{"local", func(t testing.TB) func(string) args {
			dir := t.TempDir()
			return func(prefix string) args {
				mkdir(t, dir+"/"+prefix)
				return args{"url": "file://" + dir + "/" + prefix}
			}
		}},
		{"s3", func(t testing.TB) func(string) args {
			endpoint := objects.S3(t)
			return func(prefix string) args {
				return args{"url": "s3://" + objects.Bucket + "/" + prefix, "poll": "1s", "s3": args{"endpoint": endpoint, "region": "us-east-1", "access_key": "any", "secret_key": "any"}}
			}
		}},
		{"s3 signed", func(t testing.TB) func(string) args {
			endpoint := objects.Signed(t)
			return func(prefix string) args {
				return args{"url": "s3://" + objects.Bucket + "/" + prefix, "poll": "1s", "s3": args{
					"endpoint": endpoint, "region": "us-east-1", "access_key": objects.AccessKey, "secret_key": objects.SecretKey,
				}}
			}
		}},
		{"gs", func(t testing.TB) func(string) args {
			endpoint := objects.GCS(t)
			return func(prefix string) args {
				return args{"url": "gs://" + objects.Bucket + "/" + prefix, "poll": "1s", "gcs": args{"endpoint": endpoint, "anonymous": true}}
			}
		}},
	}
}

// onAll runs a test on a fresh mount of each kind.
func onAll(t *testing.T, run func(t *testing.T, mount func(prefix string) args)) {
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) { run(t, k.mount(t)) })
	}
}

// opened has one mount, which may be written to, with more of its settings, and limits.
func opened(t *testing.T, mount args, more args, limits args) *servertest.Client {
	t.Helper()
	all := args{"write": true}
	for _, m := range []args{mount, more} {
		for k, v := range m {
			all[k] = v
		}
	}
	text, err := json.Marshal(args{"mounts": []any{all}, "limits": limits})
	if err != nil {
		t.Fatal(err)
	}
	return servertest.Open(t, filesystem.New, &server.Env{Settings: text})
}

// A step is a call and a part of what it answers. In args and want, $NAME is what an earlier step kept.
type step struct {
	tool  string
	args  args
	want  string // begins with ! when the call fails
	keeps string // the name for the etag of the answer
}

func play(t *testing.T, c *servertest.Client, steps []step) {
	t.Helper()
	kept := map[string]string{}
	for i, s := range steps {
		text, err := json.Marshal(s.args)
		if err != nil {
			t.Fatal(err)
		}
		fill := func(s string) string {
			for name, value := range kept {
				s = strings.ReplaceAll(s, "$"+name, value)
			}
			return s
		}
		var in args
		if err := json.Unmarshal([]byte(fill(string(text))), &in); err != nil {
			t.Fatal(err)
		}
		r, err := c.Call(t.Context(), s.tool, in)
		if err != nil {
			t.Fatal(err)
		}
		want, fails := strings.CutPrefix(fill(s.want), "!")
		got := string(r.Structured)
		if r.IsError {
			got = r.Text()
		}
		if r.IsError != fails || !strings.Contains(got, want) {
			t.Fatalf("step %d, %s %s: error %v, got %s, want %q", i, s.tool, text, r.IsError, got, s.want)
		}
		if s.keeps != "" {
			var out struct{ ETag string }
			if err := json.Unmarshal(r.Structured, &out); err != nil || out.ETag == "" {
				t.Fatalf("step %d, %s: no etag in %s", i, s.tool, got)
			}
			kept[s.keeps] = out.ETag
		}
	}
}

// TestEveryKindDoesTheSame plays one suite on directories and on buckets.
func TestEveryKindDoesTheSame(t *testing.T) {
	wide := "\ufeffgrüße\r\nzwei\ndrei\r\n"
	suites := []struct {
		name  string
		steps []step
	}{
		{"a file is made, replaced when it is what was seen, and read", []step{
			{"list", args{}, `"entries":[]`, ""},
			{"list", args{"path": "a.txt"}, "!is not there", ""},
			{"read", args{"path": "a.txt"}, "!is not there", ""},
			{"write", args{"path": "a.txt", "text": "one\ntwo\nthree\n", "create": true}, `"path":"a.txt"`, "one"},
			{"write", args{"path": "a.txt", "text": "x", "create": true}, "!is there already", ""},
			{"read", args{"path": "a.txt"}, `"text":"one\ntwo\nthree\n","size":14,"offset":0,"encoding":"utf-8","etag":"$one"`, ""},
			{"list", args{"path": "a.txt"}, `"etag":"$one"`, ""},
			{"write", args{"path": "a.txt", "text": "1\n", "if_match": "nonsense"}, "!has changed", ""},
			{"write", args{"path": "a.txt", "text": "1\n", "if_match": "$one"}, `"path":"a.txt"`, "two"},
			{"write", args{"path": "a.txt", "text": "2\n", "if_match": "$one"}, "!has changed", ""},
			{"write", args{"path": "none.txt", "text": "2\n", "if_match": "$two"}, "!is not there", ""},
			{"read", args{"path": "a.txt"}, `"text":"1\n"`, ""},
			{"write", args{"path": "empty.txt", "text": ""}, `"path":"empty.txt"`, "empty"},
			{"read", args{"path": "empty.txt"}, `"text":"","size":0`, ""},
			{"list", args{}, `"path":"a.txt","kind":"file","size":2`, ""},
		}},
		{"parts are read", []step{
			{"write", args{"path": "d/l.txt", "text": strings.Repeat("0123456789\n", 20_000)}, `"path":"d/l.txt"`, ""},
			{"read", args{"path": "d/l.txt", "head": 1}, `"text":"0123456789\n"`, ""},
			{"read", args{"path": "d/l.txt", "tail": 1}, `"text":"0123456789\n","size":220000,"offset":219989`, ""},
			{"read", args{"path": "d/l.txt", "offset": 110000, "length": 5}, `"text":"01234"`, ""},
			{"read", args{"path": "d/l.txt", "offset": 65530, "length": 22}, `"offset":65530`, ""},
			{"read", args{"path": "d/l.txt", "offset": 300000}, "!ends before offset 300000", ""},
			{"write", args{"path": "b.bin", "text": "AAEC/w==", "encoding": "base64"}, `"path":"b.bin"`, ""},
			{"read", args{"path": "b.bin"}, `"size":4`, ""},
		}},
		{"an edit keeps every other byte", []step{
			{"write", args{"path": "w.txt", "text": wide, "encoding": "utf-16le"}, `"path":"w.txt"`, "old"},
			{"edit", args{"path": "w.txt", "edits": []args{{"old": "zwei", "new": "2"}}, "dry_run": true}, `"etag":"$old","diff":"@@ line 2 @@\n-zwei\n+2\n"`, ""},
			{"edit", args{"path": "w.txt", "edits": []args{{"old": "zwei", "new": "2"}}, "if_match": "$old"}, `"path":"w.txt"`, "new"},
			{"read", args{"path": "w.txt"}, `"text":"grüße\r\n2\ndrei\r\n"`, ""},
			{"read", args{"path": "w.txt"}, `"encoding":"utf-16le","etag":"$new"`, ""},
			{"edit", args{"path": "w.txt", "edits": []args{{"old": "2", "new": "zwei"}}, "if_match": "$old"}, "!has changed", ""},
			{"edit", args{"path": "w.txt", "edits": []args{{"old": "nirgends", "new": ""}}}, "!nothing was changed", ""},
		}},
		{"files are copied, moved and deleted", []step{
			{"write", args{"path": "x/a.txt", "text": "a"}, "", "a"},
			{"write", args{"path": "x/y/b.txt", "text": "b"}, "", ""},
			{"change", args{"op": "copy", "path": "x/a.txt", "to": "x/c.txt"}, `"path":"x/c.txt"`, "c"},
			{"change", args{"op": "copy", "path": "x/y/b.txt", "to": "x/c.txt"}, "!is there already", ""},
			{"change", args{"op": "copy", "path": "x/y/b.txt", "to": "x/c.txt", "overwrite": true}, `"path":"x/c.txt"`, ""},
			{"read", args{"path": "x/c.txt"}, `"text":"b"`, ""},
			{"change", args{"op": "copy", "path": "x/c.txt", "to": "x/c.txt", "overwrite": true}, "!onto itself", ""},
			{"change", args{"op": "copy", "path": "x/none", "to": "x/d.txt"}, "!is not there", ""},
			{"change", args{"op": "copy", "path": "x/y", "to": "x/d"}, "!is a directory", ""},
			{"change", args{"op": "move", "path": "x/c.txt", "to": "x/a.txt"}, "!is there already", ""},
			{"change", args{"op": "move", "path": "x/c.txt", "to": "x/a.txt", "overwrite": true}, `"path":"x/a.txt"`, ""},
			{"read", args{"path": "x/c.txt"}, "!is not there", ""},
			{"read", args{"path": "x/a.txt"}, `"text":"b"`, ""},
			{"change", args{"op": "move", "path": "x", "to": "x/in"}, "!cannot be used", ""},
			{"change", args{"op": "move", "path": "x", "to": "z/moved"}, `"path":"z/moved"`, ""},
			{"list", args{"path": "x"}, "!is not there", ""},
			{"read", args{"path": "z/moved/y/b.txt"}, `"text":"b"`, ""},
			{"change", args{"op": "delete", "path": "z/moved"}, "!not empty", ""},
			{"change", args{"op": "delete", "path": "z/moved/a.txt", "if_match": "nonsense"}, "!has changed", ""},
			{"change", args{"op": "delete", "path": "z/moved/a.txt"}, `"path":"z/moved/a.txt"`, ""},
			{"change", args{"op": "delete", "path": "z", "recursive": true}, `"path":"z"`, ""},
			{"change", args{"op": "delete", "path": "z"}, "!is not there", ""},
			{"list", args{}, `"entries":[]`, ""},
		}},
		{"a directory is no file and a file is no directory", []step{
			{"write", args{"path": "d/f", "text": "f"}, "", ""},
			{"write", args{"path": "d", "text": "x"}, "!is a directory", ""},
			{"write", args{"path": "d/f/g", "text": "x"}, "!is not a directory", ""},
			{"read", args{"path": "d"}, "!is a directory", ""},
			{"change", args{"op": "mkdir", "path": "e/f"}, `"path":"e/f"`, ""},
			{"change", args{"op": "mkdir", "path": "e/f"}, `"path":"e/f"`, ""},
			{"change", args{"op": "mkdir", "path": "d/f"}, "!is there already", ""},
			{"list", args{"path": "e"}, `{"path":"e/f","kind":"dir"`, ""},
			{"list", args{"path": "e/f"}, `"entries":[]`, ""},
			{"change", args{"op": "delete", "path": "e/f"}, `"path":"e/f"`, ""},
			{"change", args{"op": "delete", "path": ""}, "!cannot be deleted", ""},
		}},
		{"files are found", []step{
			{"write", args{"path": "s/one.go", "text": "package s\n// Needle\n"}, "", ""},
			{"search", args{"text": "needle"}, `[{"path":"s/one.go","line":2,"text":"// Needle"}]`, ""},
			{"write", args{"path": "s/two.md", "text": "a needle\n"}, "", ""},
			{"search", args{"text": "needle", "name": "*.md"}, `[{"path":"s/two.md","line":1,"text":"a needle"}]`, ""},
			{"search", args{"name": "s/*"}, `[{"path":"s/one.go"},{"path":"s/two.md"}]`, ""},
			{"write", args{"path": ".gitignore", "text": "*.md\n"}, "!may not be used", ""},
			{"write", args{"path": "s/one.go", "text": "package s\n"}, "", ""},
			{"search", args{"text": "needle"}, `[{"path":"s/two.md","line":1,"text":"a needle"}]`, ""},
			{"search", args{"text": "needle", "path": "s/one.go"}, `"matches":[]`, ""},
		}},
		{"names are what they are", []step{
			{"write", args{"path": "%2e%2e/a b+c&d?e#f.txt", "text": "1"}, `"path":"%2e%2e/a b+c&d?e#f.txt"`, ""},
			{"read", args{"path": "%2e%2e/a b+c&d?e#f.txt"}, `"text":"1"`, ""},
			{"write", args{"path": "caf\u00e9", "text": "composed"}, "", ""},
			{"write", args{"path": "cafe\u0301", "text": "decomposed"}, "", ""},
			{"read", args{"path": "caf\u00e9"}, `"text":"composed"`, ""},
			{"read", args{"path": "cafe\u0301"}, `"text":"decomposed"`, ""},
			{"write", args{"path": "世界/\U0001F30D.txt", "text": "earth"}, `"path":"世界/🌍.txt"`, ""},
			{"list", args{"path": "世界"}, `"path":"世界/🌍.txt"`, ""},
			{"change", args{"op": "copy", "path": "%2e%2e/a b+c&d?e#f.txt", "to": "世界/%2F é"}, `"path":"世界/%2F é"`, ""},
			{"read", args{"path": "世界/%2F é"}, `"text":"1"`, ""},
			{"search", args{"name": "*🌍*"}, `[{"path":"世界/🌍.txt"}]`, ""},
			{"change", args{"op": "delete", "path": "世界/%2F é"}, `"path"`, ""},
		}},
	}
	onAll(t, func(t *testing.T, mount func(string) args) {
		for i, s := range suites {
			t.Run(s.name, func(t *testing.T) { play(t, opened(t, mount(fmt.Sprintf("suite%d", i)), nil, nil), s.steps) })
		}
	})
}

// TestEveryKindPages lists and searches with little room in each answer, and gets everything once.
func TestEveryKindPages(t *testing.T) {
	onAll(t, func(t *testing.T, mount func(string) args) {
		c := opened(t, mount("pages"), nil, args{"max_rows": 3})
		var want []string
		for _, name := range []string{"a", "a-b", "a.txt", "b/c/d", "b/e", "b0", "z/a", "z/b", "z/c", "z/d", "zz"} {
			name = "t/" + name + ".x"
			c.Must(t, "write", args{"path": name, "text": "needle\n"}, nil)
			want = append(want, name)
		}
		slices.Sort(want)
		for _, tc := range []struct {
			name, tool, member string
			in                 args
			want               []string
		}{
			{"a list", "list", "entries", args{"path": "t"}, []string{"t/a-b.x", "t/a.txt.x", "t/a.x", "t/b", "t/b0.x", "t/z", "t/zz.x"}},
			{"a search by text", "search", "matches", args{"text": "needle"}, want},
			{"a search by name", "search", "matches", args{"name": "*.x"}, want},
			{"a search by name that finds directories, too", "search", "matches", args{"name": "**"}, append([]string{"t/", "t/b/", "t/b/c/", "t/z/"}, want...)},
		} {
			t.Run(tc.name, func(t *testing.T) {
				got := pages(t, c, tc.tool, tc.member, tc.in)
				slices.Sort(got)
				slices.Sort(tc.want)
				if !slices.Equal(got, tc.want) {
					t.Errorf("got %q, want %q", got, tc.want)
				}
			})
		}
	})
}

func pages(t *testing.T, c *servertest.Client, tool, member string, in args) (paths []string) {
	t.Helper()
	for range 100 {
		var page map[string]json.RawMessage
		c.Must(t, tool, in, &page)
		var entries []struct{ Path string }
		if err := json.Unmarshal(page[member], &entries); err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			paths = append(paths, e.Path)
		}
		if page["next_cursor"] == nil {
			return paths
		}
		in["cursor"] = page["next_cursor"]
	}
	t.Error("the pages do not end")
	return paths
}

// TestEveryKindHasOneWinner writes one file from several sides at once, each on the condition that it is what all saw.
func TestEveryKindHasOneWinner(t *testing.T) {
	onAll(t, func(t *testing.T, mount func(string) args) {
		c := opened(t, mount("race"), nil, nil)
		var first struct{ ETag string }
		c.Must(t, "write", args{"path": "f", "text": "first"}, &first)
		for name, in := range map[string]args{
			"one replaces the file": {"path": "f", "if_match": first.ETag},
			"one makes the file":    {"path": "new", "create": true},
		} {
			t.Run(name, func(t *testing.T) {
				const sides = 8
				won := make(chan int, sides)
				var all sync.WaitGroup
				for i := range sides {
					all.Go(func() {
						mine := args{"text": fmt.Sprint("side ", i)}
						for k, v := range in {
							mine[k] = v
						}
						if r, err := c.Call(t.Context(), "write", mine); err == nil && !r.IsError {
							won <- i
						}
					})
				}
				all.Wait()
				close(won)
				var winners []int
				for i := range won {
					winners = append(winners, i)
				}
				if len(winners) != 1 {
					t.Fatalf("%v won, want one", winners)
				}
				if got, want := string(c.Must(t, "read", args{"path": in["path"]}, nil).Structured), fmt.Sprintf(`"text":"side %d"`, winners[0]); !strings.Contains(got, want) {
					t.Errorf("got %s, want %s", got, want)
				}
			})
		}
	})
}
