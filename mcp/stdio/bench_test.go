package stdio_test

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/mcp/stdio"
)

// BenchmarkRoundTrip is one message to a peer that says it back, over pipes of
// the operating system: what the transport costs a call.
func BenchmarkRoundTrip(b *testing.B) {
	for name, size := range map[string]int{"200 B": 200, "1 MiB": 1 << 20} {
		b.Run(name, func(b *testing.B) {
			e := kinds()["with deadlines"](b, stdio.Options{})
			go io.Copy(e.toConn, e.fromConn)
			message := []byte(`{"x":"` + strings.Repeat("y", size-8) + `"}`)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				done := make(chan error, 1)
				go func() { done <- e.Write(context.Background(), message) }()
				if _, err := e.Read(context.Background()); err != nil {
					b.Fatal(err)
				}
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
