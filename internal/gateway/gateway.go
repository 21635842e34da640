// Package gateway makes many servers one: it gathers their lists into
// catalogs, gives their tools and prompts names that cannot clash, routes
// requests to the server that they are for, and merges subscriptions.
//
// It does not know how a server is reached or kept alive, who may call, nor
// how a message travels: a server is a name and an mcp.Handler.
package gateway

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
)

// Options are what all endpoints of a gateway share. Zero values mean the defaults.
type Options struct {
	// Info is the JSON text of the gateway's Implementation object.
	Info []byte
	// Separator stands between a server's name and its tool's name; "__" by default.
	Separator string
	// MaxName is the longest name that clients see; 64 by default. Longer ones
	// are cut and end in a digest.
	MaxName int
	// TTL is how long a list holds whose server says nothing of that; 5 minutes by default.
	TTL time.Duration
	// ListDeadline is how long a list request waits for servers that have not
	// answered yet; 5 seconds by default.
	ListDeadline time.Duration
	// FetchTimeout bounds one server's answer to all pages of a list; 30 seconds by default.
	FetchTimeout time.Duration
	// PageSize is the number of entries on a page; 1,000 by default.
	PageSize int
	// Audience says who may know of what; everybody of everything when nil.
	Audience Audience
	// Now is the clock; time.Now by default.
	Now func() time.Time
	Log *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.Separator == "" {
		o.Separator = "__"
	}
	if o.MaxName == 0 {
		o.MaxName = 64
	}
	if o.TTL == 0 {
		o.TTL = 5 * time.Minute
	}
	if o.ListDeadline == 0 {
		o.ListDeadline = 5 * time.Second
	}
	if o.FetchTimeout == 0 {
		o.FetchTimeout = 30 * time.Second
	}
	if o.PageSize == 0 {
		o.PageSize = 1000
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Info == nil {
		o.Info = []byte(`{"name":"dragoman","version":""}`)
	}
	return o
}

// Gateway serves a set of servers, which can be replaced as a whole while
// requests are under way. Close it when nobody calls any more.
type Gateway struct {
	o     Options
	set   atomic.Pointer[set]
	hub   hub
	ctx   context.Context // of background work; ends with Close
	stop  context.CancelFunc
	work  sync.WaitGroup
	epoch atomic.Int64 // counts changes of any list, so that prepared pages know that they are old

	mu    sync.Mutex // guards pages
	pages map[pageKey]*pages
}

// New returns a gateway without servers.
func New(o Options) *Gateway {
	g := &Gateway{o: o.withDefaults(), pages: make(map[pageKey]*pages)}
	g.ctx, g.stop = context.WithCancel(context.Background())
	g.set.Store(emptySet(g))
	return g
}

// Stop ends subscriptions, those of clients with a result that says so, and lets
// the gateway ask servers for nothing of its own accord any more.
func (g *Gateway) Stop() { g.stop() }

// Close stops, and waits for the gateway's own work. Nobody may call any more. It
// does not close the servers.
func (g *Gateway) Close() {
	g.stop()
	g.work.Wait()
}

// Swap replaces servers and views. Requests under way stay with the servers
// that they were given to; the returned channel is closed when the last of them
// has been answered, so that what is gone can be closed. Subscriptions move over
// to the new set and are told of what changed. A server whose Handler is the
// same as before keeps its lists. Where nothing differs, nothing happens.
func (g *Gateway) Swap(servers []Server, views []View) (<-chan struct{}, error) {
	next, err := newSet(g, servers, views)
	if err != nil {
		return nil, err
	}
	if next.equals(g.set.Load()) {
		none := make(chan struct{})
		close(none)
		return none, nil
	}
	old := g.set.Swap(next)
	g.changed()
	kept := make(map[*shelf]bool)
	for _, s := range next.servers {
		kept[s.shelf] = true
		if was := old.byName[s.Name]; was == nil || was.shelf != s.shelf {
			s.shelf.start()
		}
	}
	for _, s := range old.servers {
		if !kept[s.shelf] {
			s.shelf.stop()
		}
	}
	close(old.replaced)
	g.hub.announceAll()
	old.leave()
	return old.drained, nil
}

// changed makes prepared pages old.
func (g *Gateway) changed() { g.epoch.Add(1) }

// Names returns the names of the servers and of the views, sorted.
func (g *Gateway) Names() (servers, views []string) {
	s := g.set.Load()
	for _, server := range s.servers {
		servers = append(servers, server.Name)
	}
	for _, v := range s.views {
		views = append(views, v.Name)
	}
	return servers, views
}

// Has reports whether there is a server or view of that name; there always is
// one named "".
func (g *Gateway) Has(name string) bool {
	_, ok := g.set.Load().scopes[name]
	return ok
}

// Endpoint returns the handler of an endpoint: "" for all servers, otherwise a
// server, with its own names, or a view. The handler looks the name up at each
// request, so that it stays good when the set is replaced; once the name is
// gone it answers that it is. The second result tells whether it exists now.
func (g *Gateway) Endpoint(name string) (mcp.Handler, bool) {
	return mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
		if req.Method == "subscriptions/listen" {
			return g.listen(ctx, req, name)
		}
		s := g.enter()
		defer s.leave()
		scope, ok := s.scopes[name]
		if !ok {
			return mcp.Result{}, gone(name)
		}
		return scope.handle(ctx, req)
	}), g.Has(name)
}

func gone(name string) error {
	return mcp.Errorf(mcp.CodeUnavailable, "there is no server or view named %q any more", name)
}

// enter returns the set of now, which is not drained before leave is called.
func (g *Gateway) enter() *set {
	for {
		s := g.set.Load()
		s.users.Add(1)
		if g.set.Load() == s {
			return s
		}
		s.leave()
	}
}
