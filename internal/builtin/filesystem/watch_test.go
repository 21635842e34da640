package filesystem

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/server"
)

// TestASubscriberIsToldOfAChange changes a watched file and waits for word of it.
func TestASubscriberIsToldOfAChange(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.txt")
	if err := os.WriteFile(file, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := settings{Mounts: []mountSettings{{URL: dir}}}
	mounts, err := cfg.open(maker{env: &server.Env{}})
	if err != nil {
		t.Fatal(err)
	}
	f := &files{mounts: mounts}
	f.watch = newWatch(f)
	told := make(chan string, 10)
	f.watch.updated = func(_ context.Context, uri string) { told <- uri }
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- f.watch.run(ctx, mounts[0]) }()
	defer func() {
		stop()
		<-ended
		_ = mounts[0].volume.Close()
	}()
	if err := f.watch.subscribe(ctx, "file:///%2e%2e/x"); err == nil {
		t.Error("a path out of the mount can be watched")
	}
	if err := f.watch.subscribe(ctx, "file:///.hidden"); err == nil {
		t.Error("a hidden file can be watched")
	}
	const uri = "file:///a.txt"
	if err := f.watch.subscribe(ctx, uri); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("two!"), 0o600); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-told:
		if got != uri {
			t.Errorf("told of %s, want %s", got, uri)
		}
	case <-time.After(5 * time.Second):
		t.Error("not told within 5 s")
	}
	if err := f.watch.unsubscribe(ctx, uri); err != nil || len(f.watch.uris) != 0 {
		t.Errorf("after unsubscribing: %v, %d watched", err, len(f.watch.uris))
	}
}

func TestPolicy(t *testing.T) {
	p, err := mountSettings{Prefix: "docs", Extensions: []string{"md", ".TXT"}, Deny: []string{"private/**", "docs/x/*.md", "*secret*"}}.policy()
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		key  string
		dir  bool
		want bool
	}{
		{"docs/a.md", false, true}, {"docs/a.txt", false, true}, {"docs/a.go", false, false}, {"docs", true, true}, {"docs-secret/a.md", false, false},
		{"a.md", false, false}, {"docs/.git/a.md", false, false}, {"docs/private/a.md", false, false}, {"docs/PRIVATE", true, false}, {"docs/x/a.md", false, false},
		{"docs/x/y/a.md", false, true}, {"docs/MySecrets/a.md", false, false}, {"docs/noext", false, false},
	} {
		if got := p.sees(tc.key, tc.dir); got != tc.want {
			t.Errorf("%s (directory %v): got %v, want %v", tc.key, tc.dir, got, tc.want)
		}
	}
	for _, bad := range []string{"", "[", "{a", "/**", "**"} {
		if _, err := (mountSettings{Deny: []string{bad}}).policy(); err == nil {
			t.Errorf("the pattern %q is taken", bad)
		}
	}
}
