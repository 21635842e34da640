package matrix

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
)

// session is one session of a server with a handshake. What belongs to no
// request goes to alone.
type session struct {
	s     *script
	alone func(msg obj)
	ctx   context.Context // ends with the session
	end   context.CancelFunc
	work  sync.WaitGroup // requests under way
	leave func()
	heard *listener

	mu      sync.Mutex // guards what follows
	caps    obj
	level   string
	ready   bool // notifications/initialized has come
	calls   map[string]context.CancelCauseFunc
	waiting map[string]chan obj
	next    int
}

func (s *script) newSession(alone func(msg obj)) *session {
	o := &session{s: s, alone: alone, level: "debug", calls: map[string]context.CancelCauseFunc{}, waiting: map[string]chan obj{}}
	o.ctx, o.end = context.WithCancel(context.Background())
	o.heard = &listener{
		lists: map[string]bool{"tools": true, "prompts": true, "resources": true}, uris: map[string]bool{},
		tell: func(method string, params obj) { alone(notification(method, params)) },
	}
	o.leave = s.attend(o.heard, func() {})
	return o
}

// close ends the session and waits for its requests.
func (o *session) close() {
	o.leave()
	o.end()
	o.work.Wait()
}

// errCancelled is how a call ends that a notification has cancelled.
var errCancelled = errors.New("notification")

// receive takes any message. What belongs to a request goes to out, its
// response too; done, which may be nil, is called when that has been sent.
func (o *session) receive(msg obj, out func(obj), done func()) {
	if done == nil {
		done = func() {}
	}
	method, isCall := msg["method"].(string)
	id, hasID := msg["id"]
	switch {
	case msg["jsonrpc"] != "2.0":
		o.s.fault("message is not JSON-RPC 2.0: %s", encode(msg))
	case isCall && hasID:
		o.work.Go(func() {
			defer done()
			if response := o.request(id, method, msg, out); response != nil {
				out(response)
			}
		})
		return
	case isCall:
		o.notified(method, objectAt(msg, "params"))
	default:
		o.responded(key(id), msg)
	}
	done()
}

func (o *session) notified(method string, params obj) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch method {
	case "notifications/initialized":
		if o.ready || o.caps == nil {
			o.s.fault("notifications/initialized came too early or twice")
		}
		o.ready = true
	case "notifications/cancelled":
		if cancel := o.calls[key(params["requestId"])]; cancel != nil {
			cancel(errCancelled)
		}
	}
}

func (o *session) responded(id string, msg obj) {
	o.mu.Lock()
	waiting := o.waiting[id]
	delete(o.waiting, id)
	o.mu.Unlock()
	if waiting == nil {
		o.s.fault("a response came that nobody waits for: %s", encode(msg))
		return
	}
	waiting <- msg
}

// request answers a request; nil when it was cancelled.
func (o *session) request(id any, method string, msg obj, out func(obj)) obj {
	params := objectAt(msg, "params")
	if owned := ownedMeta(objectAt(params, "_meta")); owned != nil {
		o.s.fault("%s has members of _meta that %s does not know: %v", method, o.s.rev, owned)
	}
	ctx, cancel := context.WithCancelCause(o.ctx)
	defer cancel(nil)
	o.mu.Lock()
	early := !o.ready && method != "initialize" && method != "ping" && method != "server/discover"
	if o.calls[key(id)] != nil {
		o.s.fault("id %s is used twice at once", key(id))
	}
	o.calls[key(id)] = cancel
	o.mu.Unlock()
	defer func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		delete(o.calls, key(id))
	}()
	if early {
		o.s.fault("%s came before notifications/initialized", method)
		return response(id, nil, fail(-32600, "not initialized"))
	}
	if method == "tools/call" {
		out(notification("notifications/acme/noise", obj{"x-acme": grease()}))
	}
	result, err := o.answer(ctx, method, params, out)
	if errors.Is(context.Cause(ctx), errCancelled) {
		return nil // basic/utilities/cancellation: a cancelled request gets no response
	}
	return response(id, result, err)
}

func (o *session) answer(ctx context.Context, method string, params obj, out func(obj)) (obj, *failure) {
	switch method {
	case "initialize":
		return o.initialize(params)
	case "ping":
		return obj{}, nil
	case "logging/setLevel":
		o.mu.Lock()
		defer o.mu.Unlock()
		o.level = textAt(params, "level")
		return obj{}, nil
	case "resources/subscribe", "resources/unsubscribe":
		uri := textAt(params, "uri")
		o.s.mu.Lock()
		defer o.s.mu.Unlock()
		delete(o.heard.uris, uri)
		if method == "resources/subscribe" {
			o.heard.uris[uri] = true
		}
		return obj{}, nil
	case "elicitation/create", "server/discover", "subscriptions/listen":
		return nil, fail(-32601, "Method not found")
	}
	o.mu.Lock()
	caps, level := o.caps, o.level
	o.mu.Unlock()
	return o.s.answer(&invocation{
		ctx: ctx, method: method, params: params, caps: caps, level: level,
		notify: func(method string, params obj) { out(notification(method, params)) },
		ask:    func(questions ...question) ([]obj, *failure) { return o.ask(ctx, questions, out) },
	})
}

func (o *session) initialize(params obj) (obj, *failure) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.caps != nil {
		o.s.fault("initialize came twice")
	}
	o.caps = objectAt(params, "capabilities")
	info := objectAt(params, "clientInfo")
	if o.caps == nil || textAt(params, "protocolVersion") == "" || textAt(info, "name") == "" {
		o.s.fault("initialize is not complete: %s", encode(params))
	}
	if o.s.rev < rev2506 && o.caps["elicitation"] != nil && textAt(params, "protocolVersion") < rev2506 {
		o.s.fault("elicitation is declared to %s", textAt(params, "protocolVersion"))
	}
	caps := obj{
		"tools": obj{"listChanged": true, "x-acme": true}, "prompts": obj{"listChanged": true}, "logging": obj{},
		"resources": obj{"subscribe": true, "listChanged": true}, "experimental": obj{"acme": grease()}, "x-acme": grease(),
	}
	if o.s.rev >= rev2503 {
		caps["completions"] = obj{}
	}
	serverInfo := obj{"name": "scripted " + o.s.rev, "version": "1.0", "x-acme": grease()}
	return obj{"protocolVersion": o.s.rev, "capabilities": caps, "serverInfo": serverInfo, "instructions": "Be nice to " + o.s.name + ".", "x-acme": grease()}, nil
}

// ask sends all questions and waits for all answers.
func (o *session) ask(ctx context.Context, questions []question, out func(obj)) ([]obj, *failure) {
	var waits []chan obj
	for _, q := range questions {
		wait := make(chan obj, 1)
		waits = append(waits, wait)
		o.mu.Lock()
		o.next++
		var id any = fmt.Sprintf("ask %d %s", o.next, oddText)
		if o.next%2 == 0 {
			id = o.next
		}
		o.waiting[key(id)] = wait
		o.mu.Unlock()
		out(obj{"jsonrpc": "2.0", "id": id, "method": q.method, "params": maps.Clone(q.params)})
	}
	var answers []obj
	for _, wait := range waits {
		select {
		case msg := <-wait:
			if err := failureOf(msg); err != nil {
				return nil, err
			}
			answers = append(answers, objectAt(msg, "result"))
		case <-ctx.Done():
			return nil, fail(-32000, "cancelled")
		}
	}
	return answers, nil
}
