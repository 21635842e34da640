package gateway

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Bounds of one client's subscription.
const (
	maxSubscribed = 1024    // resources
	maxQueued     = 256     // notifications that wait for the client; beyond, the subscription ends
	maxQueuedSize = 4 << 20 // bytes of them, likewise; but one has room whatever its length
	grantTimeout  = 10 * time.Second
	relistenMin   = time.Second
	relistenMax   = 30 * time.Second
)

// hub tells clients that lists have changed.
type hub struct {
	mu          sync.Mutex // guards subscribers
	subscribers map[*subscriber]bool
}

// subscriber is one subscriptions/listen under way. Most of them wait for
// something that never happens, so what waits is kept in a list that grows.
type subscriber struct {
	server string    // whose changes count; empty for all
	owners [2]string // of the lists that are the subscriber's own, where a server is not shared
	class  class     // of the lists that it has of those that are
	lists  [kindCount]bool
	wake   chan struct{} // something waits

	mu      sync.Mutex // guards what follows
	waiting []mcp.Notification
	size    int  // bytes that wait
	slow    bool // more than maxQueued waited, or than maxQueuedSize
}

func (h *hub) add(s *subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subscribers == nil {
		h.subscribers = make(map[*subscriber]bool)
	}
	h.subscribers[s] = true
}

func (h *hub) remove(s *subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subscribers, s)
}

// announceAll tells everybody that everything may have changed.
func (h *hub) announceAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.subscribers {
		for _, k := range []kind{tools, prompts, resources} {
			if s.lists[k] {
				s.put(mcp.Notification{Method: k.changed()})
			}
		}
	}
}

// put queues n, or notes that the subscriber does not keep up. A list change
// that waits already says the same.
func (s *subscriber) put(n mcp.Notification) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.waiting {
		if n.Params.IsZero() && w.Method == n.Method {
			return
		}
	}
	size := len(n.Params.Raw())
	if len(s.waiting) >= maxQueued || s.size > 0 && s.size+size > maxQueuedSize {
		s.slow = true
	} else {
		s.waiting, s.size = append(s.waiting, n), s.size+size
	}
	select {
	case s.wake <- struct{}{}:
	default: // it is awake
	}
}

// take returns what waits, and whether something was lost.
func (s *subscriber) take() ([]mcp.Notification, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := s.waiting
	s.waiting, s.size = nil, 0
	return waiting, s.slow
}

func (s *subscriber) putUpdated(uris []string) {
	for _, uri := range uris {
		s.put(updated(uri))
	}
}

func newSubscriber(wanted jsonrpc.Object, server string) *subscriber {
	s := &subscriber{server: server, wake: make(chan struct{}, 1)}
	for k := range kindCount {
		s.lists[k] = k.announced().In(wanted)
	}
	return s
}

// listen serves subscriptions/listen: list changes are the gateway's own,
// resources are subscribed to at the servers that have them, and again when the
// set is replaced.
func (g *Gateway) listen(ctx context.Context, req *mcp.Request, name string) (mcp.Result, error) {
	wanted, ok := jsonrpc.Split(req.Params.Get("notifications"))
	if !ok {
		return mcp.Result{}, mcp.Errorf(jsonrpc.CodeInvalidParams, "subscriptions/listen needs notifications, an object")
	}
	s := g.set.Load()
	sc, ok := s.scopes[name]
	if !ok {
		return mcp.Result{}, gone(name)
	}
	sub := newSubscriber(wanted, sc.about())
	sub.owners, sub.class = ownersOf(ctx, req.Client), sharedClass(req.Client)
	g.hub.add(sub)
	defer g.hub.remove(sub)
	acknowledged := false
	for {
		again, err := sub.serve(ctx, req, feedPlan{set: s, scope: sc, wanted: wanted, acknowledged: &acknowledged})
		if !again {
			return mcp.EmptyResult(), err
		}
		s = g.set.Load()
		if sc, ok = s.scopes[name]; !ok {
			return mcp.EmptyResult(), nil // an orderly end: the endpoint is gone
		}
	}
}

// serve delivers until the subscription ends or the set is replaced; then it
// returns true.
func (sub *subscriber) serve(ctx context.Context, req *mcp.Request, p feedPlan) (bool, error) {
	ctx, cancel := context.WithCancel(ctx)
	var feeds sync.WaitGroup
	defer feeds.Wait()
	defer cancel()
	sub.feedLists(ctx, req, p, &feeds)
	granted := sub.feed(ctx, req, p, &feeds)
	tasks, err := sub.feedTasks(ctx, req, p, &feeds)
	if err != nil {
		return false, err
	}
	tasks = append(tasks, sub.feedLogs(ctx, req, p, &feeds)...)
	if !*p.acknowledged {
		*p.acknowledged = true
		req.Emit(acknowledgement(sub, granted, tasks))
	}
	for {
		select {
		case <-sub.wake:
			waiting, slow := sub.take()
			for _, n := range waiting {
				req.Emit(n)
			}
			if slow {
				return false, mcp.Errorf(mcp.CodeBusy, "the subscriber did not keep up: more than %d notifications waited, or %d bytes", maxQueued, maxQueuedSize)
			}
		case <-p.set.replaced:
			return true, nil
		case <-ctx.Done():
			return false, nil // how a subscription ends: nobody waits for the result
		case <-p.set.gateway.ctx.Done():
			return false, nil // an orderly end: the gateway stops
		}
	}
}

// feedPlan is what a subscription takes from the servers of a set.
type feedPlan struct {
	set          *set
	scope        scope
	wanted       jsonrpc.Object
	acknowledged *bool
}

// feed opens a subscription at each server that has some of the resources, and
// returns the resources that they grant.
func (sub *subscriber) feed(ctx context.Context, req *mcp.Request, p feedPlan, feeds *sync.WaitGroup) []string {
	byOwner := make(map[*member][]string)
	n := 0
	for element := range jsonrpc.Elements(p.wanted.Get("resourceSubscriptions")) {
		uri, ok := jsonrpc.Unquote(element)
		if !ok || n >= maxSubscribed {
			continue
		}
		if owner := p.scope.owner(ctx, req.Client, uri); owner != nil {
			byOwner[owner] = append(byOwner[owner], uri)
			n++
		}
	}
	grants := make(chan []string, len(byOwner))
	for owner, uris := range byOwner {
		feeds.Go(func() { owner.follow(ctx, req, feedOrder{uris: uris, sub: sub, grants: grants, late: *p.acknowledged}) })
	}
	timeout := time.NewTimer(grantTimeout)
	defer timeout.Stop()
	var granted []string
	for range byOwner {
		select {
		case uris := <-grants:
			granted = append(granted, uris...)
		case <-timeout.C:
			return granted // servers that do not acknowledge are not granted
		case <-ctx.Done():
			return granted
		}
	}
	slices.Sort(granted)
	return granted
}

// feedOrder is one server's part of a feed.
type feedOrder struct {
	uris   []string
	sub    *subscriber
	grants chan<- []string
	late   bool // the subscription was there before: what happened in between is not known
}

// follow keeps a subscription to resources of one server open. When it breaks,
// it is opened again, and the resources count as updated: what happened in
// between is not known.
func (m *member) follow(ctx context.Context, req *mcp.Request, o feedOrder) {
	first := true
	own := &mcp.Request{Method: req.Method, Params: resourceFilter(o.uris), Client: req.Client}
	own.Notify = func(n mcp.Notification) {
		switch n.Method {
		case "notifications/subscriptions/acknowledged":
			granted := grantedURIs(n.Params)
			if first {
				o.grants <- granted
			}
			if !first || o.late {
				o.sub.putUpdated(granted)
			}
			first = false
		case "notifications/resources/updated":
			o.sub.put(n)
		}
	}
	for delay := relistenMin; ctx.Err() == nil; delay = min(2*delay, relistenMax) {
		if _, err := m.Handler.Handle(ctx, own); err != nil && first {
			o.grants <- nil
			return
		}
		pause(ctx, delay)
	}
}

func resourceFilter(uris []string) jsonrpc.Object {
	list := []byte{'['}
	for i, uri := range uris {
		if i > 0 {
			list = append(list, ',')
		}
		list = jsonrpc.AppendString(list, uri)
	}
	wanted := jsonrpc.Object{}.Append(nil, jsonrpc.Edit{Name: "resourceSubscriptions", Value: append(list, ']')})
	return jsonrpc.Object{}.With(jsonrpc.Edit{Name: "notifications", Value: wanted})
}

func updated(uri string) mcp.Notification {
	params := jsonrpc.Object{}.With(jsonrpc.Edit{Name: "uri", Value: jsonrpc.AppendString(nil, uri)})
	return mcp.Notification{Method: "notifications/resources/updated", Params: params}
}

func grantedURIs(params jsonrpc.Object) []string {
	granted, _ := jsonrpc.Split(params.Get("notifications"))
	var uris []string
	for element := range jsonrpc.Elements(granted.Get("resourceSubscriptions")) {
		if uri, ok := jsonrpc.Unquote(element); ok {
			uris = append(uris, uri)
		}
	}
	return uris
}

func acknowledgement(s *subscriber, uris []string, edits []jsonrpc.Edit) mcp.Notification {
	for k := range templates {
		if s.lists[k] {
			edits = append(edits, k.announced().Ask())
		}
	}
	if len(uris) > 0 {
		params := resourceFilter(uris)
		filter, _ := jsonrpc.Split(params.Get("notifications"))
		edits = append(edits, jsonrpc.Edit{Name: "resourceSubscriptions", Value: filter.Get("resourceSubscriptions")})
	}
	honoured := jsonrpc.Object{}.Append(nil, edits...)
	return mcp.Notification{
		Method: "notifications/subscriptions/acknowledged",
		Params: jsonrpc.Object{}.With(jsonrpc.Edit{Name: "notifications", Value: honoured}),
	}
}

// Status is what is known of a server's lists, as the gateway itself sees them.
type Status struct {
	Server    string
	Known     bool // was asked with success at least once
	Tools     int
	Prompts   int
	Resources int
	Reason    string    // why the last fetch failed; empty when it did not
	Fetched   time.Time // last good fetch of its tools; zero when there was none
}

// Status tells of every server, sorted by name.
func (g *Gateway) Status() []Status {
	var out []Status
	for _, m := range g.set.Load().servers {
		out = append(out, m.status())
	}
	return out
}

func (m *member) status() Status {
	st := Status{Server: m.Name}
	for _, b := range m.shelf.all() {
		t := b.snapshot(tools)
		if t.loaded && (t.fetched.After(st.Fetched) || !st.Known) {
			st.Known, st.Fetched = true, t.fetched
			st.Tools, st.Prompts = len(t.entries), len(b.snapshot(prompts).entries)
			st.Resources = len(b.snapshot(resources).entries)
		}
		for k := range kindCount {
			if l := b.snapshot(k); l.err != nil && st.Reason == "" {
				st.Reason = fmt.Sprintf("%s: %v", k.method(), l.err)
			}
		}
	}
	return st
}
