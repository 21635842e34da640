package legacy_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/legacy"
	"github.com/dragoman-mcp/dragoman/mcp/mcptest"
)

// logger is a server that logs when it is told to, with a mark behind each message
// that all who listen hear.
type logger struct {
	t    *testing.T
	peer *mcptest.Peer
}

func (l logger) log(level, text string) {
	l.peer.Send(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":%q,"data":%q}}`, level, text)
	l.peer.Send(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
}

// serve answers the next request, which must be of that method.
func (l logger) serve(method string) {
	m := l.peer.Request(method)
	l.peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{"content":[]}}`, m.ID)
}

// listener hears of logs, and of changed lists, which are the marks.
type listener struct {
	t     *testing.T
	heard chan string
	stop  func()
}

func listenTo(t *testing.T, c *legacy.Client, who, filter string, revision mcp.Revision) *listener {
	t.Helper()
	ctx, cancel := context.WithCancel(mcp.WithPrincipal(t.Context(), mcp.Principal{ID: who}))
	l := &listener{t: t, heard: make(chan string, 64)}
	params, _ := jsonrpc.Split([]byte(`{"notifications":{"toolsListChanged":true` + filter + `}}`))
	req := &mcp.Request{Method: "subscriptions/listen", Params: params, Client: &mcp.Client{Revision: revision}}
	req.Notify = func(n mcp.Notification) {
		switch n.Method {
		case "notifications/message":
			text, _ := n.Params.String("data")
			l.heard <- text
		case "notifications/tools/list_changed":
			l.heard <- "mark"
		default:
			l.heard <- string(n.Params.Raw())
		}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = c.Handle(ctx, req)
	}()
	l.stop = func() {
		cancel()
		<-ended
	}
	t.Cleanup(l.stop)
	return l
}

// next is what was heard before the next mark.
func (l *listener) next() string {
	var all []string
	for {
		text := <-l.heard
		if text == "mark" {
			return strings.Join(all, " ")
		}
		all = append(all, text)
	}
}

const withLogs = `{"logging":{},"tools":{"listChanged":true}}`

func TestWhoListensHearsWhatIsLoggedOutsideAnyCall(t *testing.T) {
	c, peer, _ := connect(t, "2025-06-18", withLogs)
	server := logger{t, peer}
	warned := listenTo(t, c, "alice", `,"dragoman/logLevel":"warning"`, mcp.Revision20250618)
	server.serve("logging/setLevel")
	if got := <-warned.heard; !strings.Contains(got, `"dragoman/logLevel":"warning"`) {
		t.Errorf("acknowledged is %s, want the level", got)
	}
	curious := listenTo(t, c, "alice", `,"dragoman/logLevel":"debug"`, mcp.Revision20250618)
	if m := peer.Request("logging/setLevel"); !mcptest.Has(m, `"level":"debug"`) {
		t.Errorf("the server was told %s, want the lowest level that somebody wants", mcptest.Text(m))
	} else {
		peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, m.ID)
	}
	<-curious.heard
	others := map[string]*listener{
		"one that did not ask":      listenTo(t, c, "alice", ``, mcp.Revision20250618),
		"one with no such level":    listenTo(t, c, "alice", `,"dragoman/logLevel":"loud"`, mcp.Revision20250618),
		"a client without sessions": listenTo(t, c, "alice", `,"dragoman/logLevel":"debug"`, mcp.Revision20260728),
	}
	for name, l := range others {
		if got := <-l.heard; strings.Contains(got, "logLevel") {
			t.Errorf("%s is granted %s, want no logs", name, got)
		}
	}
	for level, want := range map[string][2]string{"debug": {"", "x"}, "info": {"", "x"}, "warning": {"x", "x"}, "emergency": {"x", "x"}, "loud": {"", ""}} {
		server.log(level, "x")
		if got := [2]string{warned.next(), curious.next()}; got != want {
			t.Errorf("at %s those who want warning and debug hear %q, want %q", level, got, want)
		}
		for name, l := range others {
			if got := l.next(); got != "" {
				t.Errorf("%s heard %q at %s, want nothing", name, got, level)
			}
		}
	}
}

func TestWhatIsLoggedOutsideAnyCallReachesNoOtherPrincipal(t *testing.T) {
	alice := mcp.WithPrincipal(t.Context(), mcp.Principal{ID: "alice"})
	bob := mcp.WithPrincipal(t.Context(), mcp.Principal{ID: "bob"})
	const info = `,"dragoman/logLevel":"info"`
	for name, test := range map[string]struct {
		before, after func(*testing.T, *legacy.Client, logger) // somebody listens
		heard         string
	}{
		"as long as nobody has used the server":             {heard: "secret"},
		"as long as only its principal has":                 {before: use(alice, "tools/call"), after: use(alice, "resources/read"), heard: "secret"},
		"when others have only looked at lists":             {before: use(bob, "tools/list"), after: use(bob, "resources/templates/list"), heard: "secret"},
		"when another has called before":                    {before: use(bob, "tools/call")},
		"when another has called since":                     {before: use(alice, "tools/call"), after: use(bob, "prompts/get")},
		"when another has looked at its tasks":              {after: use(bob, "tasks/list")},
		"when another calls who is nobody":                  {after: use(t.Context(), "tools/call")},
		"when another listens to logs":                      {after: listens("bob", info, mcp.Revision20250618)},
		"when another listens, who does not listen to logs": {after: listens("bob", ``, mcp.Revision20250618), heard: "secret"},
	} {
		t.Run(name, func(t *testing.T) {
			c, peer, _ := connect(t, "2025-06-18", withLogs)
			server := logger{t, peer}
			if test.before != nil {
				test.before(t, c, server)
			}
			l := listenTo(t, c, "alice", info, mcp.Revision20250618)
			server.serve("logging/setLevel")
			<-l.heard
			if test.after != nil {
				test.after(t, c, server)
			}
			server.log("error", "secret")
			if got := l.next(); got != test.heard {
				t.Errorf("alice heard %q, want %q", got, test.heard)
			}
		})
	}
}

// A call waits until the server knows what is to be logged, whoever tells it: a
// subscription to logs or another call may have been first.
func TestACallIsMadeWhenTheServerKnowsTheLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		c, peer, _ := connect(t, "2025-06-18", withLogs)
		curious := func(name string) *mcp.Request {
			return call(name, `{}`, `,"_meta":{"io.modelcontextprotocol/logLevel":"debug"}`)
		}
		one := start(ctx, c, curious("a"))
		level := peer.Request("logging/setLevel")
		two := start(ctx, c, curious("b"))
		synctest.Wait()
		peer.Send(`{"jsonrpc":"2.0","id":9,"method":"ping"}`)
		if m := peer.Next(); string(m.ID) != "9" {
			t.Errorf("got %s before the server has taken the level, want only the answer to the ping", mcptest.Text(m))
		}
		peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, level.ID)
		for range 2 {
			m := peer.Request("tools/call")
			peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, m.ID)
		}
		<-one
		<-two
		// One that does not answer is waited for, but not for ever, and not again.
		c, peer, _ = connect(t, "2025-06-18", withLogs)
		one = start(ctx, c, curious("a"))
		peer.Request("logging/setLevel")
		m := peer.Request("tools/call")
		peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, m.ID)
		<-one
	})
}

// Nor may a call that wants logs get those of a call beside it that wants none.
func TestWhatIsLoggedBesideAnotherCallIsNotTheCuriousOnes(t *testing.T) {
	c, peer, _ := connect(t, "2025-06-18", withLogs)
	server := logger{t, peer}
	var got []string
	curious := call("a", `{}`, `,"_meta":{"io.modelcontextprotocol/logLevel":"debug"}`)
	curious.Notify = func(n mcp.Notification) { got = append(got, string(n.Params.Raw())) }
	one := start(mcp.WithPrincipal(t.Context(), mcp.Principal{ID: "alice"}), c, curious)
	server.serve("logging/setLevel")
	first := peer.Request("tools/call")
	two := start(mcp.WithPrincipal(t.Context(), mcp.Principal{ID: "bob"}), c, call("b", `{}`, ""))
	second := peer.Request("tools/call")
	peer.Send(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","data":"of b"}}`)
	peer.Send(`{"jsonrpc":"2.0","id":9,"method":"ping"}`)
	peer.Response("9") // what was sent before has been sorted
	for _, m := range []jsonrpc.Message{first, second} {
		peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, m.ID)
	}
	<-one
	<-two
	if len(got) > 0 {
		t.Errorf("a call got %q, which another's call beside it may have caused", got)
	}
}

// use makes a request as a principal.
func use(ctx context.Context, method string) func(*testing.T, *legacy.Client, logger) {
	return func(t *testing.T, c *legacy.Client, server logger) {
		t.Helper()
		params, _ := jsonrpc.Split([]byte(`{"name":"x","uri":"a:b"}`))
		done := start(ctx, c, mcp.ReadRequest(method, params, &mcp.Client{Revision: mcp.Revision20250618}))
		if method != "tasks/list" { // which a server without tasks is not asked for
			server.serve(method)
		}
		<-done
	}
}

// listens has another listen from then on.
func listens(who, filter string, revision mcp.Revision) func(*testing.T, *legacy.Client, logger) {
	return func(t *testing.T, c *legacy.Client, _ logger) {
		t.Helper()
		<-listenTo(t, c, who, filter, revision).heard
	}
}

// journal is the other half of sessions: it remembers who listens to logs.
type journal struct {
	mu        sync.Mutex // guards listening
	listening map[string]func(text string)
	lists     map[string]func()
}

func (j *journal) listen(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	who := mcp.PrincipalOf(ctx).ID
	wanted, _ := jsonrpc.Split(req.Params.Get("notifications"))
	j.mu.Lock()
	if level, ok := wanted.String(mcp.FilterLogLevel); ok {
		who += " " + level + req.Client.Session
		j.listening[who] = func(text string) {
			params, _ := jsonrpc.Split(fmt.Appendf(nil, `{"level":"error","data":%q}`, text))
			req.Emit(mcp.Notification{Method: "notifications/message", Params: params})
		}
	} else {
		j.lists[who] = func() { req.Emit(mcp.Notification{Method: "notifications/tools/list_changed"}) }
	}
	j.mu.Unlock()
	<-ctx.Done()
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.listening, who)
	return mcp.Result{}, ctx.Err()
}

func (j *journal) who() string {
	synctest.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	var all []string
	for _, name := range []string{"alice info", "alice debug", "bob info", "bob debug"} {
		if j.listening[name] != nil {
			all = append(all, name)
		}
	}
	return strings.Join(all, ", ")
}

func TestASessionListensToLogsOnceItsClientHasSaidFromWhichLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{listening: make(map[string]func(string)), lists: make(map[string]func())}
		sealer, err := legacy.NewSealer(nil)
		if err != nil {
			t.Fatal(err)
		}
		server := legacy.NewServer(answers(map[string]mcp.HandlerFunc{"subscriptions/listen": j.listen}), sealer, legacy.ServerOptions{})
		defer server.Close()
		first, second, other := openAs(t, server, "alice"), openAs(t, server, "alice"), openAs(t, server, "bob")
		ears := []*ear{{heard: make(chan string, 100)}, {heard: make(chan string, 100), deafen: make(chan struct{})}, {heard: make(chan string, 100)}}
		detach := first.Attach(ears[0])
		second.Attach(ears[1])
		level := func(s mcp.Session, level string) {
			params, _ := jsonrpc.Split(fmt.Appendf(nil, `{"level":%q}`, level))
			if m := s.Handle(t.Context(), jsonrpc.Message{ID: "2", Method: "logging/setLevel", Params: params}, nil); m.Error != nil {
				t.Fatal(m.Error)
			}
		}
		for _, step := range []struct {
			what string
			do   func()
			want string
		}{
			{"nobody has asked", func() {}, ""},
			{"one has asked", func() { level(first, "info") }, "alice info"},
			{"it asks again", func() { level(first, "info") }, "alice info"},
			{"another session of the same asks", func() { level(second, "info") }, "alice info"},
			{"it wants more", func() { level(second, "debug") }, "alice info, alice debug"},
			{"both want more", func() { level(first, "debug") }, "alice debug"},
			{"somebody asks who has no stream", func() { level(other, "info") }, "alice debug"},
			{"who gets one", func() { other.Attach(ears[2]) }, "alice debug, bob info"},
			{"who goes", func() { other.End() }, "alice debug"},
		} {
			step.do()
			if got := j.who(); got != step.want {
				t.Errorf("when %s, %q listen, want %q", step.what, got, step.want)
			}
		}
		for n := range 30 { // the second is deaf meanwhile
			j.listening["alice debug"](fmt.Sprint("log", n))
			synctest.Wait()
		}
		j.lists["alice"]()
		synctest.Wait()
		close(ears[1].deafen)
		synctest.Wait()
		if got := drain(ears[0].heard); got != 31 {
			t.Errorf("who keeps up has heard %d times, want 31", got)
		}
		last, n := "", 0
		for len(ears[1].heard) > 0 {
			last, n = <-ears[1].heard, n+1
		}
		if n > 16 || last != "notifications/tools/list_changed" {
			t.Errorf("who does not keep up has heard %d times, at last %s; want fewer, and the changed list", n, last)
		}
		if len(ears[2].heard) != 0 {
			t.Errorf("bob heard of alice's logs")
		}
		detach()
		second.End()
		if got := j.who(); got != "" {
			t.Errorf("when all have gone, %q listen", got)
		}
	})
}

func drain(c <-chan string) (n int) {
	for len(c) > 0 {
		<-c
		n++
	}
	return n
}
