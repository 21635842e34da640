package upstream_test

import (
	"context"
	"testing"

	"github.com/dragoman-mcp/dragoman/mcp"
)

// BenchmarkHandle measures what a call costs beside the server's own work: the
// server answers at once. The caller's context can be cancelled, as that of each
// HTTP request can.
func BenchmarkHandle(b *testing.B) {
	answer := said("x")
	server := mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) { return answer, nil })
	u := newHouse(b).inside(server, nil)
	req := tool("echo", `{"text":"hello"}`)
	for name, h := range map[string]mcp.Handler{"server": server, "upstream": u} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				ctx, cancel := context.WithCancel(context.Background())
				if _, err := h.Handle(ctx, req); err != nil {
					b.Fatal(err)
				}
				cancel()
			}
		})
		b.Run(name+", parallel", func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					ctx, cancel := context.WithCancel(context.Background())
					if _, err := h.Handle(ctx, req); err != nil {
						b.Error(err)
					}
					cancel()
				}
			})
		})
	}
}

// BenchmarkProcess measures a call to a program, one after the other.
func BenchmarkProcess(b *testing.B) {
	u := newHouse(b).open(program("modern"))
	req := tool("echo", `{"text":"hello"}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := u.Handle(b.Context(), req); err != nil {
			b.Fatal(err)
		}
	}
}
