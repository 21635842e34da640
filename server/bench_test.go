package server_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/sdkserver"
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

type wanted struct {
	Name  string `json:"name"`
	Limit int    `json:"limit,omitempty" min:"1" max:"1000" default:"100"`
}

type written struct {
	Text string `json:"text"`
	server.Page
}

// A job is what one tool does: make is its work, without any frame around it, and text what people read of it, "" for
// the JSON of what was made.
type job[T any] struct {
	name string
	make func(wanted) T
	text func(T) string
	tool func(c *server.Call, made T) T // what the tool does besides, such as counting
}

// BenchmarkCall is what the frame costs around three tools: one with a small answer, one with 100 rows, each counted
// against the budget, and one with a text of 64 KiB, counted too. Each is called in turn
//
//   - with this package (the figure ns/op),
//   - as a handler of the official SDK that answers with the same, called by itself and its result encoded, without
//     any check of arguments, budget or metrics (ours/handler is our time divided by its time),
//   - as such a handler in the SDK's server (ours/sdk),
//   - as a function from JSON to JSON, which says everything once (ours/function).
func BenchmarkCall(b *testing.B) {
	var all []row
	for i := range 100 {
		all = append(all, row{i, "Somebody", "somebody@example.org"})
	}
	long := strings.Repeat("A line of text with some words.\n", 2048)
	against(b, job[written]{name: "small", make: func(in wanted) written { return written{Text: "hello " + in.Name} }})
	against(b, job[rows]{
		name: "100 rows", make: func(wanted) rows { return rows{Rows: all} },
		tool: func(c *server.Call, made rows) rows {
			out := rows{Rows: []row{}}
			for _, r := range made.Rows {
				if !c.Budget.Row([]byte(r.Name + r.Mail)) {
					break
				}
				out.Rows = append(out.Rows, r)
			}
			return out
		},
	})
	against(b, job[written]{
		name: "64 KiB", make: func(wanted) written { return written{Text: long} },
		text: func(w written) string { return w.Text },
		tool: func(c *server.Call, made written) written {
			part, whole := c.Budget.Text(made.Text)
			c.Text(part)
			return written{part, server.Page{Truncated: !whole}}
		},
	})
}

func against[T any](b *testing.B, j job[T]) {
	b.Run(j.name, func(b *testing.B) {
		client := mcp.NewClient(mcp.Revision20260728, nil, jsonrpc.Object{})
		arguments := []byte(`{"name":"x","limit":7}`)
		params, _ := jsonrpc.Split([]byte(`{"name":"work","arguments":` + string(arguments) + `}`))
		calls := func(h mcp.Handler) func() {
			return func() {
				if _, err := h.Handle(b.Context(), mcp.ReadRequest("tools/call", params, client)); err != nil {
					b.Fatal(err)
				}
			}
		}
		request := &sdk.CallToolRequest{Params: &sdk.CallToolParamsRaw{Name: "work", Arguments: arguments}}
		handle := j.handler()
		took := inTurn(b,
			calls(j.server(b)),
			func() {
				r, err := handle(b.Context(), request)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := json.Marshal(r); err != nil {
					b.Fatal(err)
				}
			},
			calls(j.sdkServer(b, handle)),
			func() {
				var in wanted
				if err := json.Unmarshal(arguments, &in); err != nil {
					b.Fatal(err)
				}
				if _, err := json.Marshal(j.make(in)); err != nil {
					b.Fatal(err)
				}
			},
		)
		b.ReportMetric(float64(took[0])/float64(b.N), "ns/op")
		for i, name := range []string{"handler", "sdk", "function"} {
			b.ReportMetric(float64(took[0])/float64(took[i+1]), "ours/"+name)
		}
	})
}

// inTurn calls each function once in each round, so that all see the same machine.
func inTurn(b *testing.B, calls ...func()) []time.Duration {
	took := make([]time.Duration, len(calls))
	for b.Loop() {
		for i, call := range calls {
			began := time.Now()
			call()
			took[i] += time.Since(began)
		}
	}
	return took
}

func (j job[T]) server(b *testing.B) mcp.Handler {
	s, err := server.Open(&server.Env{}, making(func(s *server.Server) {
		server.AddTool(s, tool("work"), func(_ context.Context, c *server.Call, in wanted) (T, error) {
			made := j.make(in)
			if j.tool != nil {
				made = j.tool(c, made)
			}
			return made, nil
		})
	}))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	h, err := s.Handler()
	if err != nil {
		b.Fatal(err)
	}
	return h
}

// handler is the tool as it is written with the SDK alone.
func (j job[T]) handler() sdk.ToolHandler {
	return func(_ context.Context, r *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
		var in wanted
		if err := json.Unmarshal(r.Params.Arguments, &in); err != nil {
			return nil, err
		}
		made := j.make(in)
		structured, err := json.Marshal(made)
		if err != nil {
			return nil, err
		}
		text := string(structured)
		if j.text != nil {
			text = j.text(made)
		}
		return &sdk.CallToolResult{
			Content: []sdk.Content{&sdk.TextContent{Text: text}}, StructuredContent: json.RawMessage(structured),
		}, nil
	}
}

func (j job[T]) sdkServer(b *testing.B, handle sdk.ToolHandler) mcp.Handler {
	s := sdk.NewServer(&sdk.Implementation{Name: "bare", Version: "1"}, nil)
	s.AddTool(&sdk.Tool{Name: "work", InputSchema: json.RawMessage(`{"type":"object"}`)}, handle)
	h, err := sdkserver.New(s)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = h.Close() })
	return h
}
