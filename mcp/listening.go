package mcp

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// maxMuted bounds the subscriptions that have ended here and that the server still
// has.
const maxMuted = 32

// listening is the subscriptions on one channel. Some servers keep one for each thing
// and connection, and not for each subscription (the Go SDK 1.8.0): with two to the
// same they tell the newest only, and with the end of one all on the connection fall
// silent. So what comes for the newest is told to all that want it, unless the server
// is seen to tell each; and one that ends while others go on is only muted: the server
// hears of that with the last of them, or when there are too many. Then the others end
// too, so that who has them listens again.
type listening struct {
	mu   sync.Mutex      // guards what follows
	open []*subscription // those that the server has, oldest first
	live int             // of them, those that are not muted

	newest, older int // how often something came for the newest that wants it, and for others
}

// A server that tells each subscription does so as often as it tells the newest. One
// that tells the newest only may tell another that was the newest a moment ago.
const (
	enoughOlder = 3
	mostOften   = 4 // times that the newest may be told as often as others
)

// subscription is one subscriptions/listen at a server.
type subscription struct {
	call   *Call
	topics map[string]bool
	muted  bool
	again  chan struct{} // closed when it has to be made again
}

// topicOf names what a notification is about; empty for what only its own subscriber
// can use.
func topicOf(msg jsonrpc.Message) string {
	switch msg.Method {
	case "notifications/tools/list_changed", "notifications/prompts/list_changed", "notifications/resources/list_changed":
		return msg.Method
	case "notifications/resources/updated":
		uri, _ := msg.Params.String("uri")
		return "uri " + uri
	}
	return ""
}

// subscriptionOf is the id of the subscription that a notification is for.
func subscriptionOf(msg jsonrpc.Message) jsonrpc.ID {
	meta, _ := jsonrpc.Split(msg.Params.Get("_meta"))
	return jsonrpc.ID(meta.Get(MetaSubscriptionID))
}

// topicsOf are the things that a subscription asks for.
func topicsOf(req *Request) map[string]bool {
	topics := make(map[string]bool)
	wanted, _ := jsonrpc.Split(req.Params.Get("notifications"))
	for _, list := range []string{"tools", "prompts", "resources"} {
		if string(wanted.Get(list+"ListChanged")) == "true" {
			topics["notifications/"+list+"/list_changed"] = true
		}
	}
	for element := range jsonrpc.Elements(wanted.Get("resourceSubscriptions")) {
		if uri, ok := jsonrpc.Unquote(element); ok {
			topics["uri "+uri] = true
		}
	}
	return topics
}

// listen follows a subscription until it ends.
func (s *Stateless) listen(ctx context.Context, req *Request) (Result, error) {
	sub := &subscription{topics: topicsOf(req), again: make(chan struct{})}
	if err := s.subscribe(ctx, req, sub); err != nil {
		return Result{}, err
	}
	for {
		select {
		case msg, ok := <-sub.call.Messages():
			switch {
			case !ok:
				s.subs.remove(sub)
				return Result{}, fmt.Errorf("call %s: %w", req.Method, sub.call.Err())
			case msg.IsResponse():
				s.subs.remove(sub)
				return ResponseOf(msg)
			}
			if subscriptionOf(msg) == sub.call.ID() { // and not for another, which has shared it
				s.subs.share(msg)
			}
			s.pass(req, msg)
		case <-sub.again:
			sub.call.Abandon()
			return Result{}, Errorf(CodeUnavailable, "%d other subscriptions have ended: listen again", maxMuted)
		case <-ctx.Done():
			sub.call.Abandon()
			for _, id := range s.subs.mute(sub) {
				s.cancel(ctx, id)
			}
			return Result{}, ctx.Err()
		}
	}
}

// subscribe sends the request, in the order in which subscriptions are counted as old.
func (s *Stateless) subscribe(ctx context.Context, req *Request, sub *subscription) error {
	call, err := s.ch.Start(ctx, Outgoing{Method: req.Method, Params: req.AppendModern(nil, "")})
	if err != nil {
		return err
	}
	sub.call = call
	s.subs.mu.Lock()
	defer s.subs.mu.Unlock()
	s.subs.open = append(s.subs.open, sub)
	s.subs.live++
	return nil
}

// remove forgets a subscription that the server has ended.
func (l *listening) remove(sub *subscription) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.open, sub); i >= 0 {
		l.open = slices.Delete(l.open, i, i+1)
		l.live--
	}
}

// mute ends a subscription here. It returns the ids of those that the server has to
// be told of.
func (l *listening) mute(sub *subscription) []jsonrpc.ID {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.open, sub) {
		return nil // it had to be made again, and the server was told
	}
	sub.muted = true
	l.live--
	if l.live > 0 && len(l.open)-l.live <= maxMuted {
		return nil
	}
	var ids []jsonrpc.ID
	for _, other := range l.open {
		ids = append(ids, other.call.ID())
		if !other.muted {
			close(other.again)
		}
	}
	l.open, l.live = nil, 0
	return ids
}

// share gives what has come for one subscription to the others that want it, if the
// server does not.
func (l *listening) share(msg jsonrpc.Message) {
	topic, id := topicOf(msg), subscriptionOf(msg)
	l.mu.Lock()
	defer l.mu.Unlock()
	if topic == "" || len(l.open) < 2 {
		return
	}
	var others []*subscription
	for _, sub := range l.open {
		if sub.topics[topic] {
			others = append(others, sub)
		}
	}
	newest := len(others) - 1
	if newest < 1 {
		return
	}
	if others[newest].call.ID() != id {
		l.older++
		return
	}
	l.newest++
	if l.older >= enoughOlder && mostOften*l.older >= l.newest {
		return
	}
	for _, sub := range others[:newest] {
		if !sub.muted {
			sub.call.Deliver(msg)
		}
	}
}
