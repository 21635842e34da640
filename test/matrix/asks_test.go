package matrix

import (
	"fmt"
	"strings"
	"testing"
)

// asks calls a tool that asks the client, and compares what the server was
// answered.
func (p *pair) asks(t *testing.T, tool string, questions ...question) bool {
	t.Helper()
	s := newScript(p.s.name, p.s.rev)
	arguments := obj{"key": p.key()}
	out := p.c.must(t, "tools/call", obj{"name": tool, "arguments": arguments})
	for _, q := range questions {
		if !p.c.can(q) {
			p.unable(t, tool, out)
			return false
		}
	}
	if out.err != nil || out.result["isError"] == true {
		t.Fatalf("%s: %s %s", tool, out.err, encode(out.result))
	}
	var want list
	for _, q := range questions {
		want = append(want, answerTo(q))
	}
	got, err := decode([]byte(textAt(out.result, "content", 0, "text")))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "answers that the server got", got, want)
	if len(out.asked) != len(questions) {
		t.Fatalf("%s asked %d times, want %d: %s", tool, len(out.asked), len(questions), encode(out.asked))
	}
	p.sameQuestions(t, s, out.asked, questions)
	return true
}

// sameQuestions looks whether the client was asked what the server asked. Those
// that come at once have no order.
func (p *pair) sameQuestions(t *testing.T, s *script, asked []obj, questions []question) {
	t.Helper()
	for _, q := range questions {
		var params obj
		for _, a := range asked {
			if a["method"] == q.method {
				params = objectAt(a, "params")
			}
		}
		want := without(q.params, "mode", "elicitationId")
		same(t, "question "+q.method, without(params, "mode", "elicitationId"), want)
		if mode, has := q.params["mode"]; has && p.c.rev >= rev2511 && params["mode"] != mode {
			t.Errorf("question has mode %v, want %v", params["mode"], mode)
		}
	}
}

// unable looks whether a call that needs what the client does not have has
// ended in a way that says so.
func (p *pair) unable(t *testing.T, tool string, out outcome) {
	t.Helper()
	if out.err == nil && out.result["isError"] != true {
		t.Errorf("%s gives %s to a client that cannot be asked", tool, encode(out.result))
	}
	text := textAt(out.result, "content", 0, "text")
	if out.err != nil {
		text = out.err.Message
	}
	if !strings.Contains(text, "client") && !strings.Contains(text, "URL") {
		t.Errorf("%s fails with %q, which does not say why", tool, text)
	}
	if len(out.asked) != 0 {
		t.Errorf("the client was asked what it does not know: %s", encode(out.asked))
	}
}

// absent looks whether a tool that the server's revision cannot have is unknown.
func (p *pair) absent(t *testing.T, tool string) bool {
	t.Helper()
	out := p.c.must(t, "tools/call", obj{"name": tool})
	if out.err == nil || out.err.Code != -32602 {
		t.Errorf("%s gives %s %s, want that it is unknown", tool, out.err, encode(out.result))
	}
	return false
}

func form(t *testing.T, p *pair) bool {
	if p.s.rev < rev2506 {
		return p.absent(t, "ask_form")
	}
	q := newScript(p.s.name, p.s.rev).formQuestion()
	if !p.asks(t, "ask_form", q) {
		return false
	}
	declined := obj{"action": "decline", "x-acme": grease()}
	defer p.c.answering(func(question) (obj, *failure) { return declined, nil })()
	got, err := decode([]byte(p.c.tool(t, "ask_form", obj{"key": p.key()})))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "what the server hears when the user declines", got, list{declined})
	return true
}

func openURL(t *testing.T, p *pair) bool {
	if p.s.rev < rev2511 {
		return p.absent(t, "ask_url")
	}
	next := fmt.Sprintf("%s %s %s %d", p.c.rev, p.c.transport, p.s.name, p.n+1)
	return p.asks(t, "ask_url", newScript(p.s.name, p.s.rev).urlQuestion(next))
}

func urlFirst(t *testing.T, p *pair) bool {
	if p.s.rev < rev2511 {
		return p.absent(t, "ask_url_first")
	}
	out := p.c.must(t, "tools/call", obj{"name": "ask_url_first", "arguments": obj{"key": p.key()}})
	if !p.c.can(question{"elicitation/create", obj{"mode": "url"}}) {
		p.unable(t, "ask_url_first", out)
		return false
	}
	if text := textAt(out.result, "content", 0, "text"); out.err != nil || text != "opened" || len(out.asked) != 1 {
		t.Errorf("ask_url_first: %s %s, asked %s", out.err, encode(out.result), encode(out.asked))
	}
	if p.c.modern() {
		params := obj{"name": "ask_url_first", "arguments": obj{"key": p.key()}, "_meta": obj{metaCapabilities: obj{}}}
		out := p.c.must(t, "tools/call", params)
		if out.err == nil || out.err.Code != -32021 || at(out.err.Data, "requiredCapabilities", "elicitation", "url") == nil {
			t.Errorf("without the capability it gives %s, want -32021 and which one", out.err)
		}
	}
	return true
}

func sampling(t *testing.T, p *pair) bool {
	return p.asks(t, "sample", newScript(p.s.name, p.s.rev).sampleQuestion())
}

func toolSampling(t *testing.T, p *pair) bool {
	if p.s.rev < rev2511 {
		return p.absent(t, "sample_tools")
	}
	return p.asks(t, "sample_tools", newScript(p.s.name, p.s.rev).toolSampleQuestion())
}

// refusal lets the client refuse to sample.
func refusal(t *testing.T, p *pair) bool {
	if p.c.modern() {
		return false // inputResponses has no form for errors
	}
	defer p.c.answering(func(question) (obj, *failure) { return nil, fail(-1, "User rejected the sampling request") })()
	out := p.c.must(t, "tools/call", obj{"name": "sample", "arguments": obj{"key": p.key()}})
	text := textAt(out.result, "content", 0, "text")
	if out.err != nil {
		text = out.err.Message
	}
	if out.err == nil && out.result["isError"] != true || !strings.Contains(text, "User rejected") {
		t.Errorf("sample gives %s %s, want a failure that says why", out.err, encode(out.result))
	}
	return true
}

func roots(t *testing.T, p *pair) bool { return p.asks(t, "roots", rootsQuestion()) }

func rounds(t *testing.T, p *pair) bool {
	s := newScript(p.s.name, p.s.rev)
	first := rootsQuestion()
	if p.s.rev >= rev2506 {
		first = s.formQuestion()
	}
	return p.asks(t, "multi", first, s.sampleQuestion())
}

func atOnce(t *testing.T, p *pair) bool {
	return p.asks(t, "both", newScript(p.s.name, p.s.rev).sampleQuestion(), rootsQuestion())
}

// undeclared calls a tool whose server asks although the client cannot be asked.
func undeclared(t *testing.T, p *pair) bool {
	c := p.dial(t, p.s.name, obj{})
	for _, careless := range []bool{false, true} {
		if careless && p.c.modern() && p.s.rev == revModern {
			continue // the server's fault, which is passed on as it is
		}
		params := obj{"name": "sample", "arguments": obj{"key": p.key(), "careless": careless}}
		out := c.must(t, "tools/call", params)
		p.unable(t, "sample", out)
		if p.c.modern() && p.s.rev == revModern && (out.err == nil || out.err.Code != -32021) {
			t.Errorf("sample gives %s to a client that declares nothing, want -32021", out.err)
		}
	}
	p.retire(t, c)
	return true
}
