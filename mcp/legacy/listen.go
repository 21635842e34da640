package legacy

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Bounds of what waits for one subscriber. One that is slower loses its
// subscription, so that it knows that it has missed something.
const (
	maxWaiting     = 256     // notifications
	maxWaitingSize = 4 << 20 // bytes of them; but one has room whatever its length
)

// hub tells subscribers what the server says of itself unasked.
type hub struct {
	turn sync.Mutex // held while the server is told of a change, so that its order is ours

	mu          sync.Mutex // guards what follows
	subscribers map[*subscriber]bool
	refs        map[string]int // resources subscribed to, by how many
	users       users
}

type subscriber struct {
	lists     map[string]bool // by the notification that they have changed
	tasks     bool            // of its session
	session   string          // of who listens
	logs      int             // severity from which on it hears of logs outside any call; -1 for none
	level     string          // the same, as it was asked for
	principal string          // of who listens
	uris      map[string]bool
	queue     chan mcp.Notification // closed when the subscriber was too slow
	size      atomic.Int64          // bytes in queue
}

func (s *subscriber) wants(n mcp.Notification) bool {
	if n.Method == "notifications/resources/updated" {
		uri, _ := n.Params.String("uri")
		return s.uris[uri]
	}
	return s.lists[n.Method]
}

func (h *hub) add(s *subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subscribers == nil {
		h.subscribers, h.refs = make(map[*subscriber]bool), make(map[string]int)
	}
	h.subscribers[s] = true
}

func (h *hub) remove(s *subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subscribers, s)
}

// retain counts a subscriber of uri in; true for the first.
func (h *hub) retain(uri string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refs[uri]++
	return h.refs[uri] == 1
}

// release counts a subscriber of uri out; true for the last.
func (h *hub) release(uri string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.refs[uri]--
	if h.refs[uri] > 0 {
		return false
	}
	delete(h.refs, uri)
	return true
}

func (h *hub) tell(n mcp.Notification) {
	h.tellThose(n, func(s *subscriber) bool { return s.wants(n) })
}

func (h *hub) tellThose(n mcp.Notification, want func(*subscriber) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.subscribers {
		if !want(s) {
			continue
		}
		if !s.put(n) {
			close(s.queue)
			delete(h.subscribers, s)
		}
	}
}

// put queues n; false when there is no room. h.mu is held.
func (s *subscriber) put(n mcp.Notification) bool {
	size := int64(len(n.Params.Raw()))
	if was := s.size.Load(); was > 0 && was+size > maxWaitingSize {
		return false
	}
	s.size.Add(size)
	select {
	case s.queue <- n:
		return true
	default:
		s.size.Add(-size)
		return false
	}
}

// listen serves subscriptions/listen on the session: list changes come unasked,
// resources are subscribed to while anybody listens.
func (c *Client) listen(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	wanted, ok := jsonrpc.Split(req.Params.Get("notifications"))
	if !ok {
		return mcp.Result{}, mcp.Errorf(jsonrpc.CodeInvalidParams, "subscriptions/listen needs notifications, an object")
	}
	s := &subscriber{
		lists: make(map[string]bool), uris: make(map[string]bool), queue: make(chan mcp.Notification, maxWaiting),
		logs: -1, principal: mcp.PrincipalOf(ctx).ID,
	}
	for _, l := range mcp.Lists() {
		s.lists[l.Changed] = l.In(wanted) && c.offersFeature(l.Capability, "listChanged")
	}
	if req.Client.KnowsTasks() && string(wanted.Get(mcp.FilterTaskStatus)) == "true" {
		s.tasks, s.session = true, req.Client.Session
	}
	if level, ok := wanted.String(mcp.FilterLogLevel); ok && c.mayLog(req) {
		s.logs, s.level = severity(level), level
	}
	if c.offersFeature("resources", "subscribe") {
		for element := range jsonrpc.Elements(wanted.Get("resourceSubscriptions")) {
			if uri, ok := jsonrpc.Unquote(element); ok && !s.uris[uri] && len(s.uris) < maxWatched {
				s.uris[uri] = true
			}
		}
	}
	if s.tasks || len(s.uris) > 0 {
		c.hub.usedBy(s.principal)
	}
	c.hub.add(s)
	defer c.hub.remove(s)
	c.ensureLevel(ctx, s.level)
	retained := c.subscribeAll(ctx, s)
	defer c.unsubscribeAll(ctx, retained)
	req.Emit(s.acknowledgement())
	return c.deliver(ctx, req, s)
}

func (c *Client) deliver(ctx context.Context, req *mcp.Request, s *subscriber) (mcp.Result, error) {
	for {
		select {
		case n, ok := <-s.queue:
			if !ok {
				return mcp.Result{}, mcp.Errorf(mcp.CodeBusy, "the subscriber did not keep up: more than %d notifications waited, or %d bytes", maxWaiting, maxWaitingSize)
			}
			s.size.Add(-int64(len(n.Params.Raw())))
			req.Emit(n)
		case <-c.Done():
			return mcp.Result{}, fmt.Errorf("session ended: %w", c.Err())
		case <-ctx.Done():
			return mcp.Result{}, ctx.Err()
		}
	}
}

func (c *Client) offersFeature(capability, feature string) bool {
	o, _ := jsonrpc.Split(c.server.Capabilities.Get(capability))
	return string(o.Get(feature)) == "true"
}

// subscribeAll subscribes to the resources of s; those that the server refuses
// are taken out of it.
func (c *Client) subscribeAll(ctx context.Context, s *subscriber) []string {
	c.hub.turn.Lock()
	defer c.hub.turn.Unlock()
	var retained []string
	for uri := range s.uris {
		if c.hub.retain(uri) {
			if _, err := c.roundTrip(ctx, "resources/subscribe", uriParams(uri)); err != nil {
				c.hub.release(uri)
				c.o.Log.Debug("the server refused a subscription", "err", err)
				c.hub.mu.Lock()
				delete(s.uris, uri)
				c.hub.mu.Unlock()
				continue
			}
		}
		retained = append(retained, uri)
	}
	return retained
}

func (c *Client) unsubscribeAll(ctx context.Context, uris []string) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), courtesy)
	defer stop()
	c.hub.turn.Lock()
	defer c.hub.turn.Unlock()
	for _, uri := range uris {
		if c.hub.release(uri) {
			_, _ = c.roundTrip(ctx, "resources/unsubscribe", uriParams(uri)) // it hears too much at worst
		}
	}
}

func uriParams(uri string) jsonrpc.Object {
	return jsonrpc.Object{}.With(jsonrpc.Edit{Name: "uri", Value: jsonrpc.AppendString(nil, uri)})
}

// acknowledgement says what of the filter is honoured.
func (s *subscriber) acknowledgement() mcp.Notification {
	var edits []jsonrpc.Edit
	for _, l := range mcp.Lists() {
		if s.lists[l.Changed] {
			edits = append(edits, l.Ask())
		}
	}
	if s.tasks {
		edits = append(edits, jsonrpc.Edit{Name: mcp.FilterTaskStatus, Value: []byte("true")})
	}
	if s.logs >= 0 {
		edits = append(edits, jsonrpc.Edit{Name: mcp.FilterLogLevel, Value: jsonrpc.AppendString(nil, s.level)})
	}
	if len(s.uris) > 0 {
		list := []byte{'['}
		for uri := range s.uris {
			if len(list) > 1 {
				list = append(list, ',')
			}
			list = jsonrpc.AppendString(list, uri)
		}
		edits = append(edits, jsonrpc.Edit{Name: "resourceSubscriptions", Value: append(list, ']')})
	}
	honoured := jsonrpc.Object{}.Append(nil, edits...)
	return mcp.Notification{
		Method: listenNotice,
		Params: jsonrpc.Object{}.With(jsonrpc.Edit{Name: "notifications", Value: honoured}),
	}
}

// readEvents sorts what belongs to no call, until the channel ends.
func (c *Client) readEvents() {
	defer close(c.events)
	for msg := range c.ch.Events() {
		switch {
		case msg.IsRequest():
			c.assign(msg)
		case msg.Method == "notifications/message":
			c.tellLog(msg)
		case c.taskEvent(msg):
		default:
			c.news(msg)
		}
	}
}

// isNews reports whether a notification tells of a change. It belongs to no
// call, whatever it comes on: some servers put it on the stream of the call that
// has made the change.
func isNews(method string) bool {
	return isListChange(method) || method == "notifications/resources/updated"
}

func isListChange(method string) bool {
	_, is := mcp.ChangedList(method)
	return is
}

// news tells whoever has subscribed to it.
func (c *Client) news(msg jsonrpc.Message) {
	if msg.Method == "notifications/tools/list_changed" {
		c.tasks.toolsChanged()
	}
	if isListChange(msg.Method) && c.o.Changed != nil {
		c.o.Changed(msg.Method)
	}
	c.hub.tell(mcp.Notification{Method: msg.Method, Params: msg.Params})
}
