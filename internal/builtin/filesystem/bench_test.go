package filesystem_test

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/builtin/filesystem"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/server"
)

type answer struct {
	Text string `json:"text"`
}

// bare is a server whose only tool reads the file by its root and does nothing else: what a call costs anyway.
func bare(dir string) func(*server.Env) (*server.Server, error) {
	return func(env *server.Env) (*server.Server, error) {
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, err
		}
		s := server.New(env, server.About{Name: "bare", Title: "Bare"})
		s.OnClose(root.Close)
		server.AddTool(s, server.Tool{Name: "read", Title: "Read", Description: "Reads.", Hints: server.Hints{
			ReadOnly: server.Yes, Destructive: server.No, Idempotent: server.Yes, OpenWorld: server.No,
		}}, func(_ context.Context, c *server.Call, in struct {
			Path string `json:"path"`
		}) (answer, error) {
			text, err := root.ReadFile(in.Path)
			c.Text(string(text))
			return answer{string(text)}, err
		})
		return s, nil
	}
}

// BenchmarkRead is a file of 64 KiB read by the tool, and by a tool that does nothing but read it. Their quotient is what
// paths, policy, etag, encoding, budget and marks cost.
func BenchmarkRead(b *testing.B) {
	dir := tree(b, map[string]string{"f.txt": strings.Repeat("A line of text with some words.\n", 2048)})
	for name, build := range map[string]func(*server.Env) (*server.Server, error){"tool": filesystem.New, "bare": bare(dir)} {
		b.Run(name, func(b *testing.B) {
			e := &server.Env{}
			if name == "tool" {
				e = env(b, dir, nil)
			}
			s, err := server.Open(e, build)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			h, err := s.Handler()
			if err != nil {
				b.Fatal(err)
			}
			params, _ := jsonrpc.Split([]byte(`{"name":"read","arguments":{"path":"f.txt"}}`))
			client := mcp.NewClient(mcp.Revision20260728, nil, jsonrpc.Object{})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Handle(b.Context(), mcp.ReadRequest("tools/call", params, client)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
