package upstream

import (
	"context"
	"sync"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// wantsLogs reports whether a subscription is to what the server logs outside any
// call. Such a one is to nothing else.
func wantsLogs(req *mcp.Request) bool {
	wanted, _ := jsonrpc.Split(req.Params.Get("notifications"))
	return wanted.Get(mcp.FilterLogLevel) != nil
}

// followLogs serves a subscription to what the server logs outside any call, on the
// links that the caller's calls take, whether they are open or still will be. It opens
// none. Who may hear of what is decided where the session with the server is.
func (u *Upstream) followLogs(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	emit := inTurn(req)
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(u.quiet, cancel)()
	emit(mcp.Notification{
		Method: "notifications/subscriptions/acknowledged",
		Params: jsonrpc.Object{}.With(jsonrpc.Edit{Name: "notifications", Value: req.Params.Get("notifications")}),
	})
	each := *req
	each.Notify = func(n mcp.Notification) {
		if n.Method == "notifications/message" {
			emit(n)
		}
	}
	var work sync.WaitGroup
	for _, r := range u.replicas {
		work.Go(func() { r.followLogs(own, &each) })
	}
	work.Wait()
	if ctx.Err() != nil {
		return mcp.Result{}, ctx.Err()
	}
	return mcp.Result{}, u.listenAgain()
}

// followLogs listens to each link that the caller's calls take, one after the other,
// until ctx ends. A stateless server logs nothing outside of calls.
func (r *replica) followLogs(ctx context.Context, req *mcp.Request) {
	var heard *link
	for ctx.Err() == nil {
		r.mu.Lock()
		l, adopted := r.links[r.keyOf(ctx, req.Client)], r.adopted
		r.mu.Unlock()
		if l != nil && l != heard && l.era() == sessions {
			heard = l
			r.hearLogs(ctx, l, req)
			continue
		}
		select {
		case <-adopted:
		case <-ctx.Done():
		}
	}
}

// hearLogs listens to a link until it is retired, or has ended.
func (r *replica) hearLogs(ctx context.Context, l *link, req *mcp.Request) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.retired, cancel)()
	if _, err := l.handler.Handle(ctx, req); err != nil && ctx.Err() == nil {
		r.u.log.Debug("subscription to log messages ended", "err", err)
	}
}
