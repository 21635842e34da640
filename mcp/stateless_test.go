package mcp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/mcptest"
)

func stateless(t *testing.T) (*mcp.Stateless, *mcptest.Peer) {
	t.Helper()
	ours, theirs := mcptest.Pipe()
	s := mcp.NewStateless(mcp.NewMux(ours, jsonrpc.Limits{}))
	t.Cleanup(func() { s.Close() })
	return s, mcptest.NewPeer(t, theirs)
}

// handled is what came of a request.
type handled struct {
	result mcp.Result
	err    error
	notes  []string
}

func handle(ctx context.Context, h mcp.Handler, req *mcp.Request) <-chan handled {
	done := make(chan handled, 1)
	go func() {
		var out handled
		req.Notify = func(n mcp.Notification) {
			out.notes = append(out.notes, mcptest.Text(jsonrpc.Message{Method: n.Method, Params: n.Params}))
		}
		out.result, out.err = h.Handle(ctx, req)
		done <- out
	}()
	return done
}

func request(t *testing.T, method, params string, client *mcp.Client) *mcp.Request {
	t.Helper()
	return mcp.ReadRequest(method, parse(t, `{"jsonrpc":"2.0","method":"m","params":`+params+`}`).Params, client)
}

func clientOf(t *testing.T, r mcp.Revision, capabilities string) *mcp.Client {
	t.Helper()
	o, ok := jsonrpc.Split([]byte(capabilities))
	if !ok {
		t.Fatalf("capabilities %s are no object", capabilities)
	}
	return mcp.NewClient(r, []byte(`{"name":"c","version":"1"}`), o)
}

func TestARequestTellsWhoAsksAndHidesWhoAskedBefore(t *testing.T) {
	s, peer := stateless(t)
	client := clientOf(t, mcp.Revision20251125, `{"roots":{},"tasks":{"list":{}},"x-grease":{}}`)
	req := request(t, "tools/call", `{"name":"gw__add","arguments":{"n":123456789012345678901},"x-grease":1,"_meta":{"progressToken":"theirs",`+
		`"io.modelcontextprotocol/protocolVersion":"1999-01-01","io.modelcontextprotocol/logLevel":"debug","x/own":true,"traceparent":"00-a"}}`, client)
	req.Name = "add"
	done := handle(within(t), s, req)
	got := peer.Request("tools/call")
	want := `{"name":"add","arguments":{"n":123456789012345678901},"x-grease":1,"_meta":{"x/own":true,` +
		`"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"roots":{},"x-grease":{}},` +
		`"io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"},"io.modelcontextprotocol/logLevel":"debug","progressToken":1,"traceparent":"00-a"}}`
	if diff := cmp.Diff(want, string(got.Params.Raw())); diff != "" {
		t.Errorf("params (-want +got):\n%s", diff)
	}
	peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","big":1e400,"x-grease":[]}}`, got.ID)
	out, _ := wait(t, done, "result")
	if out.err != nil || string(out.result.Raw()) != `{"resultType":"complete","big":1e400,"x-grease":[]}` {
		t.Errorf("got %s, %v, want the result untouched", out.result.Raw(), out.err)
	}
}

func TestARequestWithoutClientStillSaysWhatIsRequired(t *testing.T) {
	s, peer := stateless(t)
	done := handle(within(t), s, &mcp.Request{Method: "tools/list"})
	got := peer.Request("tools/list")
	want := `{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}`
	if string(got.Params.Raw()) != want {
		t.Errorf("params: got %s, want %s", got.Params.Raw(), want)
	}
	peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{"resultType":"input_required"}}`, got.ID)
	if out, _ := wait(t, done, "result"); out.result.Type() != mcp.InputRequired {
		t.Errorf("got %s, %v", out.result.Raw(), out.err)
	}
}

func TestNotificationsComeAsTheCallerKnowsThem(t *testing.T) {
	s, peer := stateless(t)
	done := handle(within(t), s, request(t, "tools/call", `{"name":"a","_meta":{"progressToken":"theirs"}}`, nil))
	got := peer.Request("tools/call")
	meta, _ := jsonrpc.Split(got.Params.Get("_meta"))
	for n := range 3 {
		peer.Send(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":%d,"progressToken":%s,"x-grease":{}}}`, n, meta.Get("progressToken"))
	}
	peer.Send(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"no","data":{"x-grease":1}}}`, got.ID)
	out, _ := wait(t, done, "result")
	want := make([]string, 3)
	for n := range want {
		want[n] = fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":%d,"progressToken":"theirs","x-grease":{}}}`, n)
	}
	if diff := cmp.Diff(want, out.notes); diff != "" {
		t.Errorf("notifications (-want +got):\n%s", diff)
	}
	var wire *mcp.Error
	if !errors.As(out.err, &wire) || wire.Code != -32602 || string(wire.Data) != `{"x-grease":1}` {
		t.Errorf("error: got %#v, want the server's own", out.err)
	}
}

func TestASubscriptionLosesTheIdOfThisLeg(t *testing.T) {
	s, peer := stateless(t)
	done := handle(within(t), s, request(t, "subscriptions/listen", `{"notifications":{}}`, nil))
	got := peer.Request("subscriptions/listen")
	peer.Send(`{"jsonrpc":"2.0","method":"n","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":%s,"x/own":1}}}`, got.ID)
	peer.Send(`{"jsonrpc":"2.0","method":"of/another","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":"x"}}}`)
	peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, got.ID)
	out, _ := wait(t, done, "result")
	if diff := cmp.Diff([]string{`{"jsonrpc":"2.0","method":"n","params":{"_meta":{"x/own":1}}}`}, out.notes); diff != "" {
		t.Errorf("notifications (-want +got):\n%s", diff)
	}
}

func TestTheEndOfTheContextIsToldToThePeer(t *testing.T) {
	s, peer := stateless(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := handle(ctx, s, request(t, "tools/call", `{"name":"a"}`, nil))
	got := peer.Request("tools/call")
	cancel()
	if out, _ := wait(t, done, "result"); !errors.Is(out.err, context.Canceled) {
		t.Errorf("got %v, want canceled", out.err)
	}
	if told := peer.Request("notifications/cancelled"); string(told.Params.Raw()) != `{"requestId":`+string(got.ID)+`}` {
		t.Errorf("the peer was told %s, want the id %s", mcptest.Text(told), got.ID)
	}
}

func TestRequestsOfAStatelessServerAreRefused(t *testing.T) {
	s, peer := stateless(t)
	peer.Send(`{"jsonrpc":"2.0","method":"notifications/grease"}`)
	for _, id := range []string{`"a"`, "12345678901234567890"} {
		peer.Send(`{"jsonrpc":"2.0","id":%s,"method":"sampling/createMessage","params":{}}`, id)
		if got := peer.Response(id); got.Error == nil || got.Error.Code != jsonrpc.CodeMethodNotFound {
			t.Errorf("got %s, want method not found", mcptest.Text(got))
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestACallIsLostWithItsConnection(t *testing.T) {
	s, peer := stateless(t)
	done := handle(within(t), s, request(t, "tools/call", `{"name":"a"}`, nil))
	peer.Request("tools/call")
	peer.Close()
	if out, _ := wait(t, done, "result"); !errors.Is(out.err, io.EOF) || !strings.Contains(out.err.Error(), "tools/call") {
		t.Errorf("got %v, want an error that names the call and the end", out.err)
	}
	if _, err := s.Handle(within(t), request(t, "tools/call", `{}`, nil)); !errors.Is(err, io.EOF) {
		t.Errorf("call afterwards: got %v, want EOF", err)
	}
}
