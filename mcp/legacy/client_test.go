package legacy_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/legacy"
	"github.com/dragoman-mcp/dragoman/mcp/mcptest"
)

const allKinds = mcp.ElicitForm | mcp.ElicitURL | mcp.Sampling | mcp.Roots

// connect lets a test play a server of revision.
func connect(t *testing.T, revision, capabilities string) (*legacy.Client, *mcptest.Peer, *legacy.Parking) {
	t.Helper()
	sealer, err := legacy.NewSealer(nil)
	if err != nil {
		t.Fatal(err)
	}
	parking := legacy.NewParking(sealer, legacy.ParkingOptions{TTL: time.Minute})
	near, far := mcptest.Pipe()
	peer := mcptest.NewPeer(t, far)
	ready := make(chan *legacy.Client, 1)
	go func() {
		c, err := legacy.Connect(context.Background(), mcp.NewMux(near, jsonrpc.Limits{}), legacy.ClientOptions{Kinds: allKinds, Parking: parking})
		if err != nil {
			t.Errorf("connect: %v", err)
		}
		ready <- c
	}()
	m := peer.Request("initialize")
	peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":%q,"capabilities":%s,"serverInfo":{"name":"old","version":"1"},"grease":1}}`, m.ID, revision, capabilities)
	peer.Request("notifications/initialized")
	c := <-ready
	t.Cleanup(func() {
		parking.Close()
		_ = c.Close()
	})
	return c, peer, parking
}

func modernClient() *mcp.Client {
	capabilities, _ := jsonrpc.Split([]byte(`{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{}}`))
	return mcp.NewClient(mcp.Revision20260728, nil, capabilities)
}

func call(name, arguments, more string) *mcp.Request {
	params, ok := jsonrpc.Split([]byte(`{"name":"` + name + `","arguments":` + arguments + more + `}`))
	if !ok {
		panic("params are no object")
	}
	return mcp.ReadRequest("tools/call", params, modernClient())
}

type outcome struct {
	result mcp.Result
	err    error
}

func start(ctx context.Context, h mcp.Handler, req *mcp.Request) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		r, err := h.Handle(ctx, req)
		done <- outcome{r, err}
	}()
	return done
}

func resume(ctx context.Context, p *legacy.Parking, req *mcp.Request) <-chan outcome {
	return start(ctx, mcp.HandlerFunc(p.Resume), req)
}

// parkOne makes a call that its server parks with one elicitation.
func parkOne(t *testing.T, ctx context.Context, c *legacy.Client, peer *mcptest.Peer) (callID, state string) {
	t.Helper()
	done := start(ctx, c, call("ask", `{"n":1}`, ""))
	m := peer.Request("tools/call")
	peer.Send(`{"jsonrpc":"2.0","id":77,"method":"elicitation/create","params":{"message":"name?","requestedSchema":{"type":"object"},"elicitationId":"x"}}`)
	out := <-done
	if out.err != nil || out.result.Type() != mcp.InputRequired {
		t.Fatalf("got %s, %v, want input_required", out.result.Raw(), out.err)
	}
	state, _ = out.result.String("requestState")
	if got := string(out.result.Get("inputRequests")); got != `{"q1":{"method":"elicitation/create","params":{"message":"name?","requestedSchema":{"type":"object"}}}}` {
		t.Errorf("inputRequests = %s", got)
	}
	return string(m.ID), state
}

func TestParking(t *testing.T) {
	alice := mcp.WithPrincipal(context.Background(), mcp.Principal{ID: "alice"})
	accept := `,"inputResponses":{"q1":{"action":"accept","content":{"name":"x"}}},"requestState":`
	t.Run("a call whose server asks is parked and goes on with the answer", func(t *testing.T) {
		c, peer, parking := connect(t, "2025-06-18", `{"tools":{}}`)
		id, state := parkOne(t, alice, c, peer)
		retry := call("ask", "{ \"n\" : 1 }", accept+`"`+state+`"`)
		if !parking.Owns(retry) {
			t.Fatal("its own state is not known")
		}
		done := resume(alice, parking, retry)
		if m := peer.Next(); !mcptest.Has(m, `"id":77`, `{"action":"accept","content":{"name":"x"}}`) {
			t.Errorf("the server got %s", mcptest.Text(m))
		}
		peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{"content":[],"n":9007199254740993}}`, id)
		out := <-done
		if out.err != nil || string(out.result.Raw()) != `{"content":[],"n":9007199254740993}` {
			t.Errorf("got %s, %v", out.result.Raw(), out.err)
		}
		if out := <-resume(alice, parking, retry); code(out.err) != mcp.CodeCallLost {
			t.Errorf("the same state again: got %v, want code %d: it is good for one use", out.err, mcp.CodeCallLost)
		}
	})
	t.Run("a state is good only for its principal, its request and as it was given", func(t *testing.T) {
		c, peer, parking := connect(t, "2025-06-18", `{"tools":{}}`)
		_, state := parkOne(t, alice, c, peer)
		bob := mcp.WithPrincipal(context.Background(), mcp.Principal{ID: "bob"})
		for name, x := range map[string]struct {
			ctx context.Context
			req *mcp.Request
		}{
			"another principal":  {bob, call("ask", `{"n":1}`, accept+`"`+state+`"`)},
			"another tool":       {alice, call("other", `{"n":1}`, accept+`"`+state+`"`)},
			"other arguments":    {alice, call("ask", `{"n":2}`, accept+`"`+state+`"`)},
			"an altered state":   {alice, call("ask", `{"n":1}`, accept+`"`+state[:len(state)-3]+`AAA"`)},
			"a state of nothing": {alice, call("ask", `{"n":1}`, accept+`"dragoman."`)},
		} {
			if out := <-resume(x.ctx, parking, x.req); code(out.err) != jsonrpc.CodeInvalidParams {
				t.Errorf("%s: got %v, want code %d", name, out.err, jsonrpc.CodeInvalidParams)
			}
		}
		if parking.Len() != 1 {
			t.Errorf("%d calls are parked, want 1: none of these may end it", parking.Len())
		}
	})
	t.Run("what was not answered is asked again", func(t *testing.T) {
		c, peer, parking := connect(t, "2025-06-18", `{"tools":{}}`)
		id, state := parkOne(t, alice, c, peer)
		out := <-resume(alice, parking, call("ask", `{"n":1}`, `,"inputResponses":{},"requestState":"`+state+`"`))
		if out.err != nil || out.result.Type() != mcp.InputRequired || !strings.Contains(string(out.result.Raw()), `"q1"`) {
			t.Fatalf("got %s, %v", out.result.Raw(), out.err)
		}
		again, _ := out.result.String("requestState")
		if again == state {
			t.Error("the same state was given out twice")
		}
		if out := <-resume(alice, parking, call("ask", `{"n":1}`, `,"inputResponses":{"q1":3},"requestState":"`+again+`"`)); code(out.err) != jsonrpc.CodeInvalidParams {
			t.Errorf("an answer that is no object: got %v", out.err)
		}
		done := resume(alice, parking, call("ask", `{"n":1}`, accept+`"`+again+`"`))
		peer.Response("77")
		peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, id)
		if out := <-done; out.err != nil {
			t.Errorf("after a corrected answer: %v", out.err)
		}
	})
	t.Run("a session that ends while a call is parked is an error, never a second call", func(t *testing.T) {
		c, peer, parking := connect(t, "2025-06-18", `{"tools":{}}`)
		_, state := parkOne(t, alice, c, peer)
		peer.Close()
		<-c.Done()
		out := <-resume(alice, parking, call("ask", `{"n":1}`, accept+`"`+state+`"`))
		if code(out.err) != mcp.CodeCallLost {
			t.Errorf("got %v, want code %d", out.err, mcp.CodeCallLost)
		}
	})
	t.Run("a caller that gives up lets the server know", func(t *testing.T) {
		c, peer, parking := connect(t, "2025-06-18", `{"tools":{}}`)
		id, state := parkOne(t, alice, c, peer)
		req := call("ask", `{"n":1}`, `,"requestState":"`+state+`"`)
		req.Abandon = true
		<-resume(alice, parking, req)
		if m := peer.Request("notifications/cancelled"); string(m.Params.Get("requestId")) != id {
			t.Errorf("got %s, want the call %s cancelled", mcptest.Text(m), id)
		}
		if m := peer.Response("77"); !mcptest.Has(m, `{"action":"cancel"}`) {
			t.Errorf("got %s", mcptest.Text(m))
		}
	})
	t.Run("several questions at once are one round, a further one is another", func(t *testing.T) {
		c, peer, parking := connect(t, "2025-11-25", `{"tools":{}}`)
		done := start(alice, c, call("ask", `{}`, ""))
		m := peer.Request("tools/call")
		peer.Send(`{"jsonrpc":"2.0","id":"a","method":"sampling/createMessage","params":{}}`)
		peer.Send(`{"jsonrpc":"2.0","id":"b","method":"roots/list"}`)
		out := <-done
		for _, part := range []string{`"q1":{"method":"sampling/createMessage","params":{}}`, `"q2":{"method":"roots/list","params":{}}`} {
			if !strings.Contains(string(out.result.Raw()), part) {
				t.Errorf("got %s, want %s", out.result.Raw(), part)
			}
		}
		state, _ := out.result.String("requestState")
		done = resume(alice, parking, call("ask", `{}`, `,"inputResponses":{"q1":{"s":1},"q2":{"roots":[]}},"requestState":"`+state+`"`))
		peer.Response(`"a"`)
		peer.Response(`"b"`)
		peer.Send(`{"jsonrpc":"2.0","id":"c","method":"elicitation/create","params":{"mode":"url","url":"https://x","message":"m","elicitationId":"e"}}`)
		if out = <-done; !strings.Contains(string(out.result.Raw()), `"q3":{"method":"elicitation/create"`) {
			t.Errorf("got %s, %v", out.result.Raw(), out.err)
		}
		state, _ = out.result.String("requestState")
		done = resume(alice, parking, call("ask", `{}`, `,"inputResponses":{"q3":{"action":"decline"}},"requestState":"`+state+`"`))
		peer.Response(`"c"`)
		peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{"ok":true}}`, m.ID)
		if out = <-done; string(out.result.Raw()) != `{"ok":true}` {
			t.Errorf("got %s, %v", out.result.Raw(), out.err)
		}
	})
}

func TestParkedCallExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer, parking := connect(t, "2025-06-18", `{"tools":{}}`)
		_, state := parkOne(t, context.Background(), c, peer)
		<-time.After(2 * time.Minute)
		synctest.Wait()
		peer.Request("notifications/cancelled")
		if parking.Len() != 0 {
			t.Errorf("%d calls are parked after their time", parking.Len())
		}
		out := <-resume(context.Background(), parking, call("ask", `{"n":1}`, `,"requestState":"`+state+`"`))
		if code(out.err) != mcp.CodeCallLost {
			t.Errorf("got %v, want code %d", out.err, mcp.CodeCallLost)
		}
	})
}

func code(err error) int {
	var wire *mcp.Error
	if errors.As(err, &wire) {
		return wire.Code
	}
	return 0
}

func TestLegacyServer(t *testing.T) {
	ctx := context.Background()
	t.Run("a request that belongs to no call is refused", func(t *testing.T) {
		_, peer, _ := connect(t, "2025-06-18", `{"tools":{}}`)
		peer.Send(`{"jsonrpc":"2.0","id":1,"method":"roots/list"}`)
		if m := peer.Response("1"); m.Error == nil {
			t.Errorf("got %s", mcptest.Text(m))
		}
		peer.Send(`{"jsonrpc":"2.0","id":2,"method":"grease/unknown"}`)
		if m := peer.Response("2"); m.Error == nil || m.Error.Code != jsonrpc.CodeMethodNotFound {
			t.Errorf("got %s", mcptest.Text(m))
		}
	})
	t.Run("a caller that goes away cancels its call", func(t *testing.T) {
		c, peer, _ := connect(t, "2025-06-18", `{"tools":{}}`)
		cctx, cancel := context.WithCancel(ctx)
		done := start(cctx, c, call("a", `{}`, ""))
		m := peer.Request("tools/call")
		cancel()
		<-done
		if got := peer.Request("notifications/cancelled"); string(got.Params.Get("requestId")) != string(m.ID) {
			t.Errorf("got %s", mcptest.Text(got))
		}
	})
	t.Run("progress carries the caller's token, logs come at its level", func(t *testing.T) {
		c, peer, _ := connect(t, "2025-06-18", `{"tools":{},"logging":{}}`)
		var got []string
		req := call("a", `{}`, `,"_meta":{"progressToken":"mine","io.modelcontextprotocol/logLevel":"warning"}`)
		req.Notify = func(n mcp.Notification) { got = append(got, string(n.Params.Raw())) }
		done := start(ctx, c, req)
		m := peer.Request("logging/setLevel")
		peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, m.ID)
		m = peer.Request("tools/call")
		meta, _ := jsonrpc.Split(m.Params.Get("_meta"))
		if string(meta.Get("progressToken")) == `"mine"` || meta.Get(mcp.MetaLogLevel) != nil {
			t.Errorf("the server got _meta %s, want our own token and no members of another era", meta.Raw())
		}
		peer.Send(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":1}}`, meta.Get("progressToken"))
		peer.Send(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"quiet"}}`)
		peer.Send(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"error","data":"loud"}}`)
		peer.Send(`{"jsonrpc":"2.0","id":9,"method":"ping"}`)
		peer.Response("9") // what was sent before has been sorted
		peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, m.ID)
		<-done
		if len(got) == 0 || got[0] != `{"progressToken":"mine","progress":1}` || strings.Contains(strings.Join(got, ""), "quiet") {
			t.Errorf("got %q", got)
		}
	})
	t.Run("resources are subscribed to while anybody listens", func(t *testing.T) {
		c, peer, _ := connect(t, "2025-06-18", `{"tools":{"listChanged":true},"resources":{"subscribe":true}}`)
		listen := func() (chan string, context.CancelFunc, <-chan outcome) {
			params, _ := jsonrpc.Split([]byte(`{"notifications":{"toolsListChanged":true,"promptsListChanged":true,"resourceSubscriptions":["a://b"]}}`))
			got := make(chan string, 16)
			req := mcp.ReadRequest("subscriptions/listen", params, modernClient())
			req.Notify = func(n mcp.Notification) { got <- n.Method + string(n.Params.Raw()) }
			lctx, cancel := context.WithCancel(ctx)
			return got, cancel, start(lctx, c, req)
		}
		got, cancel, done := listen()
		m := peer.Request("resources/subscribe")
		peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, m.ID)
		if ack := <-got; !strings.Contains(ack, `"resourceSubscriptions":["a://b"]`) || !strings.Contains(ack, `"toolsListChanged":true`) || strings.Contains(ack, "prompts") {
			t.Errorf("acknowledged %s", ack)
		}
		got2, cancel2, done2 := listen()
		<-got2
		peer.Send(`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a://b"}}`)
		peer.Send(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
		for _, ch := range []chan string{got, got2} {
			if n := <-ch; n != `notifications/resources/updated{"uri":"a://b"}` {
				t.Errorf("got %s", n)
			}
			if n := <-ch; n != `notifications/tools/list_changed` {
				t.Errorf("got %s", n)
			}
		}
		cancel()
		<-done
		cancel2()
		m = peer.Request("resources/unsubscribe")
		peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, m.ID)
		<-done2
	})
	t.Run("an error that asks for URLs first becomes input_required", func(t *testing.T) {
		c, peer, _ := connect(t, "2025-11-25", `{"tools":{}}`)
		done := start(ctx, c, call("a", `{}`, ""))
		m := peer.Request("tools/call")
		peer.Send(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32042,"message":"m","data":{"elicitations":[{"mode":"url","url":"https://x","message":"m","elicitationId":"e"}]}}}`, m.ID)
		out := <-done
		if got := string(out.result.Raw()); got != `{"resultType":"input_required","inputRequests":{"q1":{"method":"elicitation/create","params":{"mode":"url","url":"https://x","message":"m"}}}}` {
			t.Errorf("got %s, %v", got, out.err)
		}
		done = start(ctx, c, call("a", `{}`, `,"inputResponses":{"q1":{"action":"accept"}}`))
		m = peer.Request("tools/call")
		if mcptest.Has(m, "inputResponses") {
			t.Errorf("the server got %s", mcptest.Text(m))
		}
		peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, m.ID)
		<-done
		if out := <-start(ctx, c, call("a", `{}`, `,"inputResponses":{"q1":{"action":"decline"}}`)); out.err == nil {
			t.Error("a declined URL let the call go on")
		}
	})
	t.Run("a missing resource has the code of the stateless era", func(t *testing.T) {
		c, peer, _ := connect(t, "2025-06-18", `{"resources":{}}`)
		params, _ := jsonrpc.Split([]byte(`{"uri":"x://y"}`))
		done := start(ctx, c, mcp.ReadRequest("resources/read", params, modernClient()))
		m := peer.Request("resources/read")
		peer.Send(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32002,"message":"no"}}`, m.ID)
		if out := <-done; code(out.err) != jsonrpc.CodeInvalidParams {
			t.Errorf("got %v", out.err)
		}
	})
}

func TestHandshakeFails(t *testing.T) {
	for name, answer := range map[string]string{
		"an unknown revision":  `"result":{"protocolVersion":"1.0","capabilities":{},"serverInfo":{}}`,
		"a stateless revision": `"result":{"protocolVersion":"2026-07-28","capabilities":{},"serverInfo":{}}`,
		"an error":             `"error":{"code":-32601,"message":"no"}`,
	} {
		t.Run(name, func(t *testing.T) {
			near, far := mcptest.Pipe()
			peer := mcptest.NewPeer(t, far)
			failed := make(chan error, 1)
			go func() {
				_, err := legacy.Connect(context.Background(), mcp.NewMux(near, jsonrpc.Limits{}), legacy.ClientOptions{})
				failed <- err
			}()
			m := peer.Request("initialize")
			peer.Send(`{"jsonrpc":"2.0","id":%s,%s}`, m.ID, answer)
			if err := <-failed; err == nil {
				t.Error("connected")
			}
		})
	}
}
