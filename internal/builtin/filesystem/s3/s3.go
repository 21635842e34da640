// Package s3 keeps objects in a bucket of Amazon S3, or of a service that speaks its protocol. It does not know keys,
// prefixes and directories, and dials nothing: it gets an http.RoundTripper.
package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/objects"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
)

// Options say where a bucket is.
type Options struct {
	Bucket   string
	Endpoint string // such as https://s3.example.com; empty for Amazon's
	Region   string // empty to ask the service
	Style    string // path: the bucket is in the path; host: in the name of the host; else as the endpoint is known to want it
	// Keys. Without them requests are not signed.
	AccessKey, SecretKey, SessionToken string
	// Transport sends requests. Whoever made it closes it.
	Transport http.RoundTripper
}

const (
	amazon = "https://s3.amazonaws.com"
	// attempts is how often a request is tried, with waits of up to a second between.
	attempts = 3
	// partSize is what large objects are uploaded in, in bytes, and how much of them is held in memory twice.
	partSize = 16 << 20
)

// Store is a bucket. Make it with New.
type Store struct {
	core   minio.Core
	bucket string
}

var _ objects.Store = (*Store)(nil)

// New returns the store of a bucket. Nothing is sent before it is used.
func New(o Options) (*Store, error) {
	if o.Endpoint == "" {
		o.Endpoint = amazon
	}
	at, err := objects.Endpoint(o.Endpoint)
	if err != nil {
		return nil, err
	}
	lookup := minio.BucketLookupAuto
	switch o.Style {
	case "path":
		lookup = minio.BucketLookupPath
	case "host":
		lookup = minio.BucketLookupDNS
	}
	client, err := minio.New(at.Host, &minio.Options{
		Creds: credentials.NewStaticV4(o.AccessKey, o.SecretKey, o.SessionToken), Secure: at.Scheme == "https",
		Transport: carrier{o.Transport}, Region: o.Region, BucketLookup: lookup, MaxRetries: attempts,
	})
	if err != nil {
		return nil, err
	}
	return &Store{core: minio.Core{Client: client}, bucket: o.Bucket}, nil
}

// Close does nothing: the transport is closed by whoever made it.
func (s *Store) Close() error { return nil }

// Head describes an object.
func (s *Store) Head(ctx context.Context, name string) (objects.Object, error) {
	info, err := s.core.StatObject(ctx, s.bucket, name, minio.StatObjectOptions{})
	return object(name, info), failed(err)
}

func object(name string, info minio.ObjectInfo) objects.Object {
	return objects.Object{Name: name, Size: info.Size, Modified: info.LastModified, Tag: strings.Trim(info.ETag, `"`)}
}

// Get reads a part of an object.
func (s *Store) Get(ctx context.Context, name string, r objects.Range) (objects.Object, io.ReadCloser, error) {
	var o minio.GetObjectOptions
	switch {
	case r.Length > 0:
		o.Set("Range", fmt.Sprintf("bytes=%d-%d", r.Offset, r.Offset+r.Length-1))
	case r.Offset > 0:
		o.Set("Range", fmt.Sprintf("bytes=%d-", r.Offset))
	}
	if r.Tag != "" {
		if err := o.SetMatchETag(r.Tag); err != nil {
			return objects.Object{}, nil, err
		}
	}
	body, info, head, err := s.core.GetObject(ctx, s.bucket, name, o)
	if minio.ToErrorResponse(err).Code == "InvalidRange" {
		found, err := s.Head(ctx, name)
		return found, io.NopCloser(strings.NewReader("")), err
	}
	if err != nil {
		return objects.Object{}, nil, failed(err)
	}
	found := object(name, info)
	if _, size, ok := strings.Cut(head.Get("Content-Range"), "/"); ok {
		if found.Size, err = strconv.ParseInt(size, 10, 64); err != nil {
			_ = body.Close()
			return objects.Object{}, nil, fmt.Errorf("read Content-Range: %w", err)
		}
	} else if r.Offset > 0 {
		_ = body.Close()
		return objects.Object{}, nil, errors.New("the service knows no ranges")
	}
	return found, body, nil
}

// List gives one page.
func (s *Store) List(ctx context.Context, q objects.Query) (page []objects.Object, more bool, err error) {
	if q.AfterDir() {
		q.After += "\U0010ffff"
	}
	pages := &tally{}
	ctx, cancel := context.WithCancel(context.WithValue(ctx, tallyKey{}, pages))
	defer cancel()
	owner := false
	for info := range s.core.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: q.Prefix, StartAfter: q.After, MaxKeys: q.Max, FetchOwner: &owner}) {
		if info.Err != nil {
			return nil, false, failed(info.Err)
		}
		if pages.lists > 1 {
			more = true // this one is of the next page
			break
		}
		o := object(info.Key, info)
		o.Dir = strings.HasSuffix(info.Key, "/") && info.Key != q.Prefix
		if page = append(page, o); len(page) == q.Max {
			more = true // at least there may be
			break
		}
	}
	if err := context.Cause(ctx); err != nil {
		return nil, false, err
	}
	slices.SortFunc(page, func(a, b objects.Object) int { return strings.Compare(a.Name, b.Name) })
	return page, more, nil
}

// Put uploads an object, a large one in parts. Services that do not know conditions ignore them; against those the
// object is looked at before, too.
func (s *Store) Put(ctx context.Context, name string, body io.Reader, size int64, when volume.Condition) (objects.Object, error) {
	if err := objects.Holds(ctx, s, name, when); err != nil {
		return objects.Object{}, err
	}
	kind := mime.TypeByExtension(path.Ext(name))
	if kind == "" {
		kind = "application/octet-stream"
	}
	ctx, cancel := context.WithCancel(conditional(ctx, when))
	defer cancel() // ends what uploads parts beside a failed one
	made, err := s.core.Client.PutObject(ctx, s.bucket, name, body, size, minio.PutObjectOptions{ContentType: kind, PartSize: partSize, NumThreads: 2})
	if err != nil {
		return objects.Object{}, refused(failed(err), when)
	}
	if made.Size > partSize {
		return s.whole(ctx, name, made)
	}
	return objects.Object{Name: name, Size: made.Size, Modified: made.LastModified, Tag: strings.Trim(made.ETag, `"`)}, nil
}

// whole looks at an object that was uploaded in parts: there are services that keep the frames in which those are sent.
func (s *Store) whole(ctx context.Context, name string, made minio.UploadInfo) (objects.Object, error) {
	o, err := s.Head(context.WithValue(ctx, conditionKey{}, nil), name)
	if err != nil || o.Size == made.Size {
		return o, err
	}
	return objects.Object{}, errors.Join(
		fmt.Errorf("upload: the service has %d bytes, and %d were sent: %w", o.Size, made.Size, volume.ErrGarbled),
		s.Delete(ctx, name, o.Tag))
}

// Copy copies an object of up to 5 GB.
func (s *Store) Copy(ctx context.Context, from objects.Object, to string, when volume.Condition) (objects.Object, error) {
	if err := objects.Holds(ctx, s, to, when); err != nil {
		return objects.Object{}, err
	}
	made, err := s.core.CopyObject(conditional(ctx, when), s.bucket, from.Name, s.bucket, to, nil, minio.CopySrcOptions{Bucket: s.bucket, Object: from.Name, MatchETag: from.Tag}, minio.PutObjectOptions{})
	if err != nil {
		return objects.Object{}, refused(failed(err), when)
	}
	return objects.Object{Name: to, Size: from.Size, Modified: made.LastModified, Tag: strings.Trim(made.ETag, `"`)}, nil
}

// Delete deletes an object. The service does not say whether there was one.
func (s *Store) Delete(ctx context.Context, name, tag string) error {
	when := volume.Condition{Match: tag}
	if err := objects.Holds(ctx, s, name, when); err != nil {
		return err
	}
	return failed(s.core.RemoveObject(conditional(ctx, when), s.bucket, name, minio.RemoveObjectOptions{}))
}
