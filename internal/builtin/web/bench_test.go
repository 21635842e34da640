package web_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/builtin/web"
	"github.com/dragoman-mcp/dragoman/internal/egress"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/servertest"
)

func TestWire(t *testing.T) {
	servertest.Script(t, web.New, func(*testing.T) *server.Env { return &server.Env{} }, "testdata/wire.txt")
}

// BenchmarkGet compares a GET of 64 kB of text through the tool fetch with one by the bare guarded client, and with the
// reading of a page.
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
	b.Run("bare", func(b *testing.B) {
		guard, err := egress.NewGuard(egress.Policy{Allow: []string{"127.0.0.1"}}, nil)
		if err != nil {
			b.Fatal(err)
		}
		n := egress.New(egress.Options{Guard: guard})
		defer func() { _ = n.Close() }()
		client := n.Client(egress.ClientOptions{})
		for b.Loop() {
			res, err := client.Get(s.URL + "/text")
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadAll(res.Body); err != nil {
				b.Fatal(err)
			}
			_ = res.Body.Close()
		}
	})
	c := servertest.Open(b, web.New, env(`,"limits":{"max_tokens":1000000}`))
	h, err := c.Server.Handler()
	if err != nil {
		b.Fatal(err)
	}
	for _, path := range []string{"text", "page"} {
		b.Run(path, func(b *testing.B) {
			params, ok := jsonrpc.Split([]byte(`{"name":"fetch","arguments":{"url":"` + s.URL + "/" + path + `"}}`))
			if !ok {
				b.Fatal("the call cannot be read")
			}
			client := mcp.NewClient(mcp.Revision20260728, nil, jsonrpc.Object{})
			for b.Loop() {
				if _, err := h.Handle(b.Context(), mcp.ReadRequest("tools/call", params, client)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
