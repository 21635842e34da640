package gateway

import (
	"context"
	"sync"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

const logNotice = "notifications/message"

// feedLogs lets the subscriber hear of what the servers log outside any call, and
// returns what of its filter that grants. A view shows what it names, which logs
// would go beyond.
func (sub *subscriber) feedLogs(ctx context.Context, req *mcp.Request, p feedPlan, feeds *sync.WaitGroup) []jsonrpc.Edit {
	level := p.wanted.Get(mcp.FilterLogLevel)
	if level == nil || req.Client == nil || req.Client.Revision.Modern() {
		return nil
	}
	if m, ok := p.scope.(*many); ok && m.view != nil {
		return nil
	}
	granted := jsonrpc.Edit{Name: mcp.FilterLogLevel, Value: level}
	wanted := jsonrpc.Object{}.Append(nil, granted)
	params := jsonrpc.Object{}.With(jsonrpc.Edit{Name: "notifications", Value: wanted})
	for _, m := range p.scope.has(ctx) {
		about := m.shelf.book(ctx, req.Client).known()
		if about == nil || about.Capabilities.Get("logging") != nil {
			feeds.Go(func() { m.followLogs(ctx, req.Client, params, sub) })
		}
	}
	return []jsonrpc.Edit{granted}
}

// followLogs keeps a caller's subscription to the logs of a server open. What is
// logged while it is not is lost, and so is what the caller may no longer know of.
func (m *member) followLogs(ctx context.Context, c *mcp.Client, filter jsonrpc.Object, sub *subscriber) {
	own := &mcp.Request{Method: "subscriptions/listen", Params: filter, Client: c}
	own.Notify = func(n mcp.Notification) {
		if n.Method == logNotice && m.shelf.gateway.meets(ctx, m.Name) {
			sub.offer(n)
		}
	}
	for delay := relistenMin; ctx.Err() == nil; delay = min(2*delay, relistenMax) {
		if _, err := m.Handler.Handle(ctx, own); err != nil && ctx.Err() == nil {
			m.shelf.gateway.o.Log.Debug("subscription to a server's logs ended", "server", m.Name, "err", err)
		}
		pause(ctx, delay)
	}
}

// offer queues a notification that may be lost: half of the room is for it.
func (s *subscriber) offer(n mcp.Notification) {
	s.mu.Lock()
	full := len(s.waiting) >= maxQueued/2 || s.size > 0 && s.size+len(n.Params.Raw()) > maxQueuedSize/2
	s.mu.Unlock()
	if !full {
		s.put(n)
	}
}
