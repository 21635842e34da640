package elicit

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

const (
	// maxRounds is how often one request has questions declined in its caller's
	// place; a server that goes on asking has its call ended.
	maxRounds = 4
	// courtesy bounds what is said to a server that nobody waits for.
	courtesy = 5 * time.Second
	// maxTold bounds the tasks of one subscription whose servers are told at a time
	// that a question is declined.
	maxTold = 8
)

// guard is a server with what it asks judged.
type guard struct {
	judge   *Judge
	server  string
	asks    config.Asks
	without mcp.Kinds // what it may not ask for
	next    mcp.Handler
}

var _ mcp.Handler = (*guard)(nil)

// Handle implements mcp.Handler.
func (g *guard) Handle(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	if client := req.Client.WithoutKinds(g.without); client != req.Client {
		own := *req
		own.Client = client
		req = &own
	}
	if req.Method == "subscriptions/listen" && req.Notify != nil {
		return g.listen(ctx, req)
	}
	result, err := g.next.Handle(ctx, req)
	switch {
	case err != nil:
		return result, g.links(ctx, req, err)
	case result.Type() == mcp.InputRequired:
		return g.settle(ctx, req, result)
	case result.Type() == mcp.TaskCreated || req.Method == "tasks/get":
		return g.task(ctx, req, result)
	}
	return result, nil
}

// settle passes questions on, or declines those that may not be asked, until what
// is left may be.
func (g *guard) settle(ctx context.Context, req *mcp.Request, result mcp.Result) (mcp.Result, error) {
	for range maxRounds {
		v := g.weigh(ctx, req, result.Get("inputRequests"), true)
		if v.ends != nil {
			req.GiveUp(ctx, g.next, result, courtesy)
			return mcp.Result{}, v.ends
		}
		if len(v.declined) == 0 {
			return mcp.Result{Object: v.on(result.Object)}, nil
		}
		// Earlier answers go along: a server without a state would ask for them again.
		given, _ := jsonrpc.Split(req.Params.Get("inputResponses"))
		req = req.Again(result, given.Append(nil, v.declined...))
		var err error
		result, err = g.next.Handle(ctx, req)
		if err != nil {
			return result, g.links(ctx, req, err)
		}
		if result.Type() != mcp.InputRequired {
			return result, nil
		}
	}
	req.GiveUp(ctx, g.next, result, courtesy)
	return mcp.Result{}, mcp.Errorf(mcp.CodeForbidden, "server %s goes on asking for what it may not ask for", g.server)
}

// task takes what may not be asked out of what is said of a task, and declines it.
func (g *guard) task(ctx context.Context, req *mcp.Request, result mcp.Result) (mcp.Result, error) {
	if result.Get("inputRequests") == nil {
		return result, nil
	}
	v := g.weigh(ctx, req, result.Get("inputRequests"), false)
	if v.ends != nil {
		return mcp.Result{}, v.ends
	}
	id, _ := result.String("taskId")
	if id == "" {
		id = req.Name
	}
	g.decline(ctx, req, id, v.declined)
	return mcp.Result{Object: v.without(result.Object)}, nil
}

// decline answers questions of a task in its caller's place.
func (g *guard) decline(ctx context.Context, req *mcp.Request, task string, declined []jsonrpc.Edit) {
	if len(declined) == 0 || task == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, courtesy)
	defer cancel()
	_, _ = g.next.Handle(ctx, &mcp.Request{ // what it asks again is declined again
		Method: "tasks/update", Name: task, Client: req.Client, TraceParent: req.TraceParent,
		Params: jsonrpc.Object{}.With(
			jsonrpc.Edit{Name: "taskId", Value: jsonrpc.AppendString(nil, task)},
			jsonrpc.Edit{Name: "inputResponses", Value: jsonrpc.Object{}.Append(nil, declined...)}),
	})
}

// listen judges what a subscription says of tasks. The servers of those that ask
// what they may not are told beside it, so that the subscription goes on.
func (g *guard) listen(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	var telling sync.WaitGroup
	defer telling.Wait()
	defer cancel()
	places := make(chan struct{}, maxTold)
	own := *req
	own.Notify = func(n mcp.Notification) {
		if n.Method != "notifications/tasks" || n.Params.Get("inputRequests") == nil {
			req.Notify(n)
			return
		}
		v := g.weigh(ctx, req, n.Params.Get("inputRequests"), false)
		id, _ := n.Params.String("taskId")
		select {
		case places <- struct{}{}:
			telling.Go(func() {
				defer func() { <-places }()
				g.decline(ctx, req, id, v.declined)
			})
		default: // who asks for the task has it declined then
		}
		req.Notify(mcp.Notification{Method: n.Method, Params: v.without(n.Params)})
	}
	return g.next.Handle(ctx, &own)
}

// links takes links that may not be opened out of an error that brings some
// (2025-11-25, "URLElicitationRequiredError", for callers who have no such links).
func (g *guard) links(ctx context.Context, req *mcp.Request, err error) error {
	var wire *mcp.Error
	if !errors.As(err, &wire) || wire.Code != mcp.CodeMissingCapability && wire.Code != mcp.CodeLegacyURLElicitation {
		return err
	}
	data, _ := jsonrpc.Split(wire.Data)
	if data.Get("elicitations") == nil {
		return err
	}
	kept, all := []byte{'['}, true
	for element := range jsonrpc.Elements(data.Get("elicitations")) {
		params, ok := jsonrpc.Split(element)
		var f fault
		if ok {
			_, f = g.link(params)
		}
		if !ok || f.reason != "" {
			all = false
			if ok {
				g.refused(ctx, req, elicitation, f)
			}
			continue
		}
		if len(kept) > 1 {
			kept = append(kept, ',')
		}
		kept = append(kept, element...)
	}
	if all {
		return err
	}
	own := *wire
	own.Data = data.Append(nil, jsonrpc.Edit{Name: "elicitations", Value: append(kept, ']')})
	return &own
}

func (g *guard) refused(ctx context.Context, req *mcp.Request, method string, f fault) {
	g.judge.o.Refused(ctx, Refusal{Server: g.server, Tool: req.Name, Method: method, Reason: f.reason, Detail: f.detail})
}
