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

const (
	needsTask = `{"code":-32021,"message":"Missing required client capability","data":{"requiredCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{},"grease":{}}},"grease":1}}`
	declared  = `"extensions":{"io.modelcontextprotocol/tasks":{}}`
)

// drivenServer lets a test play a server of the stateless era behind a
// TaskDriver, as an upstream has it.
func drivenServer(t *testing.T) (mcp.Handler, *legacy.TaskDriver, *mcptest.Peer) {
	t.Helper()
	sealer, err := legacy.NewSealer(nil)
	if err != nil {
		t.Fatal(err)
	}
	parking := legacy.NewParking(sealer, legacy.ParkingOptions{TTL: time.Minute})
	near, far := mcptest.Pipe()
	server := mcp.NewStateless(mcp.NewMux(near, jsonrpc.Limits{}))
	driver := legacy.DriveTasks(server, parking, nil)
	t.Cleanup(func() {
		_ = server.Close()
		parking.Close()
	})
	return mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
		if parking.Owns(req) {
			return parking.Resume(ctx, req)
		}
		return driver.Handle(ctx, req)
	}), driver, mcptest.NewPeer(t, far)
}

func modernState(status, message, more string) string {
	return `{"resultType":"complete","taskId":"t1","status":"` + status + `","statusMessage":"` + message + `","createdAt":"2025-11-25T10:30:00Z","lastUpdatedAt":"2025-11-25T10:30:00Z","ttlMs":null,"grease":{"a":1}` + more + `}`
}

func fail(peer *mcptest.Peer, method, failure string) jsonrpc.Message {
	m := peer.Request(method)
	peer.Send(`{"jsonrpc":"2.0","id":%s,"error":%s}`, m.ID, failure)
	return m
}

// made lets the server make a task of a call, after it has refused one without
// the extension.
func made(t *testing.T, peer *mcptest.Peer, more string) {
	t.Helper()
	if m := fail(peer, "tools/call", needsTask); mcptest.Has(m, `io.modelcontextprotocol/tasks`) {
		t.Errorf("the server got %s, want nothing declared of our own accord", mcptest.Text(m))
	}
	if m := answer(peer, "tools/call", strings.Replace(modernState("working", "", more), "complete", "task", 1)); !mcptest.Has(m, declared, `"arguments":{"n":9007199254740993}`, `"grease":[1]`) {
		t.Errorf("the server got %s", mcptest.Text(m))
	}
}

const driveParams = `{"name":"slow","arguments":{"n":9007199254740993},"grease":[1],"_meta":{"progressToken":"tok","k":1}}`

func TestServerThatNeedsTheTasksExtension(t *testing.T) {
	for _, r := range mcp.Revisions() {
		t.Run("is called with it for a client of "+string(r), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, driver, peer := drivenServer(t)
				req := ask(as(r, ""), "tools/call", driveParams)
				req.NoTasks = r.Modern()
				got := tells(req)
				begin := time.Now()
				done := start(t.Context(), h, req)
				made(t, peer, `,"pollIntervalMs":5000`)
				if m := answer(peer, "tasks/get", modernState("working", "halfway", `,"pollIntervalMs":1`)); !mcptest.Has(m, `"taskId":"t1"`, declared) {
					t.Errorf("the server got %s", mcptest.Text(m))
				}
				if took := time.Since(begin); took != 5*time.Second {
					t.Errorf("asked after %s, want the server's 5s", took)
				}
				answer(peer, "tasks/get", modernState("completed", "done", `,"result":{"content":[],"structuredContent":9007199254740993,"grease":1}`))
				if took := time.Since(begin); took != 5100*time.Millisecond {
					t.Errorf("asked again after %s, want 100ms more, the least", took)
				}
				out := <-done
				if got, want := string(out.result.Raw()), `{"content":[],"structuredContent":9007199254740993,"grease":1}`; got != want || out.err != nil {
					t.Errorf("got %s, %v, want %s", got, out.err, want)
				}
				if told, want := strings.Join(drained(got), "|"), `progress "tok" 0.001 halfway|progress "tok" 0.002 done`; told != want {
					t.Errorf("told %q, want %q", told, want)
				}
				if driver.Busy() {
					t.Error("busy after the call")
				}
			})
		})
	}
	t.Run("is left to a client that declared it", func(t *testing.T) {
		h, _, peer := drivenServer(t)
		capabilities, _ := jsonrpc.Split([]byte(`{` + declared + `}`))
		client := mcp.NewClient(mcp.Revision20260728, nil, capabilities)
		for method, params := range map[string]string{
			"tools/call": driveParams, "tasks/get": `{"taskId":"t1","grease":1}`,
			"tasks/update": `{"taskId":"t1","inputResponses":{"a":{}},"grease":1}`, "tasks/cancel": `{"taskId":"t1"}`,
		} {
			done := start(t.Context(), h, ask(client, method, params))
			result := strings.Replace(modernState("working", "", ""), "complete", "task", 1)
			if m := answer(peer, method, result); !mcptest.Has(m, declared) {
				t.Errorf("%s: the server got %s", method, mcptest.Text(m))
			}
			if out := <-done; string(out.result.Raw()) != result {
				t.Errorf("%s: got %s, %v", method, out.result.Raw(), out.err)
			}
		}
	})
	t.Run("refuses a client of its own era that did not declare it", func(t *testing.T) {
		h, _, peer := drivenServer(t)
		done := start(t.Context(), h, ask(as(mcp.Revision20260728, ""), "tools/call", driveParams))
		fail(peer, "tools/call", needsTask)
		var wire *mcp.Error
		if out := <-done; !errors.As(out.err, &wire) || wire.Code != mcp.CodeMissingCapability || !strings.Contains(string(wire.Data), `"grease":1`) {
			t.Errorf("got %s, %v", out.result.Raw(), out.err)
		}
	})
	t.Run("that makes a task all the same is waited for", func(t *testing.T) {
		h, _, peer := drivenServer(t)
		done := start(t.Context(), h, ask(as(mcp.Revision20260728, ""), "tools/call", driveParams))
		answer(peer, "tools/call", strings.Replace(modernState("working", "", `,"pollIntervalMs":1`), "complete", "task", 1))
		answer(peer, "tasks/get", modernState("completed", "", `,"result":{"ok":1}`))
		if out := <-done; string(out.result.Raw()) != `{"ok":1}` {
			t.Errorf("got %s, %v, want no task: the client did not declare that it takes one", out.result.Raw(), out.err)
		}
	})
	for name, failure := range map[string]string{
		"another capability":      `{"code":-32021,"message":"m","data":{"requiredCapabilities":{"sampling":{}}}}`,
		"another extension":       `{"code":-32021,"message":"m","data":{"requiredCapabilities":{"extensions":{"x/y":{}}}}}`,
		"it, in another error":    `{"code":-32603,"message":"m","data":{"requiredCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}}}`,
		"something, without data": `{"code":-32021,"message":"m"}`,
	} {
		t.Run("is not called again when it wants "+name, func(t *testing.T) {
			h, _, peer := drivenServer(t)
			done := start(t.Context(), h, ask(as(mcp.Revision20250618, ""), "tools/call", driveParams))
			fail(peer, "tools/call", failure)
			if out := <-done; out.err == nil || code(out.err) == 0 {
				t.Errorf("got %s, %v", out.result.Raw(), out.err)
			}
		})
	}
	t.Run("is not called a third time", func(t *testing.T) {
		h, _, peer := drivenServer(t)
		done := start(t.Context(), h, ask(as(mcp.Revision20250618, ""), "tools/call", driveParams))
		fail(peer, "tools/call", needsTask)
		fail(peer, "tools/call", needsTask)
		if out := <-done; code(out.err) != mcp.CodeMissingCapability {
			t.Errorf("got %s, %v", out.result.Raw(), out.err)
		}
	})
}

func TestDrivenTaskEnds(t *testing.T) {
	for name, x := range map[string]struct {
		last, want string
		code       int
	}{
		"with a result that is an error": {modernState("completed", "", `,"result":{"isError":true}`), `{"isError":true}`, 0},
		"with an error":                  {modernState("failed", "why", `,"error":{"code":-7,"message":"bad","data":[1]}`), "bad", -7},
		"with an error that it keeps":    {modernState("failed", "why", ``), "the server's task failed: why", jsonrpc.CodeInternal},
		"cancelled by its server":        {modernState("cancelled", "", ``), "the server cancelled the task that it had made of the call", jsonrpc.CodeInternal},
		"without a result":               {modernState("completed", "", ``), "the server's task ended without the result of a call", jsonrpc.CodeInternal},
		"with another task":              {modernState("completed", "", `,"result":{"resultType":"task","taskId":"t2"}`), "the server's task ended without the result of a call", jsonrpc.CodeInternal},
	} {
		t.Run(name, func(t *testing.T) {
			h, driver, peer := drivenServer(t)
			done := start(t.Context(), h, ask(as(mcp.Revision20250618, ""), "tools/call", driveParams))
			made(t, peer, `,"pollIntervalMs":1`)
			answer(peer, "tasks/get", x.last)
			out := <-done
			var wire *mcp.Error
			if x.code == 0 && string(out.result.Raw()) != x.want || x.code != 0 && (!errors.As(out.err, &wire) || wire.Code != x.code || wire.Message != x.want) {
				t.Errorf("got %s, %v, want %s", out.result.Raw(), out.err, x.want)
			}
			if driver.Busy() {
				t.Error("busy after the call")
			}
		})
	}
	t.Run("when its caller goes away, or the call's time is up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h, driver, peer := drivenServer(t)
			ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
			defer cancel()
			done := start(ctx, h, ask(as(mcp.Revision20250618, ""), "tools/call", driveParams))
			made(t, peer, "")
			answer(peer, "tasks/get", modernState("working", "", ""))
			if m := answer(peer, "tasks/cancel", `{"resultType":"complete"}`); !mcptest.Has(m, `"taskId":"t1"`, declared) {
				t.Errorf("the server got %s", mcptest.Text(m))
			}
			if out := <-done; mcp.WireError(out.err).Code != mcp.CodeTimeout {
				t.Errorf("got %v", out.err)
			}
			if driver.Busy() {
				t.Error("busy after the call")
			}
		})
	})
	t.Run("when nothing can be learned of it, as a lost call", func(t *testing.T) {
		for name, failures := range map[string][]string{
			"it is not known any more":    {`{"code":-32602,"message":"Task not found"}`},
			"three questions have failed": {`{"code":-32603,"message":"m"}`, `{"code":-1,"message":"m"}`, `{"code":1001,"message":"m"}`},
		} {
			synctest.Test(t, func(t *testing.T) {
				h, _, peer := drivenServer(t)
				done := start(t.Context(), h, ask(as(mcp.Revision20250618, ""), "tools/call", driveParams))
				made(t, peer, "")
				for _, f := range failures {
					fail(peer, "tasks/get", f)
				}
				if len(failures) > 1 {
					answer(peer, "tasks/cancel", `{}`)
				}
				if out := <-done; code(out.err) != mcp.CodeCallLost {
					t.Errorf("%s: got %v", name, out.err)
				}
			})
		}
		synctest.Test(t, func(t *testing.T) {
			h, _, peer := drivenServer(t)
			done := start(t.Context(), h, ask(as(mcp.Revision20250618, ""), "tools/call", driveParams))
			made(t, peer, "")
			synctest.Wait()
			peer.Close()
			if out := <-done; code(out.err) != mcp.CodeCallLost || errors.Is(out.err, mcp.ErrNotSent) {
				t.Errorf("a server that is gone: got %v", out.err)
			}
		})
	})
}

func TestDrivenTaskAsksASessionsClient(t *testing.T) {
	const (
		one   = `"one":{"method":"elicitation/create","params":{"mode":"form","message":"name?","requestedSchema":{"type":"object","properties":{}},"grease":1}}`
		two   = `"two":{"method":"roots/list"}`
		asked = `,"pollIntervalMs":1,"inputRequests":`
	)
	begin := func(t *testing.T, capabilities string) (client, server *mcptest.Peer, driver *legacy.TaskDriver) {
		h, driver, server := drivenServer(t)
		client = serve(t, answers(map[string]mcp.HandlerFunc{"tools/call": h.Handle}))
		handshake(client, "2025-06-18", capabilities)
		client.Send(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":%s}`, driveParams)
		made(t, server, `,"pollIntervalMs":1`)
		return client, server, driver
	}
	t.Run("over several rounds, each question once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, server, driver := begin(t, `{"elicitation":{},"roots":{},"extensions":{"io.modelcontextprotocol/tasks":{}}}`)
			answer(server, "tasks/get", modernState("input_required", "", asked+`{`+one+`}`))
			q := client.Request("elicitation/create")
			if !mcptest.Has(q, `"grease":1`) || mcptest.Has(q, `"mode"`) {
				t.Errorf("the client got %s", mcptest.Text(q))
			}
			client.Send(`{"jsonrpc":"2.0","id":%s,"result":{"action":"accept","content":{"n":9007199254740993}}}`, q.ID)
			if m := answer(server, "tasks/update", `{"resultType":"complete"}`); !mcptest.Has(m, `"taskId":"t1"`, declared, `"inputResponses":{"one":{"action":"accept","content":{"n":9007199254740993}}}`) {
				t.Errorf("the server got %s", mcptest.Text(m))
			}
			answer(server, "tasks/get", modernState("input_required", "", asked+`{`+one+`}`)) // it has not taken the answer up yet
			answer(server, "tasks/get", modernState("input_required", "", asked+`{`+one+`,`+two+`}`))
			q = client.Request("roots/list")
			client.Send(`{"jsonrpc":"2.0","id":%s,"result":{"roots":[]}}`, q.ID)
			if m := answer(server, "tasks/update", `{}`); !mcptest.Has(m, `"inputResponses":{"two":{"roots":[]}}`) {
				t.Errorf("the server got %s", mcptest.Text(m))
			}
			answer(server, "tasks/get", modernState("completed", "", `,"result":{"content":[],"resultType":"complete","grease":1}`))
			if got, want := mcptest.Text(client.Response("7")), `{"jsonrpc":"2.0","id":7,"result":{"content":[],"grease":1}}`; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			if driver.Busy() {
				t.Error("busy after the call")
			}
		})
	})
	t.Run("and is cancelled when that refuses or cancels", func(t *testing.T) {
		for name, message := range map[string]string{
			"refuses": `{"jsonrpc":"2.0","id":%s,"error":{"code":-1,"message":"no"}}`,
			"cancels": `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7,"was":%s}}`,
		} {
			synctest.Test(t, func(t *testing.T) {
				client, server, driver := begin(t, `{"roots":{}}`)
				answer(server, "tasks/get", modernState("input_required", "", asked+`{`+two+`}`))
				q := client.Request("roots/list")
				client.Send(message, q.ID)
				answer(server, "tasks/cancel", `{}`)
				if name == "refuses" && client.Response("7").Error == nil {
					t.Error("the call did not fail")
				}
				synctest.Wait()
				if driver.Busy() {
					t.Errorf("%s: busy after the call", name)
				}
			})
		}
	})
	t.Run("never for what it did not declare", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, server, _ := begin(t, `{"roots":{}}`)
			answer(server, "tasks/get", modernState("input_required", "", asked+`{`+one+`}`))
			answer(server, "tasks/cancel", `{}`)
			if m := client.Next(); m.Error == nil || m.Error.Code != jsonrpc.CodeInvalidRequest {
				t.Errorf("the client got %s", mcptest.Text(m))
			}
		})
	})
	t.Run("and is cancelled between questions", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, server, _ := begin(t, `{}`)
			client.Send(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`)
			if m := server.Next(); m.Method != "tasks/cancel" {
				t.Errorf("the server got %s", mcptest.Text(m))
			}
			client.Send(`{"jsonrpc":"2.0","id":8,"method":"ping"}`)
			if m := client.Next(); string(m.ID) != "8" {
				t.Errorf("the client got %s", mcptest.Text(m))
			}
		})
	})
	t.Run("and a server that never makes it is told that the call is cancelled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h, _, server := drivenServer(t)
			ctx, cancel := context.WithCancel(t.Context())
			done := start(ctx, h, ask(as(mcp.Revision20250618, ""), "tools/call", driveParams))
			fail(server, "tools/call", needsTask)
			m := server.Request("tools/call")
			cancel()
			if got := server.Next(); got.Method != "notifications/cancelled" || string(got.Params.Get("requestId")) != string(m.ID) {
				t.Errorf("the server got %s", mcptest.Text(got))
			}
			if out := <-done; !errors.Is(out.err, context.Canceled) {
				t.Errorf("got %v", out.err)
			}
		})
	})
	t.Run("a parked one is asked again for what was not answered, and given up when nobody comes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h, driver, server := drivenServer(t)
			req := ask(as(mcp.Revision20260728, ""), "tools/call", driveParams)
			req.NoTasks = true
			done := start(t.Context(), h, req)
			made(t, server, `,"pollIntervalMs":1`)
			answer(server, "tasks/get", modernState("input_required", "", asked+`{`+one+`,`+two+`}`))
			out := <-done
			if got := string(out.result.Get("inputRequests")); got != `{`+one+`,`+two+`}` {
				t.Fatalf("got %s, %v", out.result.Raw(), out.err)
			}
			token, _ := out.result.String("requestState")
			again := strings.TrimSuffix(driveParams, "}") + `,"inputResponses":%,"requestState":"` + token + `"}`
			if out := <-start(t.Context(), h, ask(as(mcp.Revision20260728, ""), "tools/call", strings.Replace(again, "%", `{"one":3}`, 1))); code(out.err) != jsonrpc.CodeInvalidParams {
				t.Errorf("an answer that is no object: got %s, %v", out.result.Raw(), out.err)
			}
			done = start(t.Context(), h, ask(as(mcp.Revision20260728, ""), "tools/call", strings.Replace(again, "%", `{"one":{"action":"cancel"},"other":{}}`, 1)))
			if m := answer(server, "tasks/update", `{}`); !mcptest.Has(m, `"inputResponses":{"one":{"action":"cancel"}}`) {
				t.Errorf("the server got %s", mcptest.Text(m))
			}
			out = <-done
			if got := string(out.result.Get("inputRequests")); got != `{`+two+`}` {
				t.Errorf("got %s, %v", out.result.Raw(), out.err)
			}
			if !driver.Busy() {
				t.Error("not busy while a call is parked")
			}
			answer(server, "tasks/cancel", `{}`)
			synctest.Wait()
			if driver.Busy() {
				t.Error("busy after the call was given up")
			}
		})
	})
}
