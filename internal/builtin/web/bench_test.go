package web_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"codeberg.org/readeck/go-readability/v2"

	"github.com/dragoman-mcp/dragoman/internal/builtin/web"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/servertest"
)

func TestWire(t *testing.T) {
	servertest.Script(t, web.New, func(*testing.T) *server.Env { return &server.Env{} }, "testdata/wire.txt")
}

// BenchmarkGet compares a GET through the tool fetch with one by the client of net/http with its usual transport and a
// timeout, in turns: 64 kB of text, which is passed on, and a page, whose content is found, with readability for the same
// page after the same GET.
func BenchmarkGet(b *testing.B) {
	text := strings.Repeat("A line of text that is not very long.\n", 64<<10/38)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/text":
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = io.WriteString(w, text)
		case "/page":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = io.WriteString(w, article)
		default:
			http.NotFound(w, r)
		}
	}))
	defer s.Close()
	client := &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone(), Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	heap := make([]byte, 16<<20) // as in the gateway, where the collector runs less often than in a small test
	defer runtime.KeepAlive(heap)
	get := func(path string) []byte {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, s.URL+path, nil)
		if err != nil {
			b.Fatal(err)
		}
		res, err := client.Do(req)
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			b.Fatal(res.Status, err)
		}
		return body
	}
	c := servertest.Open(b, web.New, env(`,"limits":{"max_tokens":1000000}`))
	h, err := c.Server.Handler()
	if err != nil {
		b.Fatal(err)
	}
	for path, bare := range map[string]func(){
		"/text": func() { get("/text") },
		"/page": func() {
			at, err := url.Parse(s.URL + "/page")
			if err != nil {
				b.Fatal(err)
			}
			article, err := readability.FromReader(bytes.NewReader(get("/page")), at)
			if err != nil {
				b.Fatal(err)
			}
			var text strings.Builder
			if err := article.RenderText(&text); err != nil || text.Len() == 0 {
				b.Fatal(text.Len(), err)
			}
		},
	} {
		b.Run(path[1:], func(b *testing.B) {
			params, ok := jsonrpc.Split([]byte(`{"name":"fetch","arguments":{"url":"` + s.URL + path + `"}}`))
			if !ok {
				b.Fatal("the call cannot be read")
			}
			caller := mcp.NewClient(mcp.Revision20260728, nil, jsonrpc.Object{})
			var plain, tool cost
			call := func() {
				if _, err := h.Handle(b.Context(), mcp.ReadRequest("tools/call", params, caller)); err != nil {
					b.Fatal(err)
				}
			}
			for b.Loop() {
				plain.add(bare)
				tool.add(call)
				tool.add(call) // what comes second meets a server that is still busy with the first
				plain.add(bare)
			}
			b.ReportMetric(float64(tool.wall)/float64(plain.wall), "ratio")
			b.ReportMetric(float64(tool.cpu)/float64(plain.cpu), "cpu-ratio")
		})
	}
}

// cost is time on the clock, and of the processors, which is the same whatever
// else the machine does.
type cost struct{ wall, cpu time.Duration }

// add calls f some times.
func (c *cost) add(f func()) {
	began, used := time.Now(), processors()
	for range 20 {
		f()
	}
	c.wall += time.Since(began)
	c.cpu += processors() - used
}

// processors is the time of all processors that the process has used.
func processors() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
