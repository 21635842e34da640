//go:build unix

package supervisor_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor"
)

// quiet is longer than a burst takes to settle, with room for a busy machine.
const quiet = 500 * time.Millisecond

type watched struct {
	t       *testing.T
	dir     string
	aside   string
	changes chan string
}

// watch watches paths below a new directory that holds server.py and src/a.js.
func watch(t *testing.T, paths ...string) *watched {
	t.Helper()
	w := &watched{t: t, dir: t.TempDir(), aside: t.TempDir(), changes: make(chan string, 100)}
	w.write("server.py", "one")
	w.write("src/a.js", "one")
	w.write("src/node_modules/x/index.js", "one")
	if err := os.Symlink("server.py", w.path("link.py")); err != nil {
		t.Fatal(err)
	}
	for i, path := range paths {
		paths[i] = w.path(path)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	tell, err := supervisor.Watching(paths)
	if err != nil {
		t.Fatal(err)
	}
	go func() { done <- tell(ctx, func(path string) { w.changes <- path }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("watch: %v", err)
		}
	})
	return w
}

func (w *watched) path(name string) string { return filepath.Join(w.dir, name) }

func (w *watched) write(name, text string) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Dir(w.path(name)), 0o755); err != nil {
		w.t.Fatal(err)
	}
	whole := filepath.Join(w.aside, "whole") // put in place at once: two steps could be two changes
	if err := os.WriteFile(whole, []byte(text), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(whole, w.path(name)); err != nil {
		w.t.Fatal(err)
	}
}

// expect fails unless exactly one change is told, of name; none if name is empty.
func (w *watched) expect(name string) {
	w.t.Helper()
	if name != "" {
		select {
		case got := <-w.changes:
			if got != w.path(name) {
				w.t.Errorf("change: got %s, want %s", got, w.path(name))
			}
		case <-time.After(patience):
			w.t.Fatalf("no change told, want one of %s", name)
		}
	}
	select {
	case got := <-w.changes:
		w.t.Errorf("a change of %s is told, want no more", got)
	case <-time.After(quiet):
	}
}

func TestWatch(t *testing.T) {
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, watch string
		do          func(t *testing.T, w *watched)
		want        string
	}{
		{"tells of a file that is replaced by a rename", "server.py", func(t *testing.T, w *watched) {
			w.write("server.py.new", "two")
			must(t, os.Rename(w.path("server.py.new"), w.path("server.py")))
		}, "server.py"},
		{"tells of a file that is removed and made again", "server.py", func(t *testing.T, w *watched) {
			must(t, os.Remove(w.path("server.py")))
			w.expect("")
			w.write("server.py", "two")
		}, "server.py"},
		{"does not tell of a chmod", "server.py", func(t *testing.T, w *watched) {
			must(t, os.Chmod(w.path("server.py"), 0o700))
		}, ""},
		{"does not tell of a neighbour", "server.py", func(t *testing.T, w *watched) {
			w.write("other.py", "x")
		}, ""},
		{"tells of what a link leads to", "link.py", func(t *testing.T, w *watched) {
			w.write("server.py", "two")
		}, "link.py"},
		{"tells of a link that leads elsewhere", "link.py", func(t *testing.T, w *watched) {
			w.write("v2/server.py", "two")
			must(t, os.Symlink("v2/server.py", w.path("new")))
			must(t, os.Rename(w.path("new"), w.path("link.py")))
		}, "link.py"},
		{"tells of a file in a directory", "src", func(t *testing.T, w *watched) {
			w.write("src/a.js", "two")
		}, "src/a.js"},
		{"tells of a new file in a new directory", "src", func(t *testing.T, w *watched) {
			w.write("src/deep/down/b.js", "new")
		}, "src/deep/down/b.js"},
		{"does not tell of dependencies", "src", func(t *testing.T, w *watched) {
			w.write("src/node_modules/x/index.js", "two")
			w.write("src/.git/index", "two")
		}, ""},
		{"waits for a directory that is removed and built again", "src", func(t *testing.T, w *watched) {
			must(t, os.RemoveAll(w.path("src")))
			w.expect("")
			w.write("src/a.js", "two")
		}, "src/a.js"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := watch(t, c.watch)
			c.do(t, w)
			w.expect(c.want)
		})
	}
}

func TestWatchTellsOnceOfAFileThatIsWrittenInManySteps(t *testing.T) {
	t.Parallel()
	w := watch(t, "server.py")
	bursts, last := 1, time.Now() // a pause, on a busy machine, makes it two
	for range 100 {
		if err := os.WriteFile(w.path("server.py"), []byte(time.Now().String()), 0o600); err != nil {
			t.Fatal(err)
		}
		if time.Since(last) > quiet/5 {
			bursts++
		}
		last = time.Now()
	}
	told := 0
	for settled := false; !settled; {
		select {
		case <-w.changes:
			told++
		case <-time.After(2 * quiet):
			settled = true
		}
	}
	if told < 1 || told > 10*bursts { // the watch may be kept from running too, and see a burst in parts
		t.Errorf("100 writes in %d bursts are told %d times, want about once for each burst", bursts, told)
	}
}

func TestWatchGoesOnAfterAChange(t *testing.T) {
	t.Parallel()
	w := watch(t, "server.py", "src")
	for _, text := range []string{"two", "three", "four"} {
		w.write("next", text)
		if err := os.Rename(w.path("next"), w.path("server.py")); err != nil {
			t.Fatal(err)
		}
		w.expect("server.py")
	}
}

func TestWatchIsNotStarvedByABusyNeighbour(t *testing.T) {
	t.Parallel()
	w := watch(t, "server.py")
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case now := <-tick.C:
				_ = os.WriteFile(w.path("busy.log"), []byte(now.String()), 0o600)
			}
		}
	}()
	w.write("server.py", "two")
	w.expect("server.py")
	close(stop)
	<-done
}
