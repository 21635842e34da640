package legacy_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/legacy"
	"github.com/dragoman-mcp/dragoman/mcp/mcptest"
)

// bubble plays a server of a session that asks without saying for which call.
func bubble(t *testing.T, play func(t *testing.T, ctx context.Context, c *legacy.Client, peer *mcptest.Peer)) {
	synctest.Test(t, func(t *testing.T) {
		c, peer, _ := connect(t, "2025-06-18", `{"tools":{}}`)
		play(t, t.Context(), c, peer)
	})
}

// of returns a call as a client with a session makes it.
func of(session, name string) *mcp.Request {
	req := call(name, `{}`, "")
	req.Client.Session = session
	return req
}

// expectQuestion receives the end of a leg, which must ask, and returns what.
func expectQuestion(t *testing.T, done <-chan outcome) string {
	t.Helper()
	out := <-done
	if out.err != nil || out.result.Type() != mcp.InputRequired {
		t.Fatalf("got %s, %v, want a question", out.result.Raw(), out.err)
	}
	return string(out.result.Get("inputRequests"))
}

const (
	askFirst  = `{"jsonrpc":"2.0","id":"q-a","method":"elicitation/create","params":{"message":"first?"}}`
	askSecond = `{"jsonrpc":"2.0","id":"q-b","method":"elicitation/create","params":{"message":"second?"}}`
)

func TestQuestionsThatDoNotSayForWhichCallTheyAre(t *testing.T) {
	t.Run("one that could be of several clients waits until the others have ended", func(t *testing.T) {
		bubble(t, func(t *testing.T, ctx context.Context, c *legacy.Client, peer *mcptest.Peer) {
			one, two := start(ctx, c, call("a", `{}`, "")), start(ctx, c, call("b", `{}`, ""))
			first := peer.Request("tools/call")
			peer.Request("tools/call")
			peer.Send(askFirst)
			<-time.After(20 * time.Second) // one of them takes its time
			peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, first.ID)
			ended, asked := one, two
			if name, _ := first.Params.String("name"); name == "b" {
				ended, asked = two, one
			}
			if out := <-ended; out.err != nil {
				t.Errorf("the other got %v", out.err)
			}
			if got := expectQuestion(t, asked); !strings.Contains(got, "first?") {
				t.Errorf("asked %s", got)
			}
		})
	})
	t.Run("calls that begin after it came do not make it less clear", func(t *testing.T) {
		bubble(t, func(t *testing.T, ctx context.Context, c *legacy.Client, peer *mcptest.Peer) {
			one, two := start(ctx, c, call("a", `{}`, "")), start(ctx, c, call("b", `{}`, ""))
			first := peer.Request("tools/call")
			peer.Request("tools/call")
			peer.Send(askFirst)
			synctest.Wait()
			late := start(ctx, c, call("c", `{}`, ""))
			third := peer.Request("tools/call")
			peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, first.ID)
			ended, asked := one, two
			if name, _ := first.Params.String("name"); name == "b" {
				ended, asked = two, one
			}
			<-ended
			if got := expectQuestion(t, asked); !strings.Contains(got, "first?") {
				t.Errorf("asked %s", got)
			}
			peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, third.ID)
			<-late
		})
	})
	t.Run("calls of what has never asked wait for nobody afterwards", func(t *testing.T) {
		bubble(t, func(t *testing.T, ctx context.Context, c *legacy.Client, peer *mcptest.Peer) {
			other, asking := start(ctx, c, call("other", `{}`, "")), start(ctx, c, call("asks", `{}`, ""))
			first := peer.Request("tools/call")
			if second := peer.Request("tools/call"); string(first.Params.Get("name")) != `"other"` {
				first = second
			}
			peer.Send(askFirst)
			synctest.Wait()
			peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, first.ID) // the other ends; so it is the asking one's
			<-other
			expectQuestion(t, asking)
			held := start(ctx, c, call("hold", `{}`, "")) // which waits until the next has been called
			hold := peer.Request("tools/call")
			released := start(ctx, c, call("release", `{}`, ""))
			m := peer.Request("tools/call")
			peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, m.ID)
			peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, hold.ID)
			for _, done := range []<-chan outcome{released, held} {
				if out := <-done; out.err != nil {
					t.Errorf("a call that asks for nothing got %v", out.err)
				}
			}
		})
	})
	t.Run("one that nothing makes clear is refused, and then calls go one by one", func(t *testing.T) {
		bubble(t, func(t *testing.T, ctx context.Context, c *legacy.Client, peer *mcptest.Peer) {
			one, two := start(ctx, c, call("a", `{}`, "")), start(ctx, c, call("b", `{}`, ""))
			m1, m2 := peer.Request("tools/call"), peer.Request("tools/call")
			begun := time.Now()
			peer.Send(askFirst)
			if m := peer.Response(`"q-a"`); m.Error == nil || time.Since(begun) > time.Minute {
				t.Errorf("after %s got %s, want it refused within a minute", time.Since(begun), mcptest.Text(m))
			}
			peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, m1.ID)
			peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, m2.ID)
			<-one
			<-two
			one, two = start(ctx, c, call("a", `{}`, "")), start(ctx, c, call("b", `{}`, ""))
			first := peer.Request("tools/call")
			peer.Send(`{"jsonrpc":"2.0","id":2,"method":"ping"}`)
			if m := peer.Next(); string(m.ID) != "2" {
				t.Errorf("got %s before the first call was done, want only the answer to the ping", mcptest.Text(m))
			}
			peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, first.ID)
			second := peer.Request("tools/call")
			peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, second.ID)
			<-one
			<-two
		})
	})
	t.Run("of two that wait for each other's calls only the later is refused", func(t *testing.T) {
		bubble(t, func(t *testing.T, ctx context.Context, c *legacy.Client, peer *mcptest.Peer) {
			calls := map[string]<-chan outcome{"a": start(ctx, c, call("a", `{}`, "")), "b": start(ctx, c, call("b", `{}`, ""))}
			earlier, later := peer.Request("tools/call"), peer.Request("tools/call")
			begun := time.Now()
			peer.Send(askFirst)
			synctest.Wait()
			<-time.After(time.Second)
			peer.Send(askSecond)
			if m := peer.Response(`"q-b"`); m.Error == nil || time.Since(begun) > 10*time.Second {
				t.Errorf("after %s got %s, want the later one refused soon", time.Since(begun), mcptest.Text(m))
			}
			peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{"isError":true}}`, later.ID) // it cannot go on
			name, _ := later.Params.String("name")
			if out := <-calls[name]; out.err != nil {
				t.Errorf("the call of the later one got %v, want what its server says", out.err)
			}
			name, _ = earlier.Params.String("name")
			if got := expectQuestion(t, calls[name]); !strings.Contains(got, "first?") {
				t.Errorf("asked %s", got)
			}
		})
	})
	t.Run("a call of another session does not hear of it", func(t *testing.T) {
		bubble(t, func(t *testing.T, ctx context.Context, c *legacy.Client, peer *mcptest.Peer) {
			mine, theirs := start(ctx, c, of("mine", "a")), start(ctx, c, of("theirs", "b"))
			peer.Request("tools/call")
			peer.Request("tools/call")
			peer.Send(askFirst)
			if m := peer.Response(`"q-a"`); m.Error == nil {
				t.Errorf("got %s, want it refused", mcptest.Text(m))
			}
			select {
			case out := <-mine:
				t.Errorf("mine got %s, %v", out.result.Raw(), out.err)
			case out := <-theirs:
				t.Errorf("theirs got %s, %v", out.result.Raw(), out.err)
			default:
			}
		})
	})
}
