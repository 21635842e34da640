// Package gcs keeps objects in a bucket of Google Cloud Storage, by its JSON API. It does not know keys, prefixes and
// directories, and dials nothing: it gets an http.RoundTripper. (Google's own client would make the binary twice as
// large.)
package gcs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/objects"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
	"github.com/dragoman-mcp/dragoman/server/backend"
)

// Options say where a bucket is.
type Options struct {
	Bucket   string
	Endpoint string // such as http://127.0.0.1:4443 of an emulator; empty for Google's
	// Credentials are a service account's key as Google gives it, JSON. Without them and without Metadata requests are
	// anonymous.
	Credentials string
	// Metadata takes tokens from the machine's metadata service, which MetadataTransport reaches.
	Metadata          bool
	MetadataEndpoint  string // empty for Google's
	MetadataTransport http.RoundTripper
	// Chunk is what an object is uploaded in, in bytes: a multiple of 256 KiB, 8 MiB when 0. What is not larger goes in one
	// request. One chunk is in memory.
	Chunk int
	// Write asks for the right to write.
	Write bool
	// Transport sends all other requests. Whoever made it closes it.
	Transport http.RoundTripper
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

const (
	google = "https://storage.googleapis.com"
	// maxAnswer bounds an answer that is read as JSON: a page of 1000 objects has some 300 KB, and may have 2 MB.
	maxAnswer = 8 << 20
	maxError  = 64 << 10
)

// Store is a bucket. Make it with New.
type Store struct {
	base   string // scheme and host
	bucket string // as it is in paths
	plain  http.RoundTripper
	again  http.RoundTripper // repeats what may be repeated
	tokens *tokens           // nil for anonymous requests
	chunk  int
}

var _ objects.Store = (*Store)(nil)

// New returns the store of a bucket. Nothing is sent before it is used.
func New(o Options) (*Store, error) {
	if o.Endpoint == "" {
		o.Endpoint = google
	}
	at, err := objects.Endpoint(o.Endpoint)
	if err != nil {
		return nil, err
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{
		base: at.Scheme + "://" + at.Host, bucket: url.PathEscape(o.Bucket), plain: o.Transport,
		again: backend.Retry{}.RoundTripper(o.Transport, nil), chunk: cmp.Or(o.Chunk, 8<<20),
	}
	if s.tokens, err = newTokens(o); err != nil {
		return nil, err
	}
	return s, nil
}

// Close does nothing: the transport is closed by whoever made it.
func (s *Store) Close() error { return nil }

// resource is what the service tells of an object.
type resource struct {
	Name       string `json:"name"`
	Size       string `json:"size"`
	Updated    string `json:"updated"`
	Generation string `json:"generation"`
	CRC32C     string `json:"crc32c"`
}

const fields = "name,size,updated,generation,crc32c"

func (r resource) object() objects.Object {
	size, _ := strconv.ParseInt(r.Size, 10, 64)
	at, _ := time.Parse(time.RFC3339, r.Updated)
	return objects.Object{Name: r.Name, Size: size, Modified: at, Tag: r.Generation}
}

// path is the path of an object. Slashes in names are escaped, so that no name is taken for another path.
func (s *Store) path(name string) string {
	return "/storage/v1/b/" + s.bucket + "/o/" + url.PathEscape(name)
}

// A call is one request.
type call struct {
	method, path string
	query        url.Values
	header       http.Header
	body         io.Reader
	size         int64
	once         bool // is not repeated but by its caller
}

// send sends a request with a token. What is answered with an error becomes one.
func (s *Store) send(ctx context.Context, c call) (*http.Response, error) {
	for try := 1; ; try++ {
		r, err := http.NewRequestWithContext(ctx, c.method, s.base+c.path, c.body)
		if err != nil {
			return nil, err
		}
		if r.URL.RawQuery == "" {
			r.URL.RawQuery = c.query.Encode()
		}
		for name, values := range c.header {
			r.Header[name] = values
		}
		if c.body != nil {
			r.ContentLength = c.size
		}
		token, err := s.tokens.get(ctx)
		if err != nil {
			return nil, err
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		next := s.again
		if c.once {
			next = s.plain
		}
		a, err := next.RoundTrip(r)
		if err != nil {
			return nil, unreachable(ctx, err)
		}
		if a.StatusCode < 300 || a.StatusCode == http.StatusPermanentRedirect && c.once {
			return a, nil
		}
		err = refusal(a)
		if a.StatusCode == http.StatusUnauthorized && try == 1 && s.tokens.forget(token) && c.body == nil {
			continue // it may have been revoked before its time
		}
		return nil, err
	}
}

// answer sends a request and reads its answer as JSON.
func (s *Store) answer(ctx context.Context, c call, into any) error {
	a, err := s.send(ctx, c)
	if err != nil {
		return err
	}
	defer func() { _ = a.Body.Close() }()
	return decode(ctx, a.Body, into)
}

func decode(ctx context.Context, body io.Reader, into any) error {
	text, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	if err != nil {
		return unreachable(ctx, err)
	}
	if len(text) > maxAnswer {
		return fmt.Errorf("read the answer: it is longer than %d bytes", maxAnswer)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

// Head describes an object.
func (s *Store) Head(ctx context.Context, name string) (objects.Object, error) {
	var r resource
	err := s.answer(ctx, call{method: http.MethodGet, path: s.path(name), query: url.Values{"fields": {fields}}}, &r)
	return r.object(), err
}

// Get reads a part of an object.
func (s *Store) Get(ctx context.Context, name string, r objects.Range) (objects.Object, io.ReadCloser, error) {
	// The stored bytes are wanted, not what is decompressed on the way: sizes and offsets are theirs.
	c := call{method: http.MethodGet, path: s.path(name), query: url.Values{"alt": {"media"}}, header: http.Header{"Accept-Encoding": {"gzip"}}}
	switch {
	case r.Length > 0:
		c.header.Set("Range", fmt.Sprintf("bytes=%d-%d", r.Offset, r.Offset+r.Length-1))
	case r.Offset > 0:
		c.header.Set("Range", fmt.Sprintf("bytes=%d-", r.Offset))
	}
	if r.Tag != "" {
		c.query.Set("ifGenerationMatch", r.Tag)
	}
	a, err := s.send(ctx, c)
	if errors.Is(err, errRange) {
		found, err := s.Head(ctx, name)
		return found, io.NopCloser(strings.NewReader("")), err
	}
	if err != nil {
		return objects.Object{}, nil, err
	}
	found, err := described(name, a)
	if err == nil && r.Tag != "" && found.Tag != r.Tag {
		err = volume.ErrChanged
	}
	if err == nil && r.Offset > 0 && a.StatusCode != http.StatusPartialContent {
		err = errors.New("the service knows no ranges")
	}
	if err != nil {
		_ = a.Body.Close()
		return objects.Object{}, nil, err
	}
	return found, a.Body, nil
}

// described reads what the head of an answer with content tells of the object.
func described(name string, a *http.Response) (objects.Object, error) {
	o := objects.Object{Name: name, Size: a.ContentLength, Tag: a.Header.Get("X-Goog-Generation")}
	o.Modified, _ = http.ParseTime(a.Header.Get("Last-Modified"))
	if _, size, ok := strings.Cut(a.Header.Get("Content-Range"), "/"); ok {
		var err error
		if o.Size, err = strconv.ParseInt(size, 10, 64); err != nil {
			return o, fmt.Errorf("read Content-Range: %w", err)
		}
	}
	if o.Size < 0 || o.Tag == "" {
		return o, errors.New("the service does not tell size and generation of an object")
	}
	return o, nil
}

// List gives one page.
func (s *Store) List(ctx context.Context, q objects.Query) (page []objects.Object, more bool, err error) {
	from := q.After // the first of the page, or the one before it, which is dropped by the caller
	if q.AfterDir() {
		from = strings.TrimSuffix(q.After, "/") + "0" // the character after the slash
	}
	query := url.Values{
		"prefix": {q.Prefix}, "delimiter": {"/"}, "maxResults": {strconv.Itoa(q.Max)},
		"fields": {"items(name,size,updated,generation),prefixes,nextPageToken"},
	}
	if from != "" {
		query.Set("startOffset", from)
	}
	var a struct {
		Items    []resource `json:"items"`
		Prefixes []string   `json:"prefixes"`
		Next     string     `json:"nextPageToken"`
	}
	err = s.answer(ctx, call{method: http.MethodGet, path: "/storage/v1/b/" + s.bucket + "/o", query: query}, &a)
	if errors.Is(err, fs.ErrNotExist) {
		err = &fault{volume.ErrNoBucket, errors.New(err.Error())} // what is not there is no file
	}
	if err != nil {
		return nil, false, err
	}
	for _, r := range a.Items {
		page = append(page, r.object())
	}
	for _, name := range a.Prefixes {
		page = append(page, objects.Object{Name: name, Dir: true})
	}
	slices.SortFunc(page, func(a, b objects.Object) int { return strings.Compare(a.Name, b.Name) })
	return page, a.Next != "", nil
}

// Copy copies an object; a large one takes several requests. The emulator ignores conditions here; against that the
// object is looked at before, too.
func (s *Store) Copy(ctx context.Context, from objects.Object, to string, when volume.Condition) (objects.Object, error) {
	query, err := conditions(when)
	if err == nil {
		err = objects.Holds(ctx, s, to, when)
	}
	if err != nil {
		return objects.Object{}, err
	}
	query.Set("ifSourceGenerationMatch", from.Tag)
	query.Set("fields", "done,rewriteToken,resource("+fields+")")
	for {
		var a struct {
			Done     bool     `json:"done"`
			Token    string   `json:"rewriteToken"`
			Resource resource `json:"resource"`
		}
		c := call{method: http.MethodPost, path: s.path(from.Name) + "/rewriteTo/b/" + s.bucket + "/o/" + url.PathEscape(to), query: query}
		if err := s.answer(ctx, c, &a); err != nil {
			return objects.Object{}, s.refused(ctx, err, to, when)
		}
		if a.Done {
			return a.Resource.object(), nil
		}
		if a.Token == "" || a.Token == query.Get("rewriteToken") {
			return objects.Object{}, errors.New("the service does not go on with a copy")
		}
		query.Set("rewriteToken", a.Token)
	}
}

// Delete deletes an object.
func (s *Store) Delete(ctx context.Context, name, tag string) error {
	query, err := conditions(volume.Condition{Match: tag})
	if err != nil {
		return err
	}
	a, err := s.send(ctx, call{method: http.MethodDelete, path: s.path(name), query: query})
	if err != nil {
		return err
	}
	return a.Body.Close()
}

// conditions are the parameters for a condition. A tag that is none of ours matches nothing.
func conditions(when volume.Condition) (url.Values, error) {
	query := url.Values{}
	if when.Absent {
		query.Set("ifGenerationMatch", "0")
	}
	if when.Match != "" {
		if n, err := strconv.ParseInt(when.Match, 10, 64); err != nil || n <= 0 {
			return nil, volume.ErrChanged
		}
		query.Set("ifGenerationMatch", when.Match)
	}
	return query, nil
}

// refused says what a condition that does not hold means for a new object.
func (s *Store) refused(ctx context.Context, err error, name string, when volume.Condition) error {
	if !errors.Is(err, volume.ErrChanged) {
		return err
	}
	if when.Absent {
		return &fault{fs.ErrExist, err}
	}
	if _, there := s.Head(ctx, name); errors.Is(there, fs.ErrNotExist) {
		return there
	}
	return err
}
