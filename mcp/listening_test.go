package mcp_test

import (
	"context"
	"testing"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/mcptest"
)

// subscribed is a subscription at a scripted server.
type subscribed struct {
	id    jsonrpc.ID
	heard chan string
	end   func() error
}

// subscribeTo subscribes to changed tools.
func subscribeTo(t *testing.T, s *mcp.Stateless, peer *mcptest.Peer) *subscribed {
	t.Helper()
	ctx, cancel := context.WithCancel(within(t))
	req := request(t, "subscriptions/listen", `{"notifications":{"toolsListChanged":true}}`, clientOf(t, mcp.Revision20260728, `{}`))
	sub := &subscribed{heard: make(chan string, 100)}
	req.Notify = func(n mcp.Notification) {
		sub.heard <- mcptest.Text(jsonrpc.Message{Method: n.Method, Params: n.Params})
	}
	done := make(chan error, 1)
	go func() {
		_, err := s.Handle(ctx, req)
		done <- err
	}()
	sub.id = peer.Request("subscriptions/listen").ID
	sub.end = func() error {
		cancel()
		return <-done
	}
	t.Cleanup(cancel)
	peer.Send(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":%s}}}`, sub.id)
	<-sub.heard
	return sub
}

func changedFor(peer *mcptest.Peer, subs ...*subscribed) {
	for _, sub := range subs {
		peer.Send(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":%s}}}`, sub.id)
	}
}

func TestAServerThatTellsEachSubscriptionIsSoonBelieved(t *testing.T) {
	s, peer := stateless(t)
	first, second := subscribeTo(t, s, peer), subscribeTo(t, s, peer)
	for range 10 {
		changedFor(peer, first, second)
		<-first.heard
		<-second.heard
	}
	for len(first.heard) > 0 {
		<-first.heard
	}
	for range 10 {
		changedFor(peer, first, second)
		if got, want := <-first.heard, `{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{}}}`; got != want {
			t.Errorf("heard %s, want %s", got, want)
		}
		<-second.heard
	}
	if n := len(first.heard) + len(second.heard); n > 3 {
		t.Errorf("%d changes were told twice, want 3 at most", n)
	}
}

func TestAServerHearsThatSubscriptionsHaveEndedWithTheLastOfThem(t *testing.T) {
	s, peer := stateless(t)
	first, second, third := subscribeTo(t, s, peer), subscribeTo(t, s, peer), subscribeTo(t, s, peer)
	if err := second.end(); err == nil {
		t.Error("it has not ended with an error")
	}
	_ = third.end()
	changedFor(peer, third) // who believes to be the newest still
	<-first.heard
	ended := make(chan error, 1)
	go func() { ended <- first.end() }()
	for _, sub := range []*subscribed{first, second, third} {
		m := peer.Request("notifications/cancelled")
		if got := jsonrpc.ID(m.Params.Get("requestId")); got != sub.id {
			t.Errorf("the server heard of the end of %s, want %s", got, sub.id)
		}
	}
	<-ended
	next := subscribeTo(t, s, peer)
	changedFor(peer, next)
	<-next.heard
}
