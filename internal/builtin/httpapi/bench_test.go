package httpapi_test

import (
	"encoding/json"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi"
	"github.com/dragoman-mcp/dragoman/internal/egress"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/server"
)

// BenchmarkProxiedGet is a GET of 4 kB of JSON through the tool and by the client of net/http with its usual transport and
// a timeout, in turns, so that both see the same machine. It reports that ratio, the one to our own guarded client, and
// the one to a handler of the SDK around the latter. The API answers at once, or after a millisecond, as one that is very
// near does. With at once much of the difference is that the API's thread has gone to sleep while the tool was busy with
// the answer before, and has to be woken.
func BenchmarkProxiedGet(b *testing.B) {
	text := `{"items": [` + strings.TrimSuffix(strings.Repeat(`{"id": 12345, "name": "something", "tags": ["a", "b"]},`, 72), ",") + `]}`
	base := serving(b, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/slow") {
			<-time.After(time.Millisecond)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, text)
	})
	network := egress.New(egress.Options{})
	defer func() { _ = network.Close() }()
	guarded := network.Client(egress.ClientOptions{})
	heap := make([]byte, 16<<20) // as in the gateway, where the collector runs less often than in a small test
	defer runtime.KeepAlive(heap)
	for _, way := range []struct {
		name, path string
		callers    int
	}{{"eight callers", "", 8}, {"one caller", "", 1}, {"one caller, after 1 ms", "/slow", 1}} {
		path := way.path
		s, err := server.Open(settings(b, base+path, map[string]any{"surface": "search"}), httpapi.New)
		if err != nil {
			b.Fatal(err)
		}
		h, err := s.Handler()
		if err != nil {
			b.Fatal(err)
		}
		b.Run(way.name, func(b *testing.B) { compare(b, guarded, base+path, h, way.callers) })
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func compare(b *testing.B, guarded *http.Client, base string, h mcp.Handler, callers int) {
	params, _ := jsonrpc.Split([]byte(`{"name":"call","arguments":{"operation":"getNote","arguments":{"id":"7"}}}`))
	client := mcp.NewClient(mcp.Revision20260728, nil, jsonrpc.Object{})
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = callers // the two of the default make it open connections all the time
	usual := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	defer usual.CloseIdleConnections()
	by := [...]func(){
		func() { get(b, usual, base+"/notes/7") },
		func() { get(b, guarded, base+"/notes/7") },
		func() { handler(b, guarded, base+"/notes/7") },
		func() {
			if _, err := h.Handle(b.Context(), mcp.ReadRequest("tools/call", params, client)); err != nil {
				b.Fatal(err)
			}
		},
	}
	var costs [len(by)]cost
	for b.Loop() {
		for i := range by { // what comes second meets a server that is still busy with the first
			costs[i].add(callers, by[i])
		}
		for i := range by {
			costs[len(by)-1-i].add(callers, by[len(by)-1-i])
		}
	}
	tool := costs[len(by)-1]
	for i, name := range []string{"", "guarded-", "handler-"} {
		b.ReportMetric(float64(tool.wall)/float64(costs[i].wall), name+"ratio")
		b.ReportMetric(float64(tool.cpu)/float64(costs[i].cpu), name+"cpu-ratio")
	}
	b.ReportMetric(float64(tool.wall)/float64(40*callers*b.N), "tool-ns/op")
}

// get is what somebody writes who asks an API without us.
func get(b *testing.B, client *http.Client, url string) []byte {
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, url, nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Header.Set("Accept", "application/json")
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

// handler is what a tool does at least: it reads its arguments, gets the answer, and encodes it as text and as structured
// content, with the SDK's types.
func handler(b *testing.B, guarded *http.Client, url string) {
	var in struct {
		Operation string         `json:"operation"`
		Arguments map[string]any `json:"arguments"`
	}
	if err := json.Unmarshal([]byte(`{"operation":"getNote","arguments":{"id":"7"}}`), &in); err != nil {
		b.Fatal(err)
	}
	structured, err := json.Marshal(map[string]any{"status": http.StatusOK, "body": json.RawMessage(get(b, guarded, url))})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := json.Marshal(&sdk.CallToolResult{
		Content: []sdk.Content{&sdk.TextContent{Text: string(structured)}}, StructuredContent: json.RawMessage(structured),
	}); err != nil {
		b.Fatal(err)
	}
}

// cost is time on the clock, and of the processors, which is the same whatever
// else the machine does.
type cost struct{ wall, cpu time.Duration }

// add has callers call f some times each.
func (c *cost) add(callers int, f func()) {
	began, used := time.Now(), processors()
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range 20 {
				f()
			}
		})
	}
	all.Wait()
	c.wall += time.Since(began)
	c.cpu += processors() - used
}

// processors is the time of all processors that the process has used.
func processors() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
