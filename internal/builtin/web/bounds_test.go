package web_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/dragoman-mcp/dragoman/internal/builtin/web"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/servertest"
)

// bomb compresses so many bytes of a page.
func bomb(t testing.TB, encoding string, size int, random bool) []byte {
	var out bytes.Buffer
	var w io.WriteCloser
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "br":
		w = brotli.NewWriterLevel(&out, 1)
	case "zstd":
		z, err := zstd.NewWriter(&out)
		if err != nil {
			t.Fatal(err)
		}
		w = z
	}
	piece := bytes.Repeat([]byte("a"), 1<<20)
	for n := 0; n < size; n += len(piece) {
		if random { // compresses to about a tenth, so that the bound on the ratio does not come first
			for i := 0; i+64 <= len(piece); i += 64 {
				copy(piece[i:], fmt.Sprintf("%08x", (n+i)*2654435761))
			}
		}
		if _, err := w.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestBombs measures how much memory a page takes that is small on the wire and large behind it.
func TestBombs(t *testing.T) {
	const limit = 16 << 20
	for _, encoding := range []string{"gzip", "br", "zstd"} {
		for _, random := range []bool{false, true} {
			body := bomb(t, encoding, 48<<20, random)
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/robots.txt" {
					http.NotFound(w, r)
					return
				}
				w.Header().Set("Content-Encoding", encoding)
				w.Header().Set("Content-Type", "text/html")
				_, _ = w.Write(body)
			}))
			c := servertest.Open(t, web.New, env(`,"max_body":"16MiB"`))
			peak := watchHeap(func() {
				r, err := c.Call(t.Context(), "fetch", map[string]any{"url": s.URL + "/"})
				if err != nil || !r.IsError || !strings.Contains(r.Text(), "too large") {
					t.Errorf("%s: got %q, %v, want it refused as too large", encoding, r.Text(), err)
				}
			})
			t.Logf("%s of 48 MiB in %d kB, limit %d MiB: %.1f MiB", encoding, len(body)>>10, limit>>20, float64(peak)/(1<<20))
			if peak > 2*limit {
				t.Errorf("%s: took %d MiB, want at most %d", encoding, peak>>20, 2*limit>>20)
			}
			s.Close()
		}
	}
}

// watchHeap returns how much the heap grew at most while f ran.
func watchHeap(f func()) (peak uint64) {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	start, done, ended := m.HeapAlloc, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapAlloc-min(start, m.HeapAlloc))
			}
		}
	}()
	f()
	close(done)
	<-ended
	return peak
}

func TestATreeOfMillionsIsNotBuilt(t *testing.T) {
	pages := map[string]string{
		"/formatting": "<p>Start of the page.</p>" + strings.Repeat("<b><i a=1><p>", 20_000),
		"/attributes": "<p>Start of the page.</p>" + formats(500) + strings.Repeat("<p>x", 100_000),
		"/deep":       "<p>Start of the page.</p>" + strings.Repeat("<div>", 400) + "x" + strings.Repeat("</div>", 400),
		"/elements":   "<p>Start of the page.</p>" + strings.Repeat("<i></i>", 500_000),
		"/spans":      "<p>Start of the page.</p><table><tr><td colspan=1000000 rowspan=1000000>x</td></tr></table>",
		"/quotes":     "<p>Start of the page.</p>" + strings.Repeat("<blockquote>", 300) + "x",
	}
	s := newSite(t, pages)
	c := servertest.Open(t, web.New, env(""))
	for path := range pages {
		var got answer
		start := time.Now()
		peak := watchHeap(func() { c.Must(t, "fetch", map[string]any{"url": s.URL + path, "view": "page"}, &got) })
		if !strings.Contains(got.Content, "Start of the page.") {
			t.Errorf("%s: got %.100q", path, got.Content)
		}
		t.Logf("%s: %d kB took %v and %d MiB", path, len(pages[path])>>10, time.Since(start).Round(time.Millisecond), peak>>20)
		if peak > 200<<20 {
			t.Errorf("%s: took %d MiB, want less than 200", path, peak>>20)
		}
	}
}

// formats are formatting elements that all differ, so that the parser keeps each open.
func formats(n int) string {
	var out strings.Builder
	for i := range n {
		fmt.Fprintf(&out, "<b id=%d>", i)
	}
	return out.String()
}

func TestACrawlStaysOnItsSite(t *testing.T) {
	link := func(urls ...string) string {
		text := "<p>A page with enough words in it to count as one.</p>"
		for _, u := range urls {
			text += `<p><a href="` + u + `">` + u + `</a></p>`
		}
		return text
	}
	s := newSite(t, map[string]string{
		"/robots.txt": "Content-Type: text/plain\n\nSitemap: /map.xml\nUser-agent: *\nDisallow: /secret\n",
		"/":           link("/a", "/b#x", "/secret", "http://10.0.0.1/", "https://example.org/", "/photo.jpg", "/a"),
		"/a":          link("/a/deep", "/"), "/a/deep": link("/a/deeper"), "/a/deeper": link("/never"),
		"/b":       strings.Replace(link("/hidden"), `<a `, `<a rel="nofollow" `, 1),
		"/map.xml": `<urlset><url><loc>HOST/mapped</loc></url></urlset>`, "/mapped": link(),
	})
	c := servertest.Open(t, web.New, env(""))
	var got struct {
		Pages []struct {
			URL   string
			About string
			Depth int
		}
		Left      int
		Truncated bool
	}
	c.Must(t, "crawl", map[string]any{"url": s.URL, "depth": 2}, &got)
	found := map[string]int{}
	for _, p := range got.Pages {
		found[strings.TrimPrefix(p.URL, s.URL)] = p.Depth
	}
	if want := map[string]int{"/": 0, "/a": 1, "/b": 1, "/secret": 1, "/a/deep": 2}; fmt.Sprint(found) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", found, want)
	}
	for _, path := range []string{"/secret", "/photo.jpg", "/hidden", "/a/deeper"} {
		if s.count(path) != 0 {
			t.Errorf("%s was asked for", path)
		}
	}
	c.Must(t, "crawl", map[string]any{"url": s.URL, "depth": 0, "sitemap": true}, &got)
	if len(got.Pages) != 2 || got.Pages[1].URL != s.URL+"/mapped" {
		t.Errorf("with the sitemap: got %+v", got)
	}
	c.Must(t, "crawl", map[string]any{"url": s.URL, "pages": 2}, &got)
	if len(got.Pages) != 2 || !got.Truncated || got.Left == 0 {
		t.Errorf("two pages: got %+v", got)
	}
	c.Must(t, "crawl", map[string]any{"url": s.URL + "/a", "within": "/a"}, &got)
	if len(got.Pages) != 3 {
		t.Errorf("within /a: got %+v", got)
	}
}

func TestAHostIsNotHurried(t *testing.T) {
	s := newSite(t, map[string]string{"/robots.txt": "Status: 200\n\nUser-agent: *\nCrawl-delay: 3600\n", "/": "<p>x</p>", "/busy": "Status: 503\nRetry-After: 600\nbusy"})
	c := servertest.Open(t, web.New, env(""))
	var last servertest.Result
	for range 6 {
		last, _ = c.Call(t.Context(), "fetch", map[string]any{"url": s.URL + "/"})
	}
	if !last.IsError || !strings.Contains(last.Text(), "further apart") || s.count("/") != 4 {
		t.Errorf("got %q after %d requests, want a refusal after 4", last.Text(), s.count("/"))
	}
	c = servertest.Open(t, web.New, env(`,"robots":"crawl-only"`))
	_, _ = c.Call(t.Context(), "fetch", map[string]any{"url": s.URL + "/busy"})
	last, _ = c.Call(t.Context(), "fetch", map[string]any{"url": s.URL + "/busy"})
	if !last.IsError || s.count("/busy") != 1 {
		t.Errorf("a host that asked for a pause was asked %d times: %q", s.count("/busy"), last.Text())
	}
}

func TestSettingsThatAreWrong(t *testing.T) {
	for settings, want := range map[string]string{
		`{"agent":"My Bot/1"}`: "agent must consist", `{"contact":"a\nb"}`: "printable ASCII", `{"max_nodes":1}`: "max_nodes", `{"robots":"no"}`: "robots",
	} {
		_, err := server.Open(&server.Env{Settings: json.RawMessage(settings)}, web.New)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", settings, err, want)
		}
	}
}
