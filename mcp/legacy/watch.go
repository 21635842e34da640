package legacy

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Bounds of what a session watches.
const (
	maxWatched   = 1024             // resources subscribed to in one session
	ackTimeout   = 15 * time.Second // for a subscription to be acknowledged
	relistenMin  = time.Second
	relistenMax  = 30 * time.Second
	listenNotice = "notifications/subscriptions/acknowledged"
)

// watch is what a session has asked to be told of. A session-shaped client gets
// list changes unasked and adds resources one by one; the core has one
// subscription with a fixed filter. So every change opens a new subscription
// with the union, and closes the old one when the new one is acknowledged.
type watch struct {
	uris   map[string]bool
	tasks  bool               // the session has begun some
	cancel context.CancelFunc // of the subscription under way; nil when there is none
	mute   func()             // ends that to logs outside any call; nil when there is none
}

func (w *watch) stop() {
	if w.cancel != nil {
		w.cancel()
		w.cancel = nil
	}
}

// Attach implements mcp.Session.
func (s *Session) Attach(out mcp.Stream) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attached++
	mine := s.attached
	s.stream = out
	switch {
	case s.watch.cancel != nil || s.over():
	case len(s.watch.uris) == 0 && !s.watch.tasks && !s.server.o.ListsDiffer():
		s.watch.cancel = s.server.news.join(s, "")
	default:
		s.relisten(s.filter())
	}
	if s.watch.mute == nil {
		s.followLogs()
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.attached != mine {
			return
		}
		s.stream = nil
		s.watch.deafen()
		if len(s.watch.uris) == 0 {
			s.watch.stop()
		}
	}
}

func (s *Session) subscribe(ctx context.Context, params jsonrpc.Object) (mcp.Result, error) {
	uri, ok := params.String("uri")
	if !ok {
		return mcp.Result{}, mcp.Errorf(jsonrpc.CodeInvalidParams, "resources/subscribe needs uri, a string")
	}
	s.mu.Lock()
	if len(s.watch.uris) >= maxWatched {
		s.mu.Unlock()
		return mcp.Result{}, mcp.Errorf(mcp.CodeBusy, "at most %d resources can be subscribed to in a session", maxWatched)
	}
	if s.watch.uris == nil {
		s.watch.uris = make(map[string]bool)
	}
	s.watch.uris[uri] = true
	acked := s.relisten(s.filter())
	s.mu.Unlock()

	timer := time.NewTimer(ackTimeout)
	defer timer.Stop()
	select {
	case granted := <-acked:
		if slices.Contains(granted, uri) {
			return mcp.EmptyResult(), nil
		}
		_, _ = s.unsubscribe(params)
		return mcp.Result{}, mcp.Errorf(jsonrpc.CodeInvalidParams, "the server does not offer subscriptions to %s", uri)
	case <-timer.C:
		_, _ = s.unsubscribe(params)
		return mcp.Result{}, mcp.Errorf(mcp.CodeTimeout, "the server did not acknowledge the subscription within %s", ackTimeout)
	case <-ctx.Done():
		return mcp.Result{}, ctx.Err()
	}
}

func (s *Session) unsubscribe(params jsonrpc.Object) (mcp.Result, error) {
	uri, ok := params.String("uri")
	if !ok {
		return mcp.Result{}, mcp.Errorf(jsonrpc.CodeInvalidParams, "resources/unsubscribe needs uri, a string")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watch.uris[uri] {
		delete(s.watch.uris, uri)
		s.relisten(s.filter())
	}
	return mcp.EmptyResult(), nil
}

// watchTasks lets the session hear of its tasks from now on, if msg has begun
// one. Before that it costs nothing.
func (s *Session) watchTasks(msg jsonrpc.Message, result mcp.Result) {
	if msg.Method != "tools/call" || !s.client.KnowsTasks() || msg.Params.Get("task") == nil || result.Get("task") == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watch.tasks {
		return
	}
	s.watch.tasks = true
	if s.watch.cancel != nil {
		s.relisten(s.filter())
	}
}

// filter writes the params of a subscription to everything that the session
// must hear of.
func (s *Session) filter() jsonrpc.Object { return filter(s.watch.uris, s.watch.tasks) }

func filter(uris map[string]bool, tasks bool) jsonrpc.Object {
	list := []byte{'['}
	for i, uri := range slices.Sorted(maps.Keys(uris)) {
		if i > 0 {
			list = append(list, ',')
		}
		list = jsonrpc.AppendString(list, uri)
	}
	edits := []jsonrpc.Edit{{Name: "resourceSubscriptions", Value: append(list, ']')}}
	for _, l := range mcp.Lists() {
		edits = append(edits, l.Ask())
	}
	if tasks {
		edits = append(edits, jsonrpc.Edit{Name: mcp.FilterTaskStatus, Value: []byte("true")})
	}
	return jsonrpc.Object{}.With(jsonrpc.Edit{Name: "notifications", Value: jsonrpc.Object{}.Append(nil, edits...)})
}

// relisten opens a subscription with filter and lets it replace the one under
// way. The returned channel yields the resources that were granted. s.mu is held.
func (s *Session) relisten(filter jsonrpc.Object) <-chan []string {
	acked := make(chan []string, 1)
	if s.over() {
		return acked
	}
	ctx, cancel := context.WithCancel(mcp.WithPrincipal(context.Background(), s.who))
	old := s.watch.cancel
	s.watch.cancel = cancel
	req := &mcp.Request{Method: "subscriptions/listen", Params: filter, Client: s.client}
	s.server.listens.Go(func() {
		s.server.listen(ctx, req, replace(old, acked), func(n mcp.Notification) { s.push(ctx, n) })
	})
	return acked
}

// over reports whether the session has ended.
func (s *Session) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// replace ends the old subscription and tells whoever waits what the new one
// grants; only the first acknowledgement is waited for.
func replace(old context.CancelFunc, acked chan<- []string) func([]string) {
	return func(granted []string) {
		if old != nil {
			old()
		}
		select {
		case acked <- granted:
		default:
		}
	}
}

// listen keeps a subscription open until ctx ends. It gives what comes to push. When
// it has begun anew, all that it is to counts as changed once: what happened in
// between is not known.
func (s *Server) listen(ctx context.Context, req *mcp.Request, acknowledged func([]string), push func(mcp.Notification)) {
	again := false
	req.Notify = func(n mcp.Notification) {
		if n.Method != listenNotice {
			push(n)
			return
		}
		acknowledged(grantedURIs(n.Params))
		if again {
			tellMissed(n.Params, push)
		}
		again = true
	}
	for delay := relistenMin; ctx.Err() == nil; delay = min(2*delay, relistenMax) {
		began := time.Now()
		_, err := s.handler.Handle(ctx, req)
		if time.Since(began) > relistenMax {
			delay = relistenMin // it was good for a while
		}
		acknowledged(nil) // nobody waits any more, unless it was refused
		if err != nil && ctx.Err() == nil {
			s.o.Log.Debug("subscription ended", "err", err)
		}
		_ = pause(ctx, delay)
	}
}

// tellMissed tells of all that was granted as if it had changed.
func tellMissed(params jsonrpc.Object, push func(mcp.Notification)) {
	granted, _ := jsonrpc.Split(params.Get("notifications"))
	for _, l := range mcp.Lists() {
		if l.In(granted) {
			push(mcp.Notification{Method: l.Changed})
		}
	}
	for _, uri := range grantedURIs(params) {
		push(mcp.Notification{Method: "notifications/resources/updated", Params: uriParams(uri)})
	}
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

// push sends a notification that belongs to no request. Without a stream it is
// lost, as the revisions allow; the client lists again when it comes back.
func (s *Session) push(ctx context.Context, n mcp.Notification) {
	s.mu.Lock()
	out := s.stream
	s.mu.Unlock()
	if out != nil {
		_ = out.Send(ctx, jsonrpc.Message{Method: n.Method, Params: n.Params})
	}
}
