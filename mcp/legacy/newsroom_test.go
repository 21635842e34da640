package legacy_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/legacy"
)

// ear is a session's stream. A deaf one takes nothing before it is closed.
type ear struct {
	heard  chan string
	deafen chan struct{} // nil for one that hears
}

func (e *ear) Send(_ context.Context, m jsonrpc.Message) error {
	if e.deafen != nil {
		<-e.deafen
	}
	e.heard <- m.Method
	return nil
}

func TestSessionsOfAPrincipalShareASubscriptionToLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var listening, begun atomic.Int64
		var mu sync.Mutex
		emit := make(map[string]func(string))
		sealer, err := legacy.NewSealer(nil)
		if err != nil {
			t.Fatal(err)
		}
		server := legacy.NewServer(answers(map[string]mcp.HandlerFunc{
			"subscriptions/listen": func(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
				listening.Add(1)
				begun.Add(1)
				defer listening.Add(-1)
				mu.Lock()
				emit[mcp.PrincipalOf(ctx).ID] = func(method string) { req.Emit(mcp.Notification{Method: method}) }
				mu.Unlock()
				<-ctx.Done()
				return mcp.Result{}, ctx.Err()
			},
		}), sealer, legacy.ServerOptions{})
		defer server.Close()
		var ears []*ear
		var leave []func()
		for n := range 10 {
			who := fmt.Sprintf("p%d", n%2)
			e := &ear{heard: make(chan string, 8)}
			if n == 0 {
				e.deafen = make(chan struct{})
			}
			session := openAs(t, server, who)
			ears, leave = append(ears, e), append(leave, session.Attach(e))
		}
		synctest.Wait()
		if listening.Load() != 2 {
			t.Fatalf("%d subscriptions for 10 sessions of 2 principals, want 2", listening.Load())
		}
		for range 3 { // the same news twice is told once to who has not heard the first
			emit["p0"]("notifications/tools/list_changed")
			synctest.Wait()
		}
		for n, e := range ears {
			if want := []int{3, 0}[n%2]; n > 0 && len(e.heard) != want {
				t.Errorf("session %d heard of %d changes, want %d", n, len(e.heard), want)
			}
		}
		close(ears[0].deafen)
		synctest.Wait()
		if got := len(ears[0].heard); got != 2 {
			t.Errorf("the one that was deaf for a while heard %d times, want 2: what it was being told and what came then", got)
		}
		for n := 2; n < 10; n += 2 {
			leave[n]()
		}
		synctest.Wait()
		if listening.Load() != 2 {
			t.Errorf("%d subscriptions while a session of each is left, want 2", listening.Load())
		}
		leave[0]()
		synctest.Wait()
		if listening.Load() != 1 || begun.Load() != 2 {
			t.Errorf("%d of %d subscriptions are left, want 1 of 2", listening.Load(), begun.Load())
		}
	})
}

// openAs opens a session of a principal.
func openAs(t *testing.T, s *legacy.Server, who string) mcp.Session {
	t.Helper()
	params, _ := jsonrpc.Split([]byte(`{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}`))
	ctx := mcp.WithPrincipal(t.Context(), mcp.Principal{ID: who})
	session, answer := s.Open(ctx, jsonrpc.Message{ID: "1", Method: "initialize", Params: params})
	if session == nil {
		t.Fatalf("initialize: %v", answer.Error)
	}
	return session
}
