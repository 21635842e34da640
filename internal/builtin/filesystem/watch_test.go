package filesystem

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/objects"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/s3"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
	"github.com/dragoman-mcp/dragoman/server"
	peers "github.com/dragoman-mcp/dragoman/test/objects"
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
	case <-time.After(time.Minute):
		t.Error("not told within a minute")
	}
	if err := f.watch.unsubscribe(ctx, uri); err != nil || len(f.watch.uris) != 0 {
		t.Errorf("after unsubscribing: %v, %d watched", err, len(f.watch.uris))
	}
}

func TestPolicy(t *testing.T) {
	p, err := mountSettings{Prefix: "docs", Extensions: []string{"md", ".TXT"}, Deny: []string{"private/**", "docs/x/*.md", "*secret*", "caf\u00e9*", "[a-c]1*"}}.policy()
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
		{"docs/caf\u00e9.md", false, false}, {"docs/cafe\u0301.md", false, false}, {"docs/CAFE\u0301.md", false, false}, {"docs/cafe.md", false, true},
		{"docs/\u017fecret.md", false, false}, {"docs/MySECRETs/a.md", false, false}, {"docs/B1.md", false, false}, {"docs/D1.md", false, true},
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

// flaky is a volume whose one file has a version, or an error.
type flaky struct {
	volume.Volume
	mu      sync.Mutex
	version string
	err     error
	looks   chan string // what each look saw
}

func (f *flaky) set(version string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.version, f.err = version, err
}

func (f *flaky) Stat(context.Context, string) (volume.Info, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case f.looks <- fmt.Sprint(f.version, f.err):
	default:
	}
	return volume.Info{Version: f.version}, f.err
}

// TestWhatCannotBeLookedAtHasNotChanged has a service that is away for a while, and a file that goes and comes back.
func TestWhatCannotBeLookedAtHasNotChanged(t *testing.T) {
	v := &flaky{version: "1", looks: make(chan string)}
	m := &mount{volume: v, policy: &policy{}, remote: true, poll: time.Millisecond}
	f := &files{mounts: []*mount{m}}
	f.watch = newWatch(f)
	told := make(chan string, 10)
	f.watch.updated = func(context.Context, string) { told <- "told" }
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- f.watch.run(ctx, m) }()
	defer func() {
		stop()
		<-ended
	}()
	if err := f.watch.subscribe(ctx, "file:///a"); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		version string
		err     error
		told    int
	}{
		{"1", nil, 0}, {"", volume.ErrUnreachable, 0}, {"", volume.ErrBusy, 0}, {"1", nil, 0}, {"2", nil, 1}, {"", volume.ErrRefused, 0}, {"", fs.ErrNotExist, 1}, {"2", nil, 1},
	} {
		v.set(step.version, step.err)
		for saw := ""; saw != fmt.Sprint(step.version, step.err); {
			saw = <-v.looks
		}
		<-v.looks // one more look: what the one before found out has been told
		if got := len(told); got != step.told {
			t.Errorf("%q, %v: told %d times, want %d", step.version, step.err, got, step.told)
		}
		for len(told) > 0 {
			<-told
		}
	}
}

// TestAChangeInABucketIsTold watches an object of a real service.
func TestAChangeInABucketIsTold(t *testing.T) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	store, err := s3.New(s3.Options{Bucket: peers.Bucket, Endpoint: peers.S3(t), Region: "us-east-1", AccessKey: "any", SecretKey: "any", Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	v, err := objects.New(store, "watched")
	if err != nil {
		t.Fatal(err)
	}
	m := &mount{volume: v, policy: &policy{}, remote: true, poll: 20 * time.Millisecond}
	f := &files{mounts: []*mount{m}}
	f.watch = newWatch(f)
	told := make(chan string, 100)
	f.watch.updated = func(_ context.Context, uri string) { told <- uri }
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- f.watch.run(ctx, m) }()
	defer func() {
		stop()
		<-ended
	}()
	if err := f.watch.subscribe(ctx, "file:///a.txt"); err != nil {
		t.Fatal(err)
	}
	for _, change := range []func() error{
		func() error {
			_, err := v.Put(ctx, "a.txt", strings.NewReader("one"), 3, volume.Condition{})
			return err
		},
		func() error {
			_, err := v.Put(ctx, "a.txt", strings.NewReader("two"), 3, volume.Condition{})
			return err
		},
		func() error { return v.Remove(ctx, "a.txt", volume.Condition{}) },
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-told:
			if got != "file:///a.txt" {
				t.Errorf("told of %s", got)
			}
		case <-time.After(time.Minute):
			t.Fatal("not told within a minute")
		}
	}
}
