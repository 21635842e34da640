// Package volume says what a place that holds files can do, whatever it is: a directory of this machine or a bucket. It
// knows how a file is named. It does not know who may touch which file, nor how a file is shown.
package volume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// What goes wrong in every kind of volume alike. That something is not there is fs.ErrNotExist, that it is there already
// fs.ErrExist, and that the machine or the service does not let us is fs.ErrPermission.
var (
	ErrChanged  = errors.New("it has changed")
	ErrIsDir    = errors.New("it is a directory")
	ErrNotDir   = errors.New("it is not a directory")
	ErrNotEmpty = errors.New("the directory is not empty")
	ErrSpecial  = errors.New("it is neither a file nor a directory")
	ErrOutside  = errors.New("it leads out of the mount")
	ErrTooLarge = errors.New("it is too large")
)

// What goes wrong with a service that holds files. None of it is about one file.
var (
	ErrRefused     = errors.New("the service refuses the credentials")
	ErrNoBucket    = errors.New("the bucket is not there")
	ErrUnreachable = errors.New("the service cannot be reached")
	ErrBusy        = errors.New("the service asks to wait")
	ErrGarbled     = errors.New("the service has other bytes than were sent")
)

// Bounds of a key, in bytes: those of Amazon S3 and of most file systems.
const (
	MaxKey  = 1024
	maxName = 255
)

// Volume holds files under keys. All methods may be called concurrently. A key has passed Clean; "" is the volume's root,
// a directory that is always there.
type Volume interface {
	// Stat describes what is at key, and of a symbolic link what that leads to.
	Stat(ctx context.Context, key string) (Info, error)
	// Lstat describes what is at key, and of a symbolic link the link.
	Lstat(ctx context.Context, key string) (Info, error)
	// List gives what is directly within the directory at key, in an order that is the same each time: from the first
	// entry whose Info.Position comes after the given one, and max entries unless there are fewer.
	List(ctx context.Context, key, after string, max int) ([]Info, error)
	// Open opens a file, which the caller closes.
	Open(ctx context.Context, key string) (File, error)
	// Put makes a file of what it reads, with the directories above it, or replaces the file's content. size is how much
	// there is to read, or less than 0 when that is not known.
	Put(ctx context.Context, key string, body io.Reader, size int64, when Condition) (Info, error)
	// Copy copies a file within the volume.
	Copy(ctx context.Context, from, to string, when Condition) (Info, error)
	// Move gives a file another key, and in a volume that has real directories also a directory with all that is in it;
	// others say ErrIsDir.
	Move(ctx context.Context, from, to string, when Condition) (Info, error)
	// Remove removes a file or an empty directory.
	Remove(ctx context.Context, key string, when Condition) error
	// Mkdir makes a directory and those above it. It may be there already.
	Mkdir(ctx context.Context, key string) error
	// Close releases what the volume holds.
	Close() error
}

// Info describes a file or a directory.
type Info struct {
	Key      string
	Dir      bool
	Link     string // where a symbolic link leads, when this is one
	Size     int64
	Modified time.Time
	Mode     string // permissions such as -rw-r--r--; empty where there are none
	// Version is another text whenever the content is another, as far as can be told without reading it.
	Version string
	// Settled says that Version can be trusted: that the file was not changed so lately that the clock of the file
	// system might not have moved between two changes.
	Settled bool
	// Tag is File.Tag where that is known without reading the file; else empty.
	Tag string
}

// Position is the place of an entry in the list of its directory, for List to go on after.
func (i Info) Position() string {
	_, name := Split(i.Key)
	if i.Dir {
		name += "/"
	}
	return name
}

// File is an open file. What is read is of one version, or an error.
type File interface {
	Info() Info
	// Range reads length bytes from an offset, or to the end when there are fewer or length is less than 0.
	Range(ctx context.Context, offset, length int64) (io.ReadCloser, error)
	// Tag is a text that is another whenever the content is another: a digest of a local file, which is read for it, an
	// object's entity tag or generation.
	Tag(ctx context.Context) (string, error)
	io.Closer
}

// Condition says when something may be replaced or removed. The zero value means always.
type Condition struct {
	Absent bool   // only when nothing is there
	Match  string // only when this is the tag of what is there
}

// Clean makes a key of a path as a caller writes it: elements between slashes. Nothing in it is decoded: %2e%2e is a name
// like any other. It refuses whatever different systems take for different things.
func Clean(name string) (string, error) {
	switch {
	case len(name) > MaxKey:
		return "", fmt.Errorf("the path is longer than %d bytes", MaxKey)
	case !utf8.ValidString(name):
		return "", errors.New("the path is not UTF-8")
	case strings.ContainsRune(name, '\\'):
		return "", errors.New(`the path has a \; elements are separated by /`)
	}
	for _, r := range name {
		if unicode.IsControl(r) || r == utf8.RuneError || r == 0x2028 || r == 0x2029 {
			return "", fmt.Errorf("the path has the character %U", r)
		}
	}
	parts := strings.Split(name, "/")
	kept := parts[:0]
	for _, part := range parts {
		switch {
		case part == "" || part == ".":
		case part == "..":
			return "", errors.New("the path has .. as an element")
		case len(part) > maxName:
			return "", fmt.Errorf("an element of the path is longer than %d bytes", maxName)
		default:
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, "/"), nil
}

// Within says whether key is dir or below it. It compares whole elements: docs-secret is not within docs.
func Within(key, dir string) bool {
	return dir == "" || key == dir || strings.HasPrefix(key, dir) && key[len(dir)] == '/'
}

// Join gives the key of a name in a directory.
func Join(dir, name string) string { return path.Join(dir, name) }

// Split gives the directory of a key and the name in it.
func Split(key string) (dir, name string) {
	dir, name = path.Split(key)
	return strings.TrimSuffix(dir, "/"), name
}
