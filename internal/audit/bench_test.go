package audit_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/audit"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// cpu is the time that this process has computed.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkCalls says how many calls a second are recorded, twice each and each
// time on disk before it goes on, and what that costs in computing.
func BenchmarkCalls(b *testing.B) {
	req := call("write_file", `{"path":"/home/ada/notes/today.md","content":"The quick brown fox jumps over the lazy dog.","mode":420}`)
	req.Client = &mcp.Client{Revision: "2026-07-28", Info: []byte(`{"name":"claude","version":"1.2"}`)}
	ctx := mcp.WithPrincipal(mcp.WithRequestID(context.Background(), "ABCDEFGHIJKLMNOPQRSTUVWXYZ"), mcp.Principal{ID: "ada", Method: "jwt"})
	read := &mcp.Request{Method: "resources/read", Name: "file:///home/ada/notes/today.md", Client: req.Client}
	for _, callers := range []int{1, 16, 64, 256} {
		for name, req := range map[string]*mcp.Request{"side effect": req, "read": read} {
			b.Run(fmt.Sprintf("%s, %d callers", name, callers), func(b *testing.B) {
				c := settings(b.TempDir())
				l := open(b, audit.Options{Config: c})
				h := l.Record("files")(&counting{})
				begun, used := time.Now(), cpu()
				b.ResetTimer()
				var wg sync.WaitGroup
				for i := range callers {
					wg.Go(func() {
						for n := i; n < b.N; n += callers {
							if _, err := h.Handle(ctx, req); err != nil {
								b.Error(err)
							}
						}
					})
				}
				wg.Wait()
				b.StopTimer()
				b.ReportMetric(float64(b.N)/time.Since(begun).Seconds(), "calls/s")
				b.ReportMetric(float64((cpu()-used).Nanoseconds())/float64(b.N), "cpu-ns/call")
				if s := l.Status(); s.Dropped > 0 {
					b.ReportMetric(float64(s.Dropped)/float64(b.N), "dropped/call")
				}
				closeLog(b, l)
			})
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	c := settings(b.TempDir())
	l := open(b, audit.Options{Config: c})
	h := l.Record("files")(&counting{})
	var wg sync.WaitGroup
	for range 256 {
		wg.Go(func() {
			for range 200 {
				_, _ = h.Handle(context.Background(), call("write", `{"path":"/home/ada/notes/today.md"}`))
			}
		})
	}
	wg.Wait()
	closeLog(b, l)
	size := 0
	all, _ := filepath.Glob(filepath.Join(c.Dir, "audit-*.jsonl"))
	for _, path := range all {
		text, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		size += len(text)
	}
	b.SetBytes(int64(size))
	n, begun := uint64(0), time.Now()
	for b.Loop() {
		n += whole(b, c).Records
	}
	b.ReportMetric(float64(n)/time.Since(begun).Seconds(), "records/s")
}
