package httpapi_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi"
	"github.com/dragoman-mcp/dragoman/internal/egress"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/server"
)

// BenchmarkProxiedGet is a GET of 2 kB of JSON by the bare client and through the tool, in turn, so that both see the
// same machine; it reports the ratio. The API answers at once, or after a millisecond, as one that is very near does.
func BenchmarkProxiedGet(b *testing.B) {
	text := `{"items": [` + strings.TrimSuffix(strings.Repeat(`{"id": 12345, "name": "something", "tags": ["a", "b"]},`, 36), ",") + `]}`
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
	var plain, tool int64
	for b.Loop() {
		plain += timed(func() {
			res, err := bare.Get(base + "/notes/7")
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
		})
		tool += timed(func() {
			if _, err := h.Handle(b.Context(), mcp.ReadRequest("tools/call", params, client)); err != nil {
				b.Fatal(err)
			}
		})
	}
	b.ReportMetric(float64(plain)/float64(b.N), "bare-ns/op")
	b.ReportMetric(float64(tool)/float64(b.N), "tool-ns/op")
	b.ReportMetric(float64(tool)/float64(plain), "ratio")
}

func timed(f func()) int64 {
	began := time.Now()
	f()
	return int64(time.Since(began))
}
