package httpapi_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
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

// BenchmarkProxiedGet is a GET of 4 kB of JSON by the bare client and through the tool, in turns, so that both see the
// same machine; it reports the ratio, and that to a handler of the SDK around the bare client. The API answers at once, or after a millisecond, as one that is very near does.
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
	bare := network.Client(egress.ClientOptions{})
	for name, path := range map[string]string{"at once": "", "after 1 ms": "/slow"} {
		s, err := server.Open(settings(b, base+path, map[string]any{"surface": "search"}), httpapi.New)
		if err != nil {
			b.Fatal(err)
		}
		h, err := s.Handler()
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) { compare(b, bare, base+path, h) })
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func compare(b *testing.B, bare *http.Client, base string, h mcp.Handler) {
	params, _ := jsonrpc.Split([]byte(`{"name":"call","arguments":{"operation":"getNote","arguments":{"id":"7"}}}`))
	client := mcp.NewClient(mcp.Revision20260728, nil, jsonrpc.Object{})
	one := func() {
		res, err := bare.Get(base + "/notes/7")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadAll(res.Body); err != nil {
			b.Fatal(err)
		}
		_ = res.Body.Close()
	}
	other := func() {
		if _, err := h.Handle(b.Context(), mcp.ReadRequest("tools/call", params, client)); err != nil {
			b.Fatal(err)
		}
	}
	var plain, handled, tool cost
	for b.Loop() {
		plain.add(one)
		handled.add(func() { handler(b, bare, base+"/notes/7") })
		tool.add(other)
		tool.add(other) // what comes second meets a server that is still busy with the first
		handled.add(func() { handler(b, bare, base+"/notes/7") })
		plain.add(one)
	}
	b.ReportMetric(float64(plain.wall)/float64(2*b.N), "bare-ns/op")
	b.ReportMetric(float64(tool.wall)/float64(2*b.N), "tool-ns/op")
	b.ReportMetric(float64(tool.wall)/float64(plain.wall), "ratio")
	b.ReportMetric(float64(tool.cpu)/float64(plain.cpu), "cpu-ratio")
	b.ReportMetric(float64(tool.wall)/float64(handled.wall), "handler-ratio")
	b.ReportMetric(float64(tool.cpu)/float64(handled.cpu), "handler-cpu-ratio")
}

// handler is what a tool does at least: it reads its arguments, gets the answer, and encodes it as text and as structured
// content, with the SDK's types.
func handler(b *testing.B, bare *http.Client, url string) {
	var in struct {
		Operation string         `json:"operation"`
		Arguments map[string]any `json:"arguments"`
	}
	if err := json.Unmarshal([]byte(`{"operation":"getNote","arguments":{"id":"7"}}`), &in); err != nil {
		b.Fatal(err)
	}
	res, err := bare.Get(url)
	if err != nil {
		b.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.Fatal(err)
	}
	_ = res.Body.Close()
	structured, err := json.Marshal(map[string]any{"status": res.StatusCode, "body": json.RawMessage(body)})
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

// add calls f some times.
func (c *cost) add(f func()) {
	began, used := time.Now(), processors()
	for range 20 {
		f()
	}
	c.wall += time.Since(began) / 20
	c.cpu += processors() - used
}

// processors is the time of all processors that the process has used.
func processors() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
