package streamhttp_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/streamhttp"
)

func TestModernRequestIsAnsweredWithJSON(t *testing.T) {
	e := serve(t, echo, newSessions(), streamhttp.ServerOptions{})
	a := e.post(modern(`"a\u0062"`, "tools/call", `"name":"t","arguments":{"n":9007199254740993,"f":1.0}`), mirrored("tools/call", "t")...)
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/json" {
		t.Fatalf("got %d %s %s", a.status, a.header.Get("Content-Type"), a.body)
	}
	for _, want := range []string{`"id":"a\u0062"`, `"resultType":"complete"`, `9007199254740993`, `"f":1.0`, `"name":"t"`, grease} {
		if !strings.Contains(a.body, want) {
			t.Errorf("answer %s lacks %s", a.body, want)
		}
	}
	if got := a.header.Get("Content-Length"); got != fmt.Sprint(len(a.body)) {
		t.Errorf("Content-Length = %q, want %d", got, len(a.body))
	}
	if got := a.header.Get("Mcp-Session-Id"); got != "" {
		t.Errorf("a stateless answer has Mcp-Session-Id %q", got)
	}
}

func TestModernResultOfAnySizeIsWhole(t *testing.T) {
	for _, size := range []int{0, 900, 1100, 4000, 5000, 300 << 10, 3 << 20} {
		text := strings.Repeat("x", size)
		h := mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) {
			return mcp.RawResult([]byte(`{"resultType":"complete","text":"` + text + `"}`)), nil
		})
		e := serve(t, h, nil, streamhttp.ServerOptions{})
		a := e.post(modern("1", "x/y", ""), mirrored("x/y", "")...)
		want := `{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","text":"` + text + `"}}`
		if a.body != want || a.header.Get("Content-Length") != fmt.Sprint(len(want)) {
			t.Errorf("size %d: got %d bytes with Content-Length %s, want %d", size, len(a.body), a.header.Get("Content-Length"), len(want))
		}
	}
}

// The matrix of security.md T02: every way in which a header can disagree with
// the body is 400 and -32020.
func TestModernHeadersMustSayWhatTheBodySays(t *testing.T) {
	e := serve(t, echo, newSessions(), streamhttp.ServerOptions{})
	call := modern("7", "tools/call", `"name":"Grüße","arguments":{}`)
	plain := modern("7", "tools/call", `"name":"plain","arguments":{}`)
	list := modern("7", "tools/list", "")
	utf8Name := "Mcp-Name: =?base64?R3LDvMOfZQ==?="
	set := func(add ...string) []string { return append(mirrored("tools/call", "plain"), add...) }
	tests := []struct {
		name, body string
		headers    []string
		status     int
		code       int
	}{
		{"all as they should be", plain, set(), 200, 0},
		{"a name in Base64", call, set(utf8Name), 200, 0},
		{"a plain name in Base64 too", plain, set("Mcp-Name: =?base64?cGxhaW4=?="), 200, 0},
		{"white space around a value", plain, set("Mcp-Name:   plain  "), 200, 0},
		{"no name where none is", list, mirrored("tools/list", ""), 200, 0},
		{"a name where none is", list, mirrored("tools/list", "x"), 200, 0},
		{"another resource", modern("7", "resources/read", `"uri":"file:///a"`), mirrored("resources/read", "file:///b"), 400, -32020},
		{"the resource", modern("7", "resources/read", `"uri":"file:///a"`), mirrored("resources/read", "file:///a"), 200, 0},
		{"the task", modern("7", "tasks/get", `"taskId":"t1"`), mirrored("tasks/get", "t1"), 200, 0},
		{"another task", modern("7", "tasks/get", `"taskId":"t1"`), mirrored("tasks/get", "t2"), 400, -32020},
		{"a name that the method need not mirror, and another", modern("7", "skills/get", `"uri":"u"`), mirrored("skills/get", "v"), 400, -32020},

		{"version is missing", plain, set("MCP-Protocol-Version"), 400, -32020},
		{"version is another", plain, set("MCP-Protocol-Version: 2026-07-29"), 400, -32020},
		{"version is an older one", plain, set("MCP-Protocol-Version: 2025-11-25"), 400, -32020},
		{"version came twice", plain, set("+MCP-Protocol-Version: 2026-07-28"), 400, -32020},
		{"version is joined by a comma", plain, set("MCP-Protocol-Version: 2026-07-28, 2026-07-28"), 400, -32020},
		{"method is missing", plain, set("Mcp-Method"), 400, -32020},
		{"method is another", plain, set("Mcp-Method: tools/list"), 400, -32020},
		{"method differs by case", plain, set("Mcp-Method: TOOLS/CALL"), 400, -32020},
		{"method came twice", plain, set("+Mcp-Method: tools/call"), 400, -32020},
		{"method is in Base64", plain, set("Mcp-Method: =?base64?dG9vbHMvY2FsbA==?="), 400, -32020},
		{"name is missing", plain, set("Mcp-Name"), 400, -32020},
		{"name is another", plain, set("Mcp-Name: other"), 400, -32020},
		{"name differs by case", plain, set("Mcp-Name: Plain"), 400, -32020},
		{"name came twice", plain, set("+Mcp-Name: plain"), 400, -32020},
		{"name is joined by a comma", plain, set("Mcp-Name: plain, plain"), 400, -32020},
		{"name is the Base64 of another", plain, set(utf8Name), 400, -32020},
		{"name is not Base64", plain, set("Mcp-Name: =?base64?pl@in?="), 400, -32020},
		{"name lacks padding", plain, set("Mcp-Name: =?base64?cGxhaW4?="), 400, -32020},
		{"name has the marker in capitals", plain, set("Mcp-Name: =?BASE64?cGxhaW4=?="), 400, -32020},
		{"name is raw UTF-8", call, set("Mcp-Name: Grüße"), 400, -32020},
		{"name is no string in the body", modern("7", "tools/call", `"name":1`), mirrored("tools/call", "1"), 400, -32020},

		{"a parameter that is not Base64", plain, set("Mcp-Param-X: =?base64?SGVs!!!bG8=?="), 400, -32020},
		{"a parameter that lacks padding", plain, set("Mcp-Param-X: =?base64?SGVsbG8?="), 400, -32020},
		{"a parameter that came twice", plain, set("Mcp-Param-X: a", "+Mcp-Param-X: a"), 400, -32020},
		{"a parameter in raw UTF-8", plain, set("Mcp-Param-X: ü"), 400, -32020},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := e.post(tt.body, tt.headers...)
			if a.status != tt.status || a.code() != tt.code {
				t.Errorf("got %d %s, want %d and code %d", a.status, a.body, tt.status, tt.code)
			}
			if !strings.Contains(a.body, `"id":7`) {
				t.Errorf("answer %s lacks the request's id", a.body)
			}
		})
	}
}

func TestModernParamHeadersReachTheHandlerDecoded(t *testing.T) {
	got := make(chan *mcp.Request, 1)
	h := mcp.HandlerFunc(func(_ context.Context, req *mcp.Request) (mcp.Result, error) {
		got <- req
		return mcp.EmptyResult(), nil
	})
	e := serve(t, h, nil, streamhttp.ServerOptions{})
	trace := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	e.post(modern("1", "tools/call", `"name":"t"`), append(mirrored("tools/call", "t"),
		"mcp-param-region: us-west1", "MCP-PARAM-Text: =?base64?SGVsbG8sIOS4lueVjA==?=", "Mcp-Param-Literal: =?base64?SGVsbG8",
		"Mcp-Param-Empty: ", "Traceparent: "+trace)...)
	req := receive(t, "the request", got)
	want := map[string]string{"region": "us-west1", "text": "Hello, 世界", "literal": "=?base64?SGVsbG8", "empty": ""}
	if fmt.Sprint(req.ParamHeaders) != fmt.Sprint(want) {
		t.Errorf("ParamHeaders = %q, want %q", req.ParamHeaders, want)
	}
	if req.TraceParent != trace {
		t.Errorf("TraceParent = %q, want the header's", req.TraceParent)
	}
	e.post(modern("1", "tools/call", `"name":"t"`), append(mirrored("tools/call", "t"), "Traceparent: nonsense")...)
	if req := receive(t, "the request", got); req.TraceParent != "" || len(req.ParamHeaders) != 0 {
		t.Errorf("TraceParent = %q and ParamHeaders = %q, want none", req.TraceParent, req.ParamHeaders)
	}
}

func TestATraceParentThatIsNoneIsNotPassedOn(t *testing.T) {
	got := make(chan *mcp.Request, 1)
	h := mcp.HandlerFunc(func(_ context.Context, req *mcp.Request) (mcp.Result, error) {
		got <- req
		return mcp.EmptyResult(), nil
	})
	e := serve(t, h, nil, streamhttp.ServerOptions{})
	for trace, good := range map[string]bool{
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01": true,
		"00-00000000000000000000000000000001-1000000000000000-00": true,
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0-": false,
		"00-0af7651916cd43dd-448eb211c80319c-b7ad6b7169203331-01": false,
		"0--0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01": false,
		"-0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01": false,
		"00-0af7651916cd43dd8448eb211c80319c0b7ad6b7169203331-01": false,
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331001": false,
		"0000af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01": false,
		"00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01": false,
		"00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01": false,
		"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01": false,
		"00-00000000000000000000000000000000-b7ad6b7169203331-01": false,
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01": false,
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1":  false,
	} {
		want := ""
		if good {
			want = trace
		}
		e.post(modern("1", "tools/call", `"name":"t"`), append(mirrored("tools/call", "t"), "Traceparent: "+trace)...)
		if req := receive(t, "the request", got); req.TraceParent != want {
			t.Errorf("for %s TraceParent = %q, want %q", trace, req.TraceParent, want)
		}
	}
}

func TestModernErrorsHaveTheirStatus(t *testing.T) {
	fail := func(err error) mcp.Handler {
		return mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) { return mcp.Result{}, err })
	}
	noMeta := `{"jsonrpc":"2.0","id":7,"method":"server/discover","params":{}}`
	head := mirrored("server/discover", "")
	discover := modern("7", "server/discover", "")
	tests := []struct {
		name    string
		handler mcp.Handler
		body    string
		headers []string
		status  int
		code    int
	}{
		{"no _meta", echo, noMeta, head, 400, -32602},
		{"no params", echo, `{"jsonrpc":"2.0","id":7,"method":"server/discover"}`, head, 400, -32602},
		{"no capabilities", echo, `{"jsonrpc":"2.0","id":7,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}`, head, 400, -32602},
		{"no version in the body", echo, `{"jsonrpc":"2.0","id":7,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/clientCapabilities":{}}}}`, head, 400, -32602},
		{"only Mcp-Method tells the era", echo, noMeta, []string{"Mcp-Method: server/discover"}, 400, -32602},
		{"an unknown version", echo, strings.Replace(discover, "2026-07-28", "v999.0.0", 1), append(head, "MCP-Protocol-Version: v999.0.0"), 400, -32022},
		{"an old version in modern dress", echo, strings.Replace(discover, "2026-07-28", "2025-11-25", 1), append(head, "MCP-Protocol-Version: 2025-11-25"), 400, -32022},
		{"an unknown method", fail(mcp.MethodNotFound("x")), discover, head, 404, -32601},
		{"initialize", echo, modern("7", "initialize", ""), mirrored("initialize", ""), 404, -32601},
		{"ping", echo, modern("7", "ping", ""), mirrored("ping", ""), 404, -32601},
		{"logging/setLevel", echo, modern("7", "logging/setLevel", ""), mirrored("logging/setLevel", ""), 404, -32601},
		{"resources/subscribe", echo, modern("7", "resources/subscribe", `"uri":"u"`), mirrored("resources/subscribe", ""), 404, -32601},
		{"resources/unsubscribe", echo, modern("7", "resources/unsubscribe", `"uri":"u"`), mirrored("resources/unsubscribe", ""), 404, -32601},
		{"a missing capability", fail(mcp.Errorf(mcp.CodeMissingCapability, "x")), discover, head, 400, -32021},
		{"a header that the handler compared", fail(mcp.Errorf(mcp.CodeHeaderMismatch, "x")), discover, head, 400, -32020},
		{"wrong params", fail(mcp.Errorf(jsonrpc.CodeInvalidParams, "x")), discover, head, 200, -32602},
		{"an error of the gateway", fail(fmt.Errorf("call: %w", mcp.Errorf(mcp.CodeBusy, "x"))), discover, head, 200, mcp.CodeBusy},
		{"an error that is nobody's business", fail(errors.New("secret")), discover, head, 200, -32603},
		{"a panic", mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) { panic("secret") }), discover, head, 200, -32603},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := serve(t, tt.handler, newSessions(), streamhttp.ServerOptions{})
			a := e.post(tt.body, tt.headers...)
			if a.status != tt.status || a.code() != tt.code || !strings.Contains(a.body, `"id":7`) {
				t.Errorf("got %d %s, want %d and code %d", a.status, a.body, tt.status, tt.code)
			}
			if strings.Contains(a.body, "secret") {
				t.Errorf("answer %s tells what it must not", a.body)
			}
		})
	}
}

func TestModernBodyThatIsNoRequest(t *testing.T) {
	e := serve(t, echo, newSessions(), streamhttp.ServerOptions{})
	version := "MCP-Protocol-Version: 2026-07-28"
	tests := []struct {
		name, body string
		status     int
		code       int
	}{
		{"a notification is taken", `{"jsonrpc":"2.0","method":"notifications/x","params":{}}`, 202, 0},
		{"a response is refused", `{"jsonrpc":"2.0","id":1,"result":{}}`, 400, -32600},
		{"a batch is refused", "[" + modern("1", "tools/list", "") + "]", 400, -32600},
		{"no JSON", `{"jsonrpc":`, 400, -32700},
		{"an empty body", "", 400, -32700},
		{"names twice", `{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}`, 400, -32600},
		{"folded names", `{"jsonrpc":"2.0","id":1,"Method":"a"}`, 400, -32600},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := e.post(tt.body, version, "Mcp-Method: tools/list")
			if a.status != tt.status || a.code() != tt.code {
				t.Errorf("got %d %q, want %d and code %d", a.status, a.body, tt.status, tt.code)
			}
			if tt.status == http.StatusAccepted && a.body != "" {
				t.Errorf("202 has body %q", a.body)
			}
		})
	}
}

func TestModernHasPOSTOnly(t *testing.T) {
	for name, s := range map[string]mcp.Sessions{"with sessions": newSessions(), "without": nil} {
		e := serve(t, echo, s, streamhttp.ServerOptions{})
		for _, method := range []string{"GET", "DELETE", "PUT", "HEAD", "OPTIONS", "PATCH"} {
			for _, headers := range [][]string{nil, {"MCP-Protocol-Version: 2026-07-28", "Mcp-Session-Id: x"}} {
				a := e.read(e.do(t.Context(), method, "", headers...))
				if a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "POST" {
					t.Errorf("%s, %s %q: got %d, Allow %q, want 405 and POST", name, method, headers, a.status, a.header.Get("Allow"))
				}
			}
		}
	}
}

func TestModernRequestIgnoresASessionHeader(t *testing.T) {
	e := serve(t, echo, newSessions(), streamhttp.ServerOptions{})
	a := e.post(modern("1", "tools/list", ""), append(mirrored("tools/list", ""), "Mcp-Session-Id: gone", "Last-Event-ID: p1-1")...)
	if a.status != http.StatusOK || a.header.Get("Mcp-Session-Id") != "" {
		t.Errorf("got %d %s with session %q, want 200 and none", a.status, a.body, a.header.Get("Mcp-Session-Id"))
	}
}

func TestServerWithoutSessionsTellsOldClientsWhatItServes(t *testing.T) {
	e := serve(t, echo, nil, streamhttp.ServerOptions{})
	a := e.post(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}`)
	if a.status != 400 || a.code() != -32022 || !strings.Contains(a.body, `["2026-07-28"]`) {
		t.Errorf("got %d %s, want 400 and the revision that is served", a.status, a.body)
	}
}

func TestModernDisconnectCancels(t *testing.T) {
	for _, streaming := range []bool{false, true} {
		started, ended := make(chan struct{}), make(chan error, 1)
		h := mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
			if streaming {
				req.Emit(mcp.Notification{Method: "notifications/progress"})
			}
			close(started)
			select {
			case <-ctx.Done():
				ended <- ctx.Err()
			case <-time.After(patience):
				ended <- nil
			}
			return mcp.Result{}, ctx.Err()
		})
		e := serve(t, h, nil, streamhttp.ServerOptions{})
		conn := e.dial()
		body := modern("1", "x/y", "")
		fmt.Fprintf(conn, "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: x/y\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		receive(t, "the call", started)
		_ = conn.Close()
		if err := receive(t, "the end of the call", ended); !errors.Is(err, context.Canceled) {
			t.Errorf("streaming %t: the handler's context ended with %v, want a cancellation", streaming, err)
		}
	}
}

func TestModernStreamOpensAtTheFirstNotification(t *testing.T) {
	goOn := make(chan struct{})
	h := mcp.HandlerFunc(func(_ context.Context, req *mcp.Request) (mcp.Result, error) {
		for i := range 3 {
			req.Emit(mcp.Notification{Method: "notifications/progress", Params: jsonrpc.Object{}.With(
				jsonrpc.Edit{Name: "progressToken", Value: req.ProgressToken},
				jsonrpc.Edit{Name: "progress", Value: fmt.Appendf(nil, "%d", i)})})
			<-goOn
		}
		return mcp.RawResult([]byte("{\n \"a\":\r\n [\n1]\n}")), nil
	})
	e := serve(t, h, nil, streamhttp.ServerOptions{})
	body := strings.Replace(modern("3", "x/y", ""), `"_meta":{`, `"_meta":{"progressToken":"tök\u0065n",`, 1)
	r := e.stream("POST", body, mirrored("x/y", "")...)
	if got := r.resp.Header.Get("X-Accel-Buffering"); got != "no" {
		t.Errorf("X-Accel-Buffering = %q, want no", got)
	}
	for i := range 3 {
		ev := r.next()
		want := fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"tök\u0065n","progress":%d}}`, i)
		if string(ev.Data) != want || ev.ID != "" {
			t.Errorf("event %d = %q with id %q, want %q without", i, ev.Data, ev.ID, want)
		}
		goOn <- struct{}{}
	}
	m := r.message()
	if m.ID != "3" || string(m.Result.Get("a")) != "[ 1]" || string(m.Result.Get("resultType")) != `"complete"` {
		t.Errorf("response = %s", m.Append(nil))
	}
	r.wantEnd()
}

func TestModernErrorAfterANotificationIsAnEvent(t *testing.T) {
	h := mcp.HandlerFunc(func(_ context.Context, req *mcp.Request) (mcp.Result, error) {
		req.Emit(mcp.Notification{Method: "notifications/message"})
		return mcp.Result{}, mcp.MethodNotFound("x")
	})
	e := serve(t, h, nil, streamhttp.ServerOptions{})
	r := e.stream("POST", modern("3", "x/y", ""), mirrored("x/y", "")...)
	r.message()
	if m := r.message(); m.Error == nil || m.Error.Code != -32601 || m.ID != "3" {
		t.Errorf("response = %s, want error -32601", m.Append(nil))
	}
	r.wantEnd()
}

func TestModernListen(t *testing.T) {
	for _, id := range []string{`"1"`, `1`} {
		h := mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
			req.Emit(mcp.Notification{Method: "notifications/subscriptions/acknowledged",
				Params: mcp.RawResult([]byte(`{"notifications":{},"_meta":{"a":1}}`)).Object})
			req.Emit(mcp.Notification{Method: "notifications/tools/list_changed"})
			<-ctx.Done()
			return mcp.Result{}, ctx.Err()
		})
		e := serve(t, h, nil, streamhttp.ServerOptions{KeepAlive: 5 * time.Millisecond})
		r := e.stream("POST", modern(id, "subscriptions/listen", `"notifications":{"toolsListChanged":true}`), mirrored("subscriptions/listen", "")...)
		for _, method := range []string{"notifications/subscriptions/acknowledged", "notifications/tools/list_changed"} {
			m := r.message()
			sub, _ := jsonrpc.Split(m.Params.Get("_meta"))
			if m.Method != method || string(sub.Get(mcp.MetaSubscriptionID)) != id {
				t.Errorf("got %s, want %s tagged with %s", m.Append(nil), method, id)
			}
		}
		e.srv.Close()
		m := r.message()
		sub, _ := jsonrpc.Split(m.Result.Get("_meta"))
		if string(m.ID) != id || string(sub.Get(mcp.MetaSubscriptionID)) != id || string(m.Result.Get("resultType")) != `"complete"` {
			t.Errorf("last message %s, want the result of %s", m.Append(nil), id)
		}
		r.wantEnd()
	}
}

func TestModernListenThatIsRefusedKeepsItsStatus(t *testing.T) {
	h := mcp.HandlerFunc(func(_ context.Context, req *mcp.Request) (mcp.Result, error) {
		return mcp.Result{}, mcp.MethodNotFound(req.Method)
	})
	e := serve(t, h, nil, streamhttp.ServerOptions{})
	a := e.post(modern("1", "subscriptions/listen", `"notifications":{}`), mirrored("subscriptions/listen", "")...)
	if a.status != 404 || a.code() != -32601 {
		t.Errorf("got %d %s, want 404", a.status, a.body)
	}
}

func TestQuietStreamsCarryComments(t *testing.T) {
	h := mcp.HandlerFunc(func(ctx context.Context, _ *mcp.Request) (mcp.Result, error) {
		<-ctx.Done()
		return mcp.Result{}, ctx.Err()
	})
	e := serve(t, h, nil, streamhttp.ServerOptions{KeepAlive: time.Millisecond})
	r := e.stream("POST", modern("1", "subscriptions/listen", `"notifications":{}`), mirrored("subscriptions/listen", "")...)
	buf := make([]byte, 32)
	for range 2 {
		n, err := r.resp.Body.Read(buf)
		if err != nil || !strings.HasPrefix(string(buf[:n]), ":") {
			t.Errorf("got %q, %v, want a comment", buf[:n], err)
		}
	}
}
