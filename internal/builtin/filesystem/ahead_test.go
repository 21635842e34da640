package filesystem_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/servertest"
)

// A gate stands before a store. What is called item-… is given out only once so many requests for such wait at a time;
// after that it is open until the next time that it is shut.
type gate struct {
	store *httputil.ReverseProxy

	mu      sync.Mutex
	waiting int
	needed  int           // 0 when the gate is open
	open    chan struct{} // closed when it is
	changed chan struct{} // has one element when waiting was changed
}

// gated puts a gate before the store of a mount and gives its settings with the address of the gate.
func gated(t testing.TB, mount args) (*gate, args) {
	t.Helper()
	g := &gate{open: make(chan struct{}), changed: make(chan struct{}, 1)}
	mount = clone(mount)
	for _, kind := range []string{"s3", "gcs"} {
		reach, ok := mount[kind].(args)
		if !ok {
			continue
		}
		target, err := url.Parse(reach["endpoint"].(string))
		if err != nil {
			t.Fatal(err)
		}
		g.store = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // which is signed
		}, ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }}
		front := httptest.NewServer(g)
		t.Cleanup(front.Close)
		reach = clone(reach)
		reach["endpoint"] = front.URL
		mount[kind] = reach
	}
	return g, mount
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "item-") && !g.pass(r.Context()) {
		return
	}
	g.store.ServeHTTP(w, r)
}

// pass waits until the gate is open. It returns false when whoever asked has gone.
func (g *gate) pass(ctx context.Context) bool {
	g.mu.Lock()
	if g.needed == 0 {
		g.mu.Unlock()
		return true
	}
	open := g.open
	g.mu.Unlock()
	g.add(1)
	defer g.add(-1)
	select {
	case <-open:
		return true
	case <-ctx.Done():
		return false
	}
}

func (g *gate) add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting += n; g.needed > 0 && g.waiting >= g.needed {
		g.needed = 0
		close(g.open)
	}
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

func (g *gate) shut(needed int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.needed, g.open = needed, make(chan struct{})
}

func (g *gate) opened() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.needed == 0
}

// wait returns when so many requests wait at the gate.
func (g *gate) wait(t *testing.T, want func(waiting int) bool) {
	t.Helper()
	late := time.After(2 * time.Minute)
	for {
		g.mu.Lock()
		n := g.waiting
		g.mu.Unlock()
		if want(n) {
			return
		}
		select {
		case <-g.changed:
		case <-late:
			t.Fatalf("%d requests wait at the gate", n)
		}
	}
}

// searching has one mount with settings of search.
func searching(t testing.TB, mount args, search args) *servertest.Client {
	t.Helper()
	mount = clone(mount)
	mount["write"], mount["hidden"] = true, true
	text, err := json.Marshal(args{"mounts": []any{mount}, "search": search, "limits": args{"timeout": "5m"}})
	if err != nil {
		t.Fatal(err)
	}
	return servertest.Open(t, filesystem.New, &server.Env{Settings: text})
}

// shelf writes objects: small ones, of more than comes with the opening of one, one too large to be searched, one that is
// no text, one that is ignored, and one of another name.
func shelf(t testing.TB, c *servertest.Client) {
	t.Helper()
	for i := range 20 {
		size := 1
		if i%5 == 0 {
			size = 8000 // 120 KB
		}
		c.Must(t, "write", args{"path": fmt.Sprintf("d%d/item-%02d.txt", i%3, i), "text": strings.Repeat("line of hay %d\n", size) + "the needle\n"}, nil)
	}
	c.Must(t, "write", args{"path": "d1/item-large", "text": strings.Repeat("needle\n", 40_000)}, nil)
	c.Must(t, "write", args{"path": "d1/item-bytes", "text": "AAECAwBuZWVkbGU=", "encoding": "base64"}, nil)
	c.Must(t, "write", args{"path": "d2/.gitignore", "text": "item-ig*\n"}, nil)
	c.Must(t, "write", args{"path": "d2/item-ignored", "text": "needle\n"}, nil)
	c.Must(t, "write", args{"path": "d2/other", "text": "needle\n"}, nil)
}

// TestObjectsAreSearchedSeveralAtATime compares what is found with several requests at a time, all of which have to be
// there before any is answered, with what is found by one after the other, all at once and in pages.
func TestObjectsAreSearchedSeveralAtATime(t *testing.T) {
	for _, k := range kinds()[1:] {
		t.Run(k.name, func(t *testing.T) {
			g, mount := gated(t, k.mount(t)("shelf"))
			bounds := func(n int) args { return args{"at_once": n, "max_object": "200KiB", "max_fetch": "1MiB"} }
			in := args{"text": "needle", "name": "**/{item-*,other}", "limit": 1000}
			c := searching(t, mount, bounds(1))
			shelf(t, c)
			want := pages(t, c, "search", "matches", clone(in))
			if len(want) != 21 {
				t.Fatalf("one after the other: got %q, want 21 matches", want)
			}
			for _, n := range []int{2, 8, 64} {
				c := searching(t, mount, bounds(n))
				g.shut(min(n, 20))
				if diff := cmp.Diff(want, pages(t, c, "search", "matches", clone(in))); diff != "" {
					t.Errorf("%d at a time (-want +got)\n%s", n, diff)
				}
				if !g.opened() {
					t.Errorf("%d at a time: fewer requests were there at the same time", n)
				}
				in := clone(in)
				in["limit"] = 2
				if diff := cmp.Diff(want, pages(t, c, "search", "matches", in)); diff != "" {
					t.Errorf("%d at a time, in pages (-want +got)\n%s", n, diff)
				}
			}
		})
	}
}

// TestASearchOfABucketEndsAtOnce cancels a call when its requests wait for a store that does not answer.
func TestASearchOfABucketEndsAtOnce(t *testing.T) {
	for _, k := range kinds()[1:] {
		t.Run(k.name, func(t *testing.T) {
			g, mount := gated(t, k.mount(t)("shelf"))
			c := searching(t, mount, nil)
			shelf(t, c)
			const never = 1000
			g.shut(never)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				_, err := c.Call(ctx, "search", args{"text": "needle"})
				ended <- err
			}()
			g.wait(t, func(n int) bool { return n == 8 })
			cancel()
			<-ended
			g.wait(t, func(n int) bool { return n == 0 })
		})
	}
}

// BenchmarkSearchOfABucket compares the default with one object after the other, in turns, at a store that takes 5 ms for each
// request, as services in the same region do at best.
func BenchmarkSearchOfABucket(b *testing.B) {
	for _, k := range kinds()[1:] {
		b.Run(k.name, func(b *testing.B) { searches(b, k) })
	}
}

func searches(b *testing.B, k kind) {
	g, mount := gated(b, k.mount(b)("shelf"))
	g.store.ModifyResponse = func(*http.Response) error {
		<-time.After(5 * time.Millisecond)
		return nil
	}
	one, several := searching(b, mount, args{"at_once": 1}), searching(b, mount, nil)
	for i := range 100 {
		one.Must(b, "write", args{"path": fmt.Sprintf("item-%02d.txt", i), "text": strings.Repeat("the needle\n", 9)}, nil)
	}
	var slow, fast time.Duration
	for b.Loop() {
		for c, took := range map[*servertest.Client]*time.Duration{one: &slow, several: &fast} {
			began := time.Now()
			c.Must(b, "search", args{"text": "needle", "limit": 1000}, nil)
			*took += time.Since(began)
		}
	}
	b.ReportMetric(float64(slow)/float64(fast), "ratio")
}
