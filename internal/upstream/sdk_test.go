package upstream_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/dragoman-mcp/dragoman/internal/config"
)

// sdkServer is a server of the official Go SDK whose tools change its resources.
func sdkServer() *sdk.Server {
	s := sdk.NewServer(&sdk.Implementation{Name: "sdk", Version: "1"}, &sdk.ServerOptions{
		SubscribeHandler:   func(context.Context, *sdk.SubscribeRequest) error { return nil },
		UnsubscribeHandler: func(context.Context, *sdk.UnsubscribeRequest) error { return nil },
		Capabilities:       &sdk.ServerCapabilities{Resources: &sdk.ResourceCapabilities{Subscribe: true}},
	})
	type input struct {
		Text string `json:"text"`
	}
	sdk.AddTool(s, &sdk.Tool{Name: "touch"}, func(ctx context.Context, _ *sdk.CallToolRequest, in input) (*sdk.CallToolResult, any, error) {
		return &sdk.CallToolResult{}, nil, s.ResourceUpdated(ctx, &sdk.ResourceUpdatedNotificationParams{URI: in.Text})
	})
	return s
}

// playSDK is that server on its pipes.
func playSDK() int {
	if err := sdkServer().Run(context.Background(), &sdk.StdioTransport{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func TestASubscriberAtAServerOfTheGoSDKHearsOfAllWhenAnotherLeaves(t *testing.T) {
	for transport, reach := range map[string]func(*testing.T) func(*config.Server){
		"stdio": func(*testing.T) func(*config.Server) {
			return then(program(), func(s *config.Server) { s.Command = []string{s.Command[0], "role:sdk"} })
		},
		"http": func(t *testing.T) func(*config.Server) {
			server := sdkServer()
			site := httptest.NewServer(sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server }, nil))
			t.Cleanup(site.Close)
			return func(s *config.Server) { s.URL = site.URL }
		},
	} {
		t.Run(transport, func(t *testing.T) {
			u := newHouse(t).open(reach(t))
			const updated = "notifications/resources/updated"
			ctx, leave := context.WithCancel(t.Context())
			stays := listen(t.Context(), u, `{"resourceSubscriptions":["a:b"]}`, client(0))
			receive(t, "the acknowledgement", stays.heard)
			leaves := listen(ctx, u, `{"resourceSubscriptions":["a:b","a:c"]}`, client(0))
			receive(t, "the acknowledgement", leaves.heard)
			must(t, u, tool("touch", `{"text":"a:b"}`))
			for _, l := range []*listening{stays, leaves} {
				if got := receive(t, "the update", l.heard); got != updated {
					t.Errorf("heard %s, want %s", got, updated)
				}
			}
			leave()
			receive(t, "the end", leaves.ended)
			for range 3 {
				must(t, u, tool("touch", `{"text":"a:b"}`))
				if got := receive(t, "the update", stays.heard); got != updated {
					t.Errorf("heard %s, want %s", got, updated)
				}
			}
		})
	}
}
