package sdkserver_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
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

// next takes what is heard next.
func (f *follower) next(t *testing.T) string {
	t.Helper()
	bound := time.NewTimer(4 * time.Minute)
	defer bound.Stop()
	select {
	case got := <-f.heard:
		return got
	case <-bound.C:
		t.Fatal("nothing was heard")
		return ""
	}
}

// await takes what is heard until all of that was, in whatever order.
func (f *follower) await(t *testing.T, what ...string) {
	t.Helper()
	for len(what) > 0 {
		got := f.next(t)
		what = slices.DeleteFunc(what, func(w string) bool { return w == got })
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

// changing is a server of the official SDK whose tools and resources change.
type changing struct {
	t     *testing.T
	inner *sdk.Server
	n     int
}

func (c *changing) tools() {
	c.n++
	c.inner.AddTool(&sdk.Tool{Name: fmt.Sprint("tool", c.n), InputSchema: map[string]any{"type": "object"}}, nil)
}

func (c *changing) resource(uri string) {
	c.t.Helper()
	if err := c.inner.ResourceUpdated(c.t.Context(), &sdk.ResourceUpdatedNotificationParams{URI: uri}); err != nil {
		c.t.Fatal(err)
	}
}

const (
	toolsChanged = "notifications/tools/list_changed"
	acknowledged = "notifications/subscriptions/acknowledged"
	updated      = "notifications/resources/updated"
)

func TestSubscriptionsToTheSameAllHearOfIt(t *testing.T) {
	inner, s := listened(t)
	c := &changing{t: t, inner: inner}
	lists, both := follow(t, s, `{"toolsListChanged":true}`), follow(t, s, `{"toolsListChanged":true,"resourceSubscriptions":["a:b","c:d"]}`)
	one := follow(t, s, `{"resourceSubscriptions":["a:b"]}`)
	c.tools()
	c.resource("a:b")
	lists.await(t, toolsChanged)
	both.await(t, toolsChanged, updated+"a:b")
	one.await(t, updated+"a:b")
	for _, f := range []*follower{lists, both, one} {
		f.end()
	}
}

func TestASubscriptionHearsOfAllWhenAnotherHasEnded(t *testing.T) {
	for _, test := range []struct {
		name, leaves, stays string
		// again says that what stays may have to be asked for again, which is acknowledged.
		again bool
	}{
		{"lists, when a resource is left", `{"resourceSubscriptions":["x:y"]}`, `{"toolsListChanged":true}`, true},
		{"lists, when the same are left", `{"toolsListChanged":true}`, `{"toolsListChanged":true}`, false},
		{"lists, when more is left", `{"toolsListChanged":true,"promptsListChanged":true,"resourceSubscriptions":["a:b"]}`, `{"toolsListChanged":true}`, true},
		{"a resource, when the same is left", `{"resourceSubscriptions":["a:b"]}`, `{"resourceSubscriptions":["a:b"]}`, false},
		{"a resource, when another is left", `{"resourceSubscriptions":["x:y"]}`, `{"resourceSubscriptions":["a:b"]}`, false},
		{"a resource, when more is left", `{"resourceSubscriptions":["x:y","a:b"]}`, `{"resourceSubscriptions":["a:b"]}`, true},
		{"a resource, when lists are left", `{"toolsListChanged":true}`, `{"resourceSubscriptions":["a:b"]}`, false},
	} {
		for _, order := range []string{"older", "newer"} {
			t.Run(test.name+" by the "+order, func(t *testing.T) {
				t.Parallel()
				inner, s := listened(t)
				c := &changing{t: t, inner: inner}
				var leaves, stays *follower
				if order == "older" {
					leaves, stays = follow(t, s, test.leaves), follow(t, s, test.stays)
				} else {
					stays, leaves = follow(t, s, test.stays), follow(t, s, test.leaves)
				}
				leaves.end()
				for told, rounds := 0, 0; told < 3; rounds++ {
					want := updated + "a:b"
					if strings.Contains(test.stays, "tools") {
						want = toolsChanged
						c.tools()
					} else {
						c.resource("a:b")
					}
					switch got := stays.next(t); {
					case got == want:
						told++
					case got != acknowledged || !test.again || rounds == 20:
						t.Fatalf("heard %s, want %s", got, want)
					}
				}
				stays.end()
			})
		}
	}
}
