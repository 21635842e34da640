package legacy_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/legacy"
	"github.com/dragoman-mcp/dragoman/mcp/mcptest"
)

func TestWhatIsUnderWayIsAnsweredWhenWeGo(t *testing.T) {
	const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`
	for name, c := range map[string]struct {
		grace, works time.Duration
		lost         bool
	}{
		"a call ends with an error where there is no grace":  {0, time.Hour, true},
		"a call that ends within the grace has its result":   {time.Minute, 30 * time.Second, false},
		"a call that outlasts the grace ends with an error":  {time.Minute, time.Hour, true},
		"a call that ends at once does not wait for a grace": {time.Minute, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := answers(map[string]mcp.HandlerFunc{
					"tools/call": func(ctx context.Context, _ *mcp.Request) (mcp.Result, error) {
						select {
						case <-time.After(c.works):
							return mcp.EmptyResult(), nil
						case <-ctx.Done():
							return mcp.Result{}, ctx.Err()
						}
					},
				})
				near, far := mcptest.Pipe()
				peer := mcptest.NewPeer(t, near)
				ctx, goAway := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- legacy.Serve(ctx, far, h, nil, legacy.ServeOptions{Grace: c.grace}) }()
				peer.Send(`{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{},%s}}`, meta)
				peer.Send(`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x",%s}}`, meta)
				synctest.Wait()
				goAway()
				answers := map[jsonrpc.ID]jsonrpc.Message{}
				for range 2 {
					m := peer.Next()
					answers[m.ID] = m
				}
				if m := answers["1"]; m.Error != nil || !mcptest.Has(m, `"io.modelcontextprotocol/subscriptionId":1`) {
					t.Errorf("subscription: got %s, want its result", mcptest.Text(m))
				}
				m := answers["2"]
				if lost := m.Error != nil && m.Error.Code == mcp.CodeCallLost; lost != c.lost || !lost && m.Error != nil {
					t.Errorf("call: got %s, want that it is lost: %t", mcptest.Text(m), c.lost)
				}
				if err := <-done; !errors.Is(err, context.Canceled) {
					t.Errorf("Serve = %v, want that its context has ended", err)
				}
			})
		})
	}
}

// deaf is a channel to a server that takes requests, and nothing else.
type deaf struct{ *mcp.Mux }

func (d deaf) Send(ctx context.Context, m jsonrpc.Message) error {
	if m.Method == "notifications/initialized" {
		return d.Mux.Send(ctx, m)
	}
	<-ctx.Done()
	return ctx.Err()
}

func TestACallThatIsGivenUpDoesNotWaitForTheServerToHearOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := mcptest.Pipe()
		peer := mcptest.NewPeer(t, far)
		ready := make(chan *legacy.Client, 1)
		go func() {
			c, err := legacy.Connect(context.Background(), deaf{mcp.NewMux(near, jsonrpc.Limits{})}, legacy.ClientOptions{})
			if err != nil {
				t.Errorf("connect: %v", err)
			}
			ready <- c
		}()
		m := peer.Request("initialize")
		peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"old","version":"1"}}}`, m.ID)
		peer.Request("notifications/initialized")
		c := <-ready
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if _, err := c.Handle(ctx, call("x", `{}`, "")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("call: got %v, want that its time is up", err)
		}
		if err := c.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ping: got %v, want that its time is up", err)
		}
		if took := time.Since(began); took > time.Minute+time.Second {
			t.Errorf("they took %s, want little more than the deadline of 1m", took)
		}
		if !c.Busy() {
			t.Error("the session is not busy while the server is being told")
		}
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if c.Busy() {
			t.Error("the call counts as under way after the session is closed")
		}
	})
}

func TestFlushWaitsUntilTheServerHasHeardOfCallsThatWereGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, peer, _ := connect(t, "2025-06-18", `{}`)
		c.Flush(t.Context()) // of nothing
		ctx, cancel := context.WithCancel(t.Context())
		done := start(ctx, c, call("x", `{}`, ""))
		id := peer.Request("tools/call").ID
		cancel()
		synctest.Wait()
		flushed := make(chan bool)
		go func() { c.Flush(t.Context()); close(flushed) }()
		if m := peer.Request("notifications/cancelled"); !mcptest.Has(m, `"requestId":`+string(id)) {
			t.Errorf("got %s, want that %s is cancelled", mcptest.Text(m), id)
		}
		<-flushed
		<-done
		if c.Busy() {
			t.Error("the call counts as under way")
		}
	})
}
