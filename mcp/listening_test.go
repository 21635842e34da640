package mcp_test

import (
	"context"
	"testing"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/mcptest"
)

// subscriber listens at a scripted server.
type subscriber struct {
	heard chan string
	ended chan handled
	leave context.CancelFunc
}

func subscribe(t *testing.T, s *mcp.Stateless, filter string) *subscriber {
	t.Helper()
	ctx, cancel := context.WithCancel(within(t))
	t.Cleanup(cancel)
	sub := &subscriber{heard: make(chan string, 100), ended: make(chan handled, 1), leave: cancel}
	req := request(t, "subscriptions/listen", `{"notifications":`+filter+`}`, clientOf(t, mcp.Revision20260728, `{}`))
	req.Notify = func(n mcp.Notification) {
		sub.heard <- mcptest.Text(jsonrpc.Message{Method: n.Method, Params: n.Params})
	}
	go func() {
		result, err := s.Handle(ctx, req)
		sub.ended <- handled{result: result, err: err}
	}()
	return sub
}

func (sub *subscriber) hears(t *testing.T, want string) {
	t.Helper()
	if got, _ := wait(t, sub.heard, "notification"); got != want {
		t.Errorf("heard %s, want %s", got, want)
	}
}

// listened is a subscription that the server was asked for, and grants.
func listened(peer *mcptest.Peer) (jsonrpc.ID, string) {
	got := peer.Request("subscriptions/listen")
	filter := string(got.Params.Get("notifications"))
	peer.Send(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":%s,"_meta":{"io.modelcontextprotocol/subscriptionId":%s}}}`, filter, got.ID)
	return got.ID, filter
}

func acknowledgement(filter string) string {
	return `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":` + filter + `}}`
}

const own = `,"_meta":{}}}`

func TestWhatIsSubscribedToIsAskedForOnceAndEndsWithTheLast(t *testing.T) {
	s, peer := stateless(t)
	const tools = `{"toolsListChanged":true}`
	first := subscribe(t, s, tools)
	id, filter := listened(peer)
	if filter != tools {
		t.Errorf("the server was asked for %s, want %s", filter, tools)
	}
	first.hears(t, `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":`+tools+own)
	second := subscribe(t, s, `{"toolsListChanged":true,"resourceSubscriptions":["a:b","a:c"]}`)
	other, filter := listened(peer)
	if want := `{"resourceSubscriptions":["a:b","a:c"]}`; filter != want {
		t.Errorf("the server was asked for %s, want %s", filter, want)
	}
	second.hears(t, acknowledgement(`{"toolsListChanged":true,"resourceSubscriptions":["a:b","a:c"]}`))
	third := subscribe(t, s, `{"resourceSubscriptions":["a:c"]}`)
	third.hears(t, acknowledgement(`{"resourceSubscriptions":["a:c"]}`))

	peer.Send(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"x-grease":1,"_meta":{"io.modelcontextprotocol/subscriptionId":%s}}}`, id)
	for _, sub := range []*subscriber{first, second} {
		sub.hears(t, `{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"x-grease":1`+own)
	}
	for _, uri := range []string{"a:b", "a:c", "a:c/part"} {
		peer.Send(`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":%q,"_meta":{"io.modelcontextprotocol/subscriptionId":%s}}}`, uri, other)
		for _, sub := range []*subscriber{second, third} {
			if sub == second || uri != "a:b" {
				sub.hears(t, `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"`+uri+`"`+own)
			}
		}
	}

	second.leave() // a server that says nothing more of what was cancelled
	if got := jsonrpc.ID(peer.Request("notifications/cancelled").Params.Get("requestId")); got != other {
		t.Errorf("the server heard of the end of %s, want %s", got, other)
	}
	again, filter := listened(peer)
	if want := `{"resourceSubscriptions":["a:c"]}`; filter != want {
		t.Errorf("the server was asked for %s, want %s", filter, want)
	}
	third.hears(t, acknowledgement(`{"resourceSubscriptions":["a:c"]}`)) // once more: it may have missed something
	for _, end := range []struct {
		sub *subscriber
		id  jsonrpc.ID
	}{{third, again}, {first, id}} {
		end.sub.leave()
		if got := jsonrpc.ID(peer.Request("notifications/cancelled").Params.Get("requestId")); got != end.id {
			t.Errorf("the server heard of the end of %s, want %s", got, end.id)
		}
		wait(t, end.sub.ended, "end")
	}
}

func TestASubscriptionEndsAsTheServerSays(t *testing.T) {
	s, peer := stateless(t)
	first := subscribe(t, s, `{"resourceSubscriptions":["a:b"]}`)
	id, _ := listened(peer)
	wait(t, first.heard, "acknowledgement")
	second := subscribe(t, s, `{"resourceSubscriptions":["a:b"]}`)
	second.hears(t, acknowledgement(`{"resourceSubscriptions":["a:b"]}`))
	third := subscribe(t, s, `{"resourceSubscriptions":["a:c"]}`)
	other, _ := listened(peer)
	wait(t, third.heard, "acknowledgement")
	peer.Send(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32099,"message":"no more"}}`, id)
	for _, sub := range []*subscriber{first, second} {
		if got, _ := wait(t, sub.ended, "end"); got.err == nil || mcp.WireError(got.err).Code != -32099 {
			t.Errorf("ended with %v, want the server's error", got.err)
		}
	}
	peer.Send(`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:c","_meta":{"io.modelcontextprotocol/subscriptionId":%s}}}`, other)
	third.hears(t, `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:c"`+own)
	subscribe(t, s, `{"resourceSubscriptions":["a:b"]}`)
	if _, filter := listened(peer); filter != `{"resourceSubscriptions":["a:b"]}` {
		t.Errorf("the server was asked for %s", filter)
	}
}

func TestWhatWasNotGrantedIsAskedForAgain(t *testing.T) {
	s, peer := stateless(t)
	first := subscribe(t, s, `{"resourceSubscriptions":["a:b","a:c"]}`)
	got := peer.Request("subscriptions/listen")
	peer.Send(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":{"resourceSubscriptions":["a:c"]},"_meta":{"io.modelcontextprotocol/subscriptionId":%s}}}`, got.ID)
	wait(t, first.heard, "acknowledgement")
	second := subscribe(t, s, `{"resourceSubscriptions":["a:b","a:c"]}`)
	if _, filter := listened(peer); filter != `{"resourceSubscriptions":["a:b"]}` {
		t.Errorf("the server was asked for %s, want what it has not granted", filter)
	}
	second.hears(t, acknowledgement(`{"resourceSubscriptions":["a:b","a:c"]}`))
}

func TestAServerMayEndASubscriptionByItself(t *testing.T) {
	s, peer := stateless(t)
	first := subscribe(t, s, `{"resourceSubscriptions":["a:b"]}`)
	id, _ := listened(peer)
	wait(t, first.heard, "acknowledgement")
	second := subscribe(t, s, `{"resourceSubscriptions":["a:c"]}`)
	other, _ := listened(peer)
	wait(t, second.heard, "acknowledgement")
	peer.Send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"nobody's"}}`)
	peer.Send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%s}}`, id)
	if got, _ := wait(t, first.ended, "end"); got.err != nil {
		t.Errorf("ended with %v, want a result", got.err)
	}
	peer.Send(`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:c","_meta":{"io.modelcontextprotocol/subscriptionId":%s}}}`, other)
	second.hears(t, `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"a:c"`+own)
}

func TestSubscriptionsAreLostWithTheirConnection(t *testing.T) {
	s, peer := stateless(t)
	first := subscribe(t, s, `{"toolsListChanged":true}`)
	listened(peer)
	second := subscribe(t, s, `{"toolsListChanged":true}`)
	second.hears(t, acknowledgement(`{"toolsListChanged":true}`))
	peer.Close()
	for _, sub := range []*subscriber{first, second} {
		if got, _ := wait(t, sub.ended, "end"); got.err == nil {
			t.Error("it ended without an error")
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.Handle(within(t), request(t, "subscriptions/listen", `{"notifications":{"toolsListChanged":true}}`, nil)); err == nil {
		t.Error("a subscription afterwards has no error")
	}
}
