package mcp

import (
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

const (
	methodListen       = "subscriptions/listen"
	methodAcknowledged = "notifications/subscriptions/acknowledged"
	methodCancelled    = "notifications/cancelled"
	methodUpdated      = "notifications/resources/updated"
	memberResources    = "resourceSubscriptions"
)

// sort tells what may go into one request to a server.
type sort int

const (
	alone sort = iota // what only its own subscriber understands
	lists
	resources
)

// topic is what a subscription hears of.
type topic struct {
	sort sort
	name string // of a resource its URI, of a list the member of the filter
}

// changedList returns the topic of a notification that a list has changed.
func changedList(method string) (topic, bool) {
	l, ok := ChangedList(method)
	return topic{lists, l.Filter}, ok
}

// topicsOf are the things that a filter asks for, or that an acknowledgement grants,
// each once. It is false when something else is in it, or nothing at all: then the
// subscription shares nothing with others.
func topicsOf(params jsonrpc.Object) ([]topic, bool) {
	filter, plain := jsonrpc.Split(params.Get("notifications"))
	var topics []topic
	seen := make(map[topic]bool)
	add := func(t topic) {
		if !seen[t] {
			seen[t] = true
			topics = append(topics, t)
		}
	}
	for _, m := range filter.Members() {
		switch {
		case m.Name == memberResources:
			for element := range jsonrpc.Elements(m.Value) {
				uri, ok := jsonrpc.Unquote(element)
				plain = plain && ok // what is no URI is for the server to refuse
				add(topic{resources, uri})
			}
		case isList(m.Name):
			if string(m.Value) == "true" {
				add(topic{lists, m.Name})
			}
		default:
			plain = false
		}
	}
	return topics, plain && len(topics) > 0
}

func isList(member string) bool {
	for _, l := range Lists() {
		if l.Filter == member {
			return true
		}
	}
	return false
}

// filterOf is the filter that asks for topics, or grants them.
func filterOf(topics []topic) []byte {
	var edits []jsonrpc.Edit
	var uris []byte
	for _, t := range topics {
		switch t.sort {
		case lists:
			edits = append(edits, jsonrpc.Edit{Name: t.name, Value: []byte("true")})
		case resources:
			uris = jsonrpc.AppendString(append(uris, ','), t.name)
		}
	}
	if uris != nil {
		uris[0] = '['
		edits = append(edits, jsonrpc.Edit{Name: memberResources, Value: append(uris, ']')})
	}
	return jsonrpc.Object{}.Append(nil, edits...)
}

// subscription is one subscriptions/listen of a caller.
type subscription struct {
	req    *Request
	topics []topic
	// queue is what the caller has still to take. It is a call that no server knows.
	queue *Call

	// What follows is guarded by listening.mu.
	from  map[topic]*feed // which request to the server each of its topics is part of
	acked bool            // the caller was told what is granted
}

// newSubscription takes a caller's request. unique is unlike that of any other.
func newSubscription(req *Request, unique string) *subscription {
	topics, plain := topicsOf(req.Params)
	if !plain {
		topics = []topic{{alone, unique}}
	}
	return &subscription{req: req, topics: topics, queue: NewCall("", MaxCallQueue, nil), from: make(map[topic]*feed)}
}

// acknowledge tells the caller what is granted, once all of it is. When f has asked
// for something again, so that nobody knows what has happened in between, the caller
// is told once more. listening.mu is held.
func (sub *subscription) acknowledge(f *feed, again bool) {
	var granted []topic
	whole := f.own == sub
	for _, t := range sub.topics {
		from := sub.from[t]
		if !from.acked {
			return
		}
		whole = whole && from == f
		if from.granted[t] {
			granted = append(granted, t)
		}
	}
	if sub.acked && !again {
		return
	}
	sub.acked = true
	ack := f.ack
	if !whole { // the server's own is about something else
		params := jsonrpc.Object{}.With(jsonrpc.Edit{Name: "notifications", Value: filterOf(granted)})
		ack = jsonrpc.Message{Method: methodAcknowledged, Params: params}
	}
	sub.queue.Deliver(ack)
}

// wants reports whether a notification that came by f is for the caller. What a
// server tells of a resource that nobody has named may be of a part of one that
// somebody has (2026-07-28, server/resources, "Subscriptions").
// listening.mu is held.
func (sub *subscription) wants(f *feed, msg jsonrpc.Message) bool {
	t, ok := changedList(msg.Method)
	if msg.Method == methodUpdated {
		t.sort = resources
		t.name, ok = msg.Params.String("uri")
	}
	if ok && f.asked[t] {
		return sub.from[t] == f
	}
	for t, from := range sub.from {
		if from == f && (t.sort == alone || !ok || t.sort == resources && msg.Method == methodUpdated) {
			return true
		}
	}
	return false
}
