package legacy_test

import (
	"context"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/mcptest"
)

func TestSessionHearsOfItsTasks(t *testing.T) {
	for revision, hears := range map[string]bool{"2025-11-25": true, "2025-06-18": false} {
		t.Run("of "+revision, func(t *testing.T) {
			listens := make(chan string, 8)
			p := serve(t, answers(map[string]mcp.HandlerFunc{
				"subscriptions/listen": func(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
					wanted := string(req.Params.Raw())
					params, _ := jsonrpc.Split([]byte(`{"notifications":{}}`))
					req.Emit(mcp.Notification{Method: "notifications/subscriptions/acknowledged", Params: params})
					if strings.Contains(wanted, mcp.FilterTaskStatus) {
						status, _ := jsonrpc.Split([]byte(state("working", "m", "")))
						req.Emit(mcp.Notification{Method: "notifications/tasks/status", Params: status})
					}
					listens <- wanted
					<-ctx.Done()
					return mcp.Result{}, ctx.Err()
				},
				"tools/call": func(_ context.Context, req *mcp.Request) (mcp.Result, error) {
					if got := string(req.Params.Get("task")); got != `{"ttl":1}` {
						t.Errorf("the server got %s", req.Params.Raw())
					}
					return mcp.RawResult([]byte(`{"task":` + state("working", "", "") + `,"grease":1}`)), nil
				},
			}))
			handshake(p, revision, `{}`)
			if got := <-listens; strings.Contains(got, "dragoman") {
				t.Errorf("a session without tasks listens to %s", got)
			}
			for n, id := range []string{"1", "2"} {
				p.Send(`{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":"slow","task":{"ttl":1}}}`, id)
				if got, want := mcptest.Text(p.Response(id)), `{"jsonrpc":"2.0","id":`+id+`,"result":{"task":`+state("working", "", "")+`,"grease":1}}`; got != want {
					t.Errorf("got %s, want %s", got, want)
				}
				if hears && n == 0 {
					<-listens
					if m := p.Request("notifications/tasks/status"); string(m.Params.Raw()) != state("working", "m", "") {
						t.Errorf("got %s", mcptest.Text(m))
					}
				}
			}
			if len(listens) > 0 {
				t.Errorf("the session listened once more, to %s", <-listens)
			}
		})
	}
}

func TestSessionTakesNoResultOfAnotherEra(t *testing.T) {
	p := serve(t, answers(map[string]mcp.HandlerFunc{
		"tools/call": func(_ context.Context, req *mcp.Request) (mcp.Result, error) {
			if strings.Contains(string(req.Client.Capabilities.Raw()), "tasks") || !strings.Contains(string(req.Client.Capabilities.Raw()), `"x/y":{}`) {
				t.Errorf("the client is said to have %s", req.Client.Capabilities.Raw())
			}
			return mcp.RawResult([]byte(`{"resultType":"task","taskId":"t1"}`)), nil
		},
	}))
	handshake(p, "2025-11-25", `{"extensions":{"io.modelcontextprotocol/tasks":{},"x/y":{}}}`)
	p.Send(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"slow"}}`)
	if m := p.Response("1"); m.Error == nil || !strings.Contains(m.Error.Message, `"task"`) {
		t.Errorf("got %s, want an error: the client has no such results", mcptest.Text(m))
	}
}
