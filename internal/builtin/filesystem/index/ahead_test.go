package index_test

import (
	stdcmp "cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/index"
	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem/volume"
)

// slow is a volume of files of 5 KiB, the first of which cannot be opened until somebody lets it. It implements what a
// search calls.
type slow struct {
	volume.Volume
	names  []string
	let    chan struct{}
	fails  map[string]error // of Open
	opened atomic.Int64
	closed atomic.Int64
	read   atomic.Int64 // bytes
}

const slowSize = 5 << 10

func (s *slow) info(key string) volume.Info {
	return volume.Info{Key: key, Size: slowSize, Version: "1", Settled: true}
}

func (s *slow) Stat(context.Context, string) (volume.Info, error) { return volume.Info{Dir: true}, nil }

func (s *slow) List(context.Context, string, string, int) (all []volume.Info, err error) {
	for _, name := range s.names {
		all = append(all, s.info(name))
	}
	return all, nil
}

func (s *slow) Open(ctx context.Context, key string) (volume.File, error) {
	if !strings.HasPrefix(key, "f") {
		return nil, fs.ErrNotExist
	}
	s.opened.Add(1)
	if key == s.names[0] {
		select {
		case <-s.let:
		case <-ctx.Done():
			s.closed.Add(1)
			return nil, ctx.Err()
		}
	}
	if err := s.fails[key]; err != nil {
		s.closed.Add(1)
		return nil, err
	}
	return &slowFile{s, key}, nil
}

type slowFile struct {
	*slow
	key string
}

func (f *slowFile) Info() volume.Info                   { return f.info(f.key) }
func (f *slowFile) Tag(context.Context) (string, error) { return "", nil }
func (f *slowFile) Close() error                        { f.closed.Add(1); return nil }

func (f *slowFile) Range(_ context.Context, _, length int64) (io.ReadCloser, error) {
	text := strings.Repeat("hay\n", slowSize/4-2) + "needle\n\n"
	return io.NopCloser(io.TeeReader(strings.NewReader(text[:length]), count{&f.read})), nil
}

type count struct{ n *atomic.Int64 }

func (c count) Write(p []byte) (int, error) { c.n.Add(int64(len(p))); return len(p), nil }

func slowVolume(n int) *slow {
	s := &slow{let: make(chan struct{}), fails: map[string]error{}}
	for i := range n {
		s.names = append(s.names, fmt.Sprintf("f%02d", i))
	}
	return s
}

// searched is what a search that runs has found.
type searched struct {
	keys []string
	out  index.Outcome
	err  error
}

func begin(ctx context.Context, s *slow, o index.Options, most int) chan searched {
	o.Bytes, o.MaxFile, o.Ahead = 1<<20, 1<<30, 16<<10
	ended := make(chan searched, 1)
	q := index.Query{Text: "needle", Permit: func(string, bool) bool { return true }}
	go func() {
		var found searched
		found.out, found.err = index.New(s, o).Search(ctx, q, func(m index.Match) bool {
			if len(found.keys) == most {
				return false
			}
			found.keys = append(found.keys, m.Info.Key)
			return true
		})
		ended <- found
	}()
	return ended
}

// TestFilesAreReadAheadWithinBounds looks at what is open and read while the first file makes all others wait.
func TestFilesAreReadAheadWithinBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := slowVolume(20)
		s.fails["f03"] = fs.ErrNotExist // removed since it was listed
		ended := begin(t.Context(), s, index.Options{AtOnce: 8}, 100)
		synctest.Wait()
		if s.opened.Load() != 8 || s.read.Load() != 2*slowSize {
			t.Errorf("%d files are open and %d bytes are read, want 8 and %d: three files, of which one waits, fit into 16 KiB", s.opened.Load(), s.read.Load(), 2*slowSize)
		}
		close(s.let)
		found := <-ended
		want := append(append([]string{}, s.names[:3]...), s.names[4:]...)
		if diff := cmp.Diff(want, found.keys); diff != "" || found.err != nil || found.out.More {
			t.Errorf("found, %v, %+v (-want +got)\n%s", found.err, found.out, diff)
		}
		if s.opened.Load() != 20 || s.closed.Load() != 20 {
			t.Errorf("%d files were opened and %d closed, want 20", s.opened.Load(), s.closed.Load())
		}
	})
}

// TestAReaderAheadStopsWhereASearchStops has searches that end before all that is read ahead has had its turn.
func TestAReaderAheadStopsWhereASearchStops(t *testing.T) {
	broken := errors.New("the service is broken")
	for name, test := range map[string]struct {
		o    index.Options
		most int
		fail error
		let  bool // the first file is opened
		time time.Duration
		keys int
		want error
		next index.Position
		more bool
	}{
		"when nothing more is taken":            {o: index.Options{AtOnce: 8}, most: 2, let: true, keys: 2, next: index.Position{Key: "f01", Line: index.AllLines}, more: true},
		"when so many bytes are read":           {o: index.Options{AtOnce: 8, PerSearch: 6 * slowSize}, most: 100, let: true, keys: 6, next: index.Position{Key: "f05", Line: index.AllLines}, more: true},
		"when a file fails, after those before": {o: index.Options{AtOnce: 8}, most: 100, let: true, fail: broken, keys: 4, want: broken, next: index.Position{Key: "f03", Line: index.AllLines}},
		"when its time is over":                 {o: index.Options{AtOnce: 8}, most: 100, time: time.Second, want: context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := slowVolume(20)
				if test.fail != nil {
					s.fails["f04"] = test.fail
				}
				if test.let {
					close(s.let)
				}
				ctx, cancel := context.WithTimeout(t.Context(), stdcmp.Or(test.time, time.Hour))
				defer cancel()
				found := <-begin(ctx, s, test.o, test.most)
				if len(found.keys) != test.keys || !errors.Is(found.err, test.want) || found.out.Next != test.next || found.out.More != test.more {
					t.Errorf("got %q, %v, %+v, want %d keys, %v, %+v and more: %v", found.keys, found.err, found.out, test.keys, test.want, test.next, test.more)
				}
				if s.opened.Load() != s.closed.Load() {
					t.Errorf("%d files were opened and %d closed", s.opened.Load(), s.closed.Load())
				}
			})
		})
	}
}
