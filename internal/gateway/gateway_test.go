package gateway_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/gateway"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a server that answers from a table and counts.
type fake struct {
	capabilities string
	results      map[string]string // by method
	down         atomic.Bool
	slow         atomic.Bool
	lists        atomic.Int64

	mu       sync.Mutex
	notify   map[int]func(mcp.Notification)
	next     int
	listened []string
}

func (f *fake) Handle(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	if f.slow.Load() {
		<-ctx.Done()
		return mcp.Result{}, ctx.Err()
	}
	if f.down.Load() {
		return mcp.Result{}, errors.New("connection refused at 10.0.0.7")
	}
	switch req.Method {
	case "server/discover":
		return mcp.RawResult([]byte(`{"supportedVersions":["2026-07-28"],"capabilities":` + f.capabilities + `,"instructions":"use me"}`)), nil
	case "subscriptions/listen":
		return f.listen(ctx, req)
	case "tools/list":
		f.lists.Add(1)
	case "tools/call", "prompts/get", "resources/read":
		return mcp.RawResult([]byte(`{"called":"` + req.Name + `"}`)), nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if r, ok := f.results[req.Method]; ok {
		return mcp.RawResult([]byte(r)), nil
	}
	return mcp.Result{}, mcp.MethodNotFound(req.Method)
}

func (f *fake) listen(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	f.mu.Lock()
	if f.notify == nil {
		f.notify = make(map[int]func(mcp.Notification))
	}
	f.next++
	id := f.next
	f.notify[id] = req.Notify
	f.listened = append(f.listened, string(req.Params.Raw()))
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.notify, id)
		f.mu.Unlock()
	}()
	params, _ := jsonrpc.Split([]byte(`{"notifications":` + string(req.Params.Get("notifications")) + `}`))
	req.Emit(mcp.Notification{Method: "notifications/subscriptions/acknowledged", Params: params})
	<-ctx.Done()
	return mcp.Result{}, ctx.Err()
}

// tell sends a notification to whoever listens; false when nobody does.
func (f *fake) tell(method, params string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	o, _ := jsonrpc.Split([]byte(params))
	for _, notify := range f.notify {
		notify(mcp.Notification{Method: method, Params: o})
	}
	return len(f.notify) > 0
}

func tool(name string) string {
	return `{"name":"` + name + `","inputSchema":{"type":"object"},"grease":9007199254740993}`
}

func withTools(names ...string) *fake {
	var list []string
	for _, n := range names {
		list = append(list, tool(n))
	}
	return &fake{
		capabilities: `{"tools":{"listChanged":true}}`,
		results:      map[string]string{"tools/list": `{"tools":[` + strings.Join(list, ",") + `]}`},
	}
}

func open(t *testing.T, o gateway.Options, servers []gateway.Server, views ...gateway.View) *gateway.Gateway {
	t.Helper()
	g := gateway.New(o)
	if _, err := g.Swap(servers, views); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

func ask(t *testing.T, g *gateway.Gateway, endpoint, method, params string) (mcp.Result, error) {
	t.Helper()
	h, _ := g.Endpoint(endpoint)
	o, ok := jsonrpc.Split([]byte(params))
	if !ok {
		t.Fatalf("params %s are no object", params)
	}
	return h.Handle(t.Context(), mcp.ReadRequest(method, o, &mcp.Client{Revision: mcp.Revision20260728}))
}

func text(t *testing.T, g *gateway.Gateway, endpoint, method, params string) string {
	t.Helper()
	r, err := ask(t, g, endpoint, method, params)
	if err != nil {
		t.Fatalf("%s %s at %q: %v", method, params, endpoint, err)
	}
	return string(r.Raw())
}

func TestTools(t *testing.T) {
	a, b := withTools("read", "write"), withTools("read")
	g := open(t, gateway.Options{}, []gateway.Server{
		{Name: "b", Handler: b},
		{Name: "a", Handler: a, Tools: config.Filter{Deny: []string{"wr*"}}},
	}, gateway.View{
		Name: "small", Tools: []string{"a__*"}, Rename: map[string]string{"look": "b__read"},
		Override: map[string]gateway.Override{"look": {Description: "looks"}},
	})
	t.Run("all are listed under names that cannot clash, sorted, with members that nobody knows", func(t *testing.T) {
		want := `"tools":[{"name":"a__read","inputSchema":{"type":"object"},"grease":9007199254740993},{"name":"b__read",`
		if got := text(t, g, "", "tools/list", `{}`); !strings.Contains(got, want) || strings.Contains(got, "write") {
			t.Errorf("got %s", got)
		}
	})
	t.Run("each server has its own endpoint with its own names", func(t *testing.T) {
		if got := text(t, g, "a", "tools/list", `{}`); !strings.Contains(got, `"tools":[{"name":"read",`) {
			t.Errorf("got %s", got)
		}
		if got := text(t, g, "a", "tools/call", `{"name":"read"}`); got != `{"called":"read"}` {
			t.Errorf("got %s", got)
		}
	})
	t.Run("a view has what it names, renamed and described anew", func(t *testing.T) {
		got := text(t, g, "small", "tools/list", `{}`)
		if !strings.Contains(got, `"name":"a__read"`) || !strings.Contains(got, `{"name":"look","inputSchema":{"type":"object"},"grease":9007199254740993,"description":"looks"}`) || strings.Contains(got, "b__read") {
			t.Errorf("got %s", got)
		}
	})
	for _, c := range []struct{ endpoint, name, want string }{
		{"", "a__read", `{"called":"read"}`},
		{"", "b__read", `{"called":"read"}`},
		{"", "b__not_listed_yet", `{"called":"not_listed_yet"}`},
		{"", "a__write", ""},
		{"", "read", ""},
		{"", "c__read", ""},
		{"small", "look", `{"called":"read"}`},
		{"small", "b__read", ""},
		{"small", "a__write", ""},
		{"a", "write", ""},
		{"a", "a__read", `{"called":"a__read"}`},
	} {
		r, err := ask(t, g, c.endpoint, "tools/call", `{"name":"`+c.name+`"}`)
		if string(r.Raw()) != c.want || (err == nil) != (c.want != "") {
			t.Errorf("call %s at %q: got %s, %v, want %q", c.name, c.endpoint, r.Raw(), err, c.want)
		}
	}
}

func TestNamesThatDoNotFit(t *testing.T) {
	long := strings.Repeat("x", 80)
	f := withTools(long, "with space")
	g := open(t, gateway.Options{}, []gateway.Server{{Name: "s", Handler: f}})
	list, _ := jsonrpc.Split([]byte(text(t, g, "", "tools/list", `{}`)))
	n := 0
	for element := range jsonrpc.Elements(list.Get("tools")) {
		o, _ := jsonrpc.Split(element)
		name, _ := o.String("name")
		if len(name) > 64 || strings.Contains(name, " ") {
			t.Errorf("name %q does not fit", name)
		}
		got := text(t, g, "", "tools/call", `{"name":"`+name+`"}`)
		if got != `{"called":"`+long+`"}` && got != `{"called":"with space"}` {
			t.Errorf("%s leads to %s", name, got)
		}
		n++
	}
	if n != 2 {
		t.Errorf("%d tools are listed, want 2", n)
	}
}

func TestPages(t *testing.T) {
	g := open(t, gateway.Options{PageSize: 2}, []gateway.Server{{Name: "s", Handler: withTools("a", "b", "c", "d", "e")}})
	var names []string
	params := `{}`
	for range 10 {
		page, err := ask(t, g, "", "tools/list", params)
		if err != nil {
			t.Fatal(err)
		}
		for element := range jsonrpc.Elements(page.Get("tools")) {
			o, _ := jsonrpc.Split(element)
			name, _ := o.String("name")
			names = append(names, name)
		}
		next, ok := page.String("nextCursor")
		if !ok {
			break
		}
		params = `{"cursor":"` + next + `"}`
	}
	if got := strings.Join(names, " "); got != "s__a s__b s__c s__d s__e" {
		t.Errorf("all pages together have %s", got)
	}
	for _, cursor := range []string{`"x"`, `""`, `"0.1"`, `7`} {
		if _, err := ask(t, g, "", "tools/list", `{"cursor":`+cursor+`}`); mcp.WireError(err).Code != jsonrpc.CodeInvalidParams {
			t.Errorf("cursor %s: got %v, want invalid params", cursor, err)
		}
	}
}

func TestOneServerNeverHidesTheOthers(t *testing.T) {
	good, bad, slow := withTools("ok"), withTools("x"), withTools("y")
	bad.down.Store(true)
	slow.slow.Store(true)
	g := open(t, gateway.Options{ListDeadline: 50 * time.Millisecond, FetchTimeout: 200 * time.Millisecond}, []gateway.Server{
		{Name: "good", Handler: good}, {Name: "bad", Handler: bad}, {Name: "slow", Handler: slow},
	})
	got := text(t, g, "", "tools/list", `{}`)
	for _, part := range []string{`"good__ok"`, `{"server":"bad","reason":"its list could not be fetched`, `{"server":"slow","reason":"did not answer tools/list in time","lastKnown":false}`} {
		if !strings.Contains(got, part) {
			t.Errorf("got %s, want %s in it", got, part)
		}
	}
	if strings.Contains(got, "10.0.0.7") {
		t.Errorf("the list tells where a server runs: %s", got)
	}
}

func TestLastKnownListStays(t *testing.T) {
	f := withTools("ok")
	now := time.Now()
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	g := open(t, gateway.Options{Now: clock, ListDeadline: time.Second}, []gateway.Server{{Name: "s", Handler: f}})
	text(t, g, "", "tools/list", `{}`)
	eventually(t, func() bool { f.mu.Lock(); defer f.mu.Unlock(); return len(f.notify) > 0 })
	f.down.Store(true)
	eventually(t, func() bool { return f.tell("notifications/tools/list_changed", `{}`) })
	eventually(t, func() bool {
		got := text(t, g, "", "tools/list", `{}`)
		return strings.Contains(got, `"s__ok"`) && strings.Contains(got, `"lastKnown":true`)
	})
}

// eventually waits for what happens in other goroutines.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(4 * time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("it did not happen within 4 minutes")
		}
	}
}

func TestListsAreServedFromMemory(t *testing.T) {
	f := withTools("a")
	g := open(t, gateway.Options{}, []gateway.Server{{Name: "s", Handler: f}})
	text(t, g, "", "tools/list", `{}`)
	eventually(t, func() bool { f.mu.Lock(); defer f.mu.Unlock(); return len(f.listened) > 0 })
	before := f.lists.Load()
	for range 100 {
		text(t, g, "", "tools/list", `{}`)
	}
	if n := f.lists.Load() - before; n > 1 {
		t.Errorf("100 lists asked the server %d times", n)
	}
}

func TestChangesAreAnnounced(t *testing.T) {
	f := withTools("a")
	g := open(t, gateway.Options{}, []gateway.Server{{Name: "s", Handler: f}})
	text(t, g, "", "tools/list", `{}`)
	got := make(chan string, 16)
	h, _ := g.Endpoint("")
	params, _ := jsonrpc.Split([]byte(`{"notifications":{"toolsListChanged":true}}`))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	req := &mcp.Request{Method: "subscriptions/listen", Params: params, Client: &mcp.Client{Revision: mcp.Revision20260728}}
	req.Notify = func(n mcp.Notification) { got <- n.Method }
	go func() { _, err := h.Handle(ctx, req); done <- err }()
	if m := <-got; m != "notifications/subscriptions/acknowledged" {
		t.Fatalf("first came %s", m)
	}
	f.mu.Lock()
	f.results["tools/list"] = `{"tools":[` + tool("a") + `,` + tool("new") + `]}`
	f.mu.Unlock()
	eventually(t, func() bool { return f.tell("notifications/tools/list_changed", `{}`) })
	if list := text(t, g, "", "tools/list", `{}`); !strings.Contains(list, "s__new") {
		t.Errorf("after the change: %s", list)
	}
	if m := <-got; m != "notifications/tools/list_changed" {
		t.Errorf("got %s", m)
	}
	t.Run("a subscription lives on when the set is replaced", func(t *testing.T) {
		other := withTools("z")
		drained, err := g.Swap([]gateway.Server{{Name: "other", Handler: other}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		<-drained
		if m := <-got; m != "notifications/tools/list_changed" {
			t.Errorf("got %s", m)
		}
		if list := text(t, g, "", "tools/list", `{}`); !strings.Contains(list, "other__z") || strings.Contains(list, "s__") {
			t.Errorf("after the swap: %s", list)
		}
	})
	cancel()
	if err := <-done; err != nil {
		t.Errorf("listen = %v", err)
	}
}

func TestResources(t *testing.T) {
	a := &fake{capabilities: `{"resources":{"subscribe":true}}`, results: map[string]string{
		"resources/list":           `{"resources":[{"uri":"a://1","name":"one"}]}`,
		"resources/templates/list": `{"resourceTemplates":[{"uriTemplate":"file:///{+path}","name":"f"},{"uriTemplate":"file:///docs/{name}.md","name":"d"}]}`,
	}}
	b := &fake{capabilities: `{"resources":{}}`, results: map[string]string{
		"resources/list":           `{"resources":[{"uri":"b://1","name":"one"},{"uri":"a://1","name":"stolen"}]}`,
		"resources/templates/list": `{"resourceTemplates":[{"uriTemplate":"db://{table}/{id}","name":"t"}]}`,
	}}
	g := open(t, gateway.Options{}, []gateway.Server{{Name: "a", Handler: a}, {Name: "b", Handler: b}},
		gateway.View{Name: "v", Resources: []string{"b__db://*"}})
	for _, c := range []struct{ endpoint, uri, want string }{
		{"", "a://1", `{"called":"a://1"}`},
		{"", "b://1", `{"called":"b://1"}`},
		{"", "file:///x/y/z", `{"called":"file:///x/y/z"}`},
		{"", "db://t/1", `{"called":"db://t/1"}`},
		{"", "db://t/1/2", ""},
		{"", "nobody://", ""},
		{"v", "db://t/1", `{"called":"db://t/1"}`},
		{"v", "b://1", ""},
	} {
		r, err := ask(t, g, c.endpoint, "resources/read", `{"uri":"`+c.uri+`"}`)
		if string(r.Raw()) != c.want || (err == nil) != (c.want != "") {
			t.Errorf("read %s at %q: got %s, %v, want %q", c.uri, c.endpoint, r.Raw(), err, c.want)
		}
	}
	if got := text(t, g, "", "resources/list", `{}`); strings.Contains(got, "stolen") {
		t.Errorf("a later server took a resource from an earlier one: %s", got)
	}
}

func TestUpdatesOfResources(t *testing.T) {
	a := &fake{capabilities: `{"resources":{"subscribe":true}}`, results: map[string]string{"resources/list": `{"resources":[{"uri":"a://1","name":"one"}]}`}}
	g := open(t, gateway.Options{}, []gateway.Server{{Name: "a", Handler: a}})
	h, _ := g.Endpoint("")
	params, _ := jsonrpc.Split([]byte(`{"notifications":{"resourceSubscriptions":["a://1","none://"]}}`))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	got := make(chan string, 16)
	done := make(chan bool)
	req := &mcp.Request{Method: "subscriptions/listen", Params: params, Client: &mcp.Client{Revision: mcp.Revision20260728}}
	req.Notify = func(n mcp.Notification) { got <- string(n.Params.Raw()) }
	go func() { _, _ = h.Handle(ctx, req); close(done) }()
	if ack := <-got; ack != `{"notifications":{"resourceSubscriptions":["a://1","none://"]}}` && ack != `{"notifications":{"resourceSubscriptions":["a://1"]}}` {
		t.Errorf("acknowledged %s", ack)
	}
	a.tell("notifications/resources/updated", `{"uri":"a://1"}`)
	if n := <-got; n != `{"uri":"a://1"}` {
		t.Errorf("got %s", n)
	}
	cancel()
	<-done
}

func TestASetThatIsTheSameIsNotAChange(t *testing.T) {
	a, b := withTools("x"), withTools("y")
	servers := []gateway.Server{{Name: "a", Handler: a}, {Name: "b", Handler: b}}
	views := []gateway.View{{Name: "v", Tools: []string{"*"}}}
	g := open(t, gateway.Options{}, servers, views...)
	h, _ := g.Endpoint("")
	params, _ := jsonrpc.Split([]byte(`{"notifications":{"promptsListChanged":true}}`)) // which never change by themselves here
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan string, 16)
	done := make(chan bool)
	req := &mcp.Request{Method: "subscriptions/listen", Params: params, Client: &mcp.Client{Revision: mcp.Revision20260728}}
	req.Notify = func(n mcp.Notification) { got <- n.Method }
	go func() { _, _ = h.Handle(ctx, req); close(done) }()
	<-got
	swap := func(servers []gateway.Server, views []gateway.View) {
		t.Helper()
		drained, err := g.Swap(servers, views)
		if err != nil {
			t.Fatal(err)
		}
		<-drained
	}
	swap([]gateway.Server{servers[1], servers[0]}, []gateway.View{{Name: "v", Tools: []string{"*"}}})
	if len(got) > 0 {
		t.Errorf("%s came though nothing differs", <-got)
	}
	for what, change := range map[string]func() ([]gateway.Server, []gateway.View){
		"a server is gone": func() ([]gateway.Server, []gateway.View) { return servers[:1], views },
		"a view differs": func() ([]gateway.Server, []gateway.View) {
			return servers[:1], []gateway.View{{Name: "v", Tools: []string{"a__*"}}}
		},
		"a server has another title": func() ([]gateway.Server, []gateway.View) {
			return []gateway.Server{{Name: "a", Handler: a, Title: "another"}}, views
		},
	} {
		swap(servers, views)
		for len(got) > 0 {
			<-got
		}
		swap(change())
		eventually(t, func() bool { return len(got) > 0 })
		if m := <-got; m != "notifications/prompts/list_changed" {
			t.Errorf("%s: got %s", what, m)
		}
	}
	cancel()
	<-done
}

func TestSwapRefusesWhatClashes(t *testing.T) {
	g := open(t, gateway.Options{}, nil)
	h := withTools("a")
	for name, c := range map[string]struct {
		servers []gateway.Server
		views   []gateway.View
	}{
		"a server's name used twice":  {[]gateway.Server{{Name: "a", Handler: h}, {Name: "a", Handler: h}}, nil},
		"a view with a server's name": {[]gateway.Server{{Name: "a", Handler: h}}, []gateway.View{{Name: "a"}}},
		"a tool renamed twice":        {[]gateway.Server{{Name: "a", Handler: h}}, []gateway.View{{Name: "v", Rename: map[string]string{"x": "a__a", "y": "a__a"}}}},
	} {
		if _, err := g.Swap(c.servers, c.views); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
