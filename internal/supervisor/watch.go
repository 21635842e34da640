package supervisor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settleTime is how long a burst of changes must be over before it counts: a linker or an editor writes in several steps.
const settleTime = 200 * time.Millisecond

// maxSettleTime is when a burst that does not end is looked at all the same: something else in the directory is busy.
const maxSettleTime = 2 * time.Second

// The bounds of a watched directory tree; what is beyond them is not seen.
const (
	maxWatchedDirs  = 1_000
	maxWatchedFiles = 20_000
)

// Watch calls changed each time that a file in paths has become another one, until ctx ends, and then returns nil. It is
// for development: the owner restarts the child whose program or script it is.
//
// A path may be a file, a symbolic link, or a directory, which means all files below it except in hidden directories,
// node_modules and __pycache__. The kernel's events only say when to look; whether something changed is told by
// identity, size and time of each file. So a program that is replaced by a rename counts, and a chmod does not; a file
// that is missing in the middle of a build is waited for; a directory may be removed and made again. changed gets one of
// the changed paths; events that arrive while it runs are looked at afterwards. A child that writes into a directory that
// is watched for it restarts itself for ever: name its sources, not its data.
func Watch(ctx context.Context, paths []string, changed func(path string)) error {
	v, err := watching(paths)
	if err != nil {
		return err
	}
	return v.tell(ctx, changed)
}

// watching begins to watch; tell must follow.
func watching(paths []string) (*view, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch files: %w", err)
	}
	v := &view{watcher: w}
	for _, path := range paths {
		abs, err := filepath.Abs(path)
		if err != nil {
			_ = w.Close()
			return nil, fmt.Errorf("watch %s: %w", path, err)
		}
		v.paths = append(v.paths, abs)
	}
	if err := v.subscribe(); err != nil {
		_ = w.Close()
		return nil, err
	}
	v.seen = v.look()
	return v, nil
}

// tell calls changed until ctx ends, and ends the watch.
func (v *view) tell(ctx context.Context, changed func(path string)) error {
	w := v.watcher
	defer func() { _ = w.Close() }() // it has only descriptors to give back
	settled := time.NewTimer(time.Hour)
	settled.Stop()
	var since time.Time // of the first event of this burst
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.Events:
			since = extend(settled, since)
		case <-w.Errors: // events were lost: look
			since = extend(settled, since)
		case <-settled.C:
			since = time.Time{}
			if err := v.subscribe(); err != nil {
				return err
			}
			if path := v.compare(); path != "" {
				changed(path)
			}
		}
	}
}

// extend lets settled wait on because of an event, in a burst that began at since, and returns when it began.
func extend(settled *time.Timer, since time.Time) time.Time {
	now := time.Now()
	if since.IsZero() {
		since = now
	}
	settled.Reset(min(settleTime, max(0, maxSettleTime-now.Sub(since))))
	return since
}

// view is what is known about the watched files.
type view struct {
	watcher *fsnotify.Watcher
	paths   []string // absolute
	seen    map[string]fs.FileInfo
}

// subscribe asks for the events of every directory that matters now. Asking twice is free.
func (v *view) subscribe() error {
	dirs := map[string]bool{}
	for _, path := range v.paths {
		dirs[existing(filepath.Dir(path))] = true
		if target, err := filepath.EvalSymlinks(path); err == nil {
			dirs[filepath.Dir(target)] = true
		}
		walk(path, func(name string, info fs.FileInfo) {
			if info.IsDir() && len(dirs) < maxWatchedDirs {
				dirs[name] = true
			}
		})
	}
	for dir := range dirs {
		err := v.watcher.Add(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // gone since; its parent tells
			return fmt.Errorf("watch %s: %w", dir, err)
		}
	}
	return nil
}

// existing is the nearest directory at or above dir that is there.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// look takes note of all files.
func (v *view) look() map[string]fs.FileInfo {
	files := map[string]fs.FileInfo{}
	for _, path := range v.paths {
		walk(path, func(name string, info fs.FileInfo) {
			if !info.IsDir() && len(files) < maxWatchedFiles {
				files[name] = info
			}
		})
	}
	return files
}

// compare returns a file that is new, gone or another one since it was last called, and "" if there is none. While a
// path that was there is missing altogether nothing counts: it is being replaced.
func (v *view) compare() string {
	for _, path := range v.paths {
		if _, err := os.Stat(path); err != nil && v.knew(path) {
			return ""
		}
	}
	before := v.seen
	v.seen = v.look()
	for name, now := range v.seen {
		then, ok := before[name]
		if !ok || !os.SameFile(then, now) || then.Size() != now.Size() || !then.ModTime().Equal(now.ModTime()) {
			return name
		}
	}
	for name := range before {
		if _, ok := v.seen[name]; !ok {
			return name
		}
	}
	return ""
}

// knew reports whether path, or something below it, was there at the last look.
func (v *view) knew(path string) bool {
	for name := range v.seen {
		if name == path || strings.HasPrefix(name, path+string(filepath.Separator)) {
			return true
		}
	}
	return false
}

// walk visits the file or directory that path leads to, and what is below a directory. What cannot be read is left out.
func walk(path string, visit func(name string, info fs.FileInfo)) {
	info, err := os.Stat(path)
	if err != nil {
		return
	}
	if !info.IsDir() {
		visit(path, info)
		return
	}
	root, err := filepath.EvalSymlinks(path)
	if err != nil {
		return
	}
	_ = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error { // visits never fail
		if err != nil {
			return nil
		}
		if entry.IsDir() && name != root && skipped(entry.Name()) {
			return fs.SkipDir
		}
		if info, err := os.Stat(name); err == nil {
			visit(path+strings.TrimPrefix(name, root), info)
		}
		return nil
	})
}

// skipped names directories whose files no developer edits.
func skipped(name string) bool {
	return strings.HasPrefix(name, ".") || name == "node_modules" || name == "__pycache__"
}
