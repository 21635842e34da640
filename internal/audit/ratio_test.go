package audit_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/audit"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// BenchmarkRatio puts what audit costs beside what a call costs anyway: 64
// callers call a server through the standard library's reverse proxy, with and
// without a record of each call, in turns.
func BenchmarkRatio(b *testing.B) {
	const callers, turn = 64, 4000
	answer := `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"done"}]}}`
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, answer)
	}))
	defer backend.Close()
	to, err := url.Parse(backend.URL)
	if err != nil {
		b.Fatal(err)
	}
	bare := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	req := call("write_file", `{"path":"/home/ada/notes/today.md","content":"The quick brown fox jumps over the lazy dog."}`)
	read := &mcp.Request{Method: "resources/read", Name: "file:///home/ada/notes/today.md"}
	l := open(b, audit.Options{Config: settings(b.TempDir())})
	through := func(req *mcp.Request) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h := l.Record("files")(mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) {
				bare.ServeHTTP(w, r)
				return mcp.EmptyResult(), nil
			}))
			_, _ = h.Handle(r.Context(), req)
		})
	}
	kinds := map[string]http.Handler{"bare": bare, "side effect": through(req), "read": through(read)}
	used, took := make(map[string]time.Duration), make(map[string]time.Duration)
	for b.Loop() {
		for kind, h := range kinds {
			c, w := turnOf(b, h, callers, turn)
			used[kind] += c
			took[kind] += w
		}
	}
	for kind := range kinds {
		name := strings.ReplaceAll(kind, " ", "-")
		b.ReportMetric(float64(used[kind].Microseconds())/float64(b.N*turn), name+"-cpu-µs/call")
		b.ReportMetric(float64(b.N*turn)/took[kind].Seconds(), name+"-calls/s")
		if kind != "bare" {
			b.ReportMetric(float64(used[kind])/float64(used["bare"]), name+"-ratio")
		}
	}
	closeLog(b, l)
}

// turnOf makes calls and gives the computing and the time that they took.
func turnOf(b *testing.B, h http.Handler, callers, calls int) (used, took time.Duration) {
	front := httptest.NewServer(h)
	defer front.Close()
	transport := &http.Transport{MaxIdleConnsPerHost: callers}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	body := strings.Repeat("x", 200)
	begun, before := time.Now(), cpu()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range calls / callers {
				res, err := client.Post(front.URL, "application/json", strings.NewReader(body))
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
		})
	}
	wg.Wait()
	return cpu() - before, time.Since(begun)
}
