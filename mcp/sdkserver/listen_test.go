package sdkserver_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/sdkserver"
)

// follower is a subscription to the official SDK's server.
type follower struct {
	heard chan string
	err   chan error
	stop  context.CancelFunc
}

// follow subscribes, and returns when that is acknowledged.
func follow(t *testing.T, s *sdkserver.Server, filter string) *follower {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	f := &follower{heard: make(chan string, 1024), err: make(chan error, 1), stop: cancel}
	params, ok := jsonrpc.Split([]byte(`{"notifications":` + filter + `}`))
	if !ok {
		t.Fatalf("%s is no object", filter)
	}
	req := &mcp.Request{Method: "subscriptions/listen", Params: params, Client: mcp.NewClient(mcp.Revision20260728, nil, jsonrpc.Object{})}
	req.Notify = func(n mcp.Notification) {
		uri, _ := n.Params.String("uri")
		f.heard <- n.Method + uri
	}
	go func() {
		_, err := s.Handle(ctx, req)
		f.err <- err
	}()
	f.await(t, "notifications/subscriptions/acknowledged")
	return f
}

// await takes what is heard until all of that was, in whatever order.
func (f *follower) await(t *testing.T, what ...string) {
	t.Helper()
	bound := time.NewTimer(4 * time.Minute)
	defer bound.Stop()
	for len(what) > 0 {
		select {
		case got := <-f.heard:
			what = slices.DeleteFunc(what, func(w string) bool { return w == got })
		case <-bound.C:
			t.Fatalf("%q was not heard", what)
		}
	}
}

func (f *follower) end() {
	f.stop()
	<-f.err
}

// listened is a server of the official SDK that can be subscribed to.
func listened(t *testing.T) (*sdk.Server, *sdkserver.Server) {
	t.Helper()
	inner := sdk.NewServer(&sdk.Implementation{Name: "sdk", Version: "1"}, &sdk.ServerOptions{
		SubscribeHandler:   func(context.Context, *sdk.SubscribeRequest) error { return nil },
		UnsubscribeHandler: func(context.Context, *sdk.UnsubscribeRequest) error { return nil },
		Capabilities: &sdk.ServerCapabilities{
			Tools: &sdk.ToolCapabilities{ListChanged: true}, Resources: &sdk.ResourceCapabilities{Subscribe: true},
		},
	})
	s, err := sdkserver.New(inner)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return inner, s
}

const toolsChanged = "notifications/tools/list_changed"

func TestASubscriptionHearsOfAllWhateverBecomesOfOthers(t *testing.T) {
	inner, s := listened(t)
	n := 0
	change := func() {
		n++
		inner.AddTool(&sdk.Tool{Name: fmt.Sprint("tool", n), InputSchema: map[string]any{"type": "object"}}, nil)
	}
	update := func() {
		if err := inner.ResourceUpdated(t.Context(), &sdk.ResourceUpdatedNotificationParams{URI: "a:b"}); err != nil {
			t.Fatal(err)
		}
	}
	const updated = "notifications/resources/updateda:b"
	lists := follow(t, s, `{"toolsListChanged":true}`)
	first := follow(t, s, `{"resourceSubscriptions":["a:b"]}`)
	second := follow(t, s, `{"toolsListChanged":true,"resourceSubscriptions":["a:b","c:d"]}`)
	all := []*follower{lists, first, second}
	change()
	update()
	for i, want := range [][]string{{toolsChanged}, {updated}, {toolsChanged, updated}} {
		all[i].await(t, want...)
	}
	second.end()
	change()
	update()
	lists.await(t, toolsChanged)
	first.await(t, updated)
	again := follow(t, s, `{"toolsListChanged":true}`)
	change()
	lists.await(t, toolsChanged)
	again.await(t, toolsChanged)
	for _, f := range []*follower{first, lists, again} {
		f.end()
	}
}

func TestTooManyEndedSubscriptionsHaveTheOthersListenAgain(t *testing.T) {
	_, s := listened(t)
	stays := follow(t, s, `{"toolsListChanged":true}`)
	for range 33 {
		select {
		case err := <-stays.err:
			t.Fatalf("it has ended before there were too many: %v", err)
		default:
		}
		follow(t, s, `{"resourceSubscriptions":["a:b"]}`).end()
	}
	if err := <-stays.err; mcp.WireError(err).Code != mcp.CodeUnavailable {
		t.Errorf("it ended with %v, want code %d", err, mcp.CodeUnavailable)
	}
	follow(t, s, `{"toolsListChanged":true}`).end()
}
