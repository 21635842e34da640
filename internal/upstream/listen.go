package upstream

import (
	"context"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Bounds of how often who overhears a link listens to it again.
const (
	overhearMin = time.Second
	overhearMax = 30 * time.Second
)

// listen follows a subscription on a link of the caller's class, until the link
// is retired; then its owner listens again. To hear of changed lists no server
// is started that is started on demand: who listens to one that does not run
// hears nothing of it. A subscription to resources is a use of the server.
func (u *Upstream) listen(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	if wantsLogs(req) {
		return u.followLogs(ctx, req)
	}
	if u.cfg.Isolation != "shared" && u.cfg.Isolation != "" && wantsOnlyLists(req) {
		return u.overhear(ctx, req)
	}
	r, err := u.pick(nil)
	if err != nil {
		return mcp.Result{}, u.explain(outcome{caller: ctx, own: ctx, method: req.Method, err: err})
	}
	follows := wantsResources(req)
	who := u.askerOf(req)
	who.open = u.cfg.Start == "always" || follows
	who.own = who.own && !follows
	l, err := r.link(ctx, who)
	if err != nil {
		return mcp.Result{}, u.explain(outcome{caller: ctx, own: ctx, method: req.Method, err: refused(err)})
	}
	if follows {
		l.followers.Add(1)
		defer l.followers.Add(-1)
	}
	l.leave(who)                        // it does not keep the link from being retired
	if who.own && l.era() == sessions { // a stateless server has no others to hear of
		var stop func()
		req, stop = u.changes.merged(req)
		defer stop()
	}
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.retired, cancel)()
	defer context.AfterFunc(u.quiet, cancel)()
	result, err := l.handler.Handle(own, req)
	switch {
	case err == nil || ctx.Err() != nil:
		return result, err
	case own.Err() != nil || l.over():
		return mcp.Result{}, u.listenAgain()
	}
	return result, u.explain(outcome{caller: ctx, own: own, method: req.Method, err: err})
}

func wantsResources(req *mcp.Request) bool {
	wanted, _ := jsonrpc.Split(req.Params.Get("notifications"))
	for range jsonrpc.Elements(wanted.Get("resourceSubscriptions")) {
		return true
	}
	return false
}

// wantsOnlyLists reports whether a subscription is to changed lists, and to
// nothing that a link would have to be opened for.
func wantsOnlyLists(req *mcp.Request) bool {
	wanted, _ := jsonrpc.Split(req.Params.Get("notifications"))
	return len(wantedLists(req)) > 0 && !wantsResources(req) && string(wanted.Get(mcp.FilterTaskStatus)) != "true"
}

func (u *Upstream) listenAgain() error {
	return mcp.ErrorData(mcp.CodeUnavailable, "server "+u.cfg.Name+" is stopped or started anew: listen again", map[string]any{"server": u.cfg.Name})
}

// overhear serves a subscription to the changed lists of a server that its callers
// do not share. It hears of changes from all links of its caller, whether they are
// open or still will be, and opens none: a caller who never calls needs no process.
func (u *Upstream) overhear(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	emit := inTurn(req)
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(u.quiet, cancel)()
	f, stop := u.changes.follow(u.ownerOf(ctx, req.Client), req, emit)
	defer stop()
	links := make([]*link, len(u.replicas)) // as they are when the caller begins to rely on being told
	for i, r := range u.replicas {
		r.mu.Lock()
		links[i] = r.linkOf(f.owner)
		r.mu.Unlock()
	}
	emit(mcp.Notification{
		Method: "notifications/subscriptions/acknowledged",
		Params: jsonrpc.Object{}.With(jsonrpc.Edit{Name: "notifications", Value: req.Params.Get("notifications")}),
	})
	var work sync.WaitGroup
	for i, r := range u.replicas {
		work.Go(func() { r.overhear(own, req, f, links[i]) })
	}
	work.Wait()
	if ctx.Err() != nil {
		return mcp.Result{}, ctx.Err()
	}
	return mcp.Result{}, u.listenAgain()
}

// overhear tells f of what the links of its owner hear, until ctx ends. With
// another link than before, which was last, anything may have changed.
func (r *replica) overhear(ctx context.Context, req *mcp.Request, f *follower, last *link) {
	var heard *link
	for ctx.Err() == nil {
		r.mu.Lock()
		l, adopted := r.linkOf(f.owner), r.adopted
		r.mu.Unlock()
		if l != nil && l != heard {
			if last != nil && l != last {
				f.tellAll()
			}
			last, heard = l, l
			if l.era() == stateless { // those of sessions tell unasked
				r.hear(ctx, l, req, f)
				continue
			}
		}
		select {
		case <-adopted:
		case <-ctx.Done():
		}
	}
}

// hear subscribes to changed lists on l until it is retired, or has ended.
func (r *replica) hear(ctx context.Context, l *link, req *mcp.Request, f *follower) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(l.retired, cancel)()
	again := false
	own := *req
	own.Notify = func(n mcp.Notification) {
		switch {
		case n.Method != "notifications/subscriptions/acknowledged":
			f.tell(n.Method)
		case again:
			f.tellAll()
		default:
			again = true // what is acknowledged once more was interrupted
		}
	}
	for delay := overhearMin; ctx.Err() == nil && !l.over(); delay = min(2*delay, overhearMax) {
		if _, err := l.handler.Handle(ctx, &own); err != nil && ctx.Err() == nil {
			r.u.log.Debug("subscription to changed lists ended", "err", err)
		}
		again = true
		pause(ctx, delay)
	}
}
