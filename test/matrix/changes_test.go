package matrix

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// next waits for a notification of method that belongs to no call, and passes
// over others: a gateway may always say that lists have changed.
func (p *pair) next(t *testing.T, method, sub string) obj {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), *patience)
	defer cancel()
	for {
		select {
		case n := <-p.c.news:
			if n.sub != sub {
				t.Errorf("%s carries the subscription id %s, want %s", n.msg["method"], n.sub, sub)
			}
			if n.msg["method"] == method {
				return objectAt(n.msg, "params")
			}
		case <-ctx.Done():
			t.Fatalf("no %s came", method)
		}
	}
}

// listen opens a subscription of 2026-07-28 and returns it with what it honours.
func (p *pair) listen(t *testing.T, filter obj) (*pending, obj) {
	t.Helper()
	call, err := p.c.start(t.Context(), "subscriptions/listen", obj{"notifications": filter})
	if err != nil {
		t.Fatal(err)
	}
	ack := p.next(t, "notifications/subscriptions/acknowledged", key(call.id))
	return call, objectAt(ack, "notifications")
}

// hush ends a subscription.
func (p *pair) hush(t *testing.T, call *pending) {
	t.Helper()
	if p.c.link.cancel(call) {
		return
	}
	params := obj{"requestId": call.id}
	if err := p.c.link.send(t.Context(), notification("notifications/cancelled", params), nil); err != nil {
		t.Fatal(err)
	}
}

func subscription(t *testing.T, p *pair) bool {
	doc, sub := p.s.uri("doc"), ""
	var call *pending
	if p.c.modern() {
		var honoured obj
		call, honoured = p.listen(t, obj{"resourceSubscriptions": list{doc}, "x-acme": grease()})
		sub = key(call.id)
		same(t, "resources that are honoured", honoured["resourceSubscriptions"], list{doc})
		if len(honoured) != 1 {
			t.Errorf("more is honoured than was asked for: %s", encode(honoured))
		}
	} else if out := p.c.must(t, "resources/subscribe", obj{"uri": doc}); out.err != nil {
		t.Fatalf("resources/subscribe: %s", out.err)
	}
	p.c.tool(t, "touch", obj{"uri": p.s.uri("blob")}) // of which nobody wants to hear
	p.c.tool(t, "touch", obj{"uri": doc})
	update := p.next(t, "notifications/resources/updated", sub)
	same(t, "updated resource", update["uri"], doc)
	same(t, "grease of the update", update["x-acme"], grease())
	if p.c.modern() {
		p.hush(t, call)
	} else if out := p.c.must(t, "resources/unsubscribe", obj{"uri": doc}); out.err != nil {
		t.Fatalf("resources/unsubscribe: %s", out.err)
	}
	left := ""
	if !await(t.Context(), func() bool { left = p.c.tool(t, "subscriptions", nil); return left == "[]" }) {
		t.Errorf("the server still has the subscriptions %s", left)
	}
	p.c.tool(t, "touch", obj{"uri": doc})
	for {
		select {
		case n := <-p.c.news:
			if n.msg["method"] == "notifications/resources/updated" {
				t.Errorf("an update came after the end of the subscription: %s", encode(n.msg))
			}
			continue
		default:
		}
		return true
	}
}

func changes(t *testing.T, p *pair) bool {
	sub := ""
	if p.c.modern() {
		filter := obj{"toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true}
		call, honoured := p.listen(t, filter)
		sub = key(call.id)
		same(t, "what is honoured", honoured, filter)
		defer p.hush(t, call)
	}
	lists := []struct{ what, member, key, extra string }{
		{"tools", "tools", "name", "zz_extra"},
		{"prompts", "prompts", "name", "zz-extra"},
		{"resources", "resources", "uri", p.s.uri("zz-extra")},
	}
	for _, l := range lists {
		for _, want := range []bool{true, false} {
			p.c.tool(t, "change", obj{"what": l.what, "on": want})
			has := false
			for range 20 { // a first notification may be about something else
				p.next(t, "notifications/"+l.what+"/list_changed", sub)
				entries, _ := p.all(t, l.what+"/list", l.member)
				if has = slices.Contains(namesOf(entries, l.key), l.extra); has == want {
					break
				}
			}
			if has != want {
				t.Errorf("the list of %s has the new entry: %v, want %v", l.what, has, want)
			}
		}
	}
	return true
}

func promptsOf(t *testing.T, p *pair) bool {
	out := p.c.must(t, "prompts/get", obj{"name": "greet", "arguments": obj{"who": oddText}})
	if out.err != nil {
		t.Fatalf("prompts/get: %s", out.err)
	}
	same(t, "message of the prompt", at(out.result, "messages", 0, "content", "text"), "Hello "+oddText)
	same(t, "grease of the message", at(out.result, "messages", 0, "content", "x-acme"), grease())
	q := newScript(p.s.name, p.s.rev).formQuestion()
	if p.s.rev < rev2506 || !p.c.can(q) {
		return true
	}
	out = p.c.must(t, "prompts/get", obj{"name": "ask"})
	if out.err != nil {
		t.Fatalf("prompts/get that asks: %s", out.err)
	}
	got, err := decode([]byte(textAt(out.result, "messages", 0, "content", "text")))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "answer that the prompt got", got, answerTo(q))
	return true
}

func completion(t *testing.T, p *pair) bool {
	refs := map[string]obj{
		"greet":              {"type": "ref/prompt", "name": "greet", "x-acme": grease()},
		p.s.uri("item/{id}"): {"type": "ref/resource", "uri": p.s.uri("item/{id}")},
	}
	for about, ref := range refs {
		params := obj{"ref": ref, "argument": obj{"name": "id", "value": "a€"}, "context": obj{"arguments": obj{"before": "b"}}}
		if p.c.rev < rev2506 {
			delete(params, "context")
		}
		out := p.c.must(t, "completion/complete", params)
		if out.err != nil {
			t.Fatalf("completion/complete: %s", out.err)
		}
		want := list{about, "id=a€"}
		if p.s.rev >= rev2506 && p.c.rev >= rev2506 {
			want = append(want, "after b")
		}
		same(t, "values", at(out.result, "completion", "values"), want)
		same(t, "total", at(out.result, "completion", "total"), bigNumber)
		same(t, "grease of the completion", at(out.result, "completion", "x-acme"), grease())
	}
	return true
}

func resourcesOf(t *testing.T, p *pair) bool {
	for rest, want := range map[string]obj{
		"doc":       {"mimeType": "text/plain", "text": "a document " + oddText},
		"blob":      {"mimeType": "application/octet-stream", "blob": "AAECAw=="},
		"item/x€ y": {"mimeType": "text/plain", "text": "item x€ y"},
	} {
		uri := p.s.uri(rest)
		out := p.c.must(t, "resources/read", obj{"uri": uri})
		if out.err != nil {
			t.Errorf("resources/read of %s: %s", uri, out.err)
			continue
		}
		same(t, "contents of "+rest, at(out.result, "contents", 0), with(want, obj{"uri": uri, "x-acme": grease()}))
	}
	return true
}

func shapes(t *testing.T, p *pair) bool {
	out := p.c.must(t, "tools/call", obj{"name": "shapes"})
	if out.err != nil {
		t.Fatalf("shapes: %s", out.err)
	}
	want := newScript(p.s.name, p.s.rev).shape("shapes")
	got := listAt(out.result, "content")
	if len(got) != len(listAt(want, "content")) {
		t.Fatalf("content is %s, want %d blocks", encode(got), len(listAt(want, "content")))
	}
	for i, block := range listAt(want, "content") {
		block := objectAt(block)
		kind := textAt(block, "type")
		if kind == "audio" && p.c.rev < rev2503 || kind == "resource_link" && p.c.rev < rev2506 {
			text := textAt(got[i], "text")
			if textAt(got[i], "type") != "text" || kind == "resource_link" && !strings.Contains(text, p.s.uri("doc")) || text == "" {
				t.Errorf("%s has become %s, want text that says what it was", kind, encode(got[i]))
			}
			continue
		}
		same(t, "block "+kind, got[i], block)
	}
	_, structured := out.result["structuredContent"]
	if want := p.c.modern() && p.s.rev == revModern; structured != want {
		t.Errorf("an array as structuredContent is there: %v, want %v", structured, want)
	}
	out = p.c.must(t, "tools/call", obj{"name": "table"})
	if p.s.rev >= rev2506 {
		same(t, "an object as structuredContent", out.result["structuredContent"], obj{"rows": 3, "big": bigNumber})
	}
	return true
}

func resume(t *testing.T, p *pair) bool {
	link, ok := p.c.link.(*web)
	if !ok || p.c.modern() {
		return false
	}
	k := p.key()
	call := p.underway(t, "hold", k)
	link.drop(call)
	p.c.tool(t, "release", obj{"key": k})
	link.resume(call)
	ctx, cancel := context.WithTimeout(t.Context(), *patience)
	defer cancel()
	msg, err := p.c.finish(ctx, call)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "result on the stream that goes on", at(msg, "result", "content", 0, "text"), "held "+k)
	return true
}

func batch(t *testing.T, p *pair) bool {
	if p.c.rev != rev2503 {
		return false
	}
	whole := &pending{method: "batch", response: make(chan obj, 1), first: make(chan struct{})}
	var calls []*pending
	msgs := list{notification("notifications/acme/noise", nil)}
	for i := range 3 {
		call := &pending{id: p.c.mint(), method: "tools/call", response: make(chan obj, 1), first: make(chan struct{})}
		calls = append(calls, call)
		p.c.mu.Lock()
		p.c.calls[key(call.id)] = call
		p.c.mu.Unlock()
		params := obj{"name": "echo", "arguments": obj{"n": i}}
		msgs = append(msgs, obj{"jsonrpc": "2.0", "id": call.id, "method": "tools/call", "params": params})
	}
	if err := p.c.link.send(t.Context(), msgs, whole); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), *patience)
	defer cancel()
	for i, call := range calls {
		msg, err := p.c.finish(ctx, call)
		if err != nil {
			t.Fatal(err)
		}
		if text := textAt(msg, "result", "content", 0, "text"); !strings.Contains(text, fmt.Sprintf(`"n":%d`, i)) {
			t.Errorf("answer %d of a batch is %s", i, encode(msg))
		}
	}
	return true
}

// federated does at the endpoint of all servers what routing has a part in.
func federated(t *testing.T, p *pair) bool {
	c := p.dial(t, "", capsOf(p.c.rev))
	prefix := p.s.name + "__"
	if text := c.tool(t, prefix+"echo", obj{"key": "x"}); !strings.Contains(text, `"key":"x"`) {
		t.Errorf("echo says %s", text)
	}
	out := c.must(t, "tools/call", obj{"name": prefix + "multi", "arguments": obj{"key": "x"}})
	if unable := p.s.rev >= rev2506 && p.c.rev < rev2506; unable != (out.err != nil || out.result["isError"] == true) {
		t.Errorf("multi gives %s %s", out.err, encode(out.result))
	}
	out = c.must(t, "prompts/get", obj{"name": prefix + "greet", "arguments": obj{"who": "you"}})
	same(t, "prompt", at(out.result, "messages", 0, "content", "text"), "Hello you")
	out = c.must(t, "completion/complete", obj{"ref": obj{"type": "ref/prompt", "name": prefix + "greet"}, "argument": obj{"name": "who", "value": "y"}})
	same(t, "completion", at(out.result, "completion", "values"), list{"greet", "who=y"})
	for _, rest := range []string{"doc", "item/7"} {
		out = c.must(t, "resources/read", obj{"uri": p.s.uri(rest)})
		if out.err != nil || textAt(out.result, "contents", 0, "uri") != p.s.uri(rest) {
			t.Errorf("resource %s gives %s %s", rest, out.err, encode(out.result))
		}
	}
	p.retire(t, c)
	return true
}
