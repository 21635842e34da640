package streamhttp_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/streamhttp"
)

// hello is a small stateless server.
func hello(_ context.Context, req *mcp.Request) (mcp.Result, error) {
	switch req.Method {
	case "server/discover":
		capabilities := mcp.RawResult([]byte(`{"tools":{}}`)).Object
		return mcp.Server{Revisions: mcp.Revisions(), Info: []byte(`{"name":"hello","version":"1"}`), Capabilities: capabilities}.Result(), nil
	case "tools/list":
		return mcp.RawResult([]byte(`{"tools":[{"name":"greet","inputSchema":{"type":"object","properties":{"who":{"type":"string","x-mcp-header":"Who"}}}}]}`)), nil
	case "tools/call":
		if req.ProgressToken != nil {
			for i := range 3 {
				params := jsonrpc.Object{}.With(jsonrpc.Edit{Name: "progressToken", Value: req.ProgressToken},
					jsonrpc.Edit{Name: "progress", Value: fmt.Appendf(nil, "%d", i+1)})
				req.Emit(mcp.Notification{Method: "notifications/progress", Params: params})
			}
		}
		text := jsonrpc.AppendString(nil, "hello "+req.ParamHeaders["who"])
		return mcp.RawResult([]byte(`{"content":[{"type":"text","text":` + string(text) + `}]}`)), nil
	}
	return mcp.Result{}, mcp.MethodNotFound(req.Method)
}

func TestOfficialClientCallsOurServer(t *testing.T) {
	e := serve(t, mcp.HandlerFunc(hello), newSessions(), streamhttp.ServerOptions{})
	progress := make(chan float64, 10)
	client := sdk.NewClient(&sdk.Implementation{Name: "c", Version: "1"}, &sdk.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, r *sdk.ProgressNotificationClientRequest) { progress <- r.Params.Progress },
	})
	session, err := client.Connect(t.Context(), &sdk.StreamableClientTransport{Endpoint: e.url, HTTPClient: e.http}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	tools, err := session.ListTools(t.Context(), nil)
	if err != nil || len(tools.Tools) != 1 {
		t.Fatalf("tools = %+v, %v", tools, err)
	}
	for _, who := range []string{"world", "wörld"} {
		params := &sdk.CallToolParams{Name: "greet", Arguments: map[string]any{"who": who}}
		params.SetProgressToken("p")
		result, err := session.CallTool(t.Context(), params)
		if err != nil {
			t.Fatal(err)
		}
		if got := result.Content[0].(*sdk.TextContent).Text; got != "hello "+who {
			t.Errorf("got %q, want the header's value %q", got, who)
		}
	}
	for range 6 {
		receive(t, "progress", progress)
	}
}

// official is a server made with the official SDK.
func official(t *testing.T, stateless bool) (*remote, *sdk.Server) {
	server := sdk.NewServer(&sdk.Implementation{Name: "official", Version: "1"}, nil)
	type input struct {
		Who string `json:"who"`
	}
	sdk.AddTool(server, &sdk.Tool{Name: "greet", Description: "greets"}, func(ctx context.Context, r *sdk.CallToolRequest, in input) (*sdk.CallToolResult, any, error) {
		if token := r.Params.GetProgressToken(); token != nil {
			_ = r.Session.NotifyProgress(ctx, &sdk.ProgressNotificationParams{ProgressToken: token, Progress: 1})
		}
		if in.Who == "ask" {
			answer, err := r.Session.Elicit(ctx, &sdk.ElicitParams{Message: "who?", RequestedSchema: map[string]any{"type": "object", "properties": map[string]any{"who": map[string]any{"type": "string"}}}})
			if err != nil {
				return nil, nil, err
			}
			in.Who = fmt.Sprint(answer.Content["who"])
		}
		return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: "hello " + in.Who}}}, nil, nil
	})
	h := sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server }, &sdk.StreamableHTTPOptions{Stateless: stateless, PropagateRequestCancellation: true})
	p := newRemote(t, nil)
	p.ts.Config.Handler = h
	t.Cleanup(func() {
		for s := range server.Sessions() {
			_ = s.Close()
		}
	})
	return p, server
}

func TestOurClientCallsOfficialStatelessServer(t *testing.T) {
	p, _ := official(t, true)
	c := p.client(func(o *streamhttp.ClientOptions) { o.Header = nil })
	discovered, err := c.Handle(t.Context(), asked("server/discover", `{}`))
	if err != nil {
		t.Fatal(err)
	}
	if about := mcp.ReadServer(discovered); !strings.Contains(string(about.Info), "official") {
		t.Errorf("discovered %s", discovered.Raw())
	}
	tools, err := c.Handle(t.Context(), asked("tools/list", `{}`))
	if err != nil || !strings.Contains(string(tools.Raw()), `"greet"`) {
		t.Errorf("tools = %s, %v", tools.Raw(), err)
	}
	var progress []string
	req := asked("tools/call", `{"name":"greet","arguments":{"who":"wörld"}}`)
	req.ProgressToken = []byte(`"mine"`)
	req.Notify = func(n mcp.Notification) { progress = append(progress, string(n.Params.Get("progressToken"))) }
	result, err := c.Handle(t.Context(), req)
	if err != nil || !strings.Contains(string(result.Raw()), "hello wörld") {
		t.Errorf("result = %s, %v", result.Raw(), err)
	}
	if len(progress) != 1 || progress[0] != `"mine"` {
		t.Errorf("progress = %q, want one with our caller's token", progress)
	}
	if _, err := c.Handle(t.Context(), asked("no/such", `{}`)); mcp.WireError(err).Code != jsonrpc.CodeMethodNotFound {
		t.Errorf("unknown method: %v", err)
	}
}

func TestOurChannelTalksToOfficialServerWithSessions(t *testing.T) {
	p, server := official(t, false)
	c := p.client(func(o *streamhttp.ClientOptions) { o.Header = nil })
	// It answers this one question without a session, and names no stateless
	// revision; everything else of that era it refuses.
	discovered, err := c.Handle(t.Context(), asked("server/discover", `{}`))
	if err != nil || slices.Contains(mcp.ReadServer(discovered).Revisions, mcp.Revision20260728) {
		t.Errorf("the stateless probe of a server with sessions: %s, %v, want revisions with sessions only", discovered.Raw(), err)
	}
	if _, err := c.Handle(t.Context(), asked("tools/list", `{}`)); mcp.WireError(err).Code != mcp.CodeUnsupportedVersion {
		t.Errorf("a stateless request to a server with sessions: %v, want %d", err, mcp.CodeUnsupportedVersion)
	}
	ch := c.Open()
	handshake := func(method, params string) jsonrpc.Message {
		t.Helper()
		call, err := ch.Start(t.Context(), mcp.Outgoing{Method: method, Params: []byte(params)})
		if err != nil {
			t.Fatal(err)
		}
		msgs, err := collect(t, call)
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		return msgs[len(msgs)-1]
	}
	handshake("initialize", `{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{}},"clientInfo":{"name":"c","version":"1"}}`)
	if err := ch.Send(t.Context(), jsonrpc.Message{Method: "notifications/initialized", Params: mcp.EmptyResult().Object}); err != nil {
		t.Fatal(err)
	}
	if m := handshake("tools/list", `{}`); !strings.Contains(string(m.Append(nil)), `"greet"`) {
		t.Errorf("tools = %s", m.Append(nil))
	}
	call, err := ch.Start(t.Context(), mcp.Outgoing{Method: "tools/call", ProgressToken: "7",
		Params: []byte(`{"name":"greet","arguments":{"who":"ask"},"_meta":{"progressToken":7}}`)})
	if err != nil {
		t.Fatal(err)
	}
	if m := receive(t, "progress", call.Messages()); m.Method != "notifications/progress" {
		t.Errorf("got %s, want progress", m.Append(nil))
	}
	question := receive(t, "the question", call.Messages())
	if question.Method != "elicitation/create" {
		t.Fatalf("got %s, want a question", question.Append(nil))
	}
	answer := mcp.RawResult([]byte(`{"action":"accept","content":{"who":"you"}}`))
	if err := ch.Send(t.Context(), jsonrpc.Message{ID: question.ID, Result: answer.Object}); err != nil {
		t.Fatal(err)
	}
	msgs, err := collect(t, call)
	if err != nil || len(msgs) != 1 || !strings.Contains(string(msgs[0].Append(nil)), "hello you") {
		t.Errorf("got %q, %v", texts(msgs), err)
	}
	sdk.AddTool(server, &sdk.Tool{Name: "another"}, func(context.Context, *sdk.CallToolRequest, any) (*sdk.CallToolResult, any, error) {
		return nil, nil, nil
	})
	if m := receive(t, "the change of the list", ch.Events()); m.Method != "notifications/tools/list_changed" {
		t.Errorf("got %s", m.Append(nil))
	}
	if err := ch.Close(); err != nil {
		t.Error(err)
	}
}
