// Package objects is a volume that is a bucket of an object store, or what lies in it under a prefix. It makes names of
// objects from keys, and nowhere else are such names made: what is outside of the prefix has no key. It makes directories
// out of names with slashes. It does not know which service holds the objects, nor who may touch which.
package objects

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
)

// Store is a bucket. Its errors are those of package volume and io/fs. All methods may be called concurrently, and end
// with their context.
type Store interface {
	// Head describes an object.
	Head(ctx context.Context, name string) (Object, error)
	// Get reads length bytes of an object from an offset, fewer at its end, all when length is less than 0. With a tag
	// that is not the object's it fails with volume.ErrChanged. An empty range of an empty object is no error.
	Get(ctx context.Context, name string, r Range) (Object, io.ReadCloser, error)
	// List gives objects whose names begin with prefix, in the order of the bytes of their names, of those after the
	// given name one page of at most max, and whether there are more. Those with a slash after the prefix come as one
	// with Dir, whose name ends with that slash; after may be such a name.
	List(ctx context.Context, q Query) (page []Object, more bool, err error)
	// Put makes or replaces an object when the condition holds. size is less than 0 when it is not known.
	Put(ctx context.Context, name string, body io.Reader, size int64, when volume.Condition) (Object, error)
	// Copy copies an object of this tag within the service.
	Copy(ctx context.Context, from Object, to string, when volume.Condition) (Object, error)
	// Delete deletes an object, of this tag unless that is empty. When there is none it may say so or be content.
	Delete(ctx context.Context, name, tag string) error
	// Close releases what the store holds.
	Close() error
}

// Object describes an object, or several whose names have a directory in common.
type Object struct {
	Name     string
	Dir      bool
	Size     int64
	Modified time.Time
	Tag      string // another one whenever the content is another
}

// Range is a part of an object of one version.
type Range struct {
	Offset, Length int64
	Tag            string // empty for any
}

// Query says which objects are listed.
type Query struct {
	Prefix, After string
	Max           int // at least 1
}

// AfterDir says whether After names a directory, all of which lies before what is wanted, and not the marker of the one
// that is listed.
func (q Query) AfterDir() bool {
	return len(q.After) > len(q.Prefix) && strings.HasSuffix(q.After, "/")
}
