package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
)

// maxLinks is how many symbolic links may lie on the way to a file; Linux allows as many.
const maxLinks = 40

// A place is an open directory and a name in it. Whatever is done there is done with that one name relative to the
// descriptor, so that what happens elsewhere in the tree meanwhile does not matter.
type place struct {
	dir  *os.Root
	key  string // the key after all links were followed
	name string // the last element of key; "." for the root of the volume
	kept bool   // dir is the root of the volume, which stays open
	// What locate saw there, if it looked: a moment ago, and before any lock was taken.
	seen   fs.FileInfo
	digest *digest // of the volume
}

func (p place) close() {
	if !p.kept {
		_ = p.dir.Close()
	}
}

// locate opens the directory of key. Each element is looked at, opened relative to the one before, and compared with
// what was looked at; a symbolic link is never followed by the system but read, checked and resolved here, and what it
// leads to must be permitted, too. With last, the last element may be a link and is followed as well. With make,
// directories that are missing are made.
func (v *Volume) locate(key string, last, make bool) (place, error) {
	asked := key
	for range maxLinks {
		p, next, err := v.descend(key, last, make)
		if err != nil {
			return place{}, err
		}
		if next != nil {
			key = *next
			continue
		}
		if key == asked {
			return p, nil
		}
		info, err := p.dir.Lstat(p.name)
		if err := v.permit(p.key, err == nil && info.IsDir()); err != nil {
			p.close()
			return place{}, err
		}
		return p, nil
	}
	return place{}, fmt.Errorf("follow the links of %s: %w", asked, volume.ErrOutside)
}

// descend goes as far as key has no links. At a link it returns the key to go on with.
func (v *Volume) descend(key string, last, make bool) (p place, next *string, err error) {
	at := place{dir: v.root, key: key, name: ".", kept: true, digest: v.digest}
	if key == "" {
		return at, nil, nil
	}
	parts := strings.Split(key, "/")
	for i, part := range parts {
		at.name = part
		final := i == len(parts)-1
		if part == ".." { // of a link: all before it are directories, and none of them is a link
			at.close()
			next, err := up(parts, i)
			return place{}, next, err
		}
		if final && !last {
			break
		}
		info, err := at.dir.Lstat(part)
		if err == nil && info.Mode()&fs.ModeSymlink != 0 {
			target, err := at.dir.Readlink(part)
			at.close()
			if err != nil {
				return place{}, nil, err
			}
			next, err := v.resolve(parts[:i], target, parts[i+1:])
			return place{}, &next, err
		}
		if final {
			if err == nil {
				at.seen = info
			}
			break // what is wrong with it is for whoever uses it
		}
		below, err := v.enter(at.dir, part, info, err, make)
		at.close()
		if err != nil {
			return place{}, nil, err
		}
		at.dir, at.kept = below, false
	}
	return at, nil, nil
}

// up gives the key without the .. at i and what that undoes.
func up(parts []string, i int) (*string, error) {
	if i == 0 {
		return nil, volume.ErrOutside
	}
	key := strings.Join(append(append([]string{}, parts[:i-1]...), parts[i+1:]...), "/")
	return &key, nil
}

// enter opens a directory in dir, which seen and err are what Lstat said of. It may be replaced meanwhile: what was
// opened must be what was looked at.
func (v *Volume) enter(dir *os.Root, name string, seen fs.FileInfo, err error, make bool) (*os.Root, error) {
	if errors.Is(err, fs.ErrNotExist) && make {
		if err := dir.Mkdir(name, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		seen, err = dir.Lstat(name)
	}
	if err != nil {
		return nil, err
	}
	if !seen.IsDir() {
		return nil, volume.ErrNotDir
	}
	below, err := dir.OpenRoot(name)
	if err != nil {
		return nil, escaped(err)
	}
	opened, err := below.Stat(".")
	if err == nil && !os.SameFile(seen, opened) {
		err = volume.ErrChanged
	}
	if err != nil {
		_ = below.Close()
		return nil, err
	}
	return below, nil
}

// resolve gives the key that a link in a directory leads to, followed by the elements after the link. An absolute
// target counts when it is within the directory that is mounted. A .. after a name stays: what it leads to is known once
// the name, which may be a link itself, has been entered; see descend.
func (v *Volume) resolve(above []string, target string, rest []string) (string, error) {
	if path.IsAbs(target) {
		below, ok := strings.CutPrefix(target, v.path+"/")
		if clean := path.Clean(target); !ok && !strings.Contains(target, "..") && volume.Within(clean, v.path) {
			below, ok = strings.TrimPrefix(clean, v.path), true
		}
		if !ok {
			return "", volume.ErrOutside
		}
		target, above = below, nil
	}
	parts, named := append([]string{}, above...), false
	for _, part := range strings.Split(target, "/") {
		switch {
		case part == "" || part == ".":
		case part == ".." && !named:
			if len(parts) == 0 {
				return "", volume.ErrOutside
			}
			parts = parts[:len(parts)-1]
		default:
			if _, err := volume.Clean(part); err != nil && part != ".." {
				return "", fmt.Errorf("%w: %w", volume.ErrOutside, err)
			}
			parts, named = append(parts, part), true
		}
	}
	key := strings.Join(append(parts, rest...), "/")
	if len(key) > volume.MaxKey {
		return "", fmt.Errorf("%w: the path that the link leads to is too long", volume.ErrOutside)
	}
	return key, nil
}

// escaped gives the house's word for what os.Root says of a name that leads out of it.
func escaped(err error) error {
	var at *os.PathError
	if errors.As(err, &at) && at.Err.Error() == "path escapes from parent" {
		return volume.ErrOutside
	}
	return err
}

// open opens what is at the place without following a link and without waiting for a pipe's other end, and makes sure
// that it is the file or directory that was there.
func (p place) open(flag int) (*os.File, fs.FileInfo, error) {
	seen, err := p.dir.Lstat(p.name)
	if err != nil {
		return nil, nil, err
	}
	return p.openAs(seen, flag)
}

// openAs is open of what was seen there.
func (p place) openAs(seen fs.FileInfo, flag int) (*os.File, fs.FileInfo, error) {
	if !seen.Mode().IsRegular() && !seen.IsDir() {
		return nil, nil, special(seen)
	}
	f, err := p.dir.OpenFile(p.name, flag|dontWait, 0)
	if err != nil {
		return nil, nil, escaped(err)
	}
	info, err := f.Stat()
	if err == nil && !os.SameFile(seen, info) {
		err = volume.ErrChanged
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// special is the error for what is neither a file nor a directory. A link can only be met here when it was put in
// place of something else a moment ago.
func special(info fs.FileInfo) error {
	if info.Mode()&fs.ModeSymlink != 0 {
		return volume.ErrChanged
	}
	return volume.ErrSpecial
}
