package gcs

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/objects"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
)

const (
	// resumes is how often in a row the service may fail to take a chunk.
	resumes = 4
	// pause is the wait before the first of them; it doubles.
	pause = 200 * time.Millisecond
	// abandoning bounds the request that gives up an upload.
	abandoning = 5 * time.Second
)

// Put uploads an object: a small one in one request, others in chunks, of which the service remembers how many it has.
func (s *Store) Put(ctx context.Context, name string, body io.Reader, size int64, when volume.Condition) (objects.Object, error) {
	query, err := conditions(when)
	if err != nil {
		return objects.Object{}, err
	}
	query.Set("name", name)
	query.Set("fields", fields)
	u := &upload{store: s, name: name, query: query, body: body, sum: crc32.New(crc32.MakeTable(crc32.Castagnoli))}
	if u.kind = mime.TypeByExtension(path.Ext(name)); u.kind == "" {
		u.kind = "application/octet-stream"
	}
	made, err := u.run(ctx)
	if err != nil {
		return objects.Object{}, s.refused(ctx, err, name, when)
	}
	if size >= 0 && u.taken != size {
		err = fmt.Errorf("upload: %d bytes came, not %d", u.taken, size)
	} else if sum := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, u.sum.Sum32())); made.CRC32C != "" && made.CRC32C != sum {
		err = fmt.Errorf("upload: %w", volume.ErrGarbled)
	}
	if err != nil {
		return objects.Object{}, errors.Join(err, s.Delete(ctx, name, made.Generation))
	}
	return made.object(), nil
}

// An upload is one under way.
type upload struct {
	store      *Store
	name, kind string
	query      url.Values
	body       io.Reader
	sum        interface {
		io.Writer
		Sum32() uint32
	}
	taken   int64  // bytes that were read of the body
	session string // path and query of a resumable upload
}

// fill reads the next chunk. last says that nothing follows.
func (u *upload) fill(buf []byte, next *[1]byte) (n int, last bool, err error) {
	n, err = io.ReadFull(u.body, buf)
	if err == nil {
		_, err = io.ReadFull(u.body, next[:])
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return n, true, nil
	}
	return n, false, err
}

func (u *upload) run(ctx context.Context) (resource, error) {
	var ahead [1]byte // the byte after a chunk, which says that there is another
	buf := make([]byte, u.store.chunk)
	n, last, err := u.fill(buf, &ahead)
	if err != nil {
		return resource{}, err
	}
	if last {
		return u.simple(ctx, buf[:n])
	}
	if err := u.begin(ctx); err != nil {
		return resource{}, err
	}
	for {
		made, err := u.chunk(ctx, buf[:n], last)
		if err != nil {
			u.abandon(ctx)
			return resource{}, err
		}
		if last {
			return made, nil
		}
		buf[0] = ahead[0]
		n, last, err = u.fill(buf[1:], &ahead)
		if n++; err != nil {
			u.abandon(ctx)
			return resource{}, err
		}
	}
}

func (u *upload) count(data []byte) {
	u.taken += int64(len(data))
	_, _ = u.sum.Write(data)
}

// simple sends everything in one request. It has no effect but once when it has a condition, and then is repeated.
func (u *upload) simple(ctx context.Context, data []byte) (made resource, err error) {
	u.count(data)
	u.query.Set("uploadType", "media")
	c := call{
		method: http.MethodPost, path: "/upload/storage/v1/b/" + u.store.bucket + "/o", query: u.query,
		header: http.Header{"Content-Type": {u.kind}}, body: bytes.NewReader(data), size: int64(len(data)), once: true,
	}
	err = u.store.answer(ctx, c, &made)
	return made, err
}

// begin opens a session. Of its address only path and query are used: it is asked of the same host.
func (u *upload) begin(ctx context.Context) error {
	u.query.Set("uploadType", "resumable")
	a, err := u.store.send(ctx, call{
		method: http.MethodPost, path: "/upload/storage/v1/b/" + u.store.bucket + "/o", query: u.query,
		header: http.Header{"X-Upload-Content-Type": {u.kind}}, body: http.NoBody,
	})
	if err != nil {
		return err
	}
	_ = a.Body.Close()
	at, err := url.Parse(a.Header.Get("Location"))
	if err != nil || at.RawQuery == "" {
		return errors.New("the service gives no session for an upload")
	}
	u.session = at.EscapedPath() + "?" + at.RawQuery
	return nil
}

// chunk sends a chunk until the service has all of it.
func (u *upload) chunk(ctx context.Context, data []byte, last bool) (made resource, err error) {
	first := u.taken
	u.count(data)
	total := "*"
	if last {
		total = strconv.FormatInt(u.taken, 10)
	}
	wait := pause
	for failures := 0; ; {
		from := u.taken - int64(len(data))
		done, have, err := u.put(ctx, data, fmt.Sprintf("bytes %d-%d/%s", from, u.taken-1, total), &made)
		for err != nil && lasting(err) == nil {
			if failures++; failures == resumes {
				return made, err
			}
			select {
			case <-ctx.Done():
				return made, ctx.Err()
			case <-time.After(wait):
			}
			wait *= 2
			done, have, err = u.put(ctx, nil, "bytes */"+total, &made)
		}
		if err != nil || done {
			return made, err
		}
		if have < first || have > u.taken || have == from && failures == resumes {
			return made, errors.New("upload: the service has lost what it had")
		}
		if have == u.taken && !last {
			return made, nil
		}
		if have == from {
			failures++
		}
		data = data[have-from:]
	}
}

// lasting gives back an error that another attempt will not mend.
func lasting(err error) error {
	if errors.Is(err, volume.ErrBusy) || errors.Is(err, volume.ErrUnreachable) {
		return nil
	}
	return err
}

// put sends a part of the session, or with no data asks how far it is. done says that the object is made; else have is
// how many bytes the service has.
func (u *upload) put(ctx context.Context, data []byte, span string, made *resource) (done bool, have int64, err error) {
	a, err := u.store.send(ctx, call{
		method: http.MethodPut, path: u.session, header: http.Header{"Content-Range": {span}},
		body: bytes.NewReader(data), size: int64(len(data)), once: true,
	})
	if err != nil {
		return false, 0, err
	}
	defer func() { _ = a.Body.Close() }()
	if a.StatusCode != http.StatusPermanentRedirect {
		return true, 0, decode(ctx, a.Body, made)
	}
	if _, end, ok := strings.Cut(a.Header.Get("Range"), "-"); ok {
		n, err := strconv.ParseInt(end, 10, 64)
		return false, n + 1, err
	}
	return false, 0, nil
}

// abandon tells the service that an upload will not go on; else it keeps what it has for a week.
func (u *upload) abandon(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abandoning)
	defer cancel()
	if a, err := u.store.send(ctx, call{method: http.MethodDelete, path: u.session, once: true}); err == nil {
		_ = a.Body.Close()
	}
}
