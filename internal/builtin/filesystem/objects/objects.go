package objects

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
)

// pageMax is how many objects services give at a time.
const pageMax = 1000

// Volume is a bucket or a prefix of one. Make it with New.
type Volume struct {
	store Store
	base  string // what all names begin with: empty, or it ends with a slash
}

var _ volume.Volume = (*Volume)(nil)

// New returns the volume of what lies under a prefix, which must have passed volume.Clean. Prefixes are directories: pre
// has nothing of pre2. Close closes the store.
func New(store Store, prefix string) (*Volume, error) {
	if err := clean(prefix); err != nil {
		return nil, err
	}
	v := &Volume{store: store}
	if prefix != "" {
		v.base = prefix + "/"
	}
	return v, nil
}

// Close closes the store.
func (v *Volume) Close() error { return v.store.Close() }

func clean(key string) error {
	if got, err := volume.Clean(key); err != nil || got != key {
		return errors.Join(fmt.Errorf("use the key %.100q: %w", key, volume.ErrOutside), err)
	}
	return nil
}

// name gives the name of the object for a key, and dir what the names of all objects below a key begin with. A key that
// is not clean has none, whoever it came from.
func (v *Volume) name(key string) (string, error) {
	if err := clean(key); err != nil {
		return "", err
	}
	if len(v.base)+len(key)+1 > volume.MaxKey {
		return "", fmt.Errorf("use the key %.100q: %w", key, volume.ErrTooLarge)
	}
	return v.base + key, nil
}

func (v *Volume) dir(key string) (string, error) {
	name, err := v.name(key)
	if err != nil || key == "" {
		return v.base, err
	}
	return name + "/", nil
}

// info describes what the store tells of an object directly below dir. ok is false when the name is not one that a key
// leads to, such as a/../b or a//b, or is not below dir at all.
func (v *Volume) info(o Object, dir string) (info volume.Info, ok bool) {
	last, below := strings.CutPrefix(strings.TrimSuffix(o.Name, "/"), dir)
	key := strings.TrimPrefix(dir, v.base) + last
	marker := !o.Dir && strings.HasSuffix(o.Name, "/")
	if !below || last == "" || marker || strings.Contains(last, "/") || clean(key) != nil {
		return volume.Info{}, false
	}
	return describe(key, o), true
}

func describe(key string, o Object) volume.Info {
	if o.Dir {
		return volume.Info{Key: key, Dir: true, Modified: o.Modified, Settled: true}
	}
	return volume.Info{Key: key, Size: o.Size, Modified: o.Modified, Version: o.Tag, Settled: true, Tag: o.Tag}
}

// Lstat is Stat: there are no links.
func (v *Volume) Lstat(ctx context.Context, key string) (volume.Info, error) { return v.Stat(ctx, key) }

// Stat describes a file, or when there is none of that name, a directory. Where both are, the directory is found by list
// alone.
func (v *Volume) Stat(ctx context.Context, key string) (volume.Info, error) {
	name, err := v.name(key)
	if err != nil {
		return volume.Info{}, err
	}
	if key != "" {
		o, err := v.store.Head(ctx, name)
		if err == nil {
			return describe(key, o), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return volume.Info{}, err
		}
	}
	some, err := v.first(ctx, key, 1)
	if err == nil && key != "" && len(some) == 0 {
		err = fs.ErrNotExist
	}
	return volume.Info{Key: key, Dir: true, Settled: true}, err
}

// first gives the first objects below a directory, its marker included.
func (v *Volume) first(ctx context.Context, key string, max int) ([]Object, error) {
	dir, err := v.dir(key)
	if err != nil {
		return nil, err
	}
	page, _, err := v.store.List(ctx, Query{Prefix: dir, Max: max})
	return page, err
}

// List gives the entries of a directory in the order of the bytes of their names, where a directory's has a slash at its
// end. Names that no key leads to are left out.
func (v *Volume) List(ctx context.Context, key, after string, max int) ([]volume.Info, error) {
	dir, err := v.dir(key)
	if err != nil {
		return nil, err
	}
	if after != "" {
		if name := strings.TrimSuffix(after, "/"); clean(name) != nil || strings.Contains(name, "/") {
			return nil, fmt.Errorf("go on after %.100q: %w", after, volume.ErrOutside)
		}
		after = dir + after
	}
	var list []volume.Info
	found := key == "" || after != ""
	for before := ""; ; before = after {
		page, more, err := v.store.List(ctx, Query{Prefix: dir, After: after, Max: min(max-len(list)+1, pageMax)})
		if err != nil {
			return nil, err
		}
		for _, o := range page {
			found = true
			if o.Name <= after {
				continue // services differ about whether a directory comes after itself
			}
			after = o.Name
			if i, ok := v.info(o, dir); ok && len(list) < max {
				list = append(list, i)
			}
		}
		if len(list) == max || !more || len(page) == 0 {
			return list, v.listed(ctx, key, found)
		}
		if after == before {
			return nil, errors.New("list: the service gives the same page again")
		}
	}
}

// listed says what is wrong with a directory of which nothing was found.
func (v *Volume) listed(ctx context.Context, key string, found bool) error {
	if found {
		return nil
	}
	name, err := v.name(key)
	if err != nil {
		return err
	}
	if _, err := v.store.Head(ctx, name); err != nil {
		return err
	}
	return volume.ErrNotDir
}
