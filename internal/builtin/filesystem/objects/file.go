package objects

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
)

// ahead is how many bytes come with the opening of a file, so that a small one costs one request.
const ahead = 64 << 10

// Open opens an object. What is read of it is of the version that it has now.
func (v *Volume) Open(ctx context.Context, key string) (volume.File, error) {
	name, err := v.name(key)
	if err != nil {
		return nil, err
	}
	if key == "" {
		return nil, volume.ErrIsDir
	}
	o, body, err := v.store.Get(ctx, name, Range{Length: ahead})
	if errors.Is(err, fs.ErrNotExist) {
		if some, err := v.first(ctx, key, 1); err == nil && len(some) > 0 {
			return nil, volume.ErrIsDir
		}
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }()
	head, err := io.ReadAll(io.LimitReader(body, ahead))
	if err != nil {
		return nil, err
	}
	if want := min(o.Size, ahead); int64(len(head)) != want {
		return nil, volume.ErrChanged
	}
	return &file{v.store, o, describe(key, o), head}, nil
}

type file struct {
	store Store
	o     Object
	info  volume.Info
	head  []byte // its first bytes
}

func (f *file) Info() volume.Info                   { return f.info }
func (f *file) Tag(context.Context) (string, error) { return f.o.Tag, nil }
func (f *file) Close() error                        { return nil }

func (f *file) Range(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
	rest := max(f.o.Size-offset, 0)
	if length < 0 || length > rest {
		length = rest
	}
	if length == 0 {
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	known := f.head[min(offset, int64(len(f.head))):]
	if int64(len(known)) >= length {
		return io.NopCloser(bytes.NewReader(known[:length])), nil
	}
	later := &remote{ctx: ctx, file: f, r: Range{Offset: offset + int64(len(known)), Length: length - int64(len(known)), Tag: f.o.Tag}}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(known), later), later}, nil
}

// remote reads a part of an object, which it asks for when it is first read.
type remote struct {
	ctx  context.Context // of the one call that reads
	file *file
	r    Range
	body io.ReadCloser
	left int64
}

func (r *remote) Read(p []byte) (int, error) {
	if r.body == nil {
		_, body, err := r.file.store.Get(r.ctx, r.file.o.Name, r.r)
		if err != nil {
			return 0, err
		}
		r.body, r.left = body, r.r.Length
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.body.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	if errors.Is(err, io.EOF) && r.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (r *remote) Close() error {
	if r.body == nil {
		return nil
	}
	return r.body.Close()
}
