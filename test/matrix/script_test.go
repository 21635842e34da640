package matrix

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// script is a server of one revision, whatever it is reached over: what it
// offers and what its tools do. It writes down what the gateway does wrong.
type script struct {
	name, rev string
	// newsOnCalls says that changed lists are announced on the stream of the call
	// that has changed them, and to nobody else.
	newsOnCalls bool

	mu       sync.Mutex // guards what follows
	extra    map[string]bool
	endings  map[string]string // how slow calls ended, by their key
	opened   map[string]bool   // URLs that were opened, by the call's key
	gates    map[string]chan struct{}
	faults   []string
	audience map[*listener]bool
}

// listener is who hears of changes: a session, or a subscription.
type listener struct {
	lists map[string]bool // "tools", "prompts", "resources"
	uris  map[string]bool
	tell  func(method string, params obj)
}

func newScript(name, rev string) *script {
	return &script{
		name: name, rev: rev, extra: map[string]bool{}, endings: map[string]string{}, opened: map[string]bool{},
		gates: map[string]chan struct{}{}, audience: map[*listener]bool{},
	}
}

func (s *script) uri(rest string) string { return "peer://" + s.name + "/" + rest }

// fault notes what the gateway did wrong.
func (s *script) fault(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faults) < 20 {
		s.faults = append(s.faults, fmt.Sprintf(format, args...))
	}
}

// attend lets l hear of changes from now on; what first sends comes before them.
func (s *script) attend(l *listener, first func()) (leave func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first()
	s.audience[l] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.audience, l)
	}
}

// announce tells whoever has asked to hear it.
func (s *script) announce(method string, params obj, wants func(*listener) bool) {
	s.mu.Lock()
	var to []*listener
	for l := range s.audience {
		if wants(l) {
			to = append(to, l)
		}
	}
	s.mu.Unlock()
	for _, l := range to {
		l.tell(method, params)
	}
}

// subscribed lists what anybody has subscribed to.
func (s *script) subscribed() list {
	s.mu.Lock()
	defer s.mu.Unlock()
	var uris []string
	for l := range s.audience {
		for uri := range l.uris {
			uris = append(uris, uri)
		}
	}
	slices.Sort(uris)
	out := list{}
	for _, uri := range slices.Compact(uris) {
		out = append(out, uri)
	}
	return out
}

// gate is what a call that holds waits at until another call opens it.
func (s *script) gate(key string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gates[key] == nil {
		s.gates[key] = make(chan struct{})
	}
	return s.gates[key]
}

// invocation is one request for the script, of either era.
type invocation struct {
	ctx    context.Context
	method string
	params obj
	caps   obj    // what its client declared
	level  string // least severe log level that is wanted; empty for none
	notify func(method string, params obj)
	// ask asks the client, all questions at once. It returns what the client
	// answered, or errInput to let the client come again.
	ask func(questions ...question) ([]obj, *failure)
}

// question is a request of the server to its client.
type question struct {
	method string
	params obj
}

// pageLength is the number of entries on a page of a list.
const pageLength = 6

// page cuts a list. The cursor of the second page is the empty text, which is
// as good as any (2025-11-25, server/utilities/pagination).
func page(name string, all list, params obj) (obj, *failure) {
	from := 0
	if cursor, given := params["cursor"]; given {
		text, ok := cursor.(string)
		n, err := strconv.Atoi(strings.TrimPrefix(text, "page "))
		switch {
		case !ok:
			return nil, fail(-32602, "cursor is no text")
		case text == "":
			n = 1
		case err != nil:
			return nil, fail(-32602, "unknown cursor %q", text)
		}
		from = n * pageLength
	}
	result := obj{"x-acme": grease()}
	to := min(from+pageLength, len(all))
	result[name] = all[min(from, to):to]
	if to < len(all) {
		next := ""
		if from > 0 {
			next = "page " + strconv.Itoa(to/pageLength)
		}
		result["nextCursor"] = next
	}
	return result, nil
}

// answer answers what both eras have.
func (s *script) answer(c *invocation) (obj, *failure) {
	switch c.method {
	case "tools/list":
		return page("tools", s.tools(), c.params)
	case "prompts/list":
		return page("prompts", s.prompts(), c.params)
	case "resources/list":
		return page("resources", s.resources(), c.params)
	case "resources/templates/list":
		return page("resourceTemplates", s.templates(), c.params)
	case "tools/call":
		return s.callTool(c)
	case "prompts/get":
		return s.getPrompt(c)
	case "resources/read":
		return s.readResource(c)
	case "completion/complete":
		return s.complete(c)
	case "acme/echo":
		return obj{"you": without(c.params, "_meta"), "x-acme": grease()}, nil
	}
	return nil, fail(-32601, "%s is not known to %s", c.method, s.name)
}

// await waits until ready reports true, or ctx ends or a long time has passed.
func await(ctx context.Context, ready func() bool) bool { return awaitFor(ctx, *patience, ready) }

func awaitFor(ctx context.Context, long time.Duration, ready func() bool) bool {
	limit := time.NewTimer(long)
	defer limit.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-tick.C:
		case <-limit.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// named gives each entry what every entry of this revision has.
func (s *script) named(entry obj) obj {
	entry["x-acme"] = grease()
	if s.rev >= rev2506 {
		entry["title"] = "A title"
		entry["_meta"] = obj{"acme/note": grease()}
	}
	if s.rev >= rev2511 {
		entry["icons"] = list{obj{"src": "https://example.org/icon.png", "sizes": list{"48x48"}, "x-acme": true}}
	}
	return entry
}

func (s *script) has(what string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.extra[what]
}

func (s *script) prompts() list {
	out := list{
		s.named(obj{"name": "ask", "description": "asks before it answers"}),
		s.named(obj{"name": "greet", "description": "greets", "arguments": list{
			obj{"name": "who", "description": "whom", "required": true, "x-acme": bigNumber},
		}}),
	}
	for i := range 6 {
		out = append(out, s.named(obj{"name": fmt.Sprintf("plain%d", i)}))
	}
	if s.has("prompts") {
		out = append(out, s.named(obj{"name": "zz-extra"}))
	}
	return out
}

func (s *script) getPrompt(c *invocation) (obj, *failure) {
	message := func(text string) obj {
		return obj{"role": "user", "content": obj{"type": "text", "text": text, "x-acme": grease()}, "x-acme": grease()}
	}
	switch name := textAt(c.params, "name"); name {
	case "greet":
		who := textAt(c.params, "arguments", "who")
		return obj{"description": "greets", "messages": list{message("Hello " + who)}, "x-acme": grease()}, nil
	case "ask":
		answers, err := c.ask(s.formQuestion())
		if err != nil {
			return nil, err
		}
		return obj{"messages": list{message(string(encode(answers[0])))}}, nil
	default:
		return nil, fail(-32602, "unknown prompt %s", name)
	}
}

func (s *script) resources() list {
	out := list{
		s.named(obj{"uri": s.uri("doc"), "name": "doc", "mimeType": "text/plain"}),
		s.named(obj{"uri": s.uri("blob"), "name": "blob", "mimeType": "application/octet-stream", "size": bigNumber}),
	}
	for i := range 5 {
		out = append(out, s.named(obj{"uri": s.uri(fmt.Sprintf("plain%d", i)), "name": "plain"}))
	}
	if s.has("resources") {
		out = append(out, s.named(obj{"uri": s.uri("zz-extra"), "name": "extra"}))
	}
	return out
}

func (s *script) templates() list {
	return list{s.named(obj{"uriTemplate": s.uri("item/{id}"), "name": "item", "mimeType": "text/plain"})}
}

func (s *script) readResource(c *invocation) (obj, *failure) {
	uri := textAt(c.params, "uri")
	contents := func(more obj) (obj, *failure) {
		entry := with(obj{"uri": uri, "x-acme": grease()}, more)
		return obj{"contents": list{entry}, "x-acme": grease()}, nil
	}
	rest, mine := strings.CutPrefix(uri, s.uri(""))
	id, item := strings.CutPrefix(rest, "item/")
	switch {
	case mine && rest == "doc":
		return contents(obj{"mimeType": "text/plain", "text": "a document " + oddText})
	case mine && rest == "blob":
		return contents(obj{"mimeType": "application/octet-stream", "blob": "AAECAw=="})
	case mine && item && id != "missing":
		return contents(obj{"mimeType": "text/plain", "text": "item " + id})
	}
	code := -32002
	if s.rev == revModern {
		code = -32602
	}
	return nil, &failure{Code: code, Message: "Resource not found", Data: obj{"uri": uri, "x-acme": bigNumber}}
}

func (s *script) complete(c *invocation) (obj, *failure) {
	_, context := c.params["context"]
	if context && s.rev < rev2506 {
		s.fault("completion/complete has a context, which %s does not know", s.rev)
	}
	ref := objectAt(c.params, "ref")
	about := textAt(ref, "name") + textAt(ref, "uri")
	values := list{about, textAt(c.params, "argument", "name") + "=" + textAt(c.params, "argument", "value")}
	if context {
		values = append(values, "after "+textAt(c.params, "context", "arguments", "before"))
	}
	return obj{"completion": obj{"values": values, "total": bigNumber, "hasMore": true, "x-acme": grease()}, "x-acme": grease()}, nil
}
