package mcp_test

import (
	"context"
	"testing"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/mcptest"
)

// BenchmarkMux is one call on a connection in memory: what sorting costs.
func BenchmarkMux(b *testing.B) {
	for name, token := range map[string]string{"without progress": "", "with progress": "1"} {
		b.Run(name, func(b *testing.B) {
			ours, theirs := mcptest.Pipe()
			m := mcp.NewMux(ours, jsonrpc.Limits{})
			defer m.Close()
			go func() {
				for {
					text, err := theirs.Read(context.Background())
					if err != nil {
						return
					}
					msg, _ := jsonrpc.Parse(text, jsonrpc.Limits{})
					_ = theirs.Write(context.Background(), jsonrpc.Message{ID: msg.ID, Result: msg.Params}.Append(nil))
				}
			}()
			params := []byte(`{"name":"echo","arguments":{"text":"hello"}}`)
			b.ReportAllocs()
			for b.Loop() {
				call, err := m.Start(context.Background(), mcp.Outgoing{Method: "tools/call", Params: params, ProgressToken: token})
				if err != nil {
					b.Fatal(err)
				}
				<-call.Messages()
			}
		})
	}
}
