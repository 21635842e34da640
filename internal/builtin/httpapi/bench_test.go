package httpapi_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
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
	"github.com/dragoman-mcp/dragoman/mcp/sdkserver"
	"github.com/dragoman-mcp/dragoman/server"
)

// BenchmarkProxiedGet is a GET of 4 kB of JSON through the tool and, in turns, so that all see the same machine,
//
//   - by the client of net/http with its usual transport and a timeout (ratio),
//   - by the same with a deadline in the context, which costs it less (deadline-ratio),
//   - by our own guarded client (guarded-ratio),
//   - by a handler of the SDK around that one, which nobody checks or counts (handler-ratio),
//   - by a tool of the SDK's server around net/http's client, called as ours is (sdk-ratio).
//
// The API answers at once, or after a millisecond, as one that is very near does. With at once much of the difference is
// that the API's thread has gone to sleep while the tool was busy with the answer before, and has to be woken.
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
	unhurried := &http.Client{Transport: transport}
	call := func(h mcp.Handler) func() {
		return func() {
			r, err := h.Handle(b.Context(), mcp.ReadRequest("tools/call", params, client))
			if err != nil || len(r.Get("structuredContent")) < 3000 {
				b.Fatal(string(r.Raw()), err)
			}
		}
	}
	by := [...]func(){
		func() { get(b, b.Context(), usual, base+"/notes/7") },
		func() {
			ctx, cancel := context.WithTimeout(b.Context(), 30*time.Second)
			defer cancel()
			get(b, ctx, unhurried, base+"/notes/7")
		},
		func() { get(b, b.Context(), guarded, base+"/notes/7") },
		func() { handler(b, guarded, base+"/notes/7") },
		call(bareServer(b, usual, base)),
		call(h),
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
	for i, name := range []string{"", "deadline-", "guarded-", "handler-", "sdk-"} {
		b.ReportMetric(float64(tool.wall)/float64(costs[i].wall), name+"ratio")
		b.ReportMetric(float64(tool.cpu)/float64(costs[i].cpu), name+"cpu-ratio")
	}
	b.ReportMetric(float64(tool.wall)/float64(40*callers*b.N), "tool-ns/op")
}

// get is what somebody writes who asks an API without us.
func get(b *testing.B, ctx context.Context, client *http.Client, url string) []byte {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
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

// bareServer has one tool, as somebody writes it with the SDK alone.
func bareServer(b *testing.B, client *http.Client, base string) mcp.Handler {
	type input struct {
		Operation string            `json:"operation"`
		Arguments map[string]string `json:"arguments,omitempty"`
	}
	type output struct {
		Status int             `json:"status"`
		Body   json.RawMessage `json:"body"`
	}
	s := sdk.NewServer(&sdk.Implementation{Name: "bare", Version: "1"}, nil)
	sdk.AddTool(s, &sdk.Tool{Name: "call", OutputSchema: json.RawMessage(`{"type":"object"}`)},
		func(ctx context.Context, _ *sdk.CallToolRequest, in input) (*sdk.CallToolResult, output, error) {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/notes/"+url.PathEscape(in.Arguments["id"]), nil)
			if err != nil {
				return nil, output{}, err
			}
			req.Header.Set("Accept", "application/json")
			res, err := client.Do(req)
			if err != nil {
				return nil, output{}, err
			}
			defer func() { _ = res.Body.Close() }()
			body, err := io.ReadAll(io.LimitReader(res.Body, 10<<20))
			return nil, output{res.StatusCode, body}, err
		})
	h, err := sdkserver.New(s)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = h.Close() })
	return h
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
	structured, err := json.Marshal(map[string]any{"status": http.StatusOK, "body": json.RawMessage(get(b, b.Context(), guarded, url))})
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
