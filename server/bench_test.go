package server_test

import (
	"context"
	"testing"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/server"
)

type row struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
	Mail string `json:"mail"`
}

type rows struct {
	Rows []row `json:"rows"`
	server.Page
}

// BenchmarkCall is what the way through a server costs: a call that does nothing, and one that answers with 100 rows.
func BenchmarkCall(b *testing.B) {
	var all []row
	for i := range 100 {
		all = append(all, row{i, "Somebody", "somebody@example.org"})
	}
	s, err := server.Open(&server.Env{}, making(func(s *server.Server) {
		server.AddTool(s, tool("nothing"), func(context.Context, *server.Call, none) (none, error) { return none{}, nil })
		server.AddTool(s, tool("rows"), func(context.Context, *server.Call, none) (rows, error) { return rows{Rows: all}, nil })
	}))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	h, err := s.Handler()
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"nothing", "rows"} {
		b.Run(name, func(b *testing.B) {
			params, _ := jsonrpc.Split([]byte(`{"name":"` + name + `","arguments":{}}`))
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
