package filesystem_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
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
			b, err := root.ReadFile(in.Path)
			text := string(b)
			c.Text(text)
			return answer{text}, err
		})
		return s, nil
	}
}

// BenchmarkRead compares a file of 64 KiB read by the tool with a tool that does nothing but read it, in turns of some calls
// each, whoever was second being first the next time: what paths, policy, etag, encoding, budget and marks cost. The file
// is the same as ever, whose etag is remembered, or has been changed before each turn, so that each call makes it anew, with
// a key as in a gateway, or as SHA-256.
func BenchmarkRead(b *testing.B) {
	change := func(file string) {
		if err := os.Chtimes(file, time.Time{}, time.Now()); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("again", func(b *testing.B) { read(b, "the secret of a gateway", func(string) {}) })
	b.Run("changed", func(b *testing.B) { read(b, "the secret of a gateway", change) })
	b.Run("changed without a key", func(b *testing.B) { read(b, "", change) })
}

func read(b *testing.B, secret string, touch func(file string)) {
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
	own := env(b, dir, nil)
	own.Secret = []byte(secret)
	tool, plain := call(own, filesystem.New), call(&server.Env{}, bare(dir))
	heap := make([]byte, 16<<20) // as in the gateway, where the collector runs less often than in a small test
	defer runtime.KeepAlive(heap)
	var ours, theirs cost
	for b.Loop() {
		for _, turn := range []struct {
			*cost
			call func()
		}{{&ours, tool}, {&theirs, plain}, {&theirs, plain}, {&ours, tool}} {
			touch(filepath.Join(dir, "f.txt"))
			turn.add(turn.call)
		}
	}
	b.ReportMetric(float64(ours.wall)/float64(theirs.wall), "ratio")
	b.ReportMetric(float64(ours.cpu)/float64(theirs.cpu), "cpu-ratio")
}

// cost is time on the clock, and of the processors, which is the same whatever else the machine does.
type cost struct{ wall, cpu time.Duration }

// add calls f some times.
func (c *cost) add(f func()) {
	began, used := time.Now(), processors()
	for range 10 {
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
