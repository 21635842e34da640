// Package servertest holds a server to what every server keeps: [Check] looks at
// its definitions and what they cost a model, [Script] plays a script of
// messages with it in process, over stdio and over HTTP, and [Open] gives a
// test the server to call.
//
// It does not know what a server is for: that is in its script.
package servertest

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/server"
)

// Make is the function that makes the server under test.
type Make = func(*server.Env) (*server.Server, error)

// Client calls a server for a test.
type Client struct {
	Server *server.Server // nil when it is reached over a transport
	// Capabilities are what the client says that it can do, as JSON; empty for
	// nothing. {"elicitation":{}} lets it be asked by Call.Confirm.
	Capabilities string
	h            mcp.Handler

	mu      sync.Mutex // guards schemas
	schemas map[string]*jsonschema.Resolved
}

// Open makes a server, closes it with the test, and returns a client of it. A
// nil env is an empty one.
func Open(t testing.TB, build Make, env *server.Env) *Client {
	t.Helper()
	if env == nil {
		env = &server.Env{}
	}
	s, err := server.Open(env, build)
	if err != nil {
		t.Fatalf("make the server: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close the server: %v", err)
		}
	})
	h, err := s.Handler()
	if err != nil {
		t.Fatal(err)
	}
	return &Client{Server: s, h: h}
}

// Result is the answer to a call of a tool.
type Result struct {
	IsError bool `json:"isError"`
	Content []struct {
		Type, Text string
	} `json:"content"`
	Structured json.RawMessage `json:"structuredContent"`
	Meta       map[string]any  `json:"_meta"`
}

// Text is the text of all content, one block to a line.
func (r Result) Text() string {
	text := ""
	for i, c := range r.Content {
		if i > 0 {
			text += "\n"
		}
		text += c.Text
	}
	return text
}

// Call calls a tool as whoever ctx says (mcp.WithPrincipal) and returns its
// answer, which must fit the tool's output schema: in production nobody looks.
// arguments must marshal to an object; nil means none.
func (c *Client) Call(ctx context.Context, tool string, arguments any) (Result, error) {
	if arguments == nil {
		arguments = struct{}{}
	}
	params, err := json.Marshal(map[string]any{"name": tool, "arguments": arguments})
	if err != nil {
		return Result{}, err
	}
	raw, err := c.Request(ctx, "tools/call", params)
	if err != nil {
		return Result{}, err
	}
	var r Result
	if err := json.Unmarshal(raw, &r); err != nil {
		return Result{}, fmt.Errorf("read the answer %s: %w", raw, err)
	}
	return r, c.fits(ctx, tool, raw)
}

// Must is Call for a test that goes no further when the call fails. What the
// tool answers is put into out, if that is not nil.
func (c *Client) Must(t testing.TB, tool string, arguments, out any) Result {
	t.Helper()
	r, err := c.Call(t.Context(), tool, arguments)
	if err != nil {
		t.Fatalf("call %s %v: %v", tool, arguments, err)
	}
	if r.IsError {
		t.Fatalf("call %s %v: the tool says: %s", tool, arguments, r.Text())
	}
	if out == nil {
		return r
	}
	if err := json.Unmarshal(r.Structured, out); err != nil {
		t.Fatalf("call %s %v: read %s: %v", tool, arguments, r.Structured, err)
	}
	return r
}

// Request makes one request of revision 2026-07-28 and returns its result.
func (c *Client) Request(ctx context.Context, method string, params []byte) ([]byte, error) {
	o, ok := jsonrpc.Split(params)
	if !ok {
		return nil, fmt.Errorf("params of %s are no object: %s", method, params)
	}
	capabilities, _ := jsonrpc.Split([]byte(c.Capabilities))
	client := mcp.NewClient(mcp.Revision20260728, []byte(`{"name":"servertest","version":"1"}`), capabilities)
	result, err := c.h.Handle(ctx, mcp.ReadRequest(method, o, client))
	if err != nil {
		return nil, err
	}
	return result.Raw(), nil
}
