package legacy_test

import (
	"context"
	"testing"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/legacy"
	"github.com/dragoman-mcp/dragoman/mcp/mcptest"
)

// onCalls is a channel whose server sends all notifications on the stream of the
// only call under way, as a server over HTTP may.
type onCalls struct {
	*mcp.Mux
	call chan *mcp.Call
}

func (c onCalls) Start(ctx context.Context, out mcp.Outgoing) (*mcp.Call, error) {
	call, err := c.Mux.Start(ctx, out)
	if err == nil && out.Method == "tools/call" {
		c.call <- call
	}
	return call, err
}

func TestAChangeBelongsToNoCallWhateverItComesOn(t *testing.T) {
	near, far := mcptest.Pipe()
	peer := mcptest.NewPeer(t, far)
	ch := onCalls{mcp.NewMux(near, jsonrpc.Limits{}), make(chan *mcp.Call, 1)}
	changed := make(chan string, 10)
	ready := make(chan *legacy.Client, 1)
	go func() {
		c, err := legacy.Connect(context.Background(), ch, legacy.ClientOptions{Changed: func(method string) { changed <- method }})
		if err != nil {
			t.Errorf("connect: %v", err)
		}
		ready <- c
	}()
	m := peer.Request("initialize")
	peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"old","version":"1"}}}`, m.ID)
	peer.Request("notifications/initialized")
	c := <-ready
	defer c.Close()

	req := call("switch", `{}`, "")
	told := make(chan string, 10)
	req.Notify = func(n mcp.Notification) { told <- n.Method }
	done := start(t.Context(), c, req)
	under := <-ch.call
	m = peer.Request("tools/call")
	for _, method := range []string{"notifications/tools/list_changed", "notifications/resources/updated", "notifications/acme"} {
		under.Deliver(jsonrpc.Message{Method: method})
	}
	peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{"content":[]}}`, m.ID)
	if out := <-done; out.err != nil {
		t.Fatal(out.err)
	}
	if got := <-changed; got != "notifications/tools/list_changed" {
		t.Errorf("told of %s, want of the changed list", got)
	}
	if got := <-told; got != "notifications/acme" || len(told) != 0 {
		t.Errorf("the caller heard %s and %d more, want only what nobody knows", got, len(told))
	}
	peer.Send(`{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}`)
	if got := <-changed; got != "notifications/prompts/list_changed" {
		t.Errorf("told of %s, want of the changed list", got)
	}
}

func TestAURLThatTheCallerCannotBeAskedToOpenIsAMissingCapability(t *testing.T) {
	c, peer, _ := connect(t, "2025-11-25", `{"tools":{}}`)
	req := call("pay", `{}`, "")
	req.Client = mcp.NewClient(mcp.Revision20260728, nil, jsonrpc.Object{})
	done := start(t.Context(), c, req)
	m := peer.Request("tools/call")
	peer.Send(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32042,"message":"pay first","data":{"elicitations":[{"mode":"url","url":"https://example.org","elicitationId":"1","message":"pay"}]}}}`, m.ID)
	out := <-done
	wire := mcp.WireError(out.err)
	const want = `{"requiredCapabilities":{"elicitation":{"url":{}}},"elicitations":[{"mode":"url","url":"https://example.org","elicitationId":"1","message":"pay"}]}`
	if wire.Code != mcp.CodeMissingCapability || string(wire.Data) != want {
		t.Errorf("got code %d data %s, want %d and %s", wire.Code, wire.Data, mcp.CodeMissingCapability, want)
	}
}
