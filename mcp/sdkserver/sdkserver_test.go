package sdkserver_test

import (
	"context"
	"strings"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/sdkserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type input struct {
	Name string `json:"name"`
}

func server(t *testing.T) *sdkserver.Server {
	t.Helper()
	s := sdk.NewServer(&sdk.Implementation{Name: "s", Version: "1"}, nil)
	sdk.AddTool(s, &sdk.Tool{Name: "greet"}, func(ctx context.Context, req *sdk.CallToolRequest, in input) (*sdk.CallToolResult, any, error) {
		if token := req.Params.GetProgressToken(); token != nil {
			_ = req.Session.NotifyProgress(ctx, &sdk.ProgressNotificationParams{ProgressToken: token, Progress: 1})
		}
		return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: "hello " + in.Name}}}, nil, nil
	})
	h, err := sdkserver.New(s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return h
}

func request(method, params string) *mcp.Request {
	o, ok := jsonrpc.Split([]byte(params))
	if !ok {
		panic("not an object: " + params)
	}
	return mcp.ReadRequest(method, o, &mcp.Client{Revision: mcp.Revision20260728})
}

func TestSDKServerAsHandler(t *testing.T) {
	h := server(t)
	t.Run("a tool is called and its progress arrives under the caller's token", func(t *testing.T) {
		req := request("tools/call", `{"name":"greet","arguments":{"name":"you"},"_meta":{"progressToken":"p"}}`)
		var got []string
		req.Notify = func(n mcp.Notification) { got = append(got, string(n.Params.Get("progressToken"))) }
		result, err := h.Handle(t.Context(), req)
		if err != nil || !strings.Contains(string(result.Raw()), "hello you") {
			t.Fatalf("got %s, %v", result.Raw(), err)
		}
		if len(got) != 1 || got[0] != `"p"` {
			t.Errorf("progress tokens %q, want the caller's", got)
		}
	})
	t.Run("it says what it is", func(t *testing.T) {
		result, err := h.Handle(t.Context(), request("server/discover", `{}`))
		if err != nil {
			t.Fatal(err)
		}
		if about := mcp.ReadServer(result); about.Capabilities.Get("tools") == nil {
			t.Errorf("got %s", result.Raw())
		}
	})
	t.Run("a method that it does not have is an error that crosses the wire", func(t *testing.T) {
		_, err := h.Handle(t.Context(), request("grease/none", `{}`))
		if wire := mcp.WireError(err); wire.Code != jsonrpc.CodeMethodNotFound {
			t.Errorf("got %v", err)
		}
	})
}
