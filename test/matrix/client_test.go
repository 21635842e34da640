package matrix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
)

// link carries a client's messages. What comes back is given to client.take.
type link interface {
	// send sends a message; p is the call that it begins, nil for none.
	send(ctx context.Context, msg any, p *pending) error
	// cancel gives p up as the transport demands it; false when that is done by
	// a notification.
	cancel(p *pending) bool
	close()
}

// client is a client of one revision, which checks all that it is sent.
type client struct {
	rev, transport string
	link           link
	caps           obj

	mu    sync.Mutex // guards what follows
	calls map[string]*pending
	// cancelled are calls whose POST may still be answered, with an error: a
	// response that the client ignores (2025-11-25, basic/utilities/cancellation).
	cancelled map[string]bool
	next      int
	faults    []string
	news      chan note
	cancel    context.CancelFunc
	ctx       context.Context
	about     obj // what the server said of itself
	// answers is what the user and the model answer; answerTo by default.
	answers func(question) (obj, *failure)
}

// note is a notification that belongs to no call.
type note struct {
	msg obj
	sub string // key of the id of the subscription that it carries; empty for none
}

// pending is a call under way.
type pending struct {
	id, token any
	method    string
	caps      obj // declared with the call
	response  chan obj
	first     chan struct{} // closed when anything has come for it

	mu       sync.Mutex // guards what follows
	heard    []obj      // notifications
	asked    []obj      // requests of the server
	begun    bool
	answered bool
	status   int
	lastID   string // of its event stream
}

func (p *pending) touched() {
	if !p.begun {
		p.begun = true
		close(p.first)
	}
}

// capsOf is what a client of a revision declares: all that there is.
func capsOf(rev string) obj {
	caps := obj{"sampling": obj{}, "roots": obj{"listChanged": true}, "experimental": obj{"acme": grease()}, "x-acme": grease()}
	switch {
	case rev >= rev2511:
		caps["elicitation"] = obj{"form": obj{}, "url": obj{}}
		caps["sampling"] = obj{"tools": obj{}}
	case rev == rev2506:
		caps["elicitation"] = obj{}
	}
	if rev == revModern {
		caps["extensions"] = obj{"org.example/acme": grease()}
		caps["roots"] = obj{}
	}
	return caps
}

func newClient(rev, transport string) *client {
	c := &client{rev: rev, transport: transport, caps: capsOf(rev), calls: map[string]*pending{}, cancelled: map[string]bool{}, news: make(chan note, 1000)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.answers = func(q question) (obj, *failure) { return answerTo(q), nil }
	return c
}

// answer answers a question now.
func (c *client) answer(q question) (obj, *failure) {
	c.mu.Lock()
	answers := c.answers
	c.mu.Unlock()
	return answers(q)
}

// answering lets the client answer otherwise until the returned function is called.
func (c *client) answering(answers func(question) (obj, *failure)) (restore func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.answers
	c.answers = answers
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.answers = was
	}
}

func (c *client) modern() bool { return c.rev == revModern }

// can reports whether a server may ask the client q.
func (c *client) can(q question) bool { return lacks(c.caps, q) == "" }

func (c *client) fault(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.faults) < 20 {
		c.faults = append(c.faults, fmt.Sprintf(format, args...))
	}
}

// mint returns an id or token that is used once: numbers that float64 cannot
// tell apart, and texts.
func (c *client) mint() any {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	if c.next%2 == 0 {
		return fmt.Sprintf("id %d %s", c.next, oddText)
	}
	return json.Number(fmt.Sprintf("90071992547409%d", 10_000+c.next))
}

func info(rev string) obj {
	return obj{"name": "scripted client " + rev, "version": "1.0", "x-acme": grease()}
}

// start begins a call.
func (c *client) start(ctx context.Context, method string, params obj) (*pending, error) {
	p := &pending{id: c.mint(), token: c.mint(), method: method, caps: c.caps, response: make(chan obj, 1), first: make(chan struct{})}
	meta := with(objectAt(params, "_meta"), obj{"progressToken": p.token, "acme/note": grease()})
	if c.modern() {
		if given := objectAt(meta, metaCapabilities); given != nil {
			p.caps = given
		}
		meta = with(meta, obj{metaVersion: revModern, metaCapabilities: p.caps, metaClientInfo: info(c.rev)})
	}
	params = with(params, obj{"_meta": meta, "x-acme": grease()})
	if method == "initialize" {
		delete(params, "_meta")
	}
	c.mu.Lock()
	c.calls[key(p.id)] = p
	c.mu.Unlock()
	msg := obj{"jsonrpc": "2.0", "id": p.id, "method": method, "params": params, "x-acme": grease()}
	return p, c.link.send(ctx, msg, p)
}

// finish waits for the response of p.
func (c *client) finish(ctx context.Context, p *pending) (obj, error) {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.calls, key(p.id))
	}()
	select {
	case msg := <-p.response:
		return msg, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("no answer to %s within %s", p.method, *patience)
	}
}

// outcome is how a call ended, over all its rounds.
type outcome struct {
	result obj
	err    *failure
	heard  []obj
	asked  []obj
	rounds int
	status int
}

// do makes a call, and answers what the server asks meanwhile.
func (c *client) do(ctx context.Context, method string, params obj) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, *patience)
	defer cancel()
	var out outcome
	for {
		p, err := c.start(ctx, method, params)
		if err != nil {
			return out, err
		}
		msg, err := c.finish(ctx, p)
		if err != nil {
			return out, err
		}
		p.mu.Lock()
		out.heard = append(out.heard, p.heard...)
		out.asked = append(out.asked, p.asked...)
		out.status = p.status
		p.mu.Unlock()
		out.result, out.err = objectAt(msg, "result"), failureOf(msg)
		if textAt(out.result, "resultType") != "input_required" {
			return out, nil
		}
		if !c.modern() || out.rounds > 20 {
			return out, errors.New("the server asks too often, or in the wrong era")
		}
		out.rounds++
		if params, err = c.again(&out, p, params); err != nil {
			return out, err
		}
	}
}

// again answers the questions of a result.
func (c *client) again(out *outcome, p *pending, params obj) (obj, error) {
	requests := objectAt(out.result, "inputRequests")
	if len(requests) == 0 {
		return nil, fmt.Errorf("input_required asks nothing: %s", encode(out.result))
	}
	answers := obj{}
	for k, r := range requests {
		q := question{textAt(r, "method"), objectAt(r, "params")}
		if missing := lacks(p.caps, q); missing != "" {
			c.fault("asked for %s, which was not declared", missing)
		}
		c.checkQuestion(q)
		out.asked = append(out.asked, objectAt(r))
		answer, err := c.answer(q)
		if err != nil {
			return nil, fmt.Errorf("a client of %s cannot answer with an error", c.rev)
		}
		answers[k] = answer
	}
	params = with(params, obj{"inputResponses": answers})
	delete(params, "requestState")
	if state, given := out.result["requestState"]; given {
		params["requestState"] = state
	}
	return params, nil
}

// answerTo is what the user and the model of every client answer.
func answerTo(q question) obj {
	switch {
	case q.method == "elicitation/create" && q.params["mode"] == "url":
		return obj{"action": "accept", "x-acme": grease()}
	case q.method == "elicitation/create":
		return obj{"action": "accept", "content": obj{"name": "Ada " + oddText, "age": bigNumber}, "x-acme": grease()}
	case q.method == "sampling/createMessage":
		return obj{"role": "assistant", "content": obj{"type": "text", "text": "42", "x-acme": grease()}, "model": "m-1", "stopReason": "endTurn", "x-acme": grease()}
	case q.method == "roots/list":
		return obj{"roots": list{obj{"uri": "file:///home/ada", "name": "home", "x-acme": grease()}}, "x-acme": grease()}
	}
	return nil
}

// checkQuestion looks whether a question is one that the revision knows.
func (c *client) checkQuestion(q question) {
	mode, hasMode := q.params["mode"]
	_, hasID := q.params["elicitationId"]
	switch {
	case q.method != "elicitation/create":
	case c.rev < rev2511 && hasMode:
		c.fault("elicitation has a mode, which %s does not know", c.rev)
	case c.rev == rev2511 && mode == "url" && !hasID:
		c.fault("elicitation of a URL has no elicitationId")
	case hasID && (c.rev != rev2511 || mode != "url"):
		c.fault("elicitation has an elicitationId, which does not belong there")
	}
	if answerTo(q) == nil {
		c.fault("asked %s, which does not exist", q.method)
	}
}

// must makes a call that may not fail on the way.
func (c *client) must(t *testing.T, method string, params obj) outcome {
	t.Helper()
	out, err := c.do(t.Context(), method, params)
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	return out
}

// tool calls a tool that must answer, and returns the answer's text.
func (c *client) tool(t *testing.T, name string, arguments obj) string {
	t.Helper()
	out := c.must(t, "tools/call", obj{"name": name, "arguments": arguments})
	if out.err != nil || out.result["isError"] == true {
		t.Fatalf("tool %s: %s %s", name, out.err, encode(out.result))
	}
	return textAt(out.result, "content", 0, "text")
}

// take sorts a message from the server. via is the call on whose stream it came;
// nil for a stream of its own, or a connection for everything.
func (c *client) take(msg obj, via *pending) {
	method, isCall := msg["method"].(string)
	_, hasID := msg["id"]
	switch {
	case msg["jsonrpc"] != "2.0":
		c.fault("message is not JSON-RPC 2.0: %.200s", encode(msg))
	case isCall && hasID:
		c.takeRequest(msg, via)
	case isCall:
		c.takeNotification(method, objectAt(msg, "params"), msg, via)
	default:
		c.takeResponse(msg, via)
	}
}

func (c *client) takeResponse(msg obj, via *pending) {
	c.mu.Lock()
	p := c.calls[key(msg["id"])]
	late := c.cancelled[key(msg["id"])] && c.transport == "http" && !c.modern()
	c.mu.Unlock()
	switch {
	case late && failureOf(msg) != nil:
		return
	case p == nil && msg["id"] == nil && via != nil:
		p = via // an error about a request whose id could not be read
	case p == nil:
		c.fault("a response came that nobody waits for: %.200s", encode(msg))
		return
	case via != nil && via != p && via.method != "batch":
		c.fault("the response to %s came on the stream of %s", p.method, via.method)
	}
	if result := objectAt(msg, "result"); result != nil {
		c.checkResult(p.method, result)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.touched()
	if p.answered {
		c.fault("%s was answered twice", p.method)
		return
	}
	p.answered = true
	p.response <- msg
}

// checkResult looks for what every result of the revision has, and may not have.
func (c *client) checkResult(method string, result obj) {
	if !c.modern() {
		for _, name := range []string{"resultType", "ttlMs", "cacheScope", "inputRequests", "requestState"} {
			if _, given := result[name]; given {
				c.fault("result of %s has %s, which %s does not know", method, name, c.rev)
			}
		}
		if owned := ownedMeta(objectAt(result, "_meta")); owned != nil {
			c.fault("result of %s has members of _meta that %s does not know: %v", method, c.rev, owned)
		}
		return
	}
	kind := textAt(result, "resultType")
	if kind != "complete" && kind != "input_required" {
		c.fault("result of %s has resultType %q", method, kind)
	}
	if kind == "input_required" && method != "tools/call" && method != "prompts/get" && method != "resources/read" {
		c.fault("result of %s wants input", method)
	}
	cacheable := slices.Contains([]string{"server/discover", "tools/list", "prompts/list", "resources/list", "resources/templates/list", "resources/read"}, method)
	_, ttl := result["ttlMs"].(json.Number)
	scope := result["cacheScope"] == "public" || result["cacheScope"] == "private"
	if cacheable && kind == "complete" && (!ttl || !scope) {
		c.fault("result of %s has no caching hints: %s", method, encode(without(result, "tools", "prompts", "resources", "contents")))
	}
}

func (c *client) takeRequest(msg obj, via *pending) {
	q := question{textAt(msg, "method"), objectAt(msg, "params")}
	id := msg["id"]
	if q.method == "ping" && !c.modern() {
		c.reply(response(id, obj{}, nil))
		return
	}
	switch missing := lacks(c.caps, q); {
	case c.modern():
		c.fault("a request came, which a server of %s does not send: %s", c.rev, q.method)
		return
	case missing != "":
		c.fault("asked for %s, which was not declared", missing)
	case via == nil && c.transport == "http":
		c.fault("%s came on a stream that belongs to no call", q.method)
	case via != nil && via.method != "tools/call" && via.method != "prompts/get" && via.method != "resources/read":
		c.fault("%s came on the stream of %s", q.method, via.method)
	}
	if owned := ownedMeta(objectAt(q.params, "_meta")); owned != nil {
		c.fault("%s has members of _meta that %s does not know: %v", q.method, c.rev, owned)
	}
	c.checkQuestion(q)
	for _, p := range c.concerned(via) {
		p.mu.Lock()
		p.asked = append(p.asked, msg)
		p.mu.Unlock()
	}
	answer, err := c.answer(q)
	c.reply(response(id, answer, err))
}

// concerned are the calls that something may belong to.
func (c *client) concerned(via *pending) []*pending {
	if via != nil {
		return []*pending{via}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []*pending
	for _, p := range c.calls {
		all = append(all, p)
	}
	return all
}

func (c *client) reply(msg obj) {
	if err := c.link.send(c.ctx, msg, nil); err != nil && c.ctx.Err() == nil {
		c.fault("answer the server: %v", err)
	}
}

func (c *client) takeNotification(method string, params, msg obj, via *pending) {
	sub, tagged := at(params, "_meta", metaSubscription), at(params, "_meta", metaSubscription) != nil
	if tagged != (c.modern() && isNews(method)) {
		c.fault("%s carries a subscription's id: %v", method, tagged)
	}
	if owned := ownedMeta(objectAt(params, "_meta")); owned != nil && !c.modern() {
		c.fault("%s has members of _meta that %s does not know: %v", method, c.rev, owned)
	}
	if isNews(method) {
		n := note{msg: msg}
		if tagged {
			n.sub = key(sub)
		}
		select {
		case c.news <- n:
		default:
			c.fault("more notifications than the test reads")
		}
		return
	}
	for _, p := range c.concerned(via) {
		token := params["progressToken"]
		if method == "notifications/progress" && key(token) != key(p.token) {
			if via != nil {
				c.fault("progress with token %s came on the stream of a call with %s", key(token), key(p.token))
			}
			continue
		}
		p.mu.Lock()
		p.heard = append(p.heard, msg)
		p.touched()
		p.mu.Unlock()
	}
}

// isNews reports whether a notification tells of a change.
func isNews(method string) bool {
	switch method {
	case "notifications/tools/list_changed", "notifications/prompts/list_changed", "notifications/resources/list_changed",
		"notifications/resources/updated", "notifications/subscriptions/acknowledged":
		return true
	}
	return false
}

// greet makes the handshake of the revision.
func (c *client) greet(ctx context.Context) error {
	if c.modern() {
		out, err := c.do(ctx, "server/discover", nil)
		if err == nil && out.err != nil {
			err = fmt.Errorf("server/discover: %s", out.err)
		}
		c.about = out.result
		return err
	}
	out, err := c.do(ctx, "initialize", obj{"protocolVersion": c.rev, "capabilities": c.caps, "clientInfo": info(c.rev)})
	switch {
	case err != nil:
		return err
	case out.err != nil:
		return fmt.Errorf("initialize: %s", out.err)
	case out.result["protocolVersion"] != c.rev:
		return fmt.Errorf("initialize agreed on %s, want %s", out.result["protocolVersion"], c.rev)
	}
	c.about = out.result
	if err := c.link.send(ctx, notification("notifications/initialized", obj{"x-acme": grease()}), nil); err != nil {
		return err
	}
	return c.link.send(ctx, notification("notifications/acme/noise", obj{"x-acme": grease()}), nil)
}

func (c *client) close() {
	c.cancel()
	c.link.close()
}
