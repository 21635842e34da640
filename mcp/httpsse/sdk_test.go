package httpsse_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/httpsse"
)

// answer is a server that knows just enough to be called, with grease in all it says.
func answer(ctx context.Context, c mcp.Conn) error {
	for {
		text, err := c.Read(ctx)
		if err != nil {
			return err
		}
		var m struct {
			ID     json.RawMessage
			Method string
			Params struct{ Arguments json.RawMessage }
		}
		if err := json.Unmarshal(text, &m); err != nil {
			return err
		}
		result := `{"x-grease":{}}`
		switch m.Method {
		case "initialize":
			result = `{"protocolVersion":"2024-11-05","capabilities":{"tools":{},"x-grease":{}},"serverInfo":{"name":"t","version":"1","x-grease":1},"x-grease":[]}`
		case "tools/list":
			result = `{"tools":[{"name":"echo","inputSchema":{"type":"object"},"x-grease":null}]}`
		case "tools/call":
			note := `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"called","x-grease":0}}`
			if err := c.Write(ctx, []byte(note)); err != nil {
				return err
			}
			result = fmt.Sprintf(`{"content":[{"type":"text","text":%q}]}`, m.Params.Arguments)
		}
		if m.ID == nil {
			continue
		}
		if err := c.Write(ctx, fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, result)); err != nil {
			return err
		}
	}
}

func TestTheOfficialClientIsServed(t *testing.T) {
	g := &gateway{Server: httpsse.NewServer(answer, httpsse.ServerOptions{})}
	g.listen(t)
	for _, path := range []string{"/sse", "/sse/files"} {
		notes := make(chan any, 4)
		client := sdk.NewClient(&sdk.Implementation{Name: "t", Version: "1"}, &sdk.ClientOptions{
			LoggingMessageHandler: func(_ context.Context, r *sdk.LoggingMessageRequest) { notes <- r.Params.Data },
		})
		httpClient := &http.Client{Transport: transport(t)}
		session, err := client.Connect(t.Context(), &sdk.SSEClientTransport{Endpoint: g.url + path, HTTPClient: httpClient}, nil)
		if err != nil {
			t.Fatalf("%s: connect: %v", path, err)
		}
		tools, err := session.ListTools(within(t, long), nil)
		if err != nil || len(tools.Tools) != 1 || tools.Tools[0].Name != "echo" {
			t.Errorf("%s: list: got %+v, %v", path, tools, err)
		}
		big := strings.Repeat("é", 200<<10)
		result, err := session.CallTool(within(t, long), &sdk.CallToolParams{Name: "echo", Arguments: map[string]any{"a": big}})
		if err != nil || result.Content[0].(*sdk.TextContent).Text != `{"a":"`+big+`"}` {
			t.Errorf("%s: call: got %.80v, %v", path, result, err)
		}
		if got := wait(t, notes, "log message"); got != "called" {
			t.Errorf("%s: log message: got %v", path, got)
		}
		session.Close()
	}
}

func TestTheOfficialServerIsUnderstood(t *testing.T) {
	server := sdk.NewServer(&sdk.Implementation{Name: "t", Version: "1"}, nil)
	type in struct {
		Text string `json:"text"`
	}
	sdk.AddTool(server, &sdk.Tool{Name: "shout"}, func(_ context.Context, _ *sdk.CallToolRequest, a in) (*sdk.CallToolResult, any, error) {
		return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: strings.ToUpper(a.Text)}}}, nil, nil
	})
	srv := httptest.NewServer(sdk.NewSSEHandler(func(*http.Request) *sdk.Server { return server }, nil))
	t.Cleanup(srv.Close)
	c, err := dial(t, srv.URL+"/sse", httpsse.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	exchange := func(message, want string) {
		t.Helper()
		if err := c.Write(within(t, long), []byte(message)); err != nil {
			t.Fatal(err)
		}
		if want == "" {
			return
		}
		got, err := c.Read(within(t, long))
		if err != nil || !bytes.Contains(got, []byte(want)) {
			t.Fatalf("got %s, %v, want an answer with %s", got, err, want)
		}
	}
	exchange(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2024-11-05","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`, `"protocolVersion":"2024-11-05"`)
	exchange(`{"jsonrpc":"2.0","method":"notifications/initialized"}`, "")
	exchange(`{"jsonrpc":"2.0","id":"two","method":"tools/call","params":{"name":"shout","arguments":{"text":"hello"}}}`, `"HELLO"`)
	srv.CloseClientConnections()
	if _, err := c.Read(within(t, long)); err == nil {
		t.Error("after the server has gone: got no error")
	} else if errors.Is(err, io.EOF) {
		t.Errorf("after the server has gone: got %v, want an error that is not EOF", err)
	}
}
