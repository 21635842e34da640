package gateway_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/gateway"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

const tasksDeclared = `{"extensions":{"io.modelcontextprotocol/tasks":{},"x/y":{"grease":1}},"grease":2}`

// seen is a server that keeps what it was asked.
type seen struct {
	*fake
	requests chan *mcp.Request
}

func (s *seen) Handle(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	if strings.HasPrefix(req.Method, "tools/call") || strings.HasPrefix(req.Method, "tasks/") {
		s.requests <- req
		return mcp.RawResult([]byte(`{"resultType":"task","taskId":"t1","grease":1}`)), nil
	}
	return s.fake.Handle(ctx, req)
}

// tasking is a gateway of a server of each dialect of tasks.
func tasking(t *testing.T) (g *gateway.Gateway, old, modern *seen) {
	t.Helper()
	tools := `{"tools":[{"name":"slow","execution":{"taskSupport":"required"},"grease":1},{"name":"strange","execution":{"taskSupport":"optional","grease":2}}]}`
	old = &seen{&fake{
		capabilities: `{"tools":{},"tasks":{"list":{},"requests":{"tools":{"call":{}}}}}`,
		results:      map[string]string{"tools/list": tools},
	}, make(chan *mcp.Request, 1)}
	modern = &seen{&fake{capabilities: `{"tools":{},` + tasksDeclared[1:]}, make(chan *mcp.Request, 1)}
	g = open(t, gateway.Options{}, []gateway.Server{{Name: "old", Handler: old}, {Name: "new", Handler: modern}}, gateway.View{Name: "all", Tools: []string{"*"}})
	return g, old, modern
}

// by makes a request of a client of revision r.
func by(r mcp.Revision, capabilities, method, params string) *mcp.Request {
	declared, ok := jsonrpc.Split([]byte(capabilities))
	o, okParams := jsonrpc.Split([]byte(params))
	if !ok || !okParams {
		panic("no object: " + capabilities + " or " + params)
	}
	return mcp.ReadRequest(method, o, mcp.NewClient(r, nil, declared))
}

func TestTasksExistAtTheEndpointOfOneServerOnly(t *testing.T) {
	g, _, _ := tasking(t)
	for _, c := range []struct {
		endpoint  string
		r         mcp.Revision
		tasks     bool // of 2025-11-25 are announced, and tools say what they support
		extension bool // is announced
	}{
		{"", mcp.Revision20251125, false, false},
		{"", mcp.Revision20260728, false, false},
		{"all", mcp.Revision20251125, false, false},
		{"all", mcp.Revision20260728, false, false},
		{"old", mcp.Revision20251125, true, false},
		{"old", mcp.Revision20260728, false, false},
		{"new", mcp.Revision20260728, false, true},
	} {
		h, _ := g.Endpoint(c.endpoint)
		about, err := h.Handle(t.Context(), by(c.r, `{}`, "server/discover", `{}`))
		if err != nil {
			t.Fatal(err)
		}
		server := mcp.ReadServer(about)
		if got := server.Capabilities.Get("tasks") != nil; got != c.tasks {
			t.Errorf("%q tells a client of %s %s, want tasks: %v", c.endpoint, c.r, about.Raw(), c.tasks)
		}
		if got := strings.Contains(string(server.Capabilities.Raw()), mcp.ExtensionTasks); got != c.extension {
			t.Errorf("%q tells a client of %s %s, want the extension: %v", c.endpoint, c.r, about.Raw(), c.extension)
		}
		if c.endpoint == "new" {
			continue
		}
		list, err := h.Handle(t.Context(), by(c.r, `{}`, "tools/list", `{}`))
		if err != nil {
			t.Fatal(err)
		}
		got := string(list.Raw())
		if strings.Contains(got, "taskSupport") != c.tasks || !strings.Contains(got, `"grease":1`) || !strings.Contains(got, `"execution":{`) || !strings.Contains(got, `"grease":2}`) {
			t.Errorf("%q lists for a client of %s %s, want task support: %v, and what nobody knows", c.endpoint, c.r, got, c.tasks)
		}
	}
}

func TestWhatAClientSaysOfTasksGoesNoFurtherThanTheyExist(t *testing.T) {
	g, old, modern := tasking(t)
	call := `{"name":"%","task":{"ttl":1},"grease":1}`
	for _, c := range []struct {
		endpoint, name string
		r              mcp.Revision
		server         *seen
		passes         bool
	}{
		{"", "old__slow", mcp.Revision20251125, old, false},
		{"all", "old__slow", mcp.Revision20251125, old, false},
		{"old", "slow", mcp.Revision20251125, old, true},
		{"", "new__slow", mcp.Revision20260728, modern, false},
		{"all", "new__slow", mcp.Revision20260728, modern, false},
		{"new", "slow", mcp.Revision20260728, modern, true},
	} {
		h, _ := g.Endpoint(c.endpoint)
		capabilities := `{}`
		if c.r.Modern() {
			capabilities = tasksDeclared
		}
		result, err := h.Handle(t.Context(), by(c.r, capabilities, "tools/call", strings.Replace(call, "%", c.name, 1)))
		if err != nil || c.passes && string(result.Raw()) != `{"resultType":"task","taskId":"t1","grease":1}` {
			t.Fatalf("%s at %q: got %s, %v", c.name, c.endpoint, result.Raw(), err)
		}
		req := <-c.server.requests
		asks := req.Params.Get("task") != nil
		if req.NoTasks == c.passes {
			t.Errorf("%s at %q: the server is told that there are no tasks: %v", c.name, c.endpoint, req.NoTasks)
		}
		if !c.r.Modern() && asks != c.passes || req.Params.Get("grease") == nil {
			t.Errorf("%s at %q: the server got %s, want the task: %v", c.name, c.endpoint, req.Params.Raw(), c.passes)
		}
		if c.r.Modern() && (req.Client.TakesTasks() != c.passes || !strings.Contains(string(req.Client.Capabilities.Raw()), `"x/y":{"grease":1}`)) {
			t.Errorf("%s at %q: the server is told %s, want tasks: %v, and the rest", c.name, c.endpoint, req.Client.Capabilities.Raw(), c.passes)
		}
	}
	t.Run("methods of tasks are not there at endpoints of many", func(t *testing.T) {
		for _, method := range []string{"tasks/get", "tasks/update", "tasks/cancel", "tasks/result", "tasks/list"} {
			for _, endpoint := range []string{"", "all"} {
				h, _ := g.Endpoint(endpoint)
				_, err := h.Handle(t.Context(), by(mcp.Revision20251125, `{}`, method, `{"taskId":"t1"}`))
				var wire *mcp.Error
				if !errors.As(err, &wire) || wire.Code != jsonrpc.CodeMethodNotFound {
					t.Errorf("%s at %q: %v", method, endpoint, err)
				}
			}
			h, _ := g.Endpoint("old")
			if _, err := h.Handle(t.Context(), by(mcp.Revision20251125, `{}`, method, `{"taskId":"t1","grease":1}`)); err != nil {
				t.Errorf("%s at old: %v", method, err)
			}
			if req := <-old.requests; req.Name != "t1" && method != "tasks/list" || string(req.Params.Raw()) != `{"taskId":"t1","grease":1}` {
				t.Errorf("%s at old: the server got %s", method, req.Params.Raw())
			}
		}
	})
}

func TestTaskSubscriptions(t *testing.T) {
	g, old, modern := tasking(t)
	// listens returns what a client is told until it goes away.
	listens := func(t *testing.T, endpoint string, req *mcp.Request) <-chan string {
		t.Helper()
		h, _ := g.Endpoint(endpoint)
		if _, err := h.Handle(t.Context(), by(req.Client.Revision, `{}`, "server/discover", `{}`)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan string, 16)
		req.Notify = func(n mcp.Notification) { got <- n.Method + string(n.Params.Raw()) }
		done := make(chan error, 1)
		go func() {
			_, err := h.Handle(ctx, req)
			done <- err
		}()
		t.Cleanup(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("listen: %v", err)
			}
		})
		return got
	}
	const ack = "notifications/subscriptions/acknowledged"
	t.Run("of the extension pass, at the server's own endpoint", func(t *testing.T) {
		req := by(mcp.Revision20260728, tasksDeclared, "subscriptions/listen", `{"notifications":{"taskIds":["t1"]}}`)
		got := listens(t, "new", req)
		if first := <-got; first != ack+`{"notifications":{"taskIds":["t1"]}}` {
			t.Errorf("acknowledged %s", first)
		}
		modern.tell("notifications/tasks", `{"taskId":"t1","grease":1}`)
		if n := <-got; n != `notifications/tasks{"taskId":"t1","grease":1}` {
			t.Errorf("told %s", n)
		}
	})
	t.Run("of 2025-11-25 pass too", func(t *testing.T) {
		req := by(mcp.Revision20251125, `{}`, "subscriptions/listen", `{"notifications":{"dragoman/taskStatus":true}}`)
		got := listens(t, "old", req)
		if first := <-got; first != ack+`{"notifications":{"dragoman/taskStatus":true}}` {
			t.Errorf("acknowledged %s", first)
		}
		old.tell("notifications/tasks/status", `{"taskId":"t1","grease":1}`)
		if n := <-got; n != `notifications/tasks/status{"taskId":"t1","grease":1}` {
			t.Errorf("told %s", n)
		}
	})
	t.Run("are left out elsewhere", func(t *testing.T) {
		for endpoint, req := range map[string]*mcp.Request{
			"":    by(mcp.Revision20260728, tasksDeclared, "subscriptions/listen", `{"notifications":{"taskIds":["t1"]}}`),
			"all": by(mcp.Revision20251125, `{}`, "subscriptions/listen", `{"notifications":{"dragoman/taskStatus":true}}`),
			"old": by(mcp.Revision20260728, tasksDeclared, "subscriptions/listen", `{"notifications":{"taskIds":["t1"],"dragoman/taskStatus":true}}`),
			"new": by(mcp.Revision20251125, `{}`, "subscriptions/listen", `{"notifications":{"dragoman/taskStatus":true}}`),
		} {
			if first := <-listens(t, endpoint, req); first != ack+`{"notifications":{}}` {
				t.Errorf("%q acknowledged %s", endpoint, first)
			}
		}
	})
	t.Run("need the extension declared", func(t *testing.T) {
		h, _ := g.Endpoint("new")
		_, err := h.Handle(t.Context(), by(mcp.Revision20260728, `{}`, "subscriptions/listen", `{"notifications":{"taskIds":["t1"]}}`))
		var wire *mcp.Error
		if !errors.As(err, &wire) || wire.Code != mcp.CodeMissingCapability || string(wire.Data) != `{"requiredCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}}` {
			t.Errorf("got %v", err)
		}
	})
}
