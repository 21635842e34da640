package server_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/servertest"
)

func TestANetworkGoesWhereItMayOnly(t *testing.T) {
	here := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(r.UserAgent()))
	}))
	defer here.Close()
	address := strings.TrimPrefix(here.URL, "http://")
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		reach server.Reach
		open  bool
	}{
		{"public addresses only", server.Reach{}, false},
		{"private ones too", server.Reach{Private: true}, true},
		{"this one", server.Reach{Allow: []string{host}}, true},
		{"private ones but this", server.Reach{Private: true, Deny: []string{host}}, false},
		{"another one only", server.Reach{Private: true, Only: []string{"192.0.2.1"}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var n *server.Network
			servertest.Open(t, making(func(s *server.Server) {
				var err error
				if n, err = s.Network(c.reach); err != nil {
					t.Fatal(err)
				}
			}), nil)
			res, err := n.Client(server.ClientOptions{}).Get(here.URL)
			if (err == nil) != c.open {
				t.Errorf("client: got %v, want it open %v", err, c.open)
			}
			if err == nil {
				_ = res.Body.Close()
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			conn, err := n.Dial(ctx, "tcp", address)
			if (err == nil) != c.open {
				t.Errorf("dial: got %v, want it open %v", err, c.open)
			}
			if err == nil {
				_ = conn.Close()
			}
		})
	}
	if _, err := server.Open(&server.Env{}, func(env *server.Env) (*server.Server, error) {
		s := server.New(env, server.About{Name: "sample"})
		_, err := s.Network(server.Reach{Allow: []string{"10.0.0.0/99"}})
		return nil, err
	}); err == nil {
		t.Error("a network that is none was taken")
	}
}

// Subscribers hear of changes of a resource and of the list of tools, without a session.
func TestSubscriptionsAndChangesOfLists(t *testing.T) {
	wanted := make(chan string, 1)
	c := servertest.Open(t, func(env *server.Env) (*server.Server, error) {
		s := server.New(env, server.About{Name: "sample", Title: "Sample", Subscribe: func(_ context.Context, uri string) error {
			wanted <- uri
			return nil
		}})
		sample(s)
		s.SDK().AddResource(&sdk.Resource{URI: "sample:x", Name: "x"}, func(context.Context, *sdk.ReadResourceRequest) (*sdk.ReadResourceResult, error) {
			return &sdk.ReadResourceResult{}, nil
		})
		return s, nil
	}, nil)
	h, err := c.Server.Handler()
	if err != nil {
		t.Fatal(err)
	}
	heard, ended := make(chan string, 8), make(chan error, 1)
	params, _ := jsonrpc.Split([]byte(`{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["sample:x"]}}`))
	req := mcp.ReadRequest("subscriptions/listen", params, &mcp.Client{Revision: mcp.Revision20260728})
	req.Notify = func(n mcp.Notification) { heard <- n.Method }
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := h.Handle(ctx, req)
		ended <- err
	}()
	next := func(want string) {
		t.Helper()
		for {
			select {
			case got := <-heard:
				if got == want {
					return
				}
			case err := <-ended:
				t.Fatalf("the subscription ended before %s: %v", want, err)
			case <-time.After(4 * time.Minute):
				t.Fatalf("no %s", want)
			}
		}
	}
	next("notifications/subscriptions/acknowledged")
	if uri := <-wanted; uri != "sample:x" {
		t.Errorf("the server was told of %q", uri)
	}
	server.AddTool(c.Server, tool("late"), behave)
	next("notifications/tools/list_changed")
	if err := c.Server.SDK().ResourceUpdated(t.Context(), &sdk.ResourceUpdatedNotificationParams{URI: "sample:x"}); err != nil {
		t.Fatal(err)
	}
	next("notifications/resources/updated")
	cancel()
	if err := <-ended; err == nil {
		t.Error("the subscription ended without the error of its context")
	}
}
