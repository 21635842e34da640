// Package local is a volume that is a directory of this machine. Everything in it is reached relative to open
// directories; no path is checked first and used later. It does not know which keys may be used, apart from asking for
// those that symbolic links lead to.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
)

// settling is how old a change must be before the times of a file tell it from the next. Clocks of file systems move
// every 10 ms or faster; a network's may be off by some more.
const settling = 100 * time.Millisecond

// Volume is a directory. Make it with Open.
type Volume struct {
	root   *os.Root
	path   string // as links write it
	permit func(key string, dir bool) error
	digest *digest

	mu    sync.Mutex // guards what follows
	locks map[string]*keyLock
	tags  map[string]string // of versions; at most maxTags
}

// maxTags is how many tags of files are remembered, some 150 bytes each. A file is hashed again when its times or its
// size have changed, and always before it is replaced on a condition.
const maxTags = 4096

var _ volume.Volume = (*Volume)(nil)

// Open opens a directory. permit says whether a key that a symbolic link leads to may be used. With a key, which whoever
// compares tags has to share, tags are made with it, faster than SHA-256, which they are without one.
func Open(dir string, permit func(key string, dir bool) error, key []byte) (*Volume, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	digest, err := newDigest(key)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(abs)
	if err != nil {
		return nil, err
	}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		abs = real
	}
	return &Volume{
		root: root, path: strings.TrimSuffix(filepath.ToSlash(abs), "/"), permit: permit, digest: digest,
		locks: map[string]*keyLock{}, tags: map[string]string{},
	}, nil
}

// Close closes the directory.
func (v *Volume) Close() error { return v.root.Close() }

// Stat describes what is at key. Of a link it describes what that leads to, and of a link that leads nowhere, the link.
func (v *Volume) Stat(_ context.Context, key string) (volume.Info, error) {
	p, err := v.locate(key, true, false)
	if err != nil {
		return volume.Info{}, err
	}
	defer p.close()
	info, err := p.dir.Lstat(p.name)
	if err != nil {
		return volume.Info{}, err
	}
	return describe(key, info), nil
}

// Lstat describes what is at key, links included.
func (v *Volume) Lstat(_ context.Context, key string) (volume.Info, error) {
	p, err := v.locate(key, false, false)
	if err != nil {
		return volume.Info{}, err
	}
	defer p.close()
	list, err := entries(p.dir, path.Dir(key), []string{p.name})
	if err != nil || len(list) == 0 {
		return volume.Info{}, errors.Join(err, fs.ErrNotExist)
	}
	list[0].Key = key
	return list[0], nil
}

func describe(key string, info fs.FileInfo) volume.Info {
	i := volume.Info{
		Key: key, Dir: info.IsDir(), Modified: info.ModTime(), Mode: info.Mode().String(),
		Version: version(info), Settled: time.Since(changed(info)) > settling,
	}
	if !i.Dir {
		i.Size = info.Size()
	}
	return i
}

// List gives the entries of a directory in the order of their names. It holds no more of them in memory than it returns, and a batch.
func (v *Volume) List(ctx context.Context, key, after string, max int) ([]volume.Info, error) {
	p, err := v.locate(key, true, false)
	if err != nil {
		return nil, err
	}
	defer p.close()
	f, info, err := p.open(os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	if !info.IsDir() {
		return nil, volume.ErrNotDir
	}
	dir := p.dir
	if p.name != "." {
		if dir, err = v.enter(p.dir, p.name, info, nil, false); err != nil {
			return nil, err
		}
		defer func() { _ = dir.Close() }()
	}
	var list []volume.Info
	for after = strings.TrimSuffix(after, "/"); ; {
		most := max - len(list)
		names, err := smallest(ctx, f, after, most)
		if err != nil {
			return nil, err
		}
		more, err := entries(dir, key, names)
		if list = append(list, more...); err != nil || len(list) == max || len(names) < most {
			return list, err
		}
		after = names[len(names)-1] // some were gone already
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
	}
}

// entries describes the names in an open directory. What is gone meanwhile is left out.
func entries(dir *os.Root, key string, names []string) ([]volume.Info, error) {
	list := make([]volume.Info, 0, len(names))
	for _, name := range names {
		info, err := dir.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		i := describe(volume.Join(key, name), info)
		if info.Mode()&fs.ModeSymlink != 0 {
			if i.Link, err = dir.Readlink(name); err != nil {
				continue
			}
		}
		list = append(list, i)
	}
	return list, nil
}

// smallest reads a directory and keeps the first names after the given one.
func smallest(ctx context.Context, dir *os.File, after string, max int) ([]string, error) {
	const batch = 1024
	var kept []string
	for {
		names, err := dir.Readdirnames(batch)
		for _, name := range names {
			if _, err := volume.Clean(name); name > after && err == nil {
				kept = append(kept, name)
			}
		}
		if len(kept) > max+4*batch || err != nil {
			slices.Sort(kept)
			kept = kept[:min(len(kept), max)]
		}
		if errors.Is(err, io.EOF) {
			return kept, nil
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
	}
}

// Open opens a file for reading.
func (v *Volume) Open(_ context.Context, key string) (volume.File, error) {
	p, err := v.locate(key, true, false)
	if err != nil {
		return nil, err
	}
	defer p.close()
	if p.seen == nil {
		if p.seen, err = p.dir.Lstat(p.name); err != nil {
			return nil, err
		}
	}
	f, info, err := p.openAs(p.seen, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		_ = f.Close()
		return nil, volume.ErrIsDir
	}
	return &file{f, describe(key, info), v, v.digest}, nil
}

type file struct {
	*os.File
	info   volume.Info
	volume *Volume // remembers tags; nil for none
	digest *digest
}

func (f *file) Info() volume.Info { return f.info }

func (f *file) Range(_ context.Context, offset, length int64) (io.ReadCloser, error) {
	if length < 0 {
		length = max(f.info.Size-offset, 0)
	}
	return io.NopCloser(io.NewSectionReader(f.File, offset, length)), nil
}

func (f *file) Tag(ctx context.Context) (string, error) {
	if known := f.known(); known != "" {
		return known, nil
	}
	sum := f.digest.begin()
	if _, err := io.CopyBuffer(sum, &ending{ctx, io.NewSectionReader(f.File, 0, f.info.Size)}, make([]byte, min(chunk, f.info.Size+1))); err != nil {
		return "", err
	}
	return f.remember(sum.tag()), nil
}

// TagOf is Tag for whoever has read all of the file: it belongs to what was read, even when that changes meanwhile.
func (f *file) TagOf(content []byte) string {
	if known := f.known(); known != "" {
		return known
	}
	return f.remember(f.digest.of(content))
}

// Has says whether a tag is that of a content, however it was made.
func (f *file) Has(content []byte, tag string) bool { return f.digest.like(tag).of(content) == tag }

// remembers says whether the version tells this content from every other.
func (f *file) remembers() bool { return f.volume != nil && f.info.Settled }

// known is the tag if it is remembered, or empty.
func (f *file) known() string {
	if !f.remembers() {
		return ""
	}
	return f.volume.known(f.info.Version)
}

// remember keeps a tag that was made of the content, unless that has changed since the file was opened.
func (f *file) remember(made string) string {
	if !f.remembers() {
		return made
	}
	if now, err := f.Stat(); err == nil && version(now) == f.info.Version {
		f.volume.remember(f.info.Version, made)
	}
	return made
}

func (v *Volume) known(version string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.tags[version]
}

// remember keeps a tag, in the place of some other when there are too many.
func (v *Volume) remember(version, tag string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for other := range v.tags {
		if len(v.tags) < maxTags {
			break
		}
		delete(v.tags, other)
	}
	v.tags[version] = tag
}

// ending is a reader that ends with its context.
type ending struct {
	ctx context.Context // of the one call that reads
	io.Reader
}

func (r *ending) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, fmt.Errorf("read: %w", err)
	}
	return r.Reader.Read(p)
}
