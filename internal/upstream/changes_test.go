package upstream_test

import (
	"context"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

func TestTheGatewayHearsOfListsThatChangeInAnyProcess(t *testing.T) {
	h := newHouse(t)
	u := h.open(program("legacy"))
	filter, _ := jsonrpc.Split([]byte(`{"notifications":{"toolsListChanged":true}}`))
	heard := make(chan string, 10)
	listen := &mcp.Request{
		Method: "subscriptions/listen", Params: filter,
		Client: mcp.NewClient(mcp.Revision20260728, h.around.Info, jsonrpc.Object{}),
		Notify: func(n mcp.Notification) { heard <- n.Method },
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = u.Handle(ctx, listen)
	}()
	if got := receive(t, "the acknowledgement", heard); got != "notifications/subscriptions/acknowledged" {
		t.Errorf("first came %s, want the acknowledgement", got)
	}
	for _, kinds := range []mcp.Kinds{0, mcp.Roots, mcp.Sampling} { // a process for each
		must(t, u, with(kinds, tool("changed", `{}`)))
		if got := receive(t, "the change", heard); got != "notifications/tools/list_changed" {
			t.Errorf("callers of kinds %q: heard %s, want that the list has changed", kinds, got)
		}
	}
	if got := len(u.Kinds()); got != 3 {
		t.Errorf("%d processes run, want 3: the test says nothing otherwise", got)
	}
	cancel()
	<-done
	select {
	case n := <-heard:
		t.Errorf("%s came besides", n)
	default:
	}
}

func TestTheGatewayHearsOfListsOfAStatelessServer(t *testing.T) {
	h := newHouse(t)
	u := h.inside(mcp.HandlerFunc(func(_ context.Context, req *mcp.Request) (mcp.Result, error) {
		for _, method := range []string{"notifications/subscriptions/acknowledged", "notifications/tools/list_changed"} {
			req.Emit(mcp.Notification{Method: method})
		}
		return mcp.EmptyResult(), nil
	}), func(*config.Server) {})
	filter, _ := jsonrpc.Split([]byte(`{"notifications":{"toolsListChanged":true}}`))
	var heard []string
	listen := &mcp.Request{
		Method: "subscriptions/listen", Params: filter,
		Client: mcp.NewClient(mcp.Revision20260728, h.around.Info, jsonrpc.Object{}),
		Notify: func(n mcp.Notification) { heard = append(heard, n.Method) },
	}
	if _, err := u.Handle(t.Context(), listen); err != nil {
		t.Fatal(err)
	}
	if len(heard) != 2 || heard[1] != "notifications/tools/list_changed" {
		t.Errorf("heard %v, want the acknowledgement and the change", heard)
	}
}
