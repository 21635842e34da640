package streamhttp_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/streamhttp"
)

const ping = `{"jsonrpc":"2.0","id":"p","method":"ping","params":{` + grease + `}}`

func TestLegacySession(t *testing.T) {
	for _, r := range []mcp.Revision{mcp.Revision20250326, mcp.Revision20250618, mcp.Revision20251125} {
		s := newSessions()
		e := serve(t, echo, s, streamhttp.ServerOptions{})
		one, head := e.open(s, r)
		if a := e.post(`{"jsonrpc":"2.0","method":"notifications/initialized"}`, head...); a.status != http.StatusAccepted || a.body != "" {
			t.Errorf("%s: notification: got %d %q, want 202 without body", r, a.status, a.body)
		}
		if m := receive(t, "the notification", one.received); m.Method != "notifications/initialized" {
			t.Errorf("%s: session received %s", r, m.Append(nil))
		}
		if a := e.post(`{"jsonrpc":"2.0","id":9007199254740993,"result":{}}`, head...); a.status != http.StatusAccepted || a.body != "" {
			t.Errorf("%s: response: got %d %q, want 202 without body", r, a.status, a.body)
		}
		if m := receive(t, "the response", one.received); m.ID != "9007199254740993" {
			t.Errorf("%s: session received %s", r, m.Append(nil))
		}
		a := e.post(ping, head...)
		if a.status != 200 || a.header.Get("Content-Type") != "application/json" || !strings.Contains(a.body, grease) {
			t.Errorf("%s: request: got %d %s", r, a.status, a.body)
		}
		if a := e.post(ping, head[0]); a.status != 200 {
			t.Errorf("%s: request without version: got %d %s, want 200", r, a.status, a.body)
		}
		if a := e.read(e.do(t.Context(), "DELETE", "", head...)); a.status != http.StatusNoContent {
			t.Errorf("%s: DELETE: got %d, want 204", r, a.status)
		}
		for _, method := range []string{"POST", "GET", "DELETE"} {
			body := ""
			if method == "POST" {
				body = ping
			}
			if a := e.read(e.do(t.Context(), method, body, head...)); a.status != http.StatusNotFound {
				t.Errorf("%s: %s after DELETE: got %d, want 404", r, method, a.status)
			}
		}
	}
}

func TestLegacyRequestThatIsRefused(t *testing.T) {
	s := newSessions()
	e := serve(t, echo, s, streamhttp.ServerOptions{})
	_, head := e.open(s, mcp.Revision20251125)
	initialize := `{"jsonrpc":"2.0","id":"p","method":"initialize","params":{"protocolVersion":"2025-11-25"}}`
	tests := []struct {
		name, body string
		headers    []string
		status     int
		code       int
	}{
		{"no session", ping, nil, 400, -32600},
		{"an unknown session", ping, []string{"Mcp-Session-Id: x"}, 404, -32600},
		{"two sessions", ping, append(head, "+Mcp-Session-Id: x"), 400, -32600},
		{"a version that does not exist", ping, append(head, "MCP-Protocol-Version: 1999-01-01"), 400, -32022},
		{"a version that came twice", ping, append(head, "+MCP-Protocol-Version: 2025-06-18"), 400, -32022},
		{"a modern version without _meta", ping, append(head, "MCP-Protocol-Version: 2026-07-28"), 400, -32602},
		{"another version that exists", ping, append(head, "MCP-Protocol-Version: 2025-06-18"), 200, 0},
		{"Mcp-Method with a session", ping, append(head, "Mcp-Method: ping"), 200, 0},
		{"initialize in a session", initialize, head, 400, -32600},
		{"initialize in an unknown session", initialize, []string{"Mcp-Session-Id: x"}, 404, -32600},
		{"initialize that is refused", `{"jsonrpc":"2.0","id":"p","method":"initialize","params":{}}`, nil, 400, -32602},
		{"initialize as a notification", `{"jsonrpc":"2.0","method":"initialize","params":{}}`, nil, 400, -32600},
		{"no JSON", `{"jsonrpc":"2.0","id":"p","method":"ping"`, head, 400, -32700},
		{"a batch", "[" + ping + "]", head, 400, -32600},
		{"a batch without session", "[" + ping + "]", nil, 400, -32600},
		{"a batch in an unknown session", "[" + ping + "]", []string{"Mcp-Session-Id: x"}, 404, -32600},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := e.post(tt.body, tt.headers...)
			if a.status != tt.status || a.code() != tt.code {
				t.Errorf("got %d %s, want %d and code %d", a.status, a.body, tt.status, tt.code)
			}
			if a.code() == 0 && !strings.Contains(a.body, `"id":"p"`) {
				t.Errorf("answer %s lacks the id", a.body)
			}
		})
	}
}

func TestLegacyDisconnectDoesNotCancel(t *testing.T) {
	s := newSessions()
	started, goOn, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	s.handle = func(ctx context.Context, _ *session, msg jsonrpc.Message, _ mcp.Stream) jsonrpc.Message {
		close(started)
		<-goOn
		ended <- ctx.Err()
		return resultOf(msg, `{}`)
	}
	e := serve(t, echo, s, streamhttp.ServerOptions{})
	_, head := e.open(s, mcp.Revision20251125)
	conn := e.dial()
	fmt.Fprintf(conn, "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%s\r\nContent-Length: %d\r\n\r\n%s", strings.Join(head, "\r\n"), len(ping), ping)
	receive(t, "the call", started)
	_ = conn.Close()
	// The disconnect cancels the request's context; another request is answered
	// only after the server had time to notice that.
	close(goOn)
	if err := receive(t, "the end of the call", ended); err != nil {
		t.Errorf("the call's context ended with %v, want it alive", err)
	}
}

func TestLegacyPanicFailsOneRequest(t *testing.T) {
	s := newSessions()
	s.handle = func(_ context.Context, _ *session, msg jsonrpc.Message, _ mcp.Stream) jsonrpc.Message {
		if msg.Method == "boom" {
			panic("secret")
		}
		return resultOf(msg, `{}`)
	}
	e := serve(t, echo, s, streamhttp.ServerOptions{})
	_, head := e.open(s, mcp.Revision20251125)
	if a := e.post(strings.Replace(ping, `"ping"`, `"boom"`, 1), head...); a.code() != -32603 || strings.Contains(a.body, "secret") {
		t.Errorf("got %s, want -32603 and no secret", a.body)
	}
	if a := e.post(ping, head...); a.status != 200 || a.code() != 0 {
		t.Errorf("next request: got %d %s", a.status, a.body)
	}
}

func TestLegacyIDUnderWayIsRefused(t *testing.T) {
	s := newSessions()
	started, goOn := make(chan struct{}, 10), make(chan struct{})
	s.handle = func(_ context.Context, _ *session, msg jsonrpc.Message, _ mcp.Stream) jsonrpc.Message {
		started <- struct{}{}
		<-goOn
		return resultOf(msg, `{}`)
	}
	e := serve(t, echo, s, streamhttp.ServerOptions{MaxCalls: 2})
	_, head := e.open(s, mcp.Revision20251125)
	done := make(chan answer, 2)
	call := func(id string) { done <- e.post(strings.Replace(ping, `"p"`, id, 1), head...) }
	go call(`1`)
	receive(t, "the first call", started)
	if a := e.post(strings.Replace(ping, `"p"`, `1`, 1), head...); a.status != 400 || a.code() != -32600 {
		t.Errorf("id twice: got %d %s, want 400 and -32600", a.status, a.body)
	}
	go call(`"1"`)
	receive(t, "the second call", started)
	if a := e.post(ping, head...); a.status != http.StatusTooManyRequests || a.code() != mcp.CodeBusy {
		t.Errorf("third call: got %d %s, want 429 and %d", a.status, a.body, mcp.CodeBusy)
	}
	close(goOn)
	for range 2 {
		if a := receive(t, "an answer", done); a.status != 200 {
			t.Errorf("got %d %s, want 200", a.status, a.body)
		}
	}
	if a := e.post(strings.Replace(ping, `"p"`, `1`, 1), head...); a.status != 200 {
		t.Errorf("id again when it is free: got %d %s, want 200", a.status, a.body)
	}
}

func TestLegacyCallWithoutResponse(t *testing.T) {
	s := newSessions()
	s.handle = func(_ context.Context, _ *session, msg jsonrpc.Message, out mcp.Stream) jsonrpc.Message {
		if msg.Method == "tools/call" {
			_ = out.Send(context.Background(), note(`{"jsonrpc":"2.0","method":"notifications/message"}`))
		}
		return jsonrpc.Message{}
	}
	e := serve(t, echo, s, streamhttp.ServerOptions{})
	_, head := e.open(s, mcp.Revision20250618)
	if a := e.post(ping, head...); a.status != 202 || a.body != "" {
		t.Errorf("got %d %q, want 202", a.status, a.body)
	}
	if a := e.post(strings.Replace(ping, "ping", "tools/call", 1), head...); len(a.events(t)) != 1 {
		t.Errorf("got %q, want one event", a.body)
	}
}

func TestLegacyClientThatTakesOneMediaType(t *testing.T) {
	s := newSessions()
	sent := make(chan error, 1)
	s.handle = func(_ context.Context, _ *session, msg jsonrpc.Message, out mcp.Stream) jsonrpc.Message {
		sent <- out.Send(context.Background(), note(`{"jsonrpc":"2.0","method":"notifications/message"}`))
		return resultOf(msg, `{"done":true}`)
	}
	e := serve(t, echo, s, streamhttp.ServerOptions{})
	_, head := e.open(s, mcp.Revision20251125)
	a := e.post(ping, append(head, "Accept: application/json")...)
	if a.header.Get("Content-Type") != "application/json" || !strings.Contains(a.body, `"done":true`) {
		t.Errorf("JSON only: got %s", a.body)
	}
	if err := receive(t, "the result of Send", sent); err == nil {
		t.Errorf("JSON only: Send returned nil, want an error")
	}
	a = e.post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`, "Accept: text/event-stream")
	if evs := a.events(t); len(evs) != 1 || !strings.Contains(string(evs[0].Data), `"serverInfo"`) {
		t.Errorf("events only, initialize: got %q", a.body)
	}
	if one := s.get(a.header.Get("Mcp-Session-Id")); one != nil {
		one.End()
	}
}

func TestLegacyBatch(t *testing.T) {
	s := newSessions()
	s.handle = func(_ context.Context, _ *session, msg jsonrpc.Message, out mcp.Stream) jsonrpc.Message {
		switch msg.Method {
		case "loud":
			_ = out.Send(context.Background(), note(`{"jsonrpc":"2.0","method":"notifications/message"}`))
		case "cancelled":
			return jsonrpc.Message{}
		}
		return resultOf(msg, `{}`)
	}
	e := serve(t, echo, s, streamhttp.ServerOptions{})
	one, head := e.open(s, mcp.Revision20250326)
	head = head[:1]
	request := func(id, method string) string {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q,%s}`, id, method, grease)
	}
	const notification = `{"jsonrpc":"2.0","method":"notifications/x"}`
	t.Run("of requests and notifications", func(t *testing.T) {
		a := e.post("["+request("1", "a")+","+notification+","+request(`"2"`, "b")+"]", head...)
		msgs, err := jsonrpc.ParseBatch([]byte(a.body), jsonrpc.Limits{})
		if err != nil || len(msgs) != 2 || msgs[0].ID == msgs[1].ID {
			t.Fatalf("got %d %s, want two responses", a.status, a.body)
		}
		receive(t, "the notification", one.received)
	})
	t.Run("of one id twice", func(t *testing.T) {
		a := e.post("["+request("1", "a")+","+request(`1`, "b")+"]", head...)
		if n := strings.Count(a.body, `"id":1`); n != 2 {
			t.Errorf("got %s, want two answers", a.body)
		}
	})
	t.Run("of notifications and responses only", func(t *testing.T) {
		a := e.post("["+notification+`,{"jsonrpc":"2.0","id":5,"result":{}}]`, head...)
		if a.status != 202 || a.body != "" {
			t.Errorf("got %d %q, want 202", a.status, a.body)
		}
		receive(t, "the notification", one.received)
		receive(t, "the response", one.received)
	})
	t.Run("of which one call speaks before it answers", func(t *testing.T) {
		a := e.post("["+request("1", "a")+","+request("2", "loud")+"]", head...)
		if evs := a.events(t); len(evs) != 3 {
			t.Errorf("got %q, want three events", a.body)
		}
	})
	t.Run("of which all calls are cancelled", func(t *testing.T) {
		if a := e.post("["+request("1", "cancelled")+"]", head...); a.status != 202 {
			t.Errorf("got %d %q, want 202", a.status, a.body)
		}
	})
	t.Run("that is empty", func(t *testing.T) {
		if a := e.post("[]", head...); a.status != 400 || a.code() != -32600 {
			t.Errorf("got %d %q, want 400", a.status, a.body)
		}
	})
}

// Nothing is left of a session that has ended.
func TestSessionsAreLetGo(t *testing.T) {
	s := newSessions()
	e := serve(t, echo, s, streamhttp.ServerOptions{})
	one, head := e.open(s, mcp.Revision20251125)
	r := e.stream("GET", "", append(head, "Accept: text/event-stream")...)
	receive(t, "the stream", one.attached)
	one.End()
	r.wantEnd()
	receive(t, "the stream to be detached", one.detached)
	// A session that comes back under the same id begins with nothing.
	again := &session{all: s, id: one.id, revision: one.revision, done: make(chan struct{}),
		received: make(chan jsonrpc.Message, 1), attached: make(chan mcp.Stream, 1), detached: make(chan mcp.Stream, 1)}
	s.mu.Lock()
	s.live[one.id] = again
	s.mu.Unlock()
	t.Cleanup(again.End)
	e.stream("GET", "", append(head, "Accept: text/event-stream")...)
	receive(t, "the stream of the new session", again.attached)
}

func TestCloseEndsHeldStreams(t *testing.T) {
	s := newSessions()
	e := serve(t, echo, s, streamhttp.ServerOptions{})
	one, head := e.open(s, mcp.Revision20251125)
	r := e.stream("GET", "", head...)
	receive(t, "the stream", one.attached)
	closed := make(chan struct{})
	go func() {
		e.srv.Close()
		close(closed)
	}()
	receive(t, "Close", closed)
	r.wantEnd()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if a := e.read(e.do(ctx, "GET", "", head...)); a.status != 200 || a.body == "" {
		t.Errorf("GET after Close: got %d %q, want a stream that ends", a.status, a.body)
	}
}
