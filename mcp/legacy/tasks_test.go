package legacy_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/mcptest"
)

const related = `"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t1"},"grease":1}`

func TestTaskThatNeedsInputParksItsCall(t *testing.T) {
	alice := mcp.WithPrincipal(context.Background(), mcp.Principal{ID: "alice"})
	question := `{"jsonrpc":"2.0","id":77,"method":"elicitation/create","params":{"message":"name?","requestedSchema":{"type":"object"},"task":{"ttl":1},` + related + `}}`
	// parked lets a call of slow be parked with that question.
	parked := func(t *testing.T, c mcp.Handler, peer *mcptest.Peer) (result jsonrpc.Message, retry string) {
		t.Helper()
		done := start(alice, c, call("slow", `{}`, ""))
		began(peer, `,"pollInterval":1`)
		answer(peer, "tasks/get", state("input_required", "", ""))
		m := peer.Request("tasks/result")
		peer.Send("%s", question)
		out := <-done
		if got := string(out.result.Get("inputRequests")); got != `{"q1":{"method":"elicitation/create","params":{"message":"name?","requestedSchema":{"type":"object"},"_meta":{"grease":1}}}}` {
			t.Fatalf("got %s, %v, want the question without the task, which its caller does not know", got, out.err)
		}
		token, _ := out.result.String("requestState")
		return m, `,"inputResponses":{"q1":{"action":"accept","_meta":{"k":1}}},"requestState":"` + token + `"`
	}
	t.Run("and goes on with the answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, peer, parking := connect(t, "2025-11-25", taskServer)
			m, retry := parked(t, c, peer)
			done := resume(alice, parking, call("slow", `{}`, retry))
			if got := peer.Response("77"); !mcptest.Has(got, `{"action":"accept","_meta":{"k":1,"io.modelcontextprotocol/related-task":{"taskId":"t1"}}}`) {
				t.Errorf("the server got %s", mcptest.Text(got))
			}
			peer.Send(`{"jsonrpc":"2.0","id":78,"method":"roots/list","params":{%s}}`, related)
			out := <-done
			if !strings.Contains(string(out.result.Raw()), `"q2":{"method":"roots/list"`) {
				t.Fatalf("got %s, %v, want the next question", out.result.Raw(), out.err)
			}
			token, _ := out.result.String("requestState")
			done = resume(alice, parking, call("slow", `{}`, `,"inputResponses":{"q2":{"roots":[]}},"requestState":"`+token+`"`))
			peer.Response("78")
			peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{"ok":true}}`, m.ID)
			if out := <-done; string(out.result.Raw()) != `{"ok":true}` {
				t.Errorf("got %s, %v", out.result.Raw(), out.err)
			}
		})
	})
	t.Run("and is cancelled with it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, peer, parking := connect(t, "2025-11-25", taskServer)
			_, retry := parked(t, c, peer)
			req := call("slow", `{}`, retry)
			req.Abandon = true
			done := resume(alice, parking, req)
			answer(peer, "tasks/cancel", `{}`)
			peer.Request("notifications/cancelled")
			if got := peer.Response("77"); !mcptest.Has(got, `"action":"cancel"`, `related-task`) {
				t.Errorf("the server got %s", mcptest.Text(got))
			}
			<-done
			if c.Busy() {
				t.Error("the session is busy after the call")
			}
		})
	})
	t.Run("a question that comes while the task is asked for, or made, is asked too", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, peer, parking := connect(t, "2025-11-25", taskServer)
			done := start(alice, c, call("slow", `{}`, ""))
			answer(peer, "tools/list", taskTools)
			m := peer.Request("tools/call")
			peer.Send("%s", question)
			out := <-done
			token, _ := out.result.String("requestState")
			done = resume(alice, parking, call("slow", `{}`, `,"inputResponses":{"q1":{"action":"decline"}},"requestState":"`+token+`"`))
			peer.Response("77")
			peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{"task":%s}}`, m.ID, state("working", "", ""))
			peer.Send(`{"jsonrpc":"2.0","id":1,"method":"ping"}`)
			peer.Response("1")
			peer.Send("%s", strings.Replace(question, "77", "78", 1))
			m = peer.Request("tasks/result")
			out = <-done
			token, _ = out.result.String("requestState")
			done = resume(alice, parking, call("slow", `{}`, `,"inputResponses":{"q2":{"action":"decline"}},"requestState":"`+token+`"`))
			peer.Response("78")
			peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{"ok":true}}`, m.ID)
			if out := <-done; string(out.result.Raw()) != `{"ok":true}` {
				t.Errorf("got %s, %v", out.result.Raw(), out.err)
			}
		})
	})
	t.Run("of several, the one whose task asks is asked, and nobody for a task that is not known", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, peer, _ := connect(t, "2025-11-25", taskServer)
			one := start(alice, c, call("slow", `{"n":1}`, ""))
			began(peer, `,"pollInterval":1000000`)
			two := start(alice, c, call("slow", `{"n":2}`, ""))
			answer(peer, "tools/call", `{"task":`+strings.Replace(state("working", "", `,"pollInterval":1000000`), "t1", "t2", 1)+`}`)
			synctest.Wait()
			peer.Send("%s", strings.Replace(question, "t1", "t3", 1))
			if m := peer.Response("77"); m.Error == nil {
				t.Errorf("the server got %s, want the question refused", mcptest.Text(m))
			}
			peer.Send("%s", strings.Replace(question, "t1", "t2", 1))
			if m := peer.Request("tasks/result"); !mcptest.Has(m, `"t2"`) {
				t.Errorf("the server got %s", mcptest.Text(m))
			}
			if out := <-two; out.result.Type() != mcp.InputRequired {
				t.Errorf("got %s, %v", out.result.Raw(), out.err)
			}
			select {
			case out := <-one:
				t.Errorf("the other call got %s, %v", out.result.Raw(), out.err)
			default:
			}
			peer.Close()
			<-one
		})
	})
}

func TestWhatAServerTellsOfATaskUnasked(t *testing.T) {
	t.Run("is progress for a caller who does not know of the task", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, peer, _ := connect(t, "2025-11-25", taskServer)
			req := call("slow", `{}`, `,"_meta":{"progressToken":7,"io.modelcontextprotocol/logLevel":"info"}`)
			got := tells(req)
			done := start(t.Context(), c, req)
			m := began(peer, `,"pollInterval":60000`)
			synctest.Wait()
			meta, _ := jsonrpc.Split(m.Params.Get("_meta"))
			peer.Send(`{"jsonrpc":"2.0","method":"notifications/tasks/status","params":%s}`, state("working", "one", ""))
			peer.Send(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":5,"message":"five"}}`, meta.Get("progressToken"))
			peer.Send(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":5,"message":"again"}}`, meta.Get("progressToken"))
			peer.Send(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","message":"log"}}`)
			peer.Send(`{"jsonrpc":"2.0","method":"notifications/tasks/status","params":%s}`, strings.Replace(state("failed", "other", ""), "t1", "t2", 1))
			peer.Send(`{"jsonrpc":"2.0","method":"notifications/tasks/status","params":%s}`, state("completed", "two", ""))
			answer(peer, "tasks/result", `{}`)
			<-done
			want := `progress 7 0.001 one|progress 7 5 five|message   log|progress 7 5.001 two`
			if told := strings.Join(drained(got), "|"); told != want {
				t.Errorf("told %q, want %q", told, want)
			}
		})
	})
	t.Run("goes to the session that began it, as it is", func(t *testing.T) {
		c, peer, _ := connect(t, "2025-11-25", taskServer)
		told := make(map[string]chan string)
		for _, session := range []string{"one", "two"} {
			ctx, cancel := context.WithCancel(t.Context())
			got := make(chan string, 16)
			req := ask(as(mcp.Revision20251125, session), "subscriptions/listen", `{"notifications":{"dragoman/taskStatus":true}}`)
			req.Notify = func(n mcp.Notification) { got <- n.Method + string(n.Params.Raw()) }
			done := start(ctx, c, req)
			defer func() { cancel(); <-done }()
			if ack := <-got; !strings.Contains(ack, `"dragoman/taskStatus":true`) {
				t.Errorf("acknowledged %s", ack)
			}
			told[session] = got
		}
		req := ask(as(mcp.Revision20251125, "one"), "tools/call", `{"name":"slow","task":{"ttl":5},"_meta":{"progressToken":"mine"}}`)
		req.Notify = func(mcp.Notification) {}
		done := start(t.Context(), c, req)
		m := answer(peer, "tools/call", `{"task":`+state("working", "", "")+`,"grease":1}`)
		if !mcptest.Has(m, `"task":{"ttl":5}`) {
			t.Errorf("the server got %s", mcptest.Text(m))
		}
		if out := <-done; string(out.result.Raw()) != `{"task":`+state("working", "", "")+`,"grease":1}` {
			t.Errorf("got %s, %v", out.result.Raw(), out.err)
		}
		meta, _ := jsonrpc.Split(m.Params.Get("_meta"))
		peer.Send(`{"jsonrpc":"2.0","method":"notifications/tasks/status","params":%s}`, state("working", "half", ""))
		peer.Send(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":1}}`, meta.Get("progressToken"))
		for _, want := range []string{
			"notifications/tasks/status" + state("working", "half", ""),
			`notifications/progress{"progressToken":"mine","progress":1}`,
		} {
			if got := <-told["one"]; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		}
		if got := drained(told["two"]); got != nil {
			t.Errorf("another session was told %q", got)
		}
	})
}

func TestTasksOfACallerWhoKnowsThem(t *testing.T) {
	alice := mcp.WithPrincipal(context.Background(), mcp.Principal{ID: "alice"})
	bob := mcp.WithPrincipal(context.Background(), mcp.Principal{ID: "bob"})
	own := as(mcp.Revision20251125, "s")
	t.Run("pass as they are, to their owner", func(t *testing.T) {
		c, peer, _ := connect(t, "2025-11-25", taskServer)
		done := start(alice, c, ask(own, "tools/call", `{"name":"slow","task":{},"grease":1}`))
		if m := answer(peer, "tools/call", `{"task":`+state("working", "", "")+`}`); !mcptest.Has(m, `"task":{}`, `"grease":1`) {
			t.Errorf("the server got %s", mcptest.Text(m))
		}
		<-done
		for _, method := range []string{"tasks/get", "tasks/result", "tasks/cancel"} {
			done = start(alice, c, ask(own, method, `{"taskId":"t1","grease":1}`))
			result := state("working", "", ","+related)
			if m := answer(peer, method, result); !mcptest.Has(m, `{"taskId":"t1","grease":1}`) {
				t.Errorf("%s: the server got %s", method, mcptest.Text(m))
			}
			if out := <-done; string(out.result.Raw()) != result {
				t.Errorf("%s: got %s, %v", method, out.result.Raw(), out.err)
			}
			if out := <-start(bob, c, ask(own, method, `{"taskId":"t1"}`)); code(out.err) != jsonrpc.CodeInvalidParams {
				t.Errorf("%s by another: got %s, %v", method, out.result.Raw(), out.err)
			}
		}
		lists := func(ctx context.Context) string {
			done := start(ctx, c, ask(own, "tasks/list", `{}`))
			answer(peer, "tasks/list", `{"tasks":[{"taskId":"t0"},`+state("working", "", "")+`],"nextCursor":"c","grease":1}`)
			return string((<-done).result.Raw())
		}
		if got, want := lists(alice), `{"tasks":[`+state("working", "", "")+`],"nextCursor":"c","grease":1}`; got != want {
			t.Errorf("alice's list is %s, want %s", got, want)
		}
		if got, want := lists(bob), `{"tasks":[],"nextCursor":"c","grease":1}`; got != want {
			t.Errorf("bob's list is %s, want %s", got, want)
		}
		if got, want := lists(context.Background()), `{"tasks":[{"taskId":"t0"}],"nextCursor":"c","grease":1}`; got != want {
			t.Errorf("without authentication the list is %s, want %s", got, want)
		}
	})
	t.Run("ask for input on the stream of tasks/result", func(t *testing.T) {
		c, peer, parking := connect(t, "2025-11-25", taskServer)
		req := func(more string) *mcp.Request { return ask(own, "tasks/result", `{"taskId":"t1"`+more+`}`) }
		done := start(alice, c, req(""))
		m := peer.Request("tasks/result")
		peer.Send(`{"jsonrpc":"2.0","id":5,"method":"sampling/createMessage","params":{"messages":[],%s}}`, related)
		out := <-done
		if got := string(out.result.Get("inputRequests")); got != `{"q1":{"method":"sampling/createMessage","params":{"messages":[],`+related+`}}}` {
			t.Fatalf("got %s, %v", out.result.Raw(), out.err)
		}
		token, _ := out.result.String("requestState")
		again := req(`,"inputResponses":{"q1":{"model":"m"}},"requestState":"` + token + `"`)
		if !parking.Owns(again) {
			t.Fatal("the retry is not known")
		}
		done = resume(alice, parking, again)
		peer.Response("5")
		peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{"ok":1}}`, m.ID)
		if out := <-done; string(out.result.Raw()) != `{"ok":1}` {
			t.Errorf("got %s, %v", out.result.Raw(), out.err)
		}
	})
	t.Run("are not there for other revisions", func(t *testing.T) {
		c, peer, _ := connect(t, "2025-11-25", taskServer)
		for _, method := range []string{"tasks/get", "tasks/result", "tasks/cancel", "tasks/list", "tasks/update"} {
			for _, r := range []mcp.Revision{mcp.Revision20260728, mcp.Revision20250618} {
				if out := <-start(alice, c, ask(as(r, ""), method, `{"taskId":"t1"}`)); code(out.err) != jsonrpc.CodeMethodNotFound {
					t.Errorf("%s of %s: got %s, %v", method, r, out.result.Raw(), out.err)
				}
			}
		}
		peer.Send(`{"jsonrpc":"2.0","id":1,"method":"ping"}`)
		if m := peer.Next(); string(m.ID) != "1" {
			t.Errorf("the server got %s", mcptest.Text(m))
		}
	})
	t.Run("do not show those that the gateway drives for others", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, peer, _ := connect(t, "2025-11-25", taskServer)
			ctx, cancel := context.WithCancel(alice)
			driven := start(ctx, c, call("slow", `{}`, ""))
			began(peer, `,"pollInterval":60000`)
			synctest.Wait()
			if out := <-start(alice, c, ask(own, "tasks/get", `{"taskId":"t1"}`)); code(out.err) != jsonrpc.CodeInvalidParams {
				t.Errorf("tasks/get: got %s, %v", out.result.Raw(), out.err)
			}
			done := start(alice, c, ask(own, "tasks/list", `{}`))
			answer(peer, "tasks/list", `{"tasks":[`+state("working", "", "")+`]}`)
			if out := <-done; string(out.result.Raw()) != `{"tasks":[]}` {
				t.Errorf("tasks/list: got %s, %v", out.result.Raw(), out.err)
			}
			cancel()
			answer(peer, "tasks/cancel", `{}`)
			<-driven
		})
	})
}
