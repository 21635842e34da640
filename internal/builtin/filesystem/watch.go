package filesystem

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"strings"
	"sync"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
	"github.com/dragoman-mcp/dragoman/server"
)

// Bounds of watching. Files are looked at rather than watched by the system: that works on every file system and bucket,
// needs no path outside of the mount's descriptor, and costs a few microseconds for each local file. Files of a bucket
// are looked at as often as the mount says.
const (
	watchEvery = 250 * time.Millisecond
	maxWatched = 1000
	lookAt     = 10 * time.Second // bound of one look
)

// A watch tells of changes of the files that somebody subscribed to.
type watch struct {
	files   *files
	updated func(ctx context.Context, uri string)

	mu   sync.Mutex // guards what follows
	uris map[string]*watched
	wake map[*mount]chan struct{} // one: that there is something to watch now
}

type watched struct {
	mount   *mount
	key     string
	users   int
	version string // empty when there was nothing
}

func newWatch(f *files) *watch {
	return &watch{files: f, wake: map[*mount]chan struct{}{}, uris: map[string]*watched{}}
}

// awake gives the channel that wakes the loop of a mount. mu is held.
func (w *watch) awake(m *mount) chan struct{} {
	if w.wake[m] == nil {
		w.wake[m] = make(chan struct{}, 1)
	}
	return w.wake[m]
}

func updates(s *server.Server) func(context.Context, string) {
	return func(ctx context.Context, uri string) {
		if err := s.SDK().ResourceUpdated(ctx, &sdk.ResourceUpdatedNotificationParams{URI: uri}); err != nil {
			s.Log().Warn("telling of a changed file failed", "err", err)
		}
	}
}

func (w *watch) subscribe(ctx context.Context, uri string) error {
	m, key, err := w.files.resource(uri)
	if err != nil {
		return err
	}
	version, err := m.version(ctx, key)
	if err != nil {
		return told(err, m.shown(key))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if one := w.uris[uri]; one != nil {
		one.users++
		return nil
	}
	if len(w.uris) >= maxWatched {
		return server.Errorf("unsubscribe from another first", "%d files are watched already", maxWatched)
	}
	w.uris[uri] = &watched{mount: m, key: key, users: 1, version: version}
	select {
	case w.awake(m) <- struct{}{}:
	default:
	}
	return nil
}

func (w *watch) unsubscribe(_ context.Context, uri string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if one := w.uris[uri]; one != nil {
		if one.users--; one.users == 0 {
			delete(w.uris, uri)
		}
	}
	return nil
}

// version gives the version of what is at a key, empty when nothing is there.
func (m *mount) version(ctx context.Context, key string) (string, error) {
	info, err := m.volume.Stat(ctx, key)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, volume.ErrNotDir) || errors.Is(err, volume.ErrOutside) {
		return "", nil
	}
	return info.Version, err
}

// run looks at what is watched of a mount; while nothing is, it sleeps.
func (w *watch) run(ctx context.Context, m *mount) error {
	w.mu.Lock()
	wake := w.awake(m)
	w.mu.Unlock()
	tick := time.NewTicker(m.poll)
	defer tick.Stop()
	for {
		if len(w.of(m)) == 0 {
			tick.Stop()
			select {
			case <-ctx.Done():
				return nil
			case <-wake:
			}
			tick.Reset(m.poll)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, uri := range w.changed(ctx, m) {
			w.updated(ctx, uri)
		}
	}
}

// of gives the keys of a mount that are watched, by their URIs.
func (w *watch) of(m *mount) map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	keys := map[string]string{}
	for uri, one := range w.uris {
		if one.mount == m {
			keys[uri] = one.key
		}
	}
	return keys
}

// changed gives what has another version than at the last look. What cannot be looked at now has not changed.
func (w *watch) changed(ctx context.Context, m *mount) (changed []string) {
	for uri, key := range w.of(m) {
		look, cancel := context.WithTimeout(ctx, lookAt)
		now, err := m.version(look, key)
		cancel()
		if err != nil {
			continue
		}
		w.mu.Lock()
		if one := w.uris[uri]; one != nil && one.version != now {
			one.version = now
			changed = append(changed, uri)
		}
		w.mu.Unlock()
	}
	return changed
}

// resource gives the mount and the key of a URI. It is decoded once, and what comes out is judged like any path.
func (f *files) resource(uri string) (*mount, string, error) {
	encoded, ok := strings.CutPrefix(uri, "file:///")
	name, err := url.PathUnescape(encoded)
	if !ok || err != nil {
		return nil, "", server.Errorf("use file:/// and a path, with % encoded characters where needed", "there is no resource %.200q", uri)
	}
	return f.file(name, false, false)
}

// resources serves files by URI.
func (f *files) resources(s *server.Server) {
	s.SDK().AddResourceTemplate(&sdk.ResourceTemplate{
		Name: "file", Title: "A file", URITemplate: "file:///{+path}", Description: "The content of a file.",
	}, func(ctx context.Context, r *sdk.ReadResourceRequest) (*sdk.ReadResourceResult, error) {
		m, key, err := f.resource(r.Params.URI)
		if err != nil {
			return nil, err
		}
		one, err := f.contents(ctx, m, key)
		if err != nil {
			return nil, told(err, m.shown(key))
		}
		one.URI = r.Params.URI
		return &sdk.ReadResourceResult{Contents: []*sdk.ResourceContents{one}}, nil
	})
}

// contents reads a file for a resource, which has no pages: what is larger than the bound is refused.
func (f *files) contents(ctx context.Context, m *mount, key string) (*sdk.ResourceContents, error) {
	file, err := m.volume.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	most := max(m.max, f.most)
	if file.Info().Size > most {
		return nil, server.Errorf("call read with offset and length", "the file is larger than %d bytes", most)
	}
	data, err := part(ctx, file, 0, most)
	if err != nil {
		return nil, err
	}
	return resourceContents(file.Info(), data), nil
}

func resourceContents(info volume.Info, data []byte) *sdk.ResourceContents {
	kind := kindOf(info.Key, data)
	if s, ok := plain(data); ok {
		return &sdk.ResourceContents{MIMEType: kind, Text: s}
	}
	return &sdk.ResourceContents{MIMEType: kind, Blob: data}
}
