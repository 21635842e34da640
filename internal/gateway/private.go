package gateway

import (
	"context"
	"sync"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// private reports whether the server's lists are its callers' own.
func (sh *shelf) private() bool {
	return sh.server.Isolation == PerPrincipal || sh.server.Isolation == PerSession
}

// ownersOf are the owners of lists, as classes name them, that a caller can be.
func ownersOf(ctx context.Context, c *mcp.Client) [2]string {
	owners := [2]string{"p:" + mcp.PrincipalOf(ctx).ID}
	if c != nil && c.Session != "" {
		owners[1] = "s:" + c.Session
	}
	return owners
}

// feedLists listens to the lists of servers that the subscriber does not share: the
// gateway itself has no part in them, and cannot hear of their changes for all.
func (sub *subscriber) feedLists(ctx context.Context, req *mcp.Request, p feedPlan, feeds *sync.WaitGroup) {
	filter := sub.listFilter()
	if filter.IsZero() {
		return
	}
	for _, m := range p.scope.has(ctx) {
		if m.shelf.private() {
			feeds.Go(func() { m.followLists(ctx, req.Client, filter, sub) })
		}
	}
}

// listFilter asks for the lists that the subscriber wants to hear of; zero for none.
func (sub *subscriber) listFilter() jsonrpc.Object {
	var edits []jsonrpc.Edit
	for k := range templates {
		if sub.lists[k] {
			edits = append(edits, k.announced().Ask())
		}
	}
	if edits == nil {
		return jsonrpc.Object{}
	}
	wanted := jsonrpc.Object{}.Append(nil, edits...)
	return jsonrpc.Object{}.With(jsonrpc.Edit{Name: "notifications", Value: wanted})
}

// followLists keeps a subscription of a caller to its own lists of a server open.
// When it breaks, anything may have changed until it is there again.
func (m *member) followLists(ctx context.Context, c *mcp.Client, filter jsonrpc.Object, sub *subscriber) {
	first := true
	own := &mcp.Request{Method: "subscriptions/listen", Params: filter, Client: c}
	own.Notify = func(n mcp.Notification) {
		acknowledged := n.Method == "notifications/subscriptions/acknowledged"
		for _, k := range []kind{tools, prompts, resources} {
			if n.Method == k.changed() || acknowledged && !first {
				m.shelf.changedFor(ctx, c, k)
				if sub.lists[k] {
					sub.put(mcp.Notification{Method: k.changed()})
				}
			}
		}
		first = first && !acknowledged
	}
	for delay := relistenMin; ctx.Err() == nil; delay = min(2*delay, relistenMax) {
		if _, err := m.Handler.Handle(ctx, own); err != nil && ctx.Err() == nil {
			m.shelf.gateway.o.Log.Debug("subscription to server ended", "server", m.Name, "err", err)
		}
		pause(ctx, delay)
	}
}

// changedFor makes a list of one caller unfit for use until it has been fetched
// again, which its next question does.
func (sh *shelf) changedFor(ctx context.Context, c *mcp.Client, changed kind) {
	b := sh.book(ctx, c)
	for k := range kindCount {
		if k.changed() == changed.changed() {
			b.forget(k)
			b.invalidate(k)
		}
	}
	sh.gateway.changed()
}
