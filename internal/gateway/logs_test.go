package gateway_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/dragoman-mcp/dragoman/internal/gateway"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// diarist is a server that logs its name to whoever listens to that.
type diarist struct {
	name         string
	capabilities string
	logs         map[string]func(data string) // by level; never called while the test runs
}

func (d *diarist) Handle(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	switch req.Method {
	case "server/discover":
		return mcp.RawResult([]byte(`{"supportedVersions":["2026-07-28"],"capabilities":` + d.capabilities + `}`)), nil
	case "subscriptions/listen":
		wanted, _ := jsonrpc.Split(req.Params.Get("notifications"))
		if level, ok := wanted.String(mcp.FilterLogLevel); ok {
			d.logs[level] = func(data string) {
				params, _ := jsonrpc.Split([]byte(`{"level":"error","data":"` + d.name + data + `"}`))
				req.Emit(mcp.Notification{Method: "notifications/message", Params: params})
				req.Emit(mcp.Notification{Method: "notifications/acme"})
			}
		}
		<-ctx.Done()
		return mcp.Result{}, ctx.Err()
	}
	return mcp.RawResult([]byte(`{"tools":[],"prompts":[],"resources":[],"resourceTemplates":[]}`)), nil
}

// guests may know of every server but those that are closed to them.
type guests struct{ closed map[string]bool }

func (g *guests) Audience(context.Context) string { return "guests" }
func (g *guests) Sees(_ context.Context, server, _, _ string) bool {
	return !g.closed[server]
}

func TestLogsOutsideAnyCallReachWhoMayKnowOfTheServer(t *testing.T) {
	const level = `"dragoman/logLevel":"info"`
	for name, test := range map[string]struct {
		endpoint string
		filter   string
		revision mcp.Revision
		closed   string
		want     string
	}{
		"of all servers that log, at the endpoint of all": {filter: level, revision: mcp.Revision20250618, want: "one two"},
		"of one server, at its endpoint":                  {endpoint: "two", filter: level, revision: mcp.Revision20250618, want: "two"},
		"of none without having asked":                    {filter: `"toolsListChanged":true`, revision: mcp.Revision20250618},
		"of none at a view":                               {endpoint: "part", filter: level, revision: mcp.Revision20250618},
		"of none to a client without sessions":            {filter: level, revision: mcp.Revision20260728},
		"of none that the caller must not know of":        {filter: level, revision: mcp.Revision20250618, closed: "one", want: "two"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				one := &diarist{"one", `{"logging":{}}`, map[string]func(string){}}
				two := &diarist{"two", `{"logging":{}}`, map[string]func(string){}}
				mute := &diarist{"mute", `{}`, map[string]func(string){}}
				audience := &guests{closed: map[string]bool{test.closed: true}}
				g := gateway.New(gateway.Options{Audience: audience})
				defer g.Close()
				servers := []gateway.Server{{Name: "one", Handler: one}, {Name: "two", Handler: two}, {Name: "mute", Handler: mute}}
				if _, err := g.Swap(servers, []gateway.View{{Name: "part", Tools: []string{"*"}}}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				h, _ := g.Endpoint(test.endpoint)
				params, _ := jsonrpc.Split([]byte(`{"notifications":{` + test.filter + `}}`))
				req := &mcp.Request{Method: "subscriptions/listen", Params: params, Client: &mcp.Client{Revision: test.revision}}
				var heard []string
				req.Notify = func(n mcp.Notification) {
					switch n.Method {
					case "notifications/message":
						data, _ := n.Params.String("data")
						heard = append(heard, data)
					case "notifications/subscriptions/acknowledged":
						granted := strings.Contains(string(n.Params.Raw()), level)
						if want := test.want != ""; granted != want {
							t.Errorf("acknowledged is %s, want logs granted: %t", n.Params.Raw(), want)
						}
					default:
						t.Errorf("heard %s", n.Method)
					}
				}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					_, _ = h.Handle(ctx, req)
				}()
				say := func(data string) {
					synctest.Wait()
					for _, d := range []*diarist{one, two, mute} {
						if log := d.logs["info"]; log != nil {
							log(data)
						}
						synctest.Wait()
					}
				}
				say("")
				audience.closed["one"], audience.closed["two"] = true, true // from now on
				say(" in secret")
				cancel()
				<-ended
				if got := strings.Join(heard, " "); got != test.want {
					t.Errorf("heard %q, want %q", got, test.want)
				}
				if mute.logs["info"] != nil {
					t.Error("a server without logs was asked for some")
				}
			})
		})
	}
}
