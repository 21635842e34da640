package server_test

import (
	"context"
	"strings"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/servertest"
)

func TestProgressReachesItsCallerOnly(t *testing.T) {
	c := servertest.Open(t, making(func(s *server.Server) {
		server.AddTool(s, tool("work"), func(ctx context.Context, c *server.Call, _ none) (none, error) {
			for i := range 3 {
				c.Progress(ctx, float64(i), 3, "step")
			}
			return none{}, nil
		})
	}), nil)
	h, err := c.Server.Handler()
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{`"p"`, `7`, ``} {
		params := `{"name":"work","arguments":{}}`
		if token != "" {
			params = `{"name":"work","arguments":{},"_meta":{"progressToken":` + token + `}}`
		}
		o, _ := jsonrpc.Split([]byte(params))
		req := mcp.ReadRequest("tools/call", o, &mcp.Client{Revision: mcp.Revision20260728})
		var got []string
		req.Notify = func(n mcp.Notification) { got = append(got, string(n.Params.Get("progressToken"))) }
		if _, err := h.Handle(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		want := 3
		if token == "" {
			want = 0
		}
		if len(got) != want || want > 0 && got[2] != token {
			t.Errorf("token %s: got %v", token, got)
		}
	}
}

func TestCloseEndsCallsUnderWayAndWaits(t *testing.T) {
	begun, closed := make(chan bool, 1), false
	s, err := server.Open(&server.Env{}, making(func(s *server.Server) {
		s.OnClose(func() error { closed = true; return nil })
		server.AddTool(s, tool("wait"), func(ctx context.Context, _ *server.Call, _ none) (none, error) {
			begun <- true
			<-ctx.Done()
			if closed {
				t.Error("what the call uses was released before the call had ended")
			}
			return none{}, ctx.Err()
		})
	}))
	if err != nil {
		t.Fatal(err)
	}
	h, err := s.Handler()
	if err != nil {
		t.Fatal(err)
	}
	params, _ := jsonrpc.Split([]byte(`{"name":"wait","arguments":{}}`))
	ended := make(chan error, 1)
	go func() {
		_, err := h.Handle(t.Context(), mcp.ReadRequest("tools/call", params, &mcp.Client{}))
		ended <- err
	}()
	<-begun
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("a call that was cut off went well")
	}
	if _, err := h.Handle(t.Context(), mcp.ReadRequest("tools/call", params, &mcp.Client{})); err == nil {
		t.Error("a closed server answers")
	}
}

// A program may connect a client of the SDK to the server by itself.
func TestCallsThroughTheSDKAreTheSame(t *testing.T) {
	s, err := server.Open(&server.Env{}, making(sample))
	if err != nil {
		t.Fatal(err)
	}
	here, there := sdk.NewInMemoryTransports()
	serving, err := s.SDK().Connect(t.Context(), there, nil)
	if err != nil {
		t.Fatal(err)
	}
	client, err := sdk.NewClient(&sdk.Implementation{Name: "c", Version: "1"}, nil).Connect(t.Context(), here, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = client.Close()
		_ = serving.Wait()
		_ = s.Close()
	}()
	for kind, want := range map[string]string{"ok": `"words":["a","b","c"]`, "own": "there is no table ordrs; call tables", "secret": "internal error, id "} {
		r, err := client.CallTool(t.Context(), &sdk.CallToolParams{Name: "do", Arguments: input{Kind: kind}})
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		text := r.Content[0].(*sdk.TextContent).Text
		if r.IsError != (kind != "ok") || !strings.Contains(text, want) {
			t.Errorf("%s: got %q, error %v, want %q", kind, text, r.IsError, want)
		}
	}
	if _, err := client.CallTool(t.Context(), &sdk.CallToolParams{Name: "do", Arguments: input{Kind: "wire"}}); err == nil || !strings.Contains(err.Error(), "bad params") {
		t.Errorf("got %v", err)
	}
	s.RemoveTools("do", "never")
	if _, err := client.CallTool(t.Context(), &sdk.CallToolParams{Name: "do", Arguments: input{}}); err == nil {
		t.Error("a tool that was removed answers")
	}
}
