package matrix

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// pair is a client in conversation with a server, the gateway between them.
type pair struct {
	site *site
	c    *client
	s    target
	n    int // makes keys that no other pair has
}

// target is a server as the client knows it.
type target struct{ name, rev, transport string }

func (s target) uri(rest string) string { return "peer://" + s.name + "/" + rest }

// feature is something that a client does with a server. run fails the test
// when it goes wrong, and returns false when it has made sure that the two
// revisions cannot do it together.
type feature struct {
	head string // of the table's column
	what string // for people
	gap  string // why it may not exist
	run  func(t *testing.T, p *pair) bool
}

func features() []feature {
	return []feature{
		{"lists", "tools, prompts, resources and templates in pages on both sides, with members that nobody knows", "", lists},
		{"call", "a tool call: arguments, results, large numbers, odd text, trace context", "", call},
		{"large", "a call with arguments and a result of 100 kB", "", large},
		{"parallel", "many calls at once, each with its own answer", "", parallel},
		{"progress", "progress with the caller's own token, in order", "", progress},
		{"cancel", "cancellation, which reaches the server as its revision and transport demand", "", cancellation},
		{"logging", "log messages from the level on that the client asked for, and no others", "", logging},
		{"form", "elicitation of a form in mid-call", "elicitation begins with 2025-06-18 on both sides; the tool fails and says so", form},
		{"url", "elicitation of a URL in mid-call", "URLs begin with 2025-11-25 on both sides; the tool fails and says so", openURL},
		{"url first", "a tool that wants a URL opened before it is called (error -32042 of 2025-11-25)", "as for url", urlFirst},
		{"sampling", "sampling in mid-call", "", sampling},
		{"sampling with tools", "sampling in which the model may call tools", "begins with 2025-11-25 on both sides; the tool fails and says so", toolSampling},
		{"refusal", "a client that answers a question with an error: the call ends and says why", "questions of 2026-07-28 cannot be answered with errors", refusal},
		{"roots", "the client's roots in mid-call", "", roots},
		{"rounds", "several questions, one after the other, in one call", "with a server from 2025-06-18 on the first question is a form", rounds},
		{"at once", "several questions at the same time in one call", "", atOnce},
		{"undeclared", "a server that asks what the client did not declare: refused, and nothing waits", "", undeclared},
		{"subscribe", "subscription to a resource, its updates, and its end", "", subscription},
		{"changes", "list changes of tools, prompts and resources, and the changed lists", "", changes},
		{"prompts", "prompts, also one that asks before it answers", "", promptsOf},
		{"completion", "completion for prompts and templates", "", completion},
		{"resources", "resources: text, binary, and one that only a template describes", "", resourcesOf},
		{"vendor", "a method that no revision has, at the server's own endpoint", "", vendor},
		{"errors", "errors of the server, and a missing resource with the code of the client's revision", "", errorsOf},
		{"shapes", "content and schemas that the client's revision has; the rest as text or left out", "", shapes},
		{"headers", "parameters that are mirrored in HTTP headers, where the server has such", "x-mcp-header begins with 2026-07-28", mirrored},
		{"ping", "ping of sessions; unknown to 2026-07-28", "2026-07-28 has no ping: error -32601", ping},
		{"resume", "a stream that breaks in mid-call and is read on with Last-Event-ID", "only Streamable HTTP with sessions has it", resume},
		{"batch", "several messages in one array", "only 2025-03-26 has it", batch},
		{"federated", "the same server among all others, under its prefix", "", federated},
	}
}

func (p *pair) key() string {
	p.n++
	return fmt.Sprintf("%s %s %s %d", p.c.rev, p.c.transport, p.s.name, p.n)
}

// same fails the test when got is not want.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(decoded(want), decoded(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// all reads every page of a list.
func (p *pair) all(t *testing.T, method, member string) (entries []obj, pages int) {
	t.Helper()
	params := obj{}
	for range 100 {
		out := p.c.must(t, method, params)
		if pages > 0 && out.err != nil && out.err.Code == -32602 {
			entries, pages, params = nil, 0, obj{} // the list has changed meanwhile: from the beginning
			continue
		}
		if out.err != nil {
			t.Fatalf("%s: %s", method, out.err)
		}
		for _, e := range listAt(out.result, member) {
			entries = append(entries, objectAt(e))
		}
		pages++
		if missing := at(out.result, "_meta", "dragoman/missing"); missing != nil {
			t.Errorf("%s: something is missing: %s", method, encode(missing))
		}
		cursor, more := out.result["nextCursor"]
		if !more {
			return entries, pages
		}
		params = obj{"cursor": cursor}
	}
	t.Fatalf("%s has no end", method)
	return nil, 0
}

func namesOf(entries []obj, member string) []string {
	var out []string
	for _, e := range entries {
		out = append(out, textAt(e, member))
	}
	return out
}

func lists(t *testing.T, p *pair) bool {
	tools, pages := p.all(t, "tools/list", "tools")
	if pages < 2 {
		t.Errorf("%d tools came on %d pages, want several", len(tools), pages)
	}
	same(t, "names of the tools", namesOf(tools, "name"), toolNames(p.s.rev))
	for _, tool := range tools {
		p.checkTool(t, tool)
	}
	prompts, _ := p.all(t, "prompts/list", "prompts")
	same(t, "names of the prompts", namesOf(prompts, "name"), []string{"ask", "greet", "plain0", "plain1", "plain2", "plain3", "plain4", "plain5"})
	same(t, "a prompt's argument", at(prompts[1], "arguments", 0, "x-acme"), bigNumber)
	resources, _ := p.all(t, "resources/list", "resources")
	if len(resources) != 7 {
		t.Errorf("%d resources came, want 7: %v", len(resources), namesOf(resources, "uri"))
	}
	same(t, "a resource's size", resources[0]["size"], bigNumber)
	templates, _ := p.all(t, "resources/templates/list", "resourceTemplates")
	same(t, "templates", namesOf(templates, "uriTemplate"), []string{p.s.uri("item/{id}")})
	for _, entry := range slices.Concat(prompts, resources, templates) {
		same(t, "grease of an entry", entry["x-acme"], grease())
	}
	out := p.c.must(t, "tools/list", obj{"cursor": "no such page"})
	if out.err == nil || out.err.Code != -32602 {
		t.Errorf("an unknown cursor gives %s, want -32602", out.err)
	}
	return true
}

// checkTool looks whether a tool is as the server wrote it, as far as the
// client's revision has it.
func (p *pair) checkTool(t *testing.T, tool obj) {
	t.Helper()
	name := textAt(tool, "name")
	s := newScript(p.s.name, p.s.rev)
	want := s.toolEntry(name)
	if p.c.rev < rev2511 || p.c.modern() {
		delete(want, "execution") // tasks of 2025-11-25
	}
	if schema := objectAt(want, "outputSchema"); schema["type"] != "object" && !p.c.modern() {
		delete(want, "outputSchema")
	}
	same(t, "tool "+name, tool, want)
}

func call(t *testing.T, p *pair) bool {
	trace := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	arguments := obj{"key": oddText, "deep": grease(), "empty": obj{}, "none": nil, "zero": json.Number("-0"), "list": list{}}
	out := p.c.must(t, "tools/call", obj{"name": "echo", "arguments": arguments, "_meta": obj{"traceparent": trace}})
	if out.err != nil {
		t.Fatalf("echo: %s", out.err)
	}
	same(t, "grease of the result", out.result["x-acme"], grease())
	same(t, "grease of the content", at(out.result, "content", 0, "x-acme"), grease())
	seen, err := decodeObject([]byte(textAt(out.result, "content", 0, "text")))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "arguments that the server saw", seen["arguments"], arguments)
	same(t, "other params that the server saw", seen["rest"], obj{"x-acme": grease()})
	same(t, "_meta that the server saw", at(seen, "meta", "acme/note"), grease())
	if parent := textAt(seen, "meta", "traceparent"); len(parent) != len(trace) || parent[:35] != trace[:35] {
		t.Errorf("the server saw traceparent %q, want one of the trace %s", parent, trace)
	}
	if p.s.rev == revModern {
		want := p.c.caps
		same(t, "capabilities that the server saw", at(seen, "meta", metaCapabilities), want)
		same(t, "client that the server saw", at(seen, "meta", metaClientInfo), info(p.c.rev))
	}
	if p.c.modern() {
		server := at(out.result, "_meta", metaServerInfo)
		if p.s.rev == revModern {
			same(t, "_meta of the result", at(out.result, "_meta", "acme/note"), grease())
			same(t, "server of the result", at(server, "name"), "scripted "+p.s.rev)
		}
	}
	same(t, "instructions", p.c.about["instructions"], "Be nice to "+p.s.name+".")
	return true
}

func large(t *testing.T, p *pair) bool {
	text := strings.Repeat("0123456789 "+oddText, 3_000)
	seen, err := decodeObject([]byte(p.c.tool(t, "echo", obj{"text": text})))
	if err != nil {
		t.Fatal(err)
	}
	if got := textAt(seen, "arguments", "text"); got != text {
		t.Errorf("%d bytes have come back as %d others", len(text), len(got))
	}
	return true
}

func parallel(t *testing.T, p *pair) bool {
	const calls = 16
	wrong := make(chan string, calls)
	for i := range calls {
		go func() {
			out, err := p.c.do(t.Context(), "tools/call", obj{"name": "echo", "arguments": obj{"n": i}})
			text := textAt(out.result, "content", 0, "text")
			if err != nil || !strings.Contains(text, fmt.Sprintf(`"n":%d}`, i)) {
				wrong <- fmt.Sprintf("call %d: %v %s %s", i, err, out.err, text)
				return
			}
			wrong <- ""
		}()
	}
	for range calls {
		if w := <-wrong; w != "" {
			t.Error(w)
		}
	}
	return true
}

func heard(out outcome, method string) []obj {
	var found []obj
	for _, n := range out.heard {
		if n["method"] == method {
			found = append(found, objectAt(n, "params"))
		}
	}
	return found
}

func progress(t *testing.T, p *pair) bool {
	out := p.c.must(t, "tools/call", obj{"name": "progress"})
	steps := heard(out, "notifications/progress")
	if len(steps) != 3 {
		t.Fatalf("%d steps of progress came, want 3: %s", len(steps), encode(steps))
	}
	for i, want := range []json.Number{"1.0", "1.5", "2"} {
		same(t, "progress", steps[i]["progress"], want)
		same(t, "total", steps[i]["total"], 2)
		same(t, "grease of progress", steps[i]["x-acme"], grease())
		if p.s.rev >= rev2503 {
			same(t, "message of progress", steps[i]["message"], fmt.Sprintf("step %d %s", i, oddText))
		}
	}
	return true
}

// underway starts a call and waits until the server is at work.
func (p *pair) underway(t *testing.T, tool, k string) *pending {
	t.Helper()
	call, err := p.c.start(t.Context(), "tools/call", obj{"name": tool, "arguments": obj{"key": k}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), *patience)
	defer cancel()
	select {
	case <-call.first:
	case <-ctx.Done():
		t.Fatalf("%s did not begin", tool)
	}
	return call
}

func cancellation(t *testing.T, p *pair) bool {
	k := p.key()
	call := p.underway(t, "slow", k)
	if !p.c.link.cancel(call) {
		params := obj{"requestId": call.id, "reason": "never mind " + oddText, "x-acme": grease()}
		if p.c.modern() {
			params["_meta"] = obj{metaVersion: revModern, metaCapabilities: obj{}}
		}
		if err := p.c.link.send(t.Context(), notification("notifications/cancelled", params), nil); err != nil {
			t.Fatal(err)
		}
	}
	want := "notification"
	switch {
	case p.s.transport == "in-process":
		want = "context"
	case p.s.transport == "http" && p.s.rev == revModern:
		want = "disconnect"
	}
	if how := p.c.tool(t, "await_cancel", obj{"key": k}); how != want {
		t.Errorf("the call ended at the server by %q, want %q", how, want)
	}
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	delete(p.c.calls, key(call.id))
	p.c.cancelled[key(call.id)] = true
	return true
}

func logging(t *testing.T, p *pair) bool {
	at := func(level string) []string {
		params := obj{"name": "log"}
		if p.c.modern() && level != "" {
			params["_meta"] = obj{metaLevel: level}
		} else if level != "" {
			if out := p.c.must(t, "logging/setLevel", obj{"level": level}); out.err != nil {
				t.Fatalf("logging/setLevel: %s", out.err)
			}
		}
		out := p.c.must(t, "tools/call", params)
		if out.err != nil {
			t.Fatalf("log: %s", out.err)
		}
		var got []string
		for _, n := range heard(out, "notifications/message") {
			got = append(got, textAt(n, "level"))
			same(t, "grease of a log message", n["data"], obj{"level": n["level"], "x-acme": grease()})
		}
		return got
	}
	same(t, "messages from warning on", at("warning"), levels()[3:])
	same(t, "messages from debug on", at("debug"), levels())
	same(t, "messages from critical on", at("critical"), levels()[5:])
	if p.c.modern() {
		same(t, "messages without a level", at(""), []string(nil))
	}
	return true
}

func mirrored(t *testing.T, p *pair) bool {
	arguments := obj{"region": "Zürich", "deep": obj{"count": bigNumber}}
	params := obj{"name": "mirror", "arguments": arguments}
	if p.c.modern() && p.s.rev == revModern && p.c.transport == "http" {
		params["_meta"] = obj{"test/headers": obj{"Mcp-Param-Region": "Zürich", "Mcp-Param-Count": "9007199254740993"}}
	}
	if out := p.c.must(t, "tools/call", params); out.err != nil {
		t.Errorf("mirror: %s", out.err)
	}
	return p.s.rev == revModern
}

func vendor(t *testing.T, p *pair) bool {
	out := p.c.must(t, "acme/echo", obj{"what": grease(), "name": "not a tool"})
	if out.err != nil {
		t.Fatalf("acme/echo: %s", out.err)
	}
	same(t, "params that the server saw", out.result["you"], obj{"what": grease(), "name": "not a tool", "x-acme": grease()})
	same(t, "grease of the result", out.result["x-acme"], grease())
	return true
}

func ping(t *testing.T, p *pair) bool {
	out := p.c.must(t, "ping", nil)
	if !p.c.modern() {
		if out.err != nil {
			t.Errorf("ping: %s", out.err)
		}
		return true
	}
	if out.err == nil || out.err.Code != -32601 || p.c.transport == "http" && out.status != 404 {
		t.Errorf("ping gives %s with status %d, want -32601 with 404", out.err, out.status)
	}
	return false
}

func errorsOf(t *testing.T, p *pair) bool {
	out := p.c.must(t, "tools/call", obj{"name": "broken"})
	if out.err == nil || out.err.Code != 4711 || out.err.Message != "broken "+oddText {
		t.Errorf("broken gives %s, want the server's own error", out.err)
	} else {
		same(t, "data of the error", out.err.Data, grease())
	}
	out = p.c.must(t, "tools/call", obj{"name": "fail"})
	if out.err != nil || out.result["isError"] != true {
		t.Errorf("a tool that fails gives %s %s, want a result with isError", out.err, encode(out.result))
	}
	out = p.c.must(t, "tools/call", obj{"name": "no_such_tool"})
	if out.err == nil || out.err.Code != -32602 || !strings.Contains(out.err.Message, "no_such_tool") {
		t.Errorf("an unknown tool gives %s, want -32602 and its name", out.err)
	}
	want := -32002
	if p.c.modern() {
		want = -32602
	}
	uri := p.s.uri("item/missing")
	out = p.c.must(t, "resources/read", obj{"uri": uri})
	if out.err == nil || out.err.Code != want || textAt(out.err.Data, "uri") != uri {
		t.Errorf("a missing resource gives %s, want %d and its uri", out.err, want)
	}
	out = p.c.must(t, "acme/unknown", nil)
	if out.err == nil || out.err.Code != -32601 {
		t.Errorf("an unknown method gives %s, want -32601", out.err)
	}
	if p.c.modern() && p.c.transport == "http" && out.status != 404 {
		t.Errorf("an unknown method has status %d, want 404", out.status)
	}
	return true
}
