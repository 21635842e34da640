package gateway

import (
	"context"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Tasks exist at the endpoint of one server only, in whichever of the two
// dialects client and server have in common: a task's id does not say whose it
// is. Elsewhere nobody is told of them, and what a server makes a task of is
// driven to its result by whoever reaches the server.

// untasked is a request at an endpoint of many servers. A client may have
// declared tasks, or ask for one, without having been told that they exist; then
// it is as if it had not (2025-11-25, basic/utilities/tasks, "Task Support and
// Handling"; ext-tasks, "Capability Negotiation").
func untasked(req *mcp.Request) *mcp.Request {
	client := req.Client.WithoutTasks()
	asks := req.Method == "tools/call" && req.Client.KnowsTasks() && req.Params.Get("task") != nil
	if client == req.Client && !asks {
		return req
	}
	own := *req
	own.Client = client
	if asks {
		own.Params = req.Params.With(jsonrpc.Edit{Name: "task"})
	}
	return &own
}

// hideTaskSupport are the edits of a tool for clients to whom tasks of
// 2025-11-25 do not exist.
func hideTaskSupport(tool jsonrpc.Object) []jsonrpc.Edit {
	execution, _ := jsonrpc.Split(tool.Get("execution"))
	if execution.Get("taskSupport") == nil {
		return nil
	}
	if len(execution.Members()) == 1 {
		return []jsonrpc.Edit{{Name: "execution"}}
	}
	return []jsonrpc.Edit{{Name: "execution", Value: execution.Append(nil, jsonrpc.Edit{Name: "taskSupport"})}}
}

// hasTasks reports whether a server announced the extension.
func hasTasks(about *mcp.Server) bool {
	if about == nil {
		return false
	}
	extensions, _ := jsonrpc.Split(about.Capabilities.Get("extensions"))
	return extensions.Get(mcp.ExtensionTasks) != nil
}

// taskFilter is the part of a subscription's filter that is about tasks, as far
// as the server knows of them; zero when there is none.
func (s *single) taskFilter(ctx context.Context, req *mcp.Request, wanted jsonrpc.Object) (jsonrpc.Object, error) {
	ids, status := wanted.Get("taskIds"), wanted.Get(mcp.FilterTaskStatus)
	if ids == nil && status == nil {
		return jsonrpc.Object{}, nil
	}
	about := s.member.shelf.book(ctx, req.Client).known()
	switch {
	case ids != nil && hasTasks(about) && req.Client.TakesTasks():
		return jsonrpc.Object{}.With(jsonrpc.Edit{Name: "taskIds", Value: ids}), nil
	case ids != nil && hasTasks(about):
		return jsonrpc.Object{}, mcp.ErrorData(mcp.CodeMissingCapability, "taskIds need the extension "+mcp.ExtensionTasks+" declared",
			map[string]any{"requiredCapabilities": map[string]any{"extensions": map[string]any{mcp.ExtensionTasks: struct{}{}}}})
	case status != nil && about != nil && about.Capabilities.Get("tasks") != nil && req.Client.KnowsTasks():
		return jsonrpc.Object{}.With(jsonrpc.Edit{Name: mcp.FilterTaskStatus, Value: status}), nil
	}
	return jsonrpc.Object{}, nil
}

// feedTasks opens a subscription to tasks at the endpoint's server, if the
// client wants any, and returns what of the filter that grants.
func (sub *subscriber) feedTasks(ctx context.Context, req *mcp.Request, p feedPlan, feeds *sync.WaitGroup) ([]jsonrpc.Edit, error) {
	s, ok := p.scope.(*single)
	if !ok {
		return nil, nil
	}
	filter, err := s.taskFilter(ctx, req, p.wanted)
	if err != nil || filter.IsZero() {
		return nil, err
	}
	granted := make(chan []jsonrpc.Edit, 1)
	feeds.Go(func() { s.member.followTasks(ctx, req, filter, taskOrder{sub: sub, granted: granted}) })
	timeout := time.NewTimer(grantTimeout)
	defer timeout.Stop()
	select {
	case edits := <-granted:
		return edits, nil
	case <-timeout.C:
	case <-ctx.Done():
	}
	return nil, nil
}

// taskOrder is what becomes of a subscription to tasks.
type taskOrder struct {
	sub     *subscriber
	granted chan<- []jsonrpc.Edit // gets one value, if the server says anything
}

// followTasks keeps a subscription to tasks open. What is missed while it is not
// is learned by asking: its client goes on with that anyway.
func (m *member) followTasks(ctx context.Context, req *mcp.Request, filter jsonrpc.Object, o taskOrder) {
	params := jsonrpc.Object{}.With(jsonrpc.Edit{Name: "notifications", Value: filter.Raw()})
	own := &mcp.Request{Method: req.Method, Params: params, Client: req.Client}
	first := true
	own.Notify = func(n mcp.Notification) {
		switch n.Method {
		case "notifications/subscriptions/acknowledged":
			if first {
				o.granted <- grantedTasks(n.Params)
			}
			first = false
		case "notifications/tasks", "notifications/tasks/status", "notifications/progress":
			o.sub.put(n)
		}
	}
	for delay := relistenMin; ctx.Err() == nil; delay = min(2*delay, relistenMax) {
		if _, err := m.Handler.Handle(ctx, own); err != nil && first {
			o.granted <- nil
			return
		}
		pause(ctx, delay)
	}
}

func grantedTasks(params jsonrpc.Object) []jsonrpc.Edit {
	granted, _ := jsonrpc.Split(params.Get("notifications"))
	var edits []jsonrpc.Edit
	for _, name := range [...]string{"taskIds", mcp.FilterTaskStatus} {
		if value := granted.Get(name); value != nil {
			edits = append(edits, jsonrpc.Edit{Name: name, Value: value})
		}
	}
	return edits
}
