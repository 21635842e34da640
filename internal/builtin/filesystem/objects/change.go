package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
)

// Put writes an object. Nobody ever sees half of it.
func (v *Volume) Put(ctx context.Context, key string, body io.Reader, size int64, when volume.Condition) (volume.Info, error) {
	name, err := v.room(ctx, key, when.Match == "")
	if err != nil {
		return volume.Info{}, err
	}
	o, err := v.store.Put(ctx, name, body, size, when)
	return describe(key, o), err
}

// room gives the name for a new object, or says that a directory is in its place or a file in that of a directory above
// it. The store would take it; but then one of them could not be reached by its name.
func (v *Volume) room(ctx context.Context, key string, create bool) (string, error) {
	name, err := v.name(key)
	switch {
	case err != nil:
		return "", err
	case key == "":
		return "", volume.ErrIsDir
	case !create:
		return name, nil
	}
	some, err := v.first(ctx, key, 1)
	if err != nil {
		return "", err
	}
	if len(some) > 0 {
		if _, err := v.store.Head(ctx, name); err == nil {
			return name, nil // both were there before us
		}
		return "", volume.ErrIsDir
	}
	return name, v.above(ctx, key)
}

// above says whether all that is above a key is or can be a directory.
func (v *Volume) above(ctx context.Context, key string) error {
	for dir, _ := volume.Split(key); dir != ""; dir, _ = volume.Split(dir) {
		some, err := v.first(ctx, dir, 1)
		if err != nil || len(some) > 0 {
			return err
		}
		if _, err := v.store.Head(ctx, v.base+dir); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, volume.ErrNotDir)
		}
	}
	return nil
}

// Copy copies an object within the service.
func (v *Volume) Copy(ctx context.Context, from, to string, when volume.Condition) (volume.Info, error) {
	_, made, err := v.copy(ctx, from, to, when)
	return made, err
}

func (v *Volume) copy(ctx context.Context, from, to string, when volume.Condition) (Object, volume.Info, error) {
	source, err := v.name(from)
	if err != nil {
		return Object{}, volume.Info{}, err
	}
	if from == to || from == "" {
		return Object{}, volume.Info{}, fmt.Errorf("copy onto itself: %w", fs.ErrInvalid)
	}
	o, err := v.store.Head(ctx, source)
	if errors.Is(err, fs.ErrNotExist) {
		if some, err := v.first(ctx, from, 1); err == nil && len(some) > 0 {
			return Object{}, volume.Info{}, volume.ErrIsDir
		}
	}
	if err != nil {
		return Object{}, volume.Info{}, err
	}
	target, err := v.room(ctx, to, when.Match == "")
	if err != nil {
		return Object{}, volume.Info{}, err
	}
	made, err := v.store.Copy(ctx, o, target, when)
	return o, describe(to, made), err
}

// Move copies an object and deletes the first, when that is still what was copied. Directories are not moved at once.
func (v *Volume) Move(ctx context.Context, from, to string, when volume.Condition) (volume.Info, error) {
	o, made, err := v.copy(ctx, from, to, when)
	if err != nil {
		return volume.Info{}, err
	}
	if err := v.store.Delete(ctx, o.Name, o.Tag); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return volume.Info{}, fmt.Errorf("delete what was copied: %w", err)
	}
	return made, nil
}

// Remove removes an object, or the marker of a directory that has nothing else.
func (v *Volume) Remove(ctx context.Context, key string, when volume.Condition) error {
	name, err := v.name(key)
	if err != nil {
		return err
	}
	if key == "" {
		return fmt.Errorf("remove the root: %w", fs.ErrInvalid)
	}
	_, err = v.store.Head(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return v.removeDir(ctx, key, when)
	}
	if err != nil {
		return err
	}
	return v.store.Delete(ctx, name, when.Match)
}

func (v *Volume) removeDir(ctx context.Context, key string, when volume.Condition) error {
	some, err := v.first(ctx, key, 2)
	switch {
	case err != nil:
		return err
	case len(some) == 0:
		return fs.ErrNotExist
	case len(some) > 1 || !strings.HasSuffix(some[0].Name, "/") || some[0].Dir:
		return volume.ErrNotEmpty
	case when.Match != "":
		return volume.ErrIsDir
	}
	return v.store.Delete(ctx, some[0].Name, "")
}

// Mkdir makes an empty object whose name ends with a slash, as the consoles of the services do.
func (v *Volume) Mkdir(ctx context.Context, key string) error {
	dir, err := v.dir(key)
	if err != nil || key == "" {
		return err
	}
	some, err := v.first(ctx, key, 1)
	if err != nil || len(some) > 0 {
		return err
	}
	if _, err := v.store.Head(ctx, strings.TrimSuffix(dir, "/")); err == nil {
		return fs.ErrExist
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := v.above(ctx, key); err != nil {
		return err
	}
	_, err = v.store.Put(ctx, dir, strings.NewReader(""), 0, volume.Condition{})
	return err
}
