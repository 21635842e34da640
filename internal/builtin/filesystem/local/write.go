package local

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
)

// tempPrefix begins the names of files that are being written. It is hidden, and a file that a crash leaves behind says
// whose it is.
const tempPrefix = ".dragoman-"

// Put writes a file. What is new, or has one name only and attributes that can be kept, is written beside and renamed,
// so that nobody ever sees half of it. A file with several names or with extended attributes is written in place, so
// that it keeps them.
func (v *Volume) Put(ctx context.Context, key string, body io.Reader, _ int64, when volume.Condition) (volume.Info, error) {
	p, err := v.locate(key, true, true)
	if err != nil {
		return volume.Info{}, err
	}
	defer p.close()
	defer v.lock(p.key)()
	sum := v.digest.begin()
	made, err := p.put(ctx, key, io.TeeReader(&ending{ctx, body}, sum), when)
	made.Tag = sum.tag()
	return made, err
}

func (p place) put(ctx context.Context, key string, body io.Reader, when volume.Condition) (volume.Info, error) {
	old, info, err := p.open(os.O_RDWR)
	if errors.Is(err, fs.ErrNotExist) {
		if when.Match != "" {
			return volume.Info{}, err
		}
		return p.replace(key, body, nil, func() error { return nil })
	}
	if err != nil {
		if errors.Is(err, errIsDirectory) {
			err = volume.ErrIsDir
		}
		return volume.Info{}, err
	}
	defer func() { _ = old.Close() }()
	if err := p.holds(ctx, old, info, when); err != nil {
		return volume.Info{}, err
	}
	if links(info) > 1 || extended(old) {
		return p.overwrite(key, old, body)
	}
	made, err := p.replace(key, body, info, func() error { return p.still(info) })
	if errors.Is(err, errOwner) {
		return p.overwrite(key, old, body)
	}
	return made, err
}

// holds says whether a condition holds of an open file, which is always read for it.
func (p place) holds(ctx context.Context, f *os.File, info fs.FileInfo, when volume.Condition) error {
	switch {
	case info.IsDir():
		return volume.ErrIsDir
	case when.Absent:
		return fs.ErrExist
	case when.Match == "":
		return nil
	}
	tag, err := (&file{File: f, info: describe("", info), digest: p.digest.like(when.Match)}).Tag(ctx)
	if err == nil && tag != when.Match {
		err = volume.ErrChanged
	}
	return err
}

// still says whether the place holds the same file, unchanged, as when it was opened.
func (p place) still(then fs.FileInfo) error {
	now, err := p.dir.Lstat(p.name)
	if err != nil {
		return err
	}
	if !os.SameFile(now, then) || version(now) != version(then) {
		return volume.ErrChanged
	}
	return nil
}

// errOwner says that a new file cannot be given the owner of the old one.
var errOwner = errors.New("the owner cannot be kept")

// replace writes a new file and renames it to the place once ready agrees. like is what it shall be like.
func (p place) replace(key string, body io.Reader, like fs.FileInfo, ready func() error) (volume.Info, error) {
	temp := tempPrefix + rand.Text()
	mode := fs.FileMode(0o666)
	if like != nil {
		mode = 0o600
	}
	f, err := p.dir.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return volume.Info{}, err
	}
	done := false
	defer func() {
		_ = f.Close()
		if !done {
			_ = p.dir.Remove(temp)
		}
	}()
	if like != nil {
		if err := own(f, like); err != nil {
			return volume.Info{}, errOwner
		}
		if err := f.Chmod(like.Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)); err != nil {
			return volume.Info{}, err
		}
	}
	if _, err := io.Copy(f, body); err != nil {
		return volume.Info{}, err
	}
	if err := errors.Join(f.Sync(), ready()); err != nil {
		return volume.Info{}, err
	}
	if err := p.dir.Rename(temp, p.name); err != nil {
		return volume.Info{}, escaped(err)
	}
	done = true
	return p.written(key, f)
}

// overwrite gives an open file other content. Somebody who reads meanwhile may see part of both. What is read is read
// wholly first, since it may fail halfway.
func (p place) overwrite(key string, f *os.File, body io.Reader) (volume.Info, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return volume.Info{}, err
	}
	if _, err := f.WriteAt(text, 0); err != nil {
		return volume.Info{}, err
	}
	if err := errors.Join(f.Truncate(int64(len(text))), f.Sync()); err != nil {
		return volume.Info{}, err
	}
	return p.written(key, f)
}

// written makes the directory durable and describes what was written.
func (p place) written(key string, f *os.File) (volume.Info, error) {
	if dir, err := p.dir.Open("."); err == nil {
		_ = dir.Sync() // some file systems cannot
		_ = dir.Close()
	}
	info, err := f.Stat()
	if err != nil {
		return volume.Info{}, err
	}
	return describe(key, info), nil
}

// Copy copies a file.
func (v *Volume) Copy(ctx context.Context, from, to string, when volume.Condition) (volume.Info, error) {
	f, err := v.Open(ctx, from)
	if err != nil {
		return volume.Info{}, err
	}
	defer func() { _ = f.Close() }()
	body, err := f.Range(ctx, 0, -1)
	if err != nil {
		return volume.Info{}, err
	}
	return v.Put(ctx, to, body, f.Info().Size, when)
}

// Move renames. The links on both ways have been resolved when the system is asked, within the volume's root.
func (v *Volume) Move(ctx context.Context, from, to string, when volume.Condition) (volume.Info, error) {
	source, err := v.locate(from, false, false)
	if err != nil {
		return volume.Info{}, err
	}
	defer source.close()
	moved, err := source.dir.Lstat(source.name)
	if err != nil {
		return volume.Info{}, err
	}
	target, err := v.locate(to, false, true)
	if err != nil {
		return volume.Info{}, err
	}
	defer target.close()
	defer v.lock(target.key)()
	there, err := target.dir.Lstat(target.name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return volume.Info{}, err
	case when.Absent:
		return volume.Info{}, fs.ErrExist
	case there.IsDir():
		return volume.Info{}, volume.ErrIsDir
	case moved.IsDir():
		return volume.Info{}, volume.ErrNotDir
	}
	if moved.IsDir() && volume.Within(target.key, source.key) {
		return volume.Info{}, fmt.Errorf("move a directory into itself: %w", fs.ErrInvalid)
	}
	if err := v.root.Rename(source.key, target.key); err != nil {
		return volume.Info{}, escaped(err)
	}
	return v.Stat(ctx, to)
}

// Remove removes a name: of a link, the link.
func (v *Volume) Remove(ctx context.Context, key string, when volume.Condition) error {
	p, err := v.locate(key, false, false)
	if err != nil {
		return err
	}
	defer p.close()
	if p.name == "." {
		return fmt.Errorf("remove the root: %w", fs.ErrInvalid)
	}
	defer v.lock(p.key)()
	if when.Match != "" {
		if err := p.matches(ctx, when); err != nil {
			return err
		}
	}
	err = p.dir.Remove(p.name)
	if errors.Is(err, errNotEmpty) {
		return volume.ErrNotEmpty
	}
	return err
}

func (p place) matches(ctx context.Context, when volume.Condition) error {
	f, info, err := p.open(os.O_RDONLY)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := p.holds(ctx, f, info, when); err != nil {
		return err
	}
	return p.still(info)
}

// Mkdir makes directories.
func (v *Volume) Mkdir(_ context.Context, key string) error {
	p, err := v.locate(key, true, true)
	if err != nil {
		return err
	}
	defer p.close()
	if p.name == "." {
		return nil
	}
	err = p.dir.Mkdir(p.name, 0o777)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := p.dir.Lstat(p.name)
	if err == nil && !info.IsDir() {
		err = fs.ErrExist
	}
	return err
}

// keyLock makes those who write one key wait for each other, so that a condition still holds when what it allows is done.
type keyLock struct {
	sync.Mutex
	users int
}

// lock locks a key and returns what unlocks it.
func (v *Volume) lock(key string) func() {
	v.mu.Lock()
	l := v.locks[key]
	if l == nil {
		l = &keyLock{}
		v.locks[key] = l
	}
	l.users++
	v.mu.Unlock()
	l.Lock()
	return func() {
		l.Unlock()
		v.mu.Lock()
		defer v.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(v.locks, key)
		}
	}
}
