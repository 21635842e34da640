package filesystem_test

import (
	"context"
	"crypto/sha256"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

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

// BenchmarkRead is a file of 64 KiB read by the tool (ns/op), and in turn by a tool that does nothing but read it. x/bare
// is the quotient of the medians: what paths, policy, etag, encoding, budget and marks cost. x/hash is that of one SHA-256 of the
// file, which the etag needs, to a call of the bare tool.
func BenchmarkRead(b *testing.B) {
	content := strings.Repeat("A line of text with some words.\n", 2048)
	dir := tree(b, map[string]string{"f.txt": content})
	call := func(e *server.Env, build func(*server.Env) (*server.Server, error)) func() {
		s, err := server.Open(e, build)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = s.Close() })
		h, err := s.Handler()
		if err != nil {
			b.Fatal(err)
		}
		params, _ := jsonrpc.Split([]byte(`{"name":"read","arguments":{"path":"f.txt"}}`))
		client := mcp.NewClient(mcp.Revision20260728, nil, jsonrpc.Object{})
		return func() {
			if _, err := h.Handle(b.Context(), mcp.ReadRequest("tools/call", params, client)); err != nil {
				b.Fatal(err)
			}
		}
	}
	tool, plain := call(env(b, dir, nil), filesystem.New), call(&server.Env{}, bare(dir))
	var took [3][]time.Duration
	b.ReportAllocs()
	for b.Loop() {
		for i, run := range []func(){tool, plain, func() { sha256.Sum256([]byte(content)) }} {
			if i == 1 {
				b.StopTimer()
			}
			began := time.Now()
			run()
			took[i] = append(took[i], time.Since(began))
		}
		b.StartTimer()
	}
	var medians [3]float64
	for i, t := range took {
		slices.Sort(t)
		medians[i] = float64(t[len(t)/2])
	}
	b.ReportMetric(medians[0]/medians[1], "x/bare")
	b.ReportMetric(medians[2]/medians[1], "x/hash")
}
