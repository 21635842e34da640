package filesystem_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/servertest"
)

// ask calls a tool, which may refuse.
func ask(t *testing.T, c *servertest.Client, tool string, in args) servertest.Result {
	t.Helper()
	r, err := c.Call(t.Context(), tool, in)
	if err != nil {
		t.Fatalf("%s %v: %v", tool, in, err)
	}
	return r
}

// etag reads a file with a server that is made for it.
func etag(t *testing.T, c *servertest.Client) string {
	t.Helper()
	var out struct{ ETag string }
	if err := json.Unmarshal(ask(t, c, "read", args{"path": "f.txt"}).Structured, &out); err != nil || out.ETag == "" {
		t.Fatalf("no etag: %v", err)
	}
	return out.ETag
}

// TestEtagsOutliveTheServer compares those of two servers that have the same secret, directory for data, or neither.
func TestEtagsOutliveTheServer(t *testing.T) {
	data, full := t.TempDir(), t.TempDir()
	if err := os.MkdirAll(filepath.Join(full, "filesystem"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(full, "filesystem", "tags.key"), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		first, second server.Env
		begins        string
		same          bool
	}{
		"a secret":                      {server.Env{Secret: []byte("one")}, server.Env{Secret: []byte("one")}, "mac:", true},
		"a directory for data":          {server.Env{DataDir: data}, server.Env{DataDir: data}, "mac:", true},
		"two secrets":                   {server.Env{Secret: []byte("one")}, server.Env{Secret: []byte("two")}, "mac:", false},
		"two directories":               {server.Env{DataDir: data}, server.Env{DataDir: t.TempDir()}, "mac:", false},
		"neither":                       {server.Env{}, server.Env{}, "sha256:", true},
		"a key that cannot be the key":  {server.Env{DataDir: full}, server.Env{}, "sha256:", true},
		"a directory that is not there": {server.Env{DataDir: "/dev/null/data"}, server.Env{}, "sha256:", true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, map[string]string{"f.txt": "hello"})
			settings := env(t, dir, nil).Settings
			test.first.Settings, test.second.Settings = settings, settings
			before := etag(t, servertest.Open(t, filesystem.New, &test.first))
			c := servertest.Open(t, filesystem.New, &test.second)
			if !strings.HasPrefix(before, test.begins) || (etag(t, c) == before) != test.same {
				t.Errorf("got %s and then %s, want %s… and the same: %v", before, etag(t, c), test.begins, test.same)
			}
			if r := ask(t, c, "write", args{"path": "f.txt", "text": "next", "if_match": before}); r.IsError == test.same {
				t.Errorf("write if_match %s: got %s, want that it is written: %v", before, r.Text(), test.same)
			}
		})
	}
}

// TestEditTakesWhatSha256sumSays gives an edit the digest of a file whose etag is another.
func TestEditTakesWhatSha256sumSays(t *testing.T) {
	for match, want := range map[string]string{
		"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824": "jello",
		"sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9825": "hello",
	} {
		dir := tree(t, map[string]string{"f.txt": "hello"})
		e := env(t, dir, nil)
		e.Secret = []byte("one")
		r := ask(t, servertest.Open(t, filesystem.New, e), "edit", args{"path": "f.txt", "if_match": match, "edits": []args{{"old": "h", "new": "j"}}})
		got, err := os.ReadFile(filepath.Join(dir, "f.txt"))
		if err != nil || string(got) != want || r.IsError != (want == "hello") {
			t.Errorf("if_match %s: got %q, %v and %s, want %q", match, got, err, r.Text(), want)
		}
	}
}
