package legacy_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/legacy"
	"github.com/dragoman-mcp/dragoman/mcp/mcptest"
)

// serve lets a test play a client of h.
func serve(t *testing.T, h mcp.Handler) *mcptest.Peer {
	t.Helper()
	sealer, err := legacy.NewSealer(nil)
	if err != nil {
		t.Fatal(err)
	}
	server := legacy.NewServer(h, sealer, legacy.ServerOptions{})
	near, far := mcptest.Pipe()
	done := make(chan error, 1)
	go func() { done <- legacy.Serve(context.Background(), far, h, server, legacy.ServeOptions{}) }()
	t.Cleanup(func() {
		_ = near.Close()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v, want nil after the client has closed", err)
		}
		server.Close()
	})
	return mcptest.NewPeer(t, near)
}

func handshake(p *mcptest.Peer, revision, capabilities string) jsonrpc.Message {
	p.Send(`{"jsonrpc":"2.0","id":"init","method":"initialize","params":{"protocolVersion":%q,"capabilities":%s,"clientInfo":{"name":"t","version":"1","grease":1},"grease":{}}}`, revision, capabilities)
	m := p.Response(`"init"`)
	p.Send(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
	return m
}

// answers is a handler of a few scripted methods.
func answers(script map[string]mcp.HandlerFunc) mcp.Handler {
	return mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
		if h, ok := script[req.Method]; ok {
			return h(ctx, req)
		}
		switch req.Method {
		case "server/discover":
			return mcp.RawResult([]byte(`{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{"listChanged":true},"resources":{"subscribe":true},"extensions":{"x/y":{}},"tasks":{}},"instructions":"be nice","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s","version":"9"}}}`)), nil
		case "subscriptions/listen":
			<-ctx.Done()
			return mcp.Result{}, ctx.Err()
		}
		return mcp.Result{}, mcp.MethodNotFound(req.Method)
	})
}

const elicit = `{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{"mode":"form","message":"name?","requestedSchema":{"type":"object","properties":{}}}}},"requestState":"S1"}`

func TestSessionClient(t *testing.T) {
	t.Run("the handshake tells what the server says of itself, without what the revision lacks", func(t *testing.T) {
		for _, c := range []struct{ asked, got, tasks string }{
			{"2024-11-05", "2024-11-05", ""},
			{"2025-03-26", "2025-03-26", ""},
			{"2025-06-18", "2025-06-18", ""},
			{"2025-11-25", "2025-11-25", `"tasks":{}`},
			{"2026-07-28", "2025-11-25", `"tasks":{}`},
			{"1999-01-01", "2025-11-25", `"tasks":{}`},
		} {
			m := handshake(serve(t, answers(nil)), c.asked, "{}")
			if !mcptest.Has(m, `"protocolVersion":"`+c.got+`"`, `"serverInfo":{"name":"s","version":"9"}`, `"instructions":"be nice"`, c.tasks) {
				t.Errorf("initialize %s: got %s", c.asked, mcptest.Text(m))
			}
			if mcptest.Has(m, "extensions") || mcptest.Has(m, "resultType") {
				t.Errorf("initialize %s: got members of another era: %s", c.asked, mcptest.Text(m))
			}
		}
	})
	t.Run("input that a call needs is asked for on the stream, over several rounds", func(t *testing.T) {
		rounds := 0
		p := serve(t, answers(map[string]mcp.HandlerFunc{
			"tools/call": func(_ context.Context, req *mcp.Request) (mcp.Result, error) {
				rounds++
				switch rounds {
				case 1:
					return mcp.RawResult([]byte(elicit)), nil
				case 2:
					if got := string(req.Params.Raw()); !strings.Contains(got, `"inputResponses":{"a":{"action":"accept","content":{"name":"x"}}}`) || !strings.Contains(got, `"requestState":"S1"`) {
						t.Errorf("retry has params %s", got)
					}
					return mcp.RawResult([]byte(`{"resultType":"input_required","inputRequests":{"b":{"method":"sampling/createMessage","params":{"messages":[],"maxTokens":1}}}}`)), nil
				default:
					if got := string(req.Params.Raw()); strings.Contains(got, "requestState") || !strings.Contains(got, `"b":{"role":"assistant"`) {
						t.Errorf("second retry has params %s, want no state: none was given", got)
					}
					return mcp.RawResult([]byte(`{"resultType":"complete","content":[],"ttlMs":1,"_meta":{"io.modelcontextprotocol/serverInfo":{},"k":1}}`)), nil
				}
			},
		}))
		handshake(p, "2025-06-18", `{"elicitation":{},"sampling":{}}`)
		p.Send(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"x","arguments":{"n":9007199254740993}}}`)
		q := p.Request("elicitation/create")
		if mcptest.Has(q, `"mode"`) {
			t.Errorf("a 2025-06-18 client got an elicitation with a mode: %s", mcptest.Text(q))
		}
		p.Send(`{"jsonrpc":"2.0","id":%s,"result":{"action":"accept","content":{"name":"x"}}}`, q.ID)
		q = p.Request("sampling/createMessage")
		p.Send(`{"jsonrpc":"2.0","id":%s,"result":{"role":"assistant","content":{"type":"text","text":"t"},"model":"m"}}`, q.ID)
		if got, want := mcptest.Text(p.Response("7")), `{"jsonrpc":"2.0","id":7,"result":{"content":[],"_meta":{"k":1}}}`; got != want {
			t.Errorf("result = %s, want %s", got, want)
		}
	})
	t.Run("an elicitation that the client refuses counts as cancelled, a sampling fails the call", func(t *testing.T) {
		abandoned := make(chan string, 1)
		p := serve(t, answers(map[string]mcp.HandlerFunc{
			"tools/call": func(_ context.Context, req *mcp.Request) (mcp.Result, error) {
				switch {
				case req.Abandon:
					state, _ := req.Params.String("requestState")
					abandoned <- state
					return mcp.Result{}, mcp.Errorf(1, "gone")
				case req.Params.Get("inputResponses") != nil:
					return mcp.RawResult([]byte(`{"got":` + string(req.Params.Get("inputResponses")) + `}`)), nil
				case req.Name == "e":
					return mcp.RawResult([]byte(elicit)), nil
				}
				return mcp.RawResult([]byte(`{"resultType":"input_required","inputRequests":{"b":{"method":"sampling/createMessage","params":{}}},"requestState":"S2"}`)), nil
			},
		}))
		handshake(p, "2025-11-25", `{"elicitation":{},"sampling":{}}`)
		p.Send(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"e"}}`)
		q := p.Request("elicitation/create")
		p.Send(`{"jsonrpc":"2.0","id":%s,"error":{"code":-1,"message":"no"}}`, q.ID)
		if m := p.Response("1"); !mcptest.Has(m, `{"a":{"action":"cancel"}}`) {
			t.Errorf("got %s", mcptest.Text(m))
		}
		p.Send(`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"s"}}`)
		q = p.Request("sampling/createMessage")
		p.Send(`{"jsonrpc":"2.0","id":%s,"error":{"code":-1,"message":"not today"}}`, q.ID)
		if m := p.Response("2"); m.Error == nil || !strings.Contains(m.Error.Message, "not today") {
			t.Errorf("got %s, want an error that says why", mcptest.Text(m))
		}
		if got := <-abandoned; got != "S2" {
			t.Errorf("abandoned %q, want S2", got)
		}
	})
	t.Run("a client is never asked for what it did not declare", func(t *testing.T) {
		p := serve(t, answers(map[string]mcp.HandlerFunc{
			"tools/call": func(context.Context, *mcp.Request) (mcp.Result, error) { return mcp.RawResult([]byte(elicit)), nil },
		}))
		handshake(p, "2025-06-18", `{"sampling":{}}`)
		p.Send(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"e"}}`)
		if m := p.Next(); m.Error == nil || m.Error.Code != jsonrpc.CodeInvalidRequest {
			t.Errorf("got %s, want an error with code %d", mcptest.Text(m), jsonrpc.CodeInvalidRequest)
		}
	})
	t.Run("a cancelled call ends and is not answered", func(t *testing.T) {
		started, ended := make(chan bool), make(chan bool)
		p := serve(t, answers(map[string]mcp.HandlerFunc{
			"tools/call": func(ctx context.Context, _ *mcp.Request) (mcp.Result, error) {
				close(started)
				<-ctx.Done()
				close(ended)
				return mcp.Result{}, ctx.Err()
			},
		}))
		handshake(p, "2025-06-18", `{}`)
		p.Send(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"slow"}}`)
		<-started
		p.Send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`)
		<-ended
		p.Send(`{"jsonrpc":"2.0","id":2,"method":"ping"}`)
		if m := p.Next(); string(m.ID) != "2" {
			t.Errorf("got %s, want the answer to the ping", mcptest.Text(m))
		}
	})
	t.Run("progress and logs reach the client, at the level it asked for", func(t *testing.T) {
		p := serve(t, answers(map[string]mcp.HandlerFunc{
			"tools/call": func(_ context.Context, req *mcp.Request) (mcp.Result, error) {
				params, _ := jsonrpc.Split([]byte(`{"progressToken":` + string(req.ProgressToken) + `,"progress":1}`))
				req.Emit(mcp.Notification{Method: "notifications/progress", Params: params})
				return mcp.RawResult([]byte(`{"level":"` + req.LogLevel + `"}`)), nil
			},
		}))
		handshake(p, "2025-06-18", `{}`)
		p.Send(`{"jsonrpc":"2.0","id":1,"method":"logging/setLevel","params":{"level":"loud"}}`)
		if m := p.Response("1"); m.Error == nil {
			t.Errorf("an unknown level was taken: %s", mcptest.Text(m))
		}
		p.Send(`{"jsonrpc":"2.0","id":2,"method":"logging/setLevel","params":{"level":"warning"}}`)
		p.Response("2")
		p.Send(`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"x","_meta":{"progressToken":"tok"}}}`)
		if m := p.Next(); !mcptest.Has(m, `"progressToken":"tok"`) {
			t.Errorf("got %s, want progress first", mcptest.Text(m))
		}
		if m := p.Next(); !mcptest.Has(m, `"level":"warning"`) {
			t.Errorf("got %s", mcptest.Text(m))
		}
	})
	t.Run("batches are answered in 2025-03-26 and refused elsewhere", func(t *testing.T) {
		p := serve(t, answers(nil))
		handshake(p, "2025-06-18", `{}`)
		p.Send(`[{"jsonrpc":"2.0","id":1,"method":"ping"}]`)
		if m := p.Next(); m.Error == nil || m.Error.Code != jsonrpc.CodeInvalidRequest {
			t.Errorf("got %s", mcptest.Text(m))
		}
	})
}

func TestStatelessClientOnAConnection(t *testing.T) {
	const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"grease":[1]}`
	t.Run("is answered without a handshake", func(t *testing.T) {
		p := serve(t, answers(map[string]mcp.HandlerFunc{
			"tools/list": func(context.Context, *mcp.Request) (mcp.Result, error) {
				return mcp.RawResult([]byte(`{"tools":[]}`)), nil
			},
		}))
		p.Send(`{"jsonrpc":"2.0","id":"1","method":"tools/list","params":{%s}}`, meta)
		if got, want := mcptest.Text(p.Next()), `{"jsonrpc":"2.0","id":"1","result":{"tools":[],"resultType":"complete","ttlMs":0,"cacheScope":"private"}}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		p.Send(`{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{}}`)
		if m := p.Next(); m.Error == nil || m.Error.Code != jsonrpc.CodeInvalidParams {
			t.Errorf("without a revision: got %s", mcptest.Text(m))
		}
		p.Send(`{"jsonrpc":"2.0","id":3,"method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2030-01-01","io.modelcontextprotocol/clientCapabilities":{}}}}`)
		if m := p.Next(); m.Error == nil || m.Error.Code != mcp.CodeUnsupportedVersion {
			t.Errorf("an unknown revision: got %s", mcptest.Text(m))
		}
	})
	t.Run("does not reach the server with what its revision has no longer", func(t *testing.T) {
		p := serve(t, mcp.HandlerFunc(func(_ context.Context, req *mcp.Request) (mcp.Result, error) {
			t.Errorf("%s has reached the handler", req.Method)
			return mcp.EmptyResult(), nil
		}))
		for _, method := range []string{"ping", "initialize", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"} {
			p.Send(`{"jsonrpc":"2.0","id":1,"method":%q,"params":{%s}}`, method, meta)
			if m := p.Next(); m.Error == nil || m.Error.Code != jsonrpc.CodeMethodNotFound {
				t.Errorf("%s: got %s, want code %d", method, mcptest.Text(m), jsonrpc.CodeMethodNotFound)
			}
		}
	})
	t.Run("has its subscription's id on every notification of it", func(t *testing.T) {
		p := serve(t, answers(map[string]mcp.HandlerFunc{
			"subscriptions/listen": func(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
				req.Emit(mcp.Notification{Method: "notifications/subscriptions/acknowledged"})
				<-ctx.Done()
				return mcp.Result{}, ctx.Err()
			},
		}))
		p.Send(`{"jsonrpc":"2.0","id":5,"method":"subscriptions/listen","params":{"notifications":{},%s}}`, meta)
		if m := p.Next(); !mcptest.Has(m, `"io.modelcontextprotocol/subscriptionId":5`) {
			t.Errorf("got %s", mcptest.Text(m))
		}
		p.Send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":5}}`)
	})
}

func TestSessionSubscriptions(t *testing.T) {
	var listens = make(chan *mcp.Request, 8)
	p := serve(t, answers(map[string]mcp.HandlerFunc{
		"subscriptions/listen": func(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
			wanted := req.Params.Get("notifications")
			params, _ := jsonrpc.Split([]byte(`{"notifications":` + string(wanted) + `}`))
			req.Emit(mcp.Notification{Method: "notifications/subscriptions/acknowledged", Params: params})
			updated, _ := jsonrpc.Split([]byte(`{"uri":"a://b"}`))
			if strings.Contains(string(wanted), "a://b") {
				req.Emit(mcp.Notification{Method: "notifications/resources/updated", Params: updated})
			}
			listens <- req
			<-ctx.Done()
			return mcp.Result{}, ctx.Err()
		},
	}))
	handshake(p, "2025-06-18", `{}`)
	if got := string((<-listens).Params.Raw()); !strings.Contains(got, `"toolsListChanged":true`) {
		t.Errorf("a session that is open listens to %s, want list changes", got)
	}
	p.Send(`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"a://b"}}`)
	m := p.Request("notifications/resources/updated")
	if mcptest.Has(m, "subscriptionId") {
		t.Errorf("got %s, a session has no subscription ids", mcptest.Text(m))
	}
	if m := p.Response("1"); m.Error != nil {
		t.Errorf("subscribe: %v", m.Error)
	}
	<-listens
	p.Send(`{"jsonrpc":"2.0","id":2,"method":"resources/unsubscribe","params":{"uri":"a://b"}}`)
	p.Response("2")
	if got := string((<-listens).Params.Raw()); strings.Contains(got, "a://b") {
		t.Errorf("after unsubscribe it still listens to %s", got)
	}
}

func TestSessions(t *testing.T) {
	initialize := func(t *testing.T) jsonrpc.Message {
		m, err := jsonrpc.Parse([]byte(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`), jsonrpc.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	sealer, err := legacy.NewSealer([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	as := func(id string) context.Context { return mcp.WithPrincipal(context.Background(), mcp.Principal{ID: id}) }

	t.Run("a session is found by its principal alone, at its endpoint alone, on any replica, until it ends", func(t *testing.T) {
		a := legacy.NewServer(answers(nil), sealer, legacy.ServerOptions{Endpoint: "one"})
		b := legacy.NewServer(answers(nil), sealer, legacy.ServerOptions{Endpoint: "one"})
		other := legacy.NewServer(answers(nil), sealer, legacy.ServerOptions{Endpoint: "two"})
		session, _ := a.Open(as("alice"), initialize(t))
		id := session.ID()
		for name, c := range map[string]struct {
			server *legacy.Server
			who    string
			id     string
			want   bool
		}{
			"its owner":        {a, "alice", id, true},
			"a replica":        {b, "alice", id, true},
			"another":          {a, "bob", id, false},
			"another, replica": {b, "bob", id, false},
			"another endpoint": {other, "alice", id, false},
			"an altered id":    {a, "alice", altered(id), false},
			"no id":            {a, "alice", "", false},
		} {
			if _, ok := c.server.Find(as(c.who), c.id); ok != c.want {
				t.Errorf("%s: found %v, want %v", name, ok, c.want)
			}
		}
		session.End()
		if _, ok := a.Find(as("alice"), id); ok {
			t.Error("a session that has ended was found")
		}
	})
	t.Run("the one unused for longest gives way", func(t *testing.T) {
		s := legacy.NewServer(answers(nil), sealer, legacy.ServerOptions{MaxSessions: 2})
		first, _ := s.Open(as(""), initialize(t))
		s.Open(as(""), initialize(t))
		s.Open(as(""), initialize(t))
		if s.Len() != 2 {
			t.Errorf("%d sessions live, want 2", s.Len())
		}
		select {
		case <-first.Done():
		default:
			t.Error("the first session lives, want the later ones")
		}
	})
	t.Run("an id is no longer good after its time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := legacy.NewServer(answers(nil), sealer, legacy.ServerOptions{SessionTTL: time.Hour})
			session, _ := s.Open(as(""), initialize(t))
			fresh := legacy.NewServer(answers(nil), sealer, legacy.ServerOptions{SessionTTL: time.Hour})
			<-time.After(2 * time.Hour)
			if _, ok := fresh.Find(as(""), session.ID()); ok {
				t.Error("found after two hours, want at most one")
			}
		})
	})
}

// halfOpen is a connection whose client has closed its end and still reads.
type halfOpen struct {
	mcp.Conn
	in chan []byte
}

func (h *halfOpen) Read(ctx context.Context) ([]byte, error) {
	select {
	case m, ok := <-h.in:
		if !ok {
			return nil, io.EOF
		}
		return m, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestRequestsAreAnsweredAfterTheClientHasClosedItsEnd(t *testing.T) {
	started, release := make(chan bool, 1), make(chan bool)
	h := answers(map[string]mcp.HandlerFunc{
		"tools/call": func(context.Context, *mcp.Request) (mcp.Result, error) {
			started <- true
			<-release
			return mcp.RawResult([]byte(`{"late":true}`)), nil
		},
	})
	near, far := mcptest.Pipe()
	conn := &halfOpen{Conn: far, in: make(chan []byte, 8)}
	done := make(chan error, 1)
	go func() {
		done <- legacy.Serve(context.Background(), conn, h, nil, legacy.ServeOptions{Grace: time.Minute})
	}()
	const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`
	conn.in <- []byte(`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{},` + meta + `}}`)
	conn.in <- []byte(`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x",` + meta + `}}`)
	<-started
	close(conn.in)
	close(release)
	peer := mcptest.NewPeer(t, near)
	if m := peer.Response("2"); !mcptest.Has(m, `"late":true`) {
		t.Errorf("got %s", mcptest.Text(m))
	}
	if err := <-done; err != nil {
		t.Errorf("Serve = %v", err)
	}
}

// altered changes the last but one character of an id in base64, all of whose bits count.
func altered(id string) string {
	at, by := len(id)-2, "A"
	if id[at] == 'A' {
		by = "B"
	}
	return id[:at] + by + id[at+1:]
}
