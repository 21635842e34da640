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
	"github.com/dragoman-mcp/dragoman/mcp/mcptest"
)

const (
	taskServer = `{"tools":{"listChanged":true},"tasks":{"list":{},"cancel":{},"requests":{"tools":{"call":{"grease":1}}}},"grease":[]}`
	taskTools  = `{"tools":[{"name":"other","execution":{"taskSupport":"optional"}},{"name":"slow","execution":{"taskSupport":"required","grease":1},"grease":2}],"grease":3}`
	noTools    = `{"tools":[{"name":"slow"}]}`
)

// as returns a caller of revision r in a session of its own.
func as(r mcp.Revision, session string) *mcp.Client {
	capabilities, _ := jsonrpc.Split([]byte(`{"elicitation":{"form":{}},"sampling":{},"roots":{}}`))
	c := mcp.NewClient(r, nil, capabilities)
	c.Session = session
	return c
}

// ask makes a request of client.
func ask(client *mcp.Client, method, params string) *mcp.Request {
	o, ok := jsonrpc.Split([]byte(params))
	if !ok {
		panic("params are no object: " + params)
	}
	return mcp.ReadRequest(method, o, client)
}

// tells collects the progress of req, as "value message".
func tells(req *mcp.Request) <-chan string {
	got := make(chan string, 64)
	req.Notify = func(n mcp.Notification) {
		message, _ := n.Params.String("message")
		got <- strings.TrimSpace(n.Method[len("notifications/"):] + " " + string(n.Params.Get("progressToken")) + " " + string(n.Params.Get("progress")) + " " + message)
	}
	return got
}

func drained(got <-chan string) []string {
	var all []string
	for {
		select {
		case s := <-got:
			all = append(all, s)
		default:
			return all
		}
	}
}

// answer is the result of a request of ours.
func answer(peer *mcptest.Peer, method, result string) jsonrpc.Message {
	m := peer.Request(method)
	peer.Send(`{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, result)
	return m
}

// state is a task as its server describes it.
func state(status, message, more string) string {
	return `{"taskId":"t1","status":"` + status + `","statusMessage":"` + message + `","createdAt":"2025-11-25T10:30:00Z","lastUpdatedAt":"2025-11-25T10:30:00Z","ttl":60000,"grease":{"a":1}` + more + `}`
}

// began lets the server make the task of a call of slow.
func began(peer *mcptest.Peer, more string) jsonrpc.Message {
	answer(peer, "tools/list", taskTools)
	return answer(peer, "tools/call", `{"task":`+state("working", "", more)+`,"grease":1}`)
}

func TestToolThatIsAlwaysATaskIsCalledAsOne(t *testing.T) {
	for _, r := range mcp.Revisions() {
		t.Run("for a client of "+string(r), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, peer, _ := connect(t, "2025-11-25", taskServer)
				req := ask(as(r, ""), "tools/call", `{"name":"slow","arguments":{"n":9007199254740993},"grease":[1],"_meta":{"progressToken":"tok","k":1}}`)
				got := tells(req)
				begin := time.Now()
				done := start(t.Context(), c, req)
				m := began(peer, `,"pollInterval":5000`)
				if !mcptest.Has(m, `"task":{"ttl":3600000}`, `"arguments":{"n":9007199254740993}`, `"grease":[1]`, `"k":1`) {
					t.Errorf("the server got %s", mcptest.Text(m))
				}
				if m := answer(peer, "tasks/get", state("working", "halfway", `,"pollInterval":1`)); !mcptest.Has(m, `"params":{"taskId":"t1"}`) {
					t.Errorf("the server got %s", mcptest.Text(m))
				}
				if took := time.Since(begin); took != 5*time.Second {
					t.Errorf("asked after %s, want the server's 5s", took)
				}
				answer(peer, "tasks/get", state("working", "halfway", ``))
				if took := time.Since(begin); took != 5100*time.Millisecond {
					t.Errorf("asked again after %s, want 100ms more, the least", took)
				}
				answer(peer, "tasks/get", state("completed", "done", ``))
				answer(peer, "tasks/result", `{"content":[{"type":"text","text":"x"}],"grease":9007199254740993,"_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t1"}}}`)
				out := <-done
				if got, want := string(out.result.Raw()), `{"content":[{"type":"text","text":"x"}],"grease":9007199254740993}`; got != want || out.err != nil {
					t.Errorf("got %s, %v, want %s", got, out.err, want)
				}
				want := `progress "tok" 0.001 halfway|progress "tok" 0.002 done`
				if told := strings.Join(drained(got), "|"); told != want {
					t.Errorf("told %q, want %q", told, want)
				}
				if c.Busy() {
					t.Error("the session is busy after the call")
				}
			})
		})
	}
	t.Run("and others as before, with one look at the list of tools", func(t *testing.T) {
		c, peer, _ := connect(t, "2025-11-25", taskServer)
		done := start(t.Context(), c, call("other", `{}`, `,"task":{"ttl":1}`))
		answer(peer, "tools/list", taskTools)
		if m := answer(peer, "tools/call", `{"n":1}`); mcptest.Has(m, `"task"`) {
			t.Errorf("the server got %s from a caller whose revision has no such member", mcptest.Text(m))
		}
		<-done
		done = start(t.Context(), c, call("other", `{}`, ""))
		if m := peer.Next(); m.Method != "tools/call" {
			t.Errorf("the server got %s, want only the call: the list has not changed", mcptest.Text(m))
		} else {
			peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{"n":2}}`, m.ID)
		}
		<-done
	})
	t.Run("but not at a server that does not say that it takes tasks", func(t *testing.T) {
		for _, capabilities := range []string{`{"tools":{}}`, `{"tools":{},"tasks":{}}`, `{"tools":{},"tasks":{"requests":{"tools":{}}}}`} {
			c, peer, _ := connect(t, "2025-11-25", capabilities)
			done := start(t.Context(), c, call("slow", `{}`, ""))
			m := peer.Next()
			if m.Method != "tools/call" || mcptest.Has(m, `"task"`) {
				t.Errorf("%s: the server got %s", capabilities, mcptest.Text(m))
			}
			peer.Send(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"requires task augmentation"}}`, m.ID)
			if out := <-done; code(out.err) != jsonrpc.CodeMethodNotFound {
				t.Errorf("%s: got %v", capabilities, out.err)
			}
		}
	})
}

func TestRefusalLeadsToATaskOnlyIfNothingCanHaveRun(t *testing.T) {
	for name, x := range map[string]struct {
		refusal, list string
		again         bool
	}{
		"-32601, and the list now says required":    {`{"code":-32601,"message":"requires task augmentation"}`, taskTools, true},
		"-32600, and the list now says required":    {`{"code":-32600,"message":"Task augmentation required"}`, taskTools, true},
		"-32601, and the list says nothing":         {`{"code":-32601,"message":"requires task augmentation"}`, noTools, false},
		"-32600, and the list says optional":        {`{"code":-32600,"message":"requires task augmentation"}`, strings.ReplaceAll(taskTools, "required", "optional"), false},
		"-32603, which says nothing of what it did": {`{"code":-32603,"message":"requires task augmentation"}`, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			c, peer, _ := connect(t, "2025-11-25", taskServer)
			done := start(t.Context(), c, call("slow", `{}`, ""))
			answer(peer, "tools/list", noTools)
			m := peer.Request("tools/call")
			peer.Send(`{"jsonrpc":"2.0","id":%s,"error":%s}`, m.ID, x.refusal)
			if x.list != "" {
				answer(peer, "tools/list", x.list)
			}
			if x.again {
				if m := answer(peer, "tools/call", `{"task":`+state("completed", "", "")+`}`); !mcptest.Has(m, `"task":{"ttl":`) {
					t.Errorf("the server got %s", mcptest.Text(m))
				}
				answer(peer, "tasks/result", `{"ok":true}`)
			}
			out := <-done
			if x.again != (out.err == nil) {
				t.Errorf("got %s, %v", out.result.Raw(), out.err)
			}
		})
	}
	t.Run("a list that does not come is not waited for longer than ten seconds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, peer, _ := connect(t, "2025-11-25", taskServer)
			begin := time.Now()
			done := start(t.Context(), c, call("slow", `{}`, ""))
			peer.Request("tools/list")
			answer(peer, "tools/call", `{}`)
			if out := <-done; out.err != nil || time.Since(begin) != 10*time.Second {
				t.Errorf("got %v after %s", out.err, time.Since(begin))
			}
		})
	})
	t.Run("a change of the list is looked up before the next call", func(t *testing.T) {
		c, peer, _ := connect(t, "2025-11-25", taskServer)
		done := start(t.Context(), c, call("slow", `{}`, ""))
		answer(peer, "tools/list", noTools)
		answer(peer, "tools/call", `{}`)
		<-done
		peer.Send(`{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`)
		peer.Send(`{"jsonrpc":"2.0","id":1,"method":"ping"}`)
		peer.Response("1")
		done = start(t.Context(), c, call("slow", `{}`, ""))
		began(peer, `,"pollInterval":1`)
		answer(peer, "tasks/get", state("completed", "", ""))
		answer(peer, "tasks/result", `{}`)
		if out := <-done; out.err != nil {
			t.Error(out.err)
		}
	})
}

func TestTaskThatEndsOtherwise(t *testing.T) {
	for name, x := range map[string]struct {
		status, reply string
		want          string
		code          int
	}{
		"a result that is an error stays a result":  {"failed", `"result":{"isError":true}`, `{"isError":true}`, 0},
		"an error is the call's, with the status":   {"failed", `"error":{"code":-7,"message":"bad","data":{"d":1}}`, "bad (why)", -7},
		"a cancelled task is an error":              {"cancelled", `"error":{"code":-32603,"message":"no result"}`, "no result (why)", -32603},
		"an error of one that is done stays itself": {"completed", `"error":{"code":-8,"message":"bad"}`, "bad", -8},
	} {
		t.Run(name, func(t *testing.T) {
			c, peer, _ := connect(t, "2025-11-25", taskServer)
			done := start(t.Context(), c, call("slow", `{}`, ""))
			answer(peer, "tools/list", taskTools)
			answer(peer, "tools/call", `{"task":`+state(x.status, "why", "")+`}`)
			m := peer.Request("tasks/result")
			peer.Send(`{"jsonrpc":"2.0","id":%s,%s}`, m.ID, x.reply)
			out := <-done
			var wire *mcp.Error
			if x.code == 0 && string(out.result.Raw()) != x.want || x.code != 0 && (!errors.As(out.err, &wire) || wire.Code != x.code || wire.Message != x.want) {
				t.Errorf("got %s, %v, want %s", out.result.Raw(), out.err, x.want)
			}
		})
	}
	t.Run("a server that answers at once has not made a task", func(t *testing.T) {
		c, peer, _ := connect(t, "2025-11-25", taskServer)
		done := start(t.Context(), c, call("slow", `{}`, ""))
		answer(peer, "tools/list", taskTools)
		answer(peer, "tools/call", `{"content":[],"task":"no object"}`)
		if out := <-done; string(out.result.Raw()) != `{"content":[],"task":"no object"}` {
			t.Errorf("got %s, %v", out.result.Raw(), out.err)
		}
	})
}

func TestTaskThatIsGivenUp(t *testing.T) {
	t.Run("a caller that goes away cancels the task, not the request that made it", func(t *testing.T) {
		c, peer, _ := connect(t, "2025-11-25", taskServer)
		ctx, cancel := context.WithCancel(t.Context())
		done := start(ctx, c, call("slow", `{}`, ""))
		began(peer, "")
		cancel()
		if m := peer.Next(); m.Method != "tasks/cancel" || !mcptest.Has(m, `"params":{"taskId":"t1"}`) {
			t.Errorf("the server got %s", mcptest.Text(m))
		} else {
			peer.Send(`{"jsonrpc":"2.0","id":%s,"result":%s}`, m.ID, state("cancelled", "", ""))
		}
		if out := <-done; !errors.Is(out.err, context.Canceled) {
			t.Errorf("got %v", out.err)
		}
	})
	t.Run("one that goes away while the task is being made cancels it when it is there", func(t *testing.T) {
		c, peer, _ := connect(t, "2025-11-25", taskServer)
		ctx, cancel := context.WithCancel(t.Context())
		done := start(ctx, c, call("slow", `{}`, ""))
		answer(peer, "tools/list", taskTools)
		m := peer.Request("tools/call")
		cancel()
		peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{"task":%s}}`, m.ID, state("working", "", ""))
		if m := peer.Next(); m.Method != "tasks/cancel" {
			t.Errorf("the server got %s", mcptest.Text(m))
		} else {
			peer.Send(`{"jsonrpc":"2.0","id":%s,"result":{}}`, m.ID)
		}
		<-done
	})
	t.Run("a server that never makes it is told that the call is cancelled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, peer, _ := connect(t, "2025-11-25", taskServer)
			ctx, cancel := context.WithCancel(t.Context())
			done := start(ctx, c, call("slow", `{}`, ""))
			answer(peer, "tools/list", taskTools)
			m := peer.Request("tools/call")
			cancel()
			if got := peer.Next(); got.Method != "notifications/cancelled" || string(got.Params.Get("requestId")) != string(m.ID) {
				t.Errorf("the server got %s", mcptest.Text(got))
			}
			<-done
		})
	})
	t.Run("the deadline of the call ends the task too", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, peer, _ := connect(t, "2025-11-25", taskServer)
			ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
			defer cancel()
			begin := time.Now()
			done := start(ctx, c, call("slow", `{}`, ""))
			if m := began(peer, ""); !mcptest.Has(m, `{"ttl":3602500}`) {
				t.Errorf("the server got %s, want the task kept for the call's time and an hour", mcptest.Text(m))
			}
			answer(peer, "tasks/get", state("working", "", ""))
			answer(peer, "tasks/get", state("working", "", ""))
			answer(peer, "tasks/cancel", `{}`)
			out := <-done
			if wire := mcp.WireError(out.err); wire.Code != mcp.CodeTimeout || time.Since(begin) != 2500*time.Millisecond {
				t.Errorf("got %v after %s", out.err, time.Since(begin))
			}
		})
	})
	t.Run("a server without tasks/cancel is not asked for it", func(t *testing.T) {
		c, peer, _ := connect(t, "2025-11-25", strings.Replace(taskServer, `"cancel":{},`, "", 1))
		ctx, cancel := context.WithCancel(t.Context())
		done := start(ctx, c, call("slow", `{}`, ""))
		answer(peer, "tools/list", taskTools)
		answer(peer, "tools/call", `{"task":`+state("completed", "", "")+`}`)
		m := peer.Request("tasks/result")
		cancel()
		if got := peer.Next(); got.Method != "notifications/cancelled" || string(got.Params.Get("requestId")) != string(m.ID) {
			t.Errorf("the server got %s", mcptest.Text(got))
		}
		<-done
	})
}

func TestTaskWhoseServerFails(t *testing.T) {
	t.Run("a question after it that fails is asked again, three in a row are the end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, peer, _ := connect(t, "2025-11-25", taskServer)
			done := start(t.Context(), c, call("slow", `{}`, ""))
			began(peer, "")
			fail := func() {
				m := peer.Request("tasks/get")
				peer.Send(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32603,"message":"busy"}}`, m.ID)
			}
			fail()
			fail()
			answer(peer, "tasks/get", state("working", "", ""))
			fail()
			fail()
			fail()
			answer(peer, "tasks/cancel", `{}`)
			if out := <-done; code(out.err) != mcp.CodeCallLost {
				t.Errorf("got %v", out.err)
			}
		})
	})
	t.Run("a task that the server does not know any more is a call that was lost", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, peer, _ := connect(t, "2025-11-25", taskServer)
			done := start(t.Context(), c, call("slow", `{}`, ""))
			began(peer, "")
			m := peer.Request("tasks/get")
			peer.Send(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"Task not found"}}`, m.ID)
			if out := <-done; code(out.err) != mcp.CodeCallLost {
				t.Errorf("got %v", out.err)
			}
		})
	})
	t.Run("a session that ends with it is a call that was lost, not one that was not sent", func(t *testing.T) {
		c, peer, _ := connect(t, "2025-11-25", taskServer)
		done := start(t.Context(), c, call("slow", `{}`, ""))
		began(peer, "")
		peer.Close()
		if out := <-done; code(out.err) != mcp.CodeCallLost || errors.Is(out.err, mcp.ErrNotSent) {
			t.Errorf("got %v", out.err)
		}
	})
}
