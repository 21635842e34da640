package streamhttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/streamhttp"
)

// remote is a server that a test plays with plain HTTP.
type remote struct {
	t     *testing.T
	ts    *httptest.Server
	rt    *http.Transport
	conns atomic.Int64

	mu       sync.Mutex
	requests []received
}

type received struct {
	method string
	header http.Header
	msg    jsonrpc.Message
	raw    string
}

// remoteFunc answers a request; messages of the client are parsed.
type remoteFunc func(w http.ResponseWriter, r *http.Request, msg jsonrpc.Message)

func newRemote(t *testing.T, f remoteFunc) *remote {
	t.Helper()
	p := &remote{t: t}
	p.ts = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		msg, err := jsonrpc.Parse(body, jsonrpc.Limits{})
		if err != nil && r.Method == http.MethodPost {
			t.Errorf("the client sent %q: %v", body, err)
		}
		p.mu.Lock()
		p.requests = append(p.requests, received{r.Method, r.Header, msg, string(body)})
		p.mu.Unlock()
		f(w, r, msg)
	}))
	p.ts.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			p.conns.Add(1)
		}
	}
	p.ts.Start()
	p.rt = &http.Transport{DisableCompression: true}
	t.Cleanup(func() {
		p.rt.CloseIdleConnections()
		p.ts.CloseClientConnections()
		p.ts.Close()
	})
	return p
}

func (p *remote) client(change ...func(*streamhttp.ClientOptions)) *streamhttp.Client {
	o := streamhttp.ClientOptions{URL: p.ts.URL + "/mcp?x=1", Transport: p.rt, Header: http.Header{"Authorization": {"Bearer s"}}}
	for _, f := range change {
		f(&o)
	}
	return streamhttp.NewClient(o)
}

func (p *remote) got() []received {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]received(nil), p.requests...)
}

// respond writes a JSON answer.
func respond(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

func respondResult(w http.ResponseWriter, msg jsonrpc.Message, result string) {
	respond(w, 200, fmt.Sprintf(`{"jsonrpc":"2.0",%s,"id":%s,"result":%s}`, grease, string(msg.ID), result))
}

// events writes an event stream as it is and flushes it.
func events(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, text)
	w.(http.Flusher).Flush()
}

func event(format string, args ...any) string {
	return "data: " + fmt.Sprintf(format, args...) + "\n\n"
}

func asked(method, params string) *mcp.Request {
	o, err := jsonrpc.ParseObject([]byte(params), jsonrpc.Limits{})
	if err != nil {
		panic(err)
	}
	client := mcp.NewClient(mcp.Revision20260728, []byte(`{"name":"c","version":"1"}`), mcp.RawResult([]byte(`{"elicitation":{}}`)).Object)
	return mcp.ReadRequest(method, o, client)
}

func wireCode(err error) int {
	var e *mcp.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

func TestHandleSendsWhatTheRevisionAsksFor(t *testing.T) {
	p := newRemote(t, func(w http.ResponseWriter, _ *http.Request, msg jsonrpc.Message) {
		respondResult(w, msg, `{"resultType":"complete","n":9007199254740993,`+grease+`}`)
	})
	c := p.client()
	trace := "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	req := asked("tools/call", `{"name":"public","arguments":{"n":9007199254740993,`+grease+`},"_meta":{"progressToken":5,"x":1,"io.modelcontextprotocol/protocolVersion":"x"},`+grease+`}`)
	req.Name, req.TraceParent, req.LogLevel = "grüße", trace, "info"
	req.Notify = func(mcp.Notification) {}
	result, err := c.Handle(t.Context(), req)
	if err != nil || string(result.Get("n")) != "9007199254740993" || result.Get("x-grease") == nil {
		t.Fatalf("result = %s, %v", result.Raw(), err)
	}
	got := p.got()[0]
	want := http.Header{
		"Accept": {"application/json, text/event-stream"}, "Content-Type": {"application/json"}, "Authorization": {"Bearer s"},
		"Mcp-Protocol-Version": {"2026-07-28"}, "Mcp-Method": {"tools/call"}, "Mcp-Name": {"=?base64?Z3LDvMOfZQ==?="},
		"Traceparent": {trace}, "Content-Length": {fmt.Sprint(len(got.raw))}, "User-Agent": {"Go-http-client/1.1"},
	}
	if diff := cmp.Diff(want, got.header); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
	meta, _ := jsonrpc.Split(got.msg.Params.Get("_meta"))
	for name, want := range map[string]string{
		mcp.MetaVersion: `"2026-07-28"`, mcp.MetaCapabilities: `{"elicitation":{}}`, mcp.MetaClientInfo: `{"name":"c","version":"1"}`,
		mcp.MetaLogLevel: `"info"`, mcp.MetaProgressToken: string(got.msg.ID), mcp.MetaTraceParent: `"` + trace + `"`, "x": "1",
	} {
		if string(meta.Get(name)) != want {
			t.Errorf("_meta[%s] = %s, want %s", name, meta.Get(name), want)
		}
	}
	if !strings.Contains(got.raw, `"name":"grüße","arguments":{"n":9007199254740993,`+grease+`}`) {
		t.Errorf("body = %s", got.raw)
	}
}

// The variants of security.md T05, and what servers write besides.
func TestHandleReadsEventStreams(t *testing.T) {
	const deep = `[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]`
	tests := []struct {
		name, before, response string
		notifications          string
	}{
		{"a response alone", "", "data: %s\n\n", ""},
		{"a byte order mark", "\xEF\xBB\xBF", "data: %s\n\n", ""},
		{"ends of lines as CR LF", ": hi\r\n\r\n", "event: message\r\ndata: %s\r\n\r\n", ""},
		{"ends of lines as CR", "", "event: message\rdata:%s\r\r", ""},
		{"an event with an id, a retry and no data", "id: 1\nretry: 5\ndata:\n\n", "id: 2\ndata: %s\n\n", ""},
		{"progress with our token", event(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":TOKEN,"progress":1,%s}}`, grease),
			"data: %s\n\n", `notifications/progress {"progressToken":"mine","progress":1,` + grease + `}`},
		{"progress with another token", event(`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"other","progress":1}}`), "data: %s\n\n", ""},
		{"a log message that was asked for", event(`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}`),
			"data: %s\n\n", `notifications/message {"level":"info","data":1}`},
		{"a notification that nobody knows", event(`{"jsonrpc":"2.0",%s,"method":"notifications/x"}`, grease), "data: %s\n\n", "notifications/x "},
		{"a request, which servers must not send", event(`{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}`), "data: %s\n\n", ""},
		{"a response to something else", event(`{"jsonrpc":"2.0","id":"other","result":{"denied":1}}`), "data: %s\n\n", ""},
		{"an event of another type", "event: ping\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/x\"}\n\n", "data: %s\n\n", ""},
		{"data that is no JSON", "data: {denied\n\ndata: \xff\xfe\n\ndata: null\n\n", "data: %s\n\n", ""},
		{"data that smuggles a name", event(`{"jsonrpc":"2.0","method":"notifications/x","Method":"notifications/denied"}`), "data: %s\n\n", ""},
		{"data with a name twice", event(`{"jsonrpc":"2.0","method":"notifications/x","method":"notifications/denied"}`), "data: %s\n\n", ""},
		{"a batch, which there is none of", event(`[{"jsonrpc":"2.0","method":"notifications/denied"}]`), "data: %s\n\n", ""},
		{"nesting beyond the bound", event(`{"jsonrpc":"2.0","method":"notifications/denied","params":{"a":%s}}`, deep), "data: %s\n\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newRemote(t, func(w http.ResponseWriter, _ *http.Request, msg jsonrpc.Message) {
				meta, _ := jsonrpc.Split(msg.Params.Get("_meta"))
				before := strings.ReplaceAll(tt.before, "TOKEN", string(meta.Get("progressToken")))
				events(w, before+fmt.Sprintf(tt.response, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"ok":true}}`, string(msg.ID))))
			})
			c := p.client(func(o *streamhttp.ClientOptions) { o.Limits.MaxDepth = 16 })
			var got []string
			req := asked("x/y", `{}`)
			req.ProgressToken, req.LogLevel = []byte(`"mine"`), "debug"
			req.Notify = func(n mcp.Notification) { got = append(got, n.Method+" "+string(n.Params.Raw())) }
			result, err := c.Handle(t.Context(), req)
			if err != nil || string(result.Get("ok")) != "true" {
				t.Fatalf("result = %s, %v", result.Raw(), err)
			}
			if strings.Join(got, "|") != tt.notifications {
				t.Errorf("notifications = %q, want %q", got, tt.notifications)
			}
		})
	}
}

func TestHandleReadsResponseInSeveralDataLines(t *testing.T) {
	p := newRemote(t, func(w http.ResponseWriter, _ *http.Request, msg jsonrpc.Message) {
		events(w, fmt.Sprintf("data: {\ndata: \"jsonrpc\":\"2.0\",\ndata: \"id\":%s,\ndata: \"result\":{}}\n\n", string(msg.ID)))
	})
	if _, err := p.client().Handle(t.Context(), asked("x/y", `{}`)); err != nil {
		t.Error(err)
	}
}

func TestHandleDropsLogsThatNobodyAskedFor(t *testing.T) {
	p := newRemote(t, func(w http.ResponseWriter, _ *http.Request, msg jsonrpc.Message) {
		events(w, event(`{"jsonrpc":"2.0","method":"notifications/message","params":{}}`)+event(`{"jsonrpc":"2.0","id":%s,"result":{}}`, string(msg.ID)))
	})
	req := asked("x/y", `{}`)
	req.Notify = func(n mcp.Notification) { t.Errorf("got %s", n.Method) }
	if _, err := p.client().Handle(t.Context(), req); err != nil {
		t.Error(err)
	}
}

func TestHandleTellsWhatWentWrong(t *testing.T) {
	big := strings.Repeat("x", 2000)
	tests := []struct {
		name   string
		answer remoteFunc
		code   int
		status int
	}{
		{"an error", func(w http.ResponseWriter, _ *http.Request, m jsonrpc.Message) {
			respond(w, 200, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32602,"message":"m","data":{"a":1}}}`, string(m.ID)))
		}, -32602, 0},
		{"an error without id", func(w http.ResponseWriter, _ *http.Request, _ jsonrpc.Message) {
			respond(w, 200, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"m"}}`)
		}, -32700, 0},
		{"an unknown method", func(w http.ResponseWriter, _ *http.Request, m jsonrpc.Message) {
			respond(w, 404, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"m"}}`, string(m.ID)))
		}, -32601, 404},
		{"a legacy server", func(w http.ResponseWriter, _ *http.Request, _ jsonrpc.Message) {
			respond(w, 400, `{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: Server not initialized"},"id":null}`)
		}, -32000, 400},
		{"an unsupported version", func(w http.ResponseWriter, _ *http.Request, m jsonrpc.Message) {
			respond(w, 400, fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32022,"message":"m","data":{"supported":["2025-11-25"]}}}`, string(m.ID)))
		}, -32022, 400},
		{"404 without error", func(w http.ResponseWriter, _ *http.Request, _ jsonrpc.Message) { http.Error(w, "nope", 404) }, mcp.CodeUnavailable, 404},
		{"401", func(w http.ResponseWriter, _ *http.Request, _ jsonrpc.Message) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "nope", http.StatusUnauthorized)
		}, mcp.CodeUnavailable, 401},
		{"302", func(w http.ResponseWriter, _ *http.Request, _ jsonrpc.Message) {
			http.Redirect(w, &http.Request{Method: "POST"}, "http://127.0.0.1:1/", http.StatusFound)
		}, mcp.CodeUnavailable, 302},
		{"502", func(w http.ResponseWriter, _ *http.Request, _ jsonrpc.Message) {
			http.Error(w, "<html>", http.StatusBadGateway)
		}, mcp.CodeCallLost, 502},
		{"503", func(w http.ResponseWriter, _ *http.Request, _ jsonrpc.Message) {
			http.Error(w, "<html>", http.StatusServiceUnavailable)
		}, mcp.CodeUnavailable, 503},
		{"202 to a request", func(w http.ResponseWriter, _ *http.Request, _ jsonrpc.Message) { w.WriteHeader(202) }, mcp.CodeCallLost, 202},
		{"another media type", func(w http.ResponseWriter, _ *http.Request, m jsonrpc.Message) {
			w.Header().Set("Content-Type", "text/plain")
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{}}`, string(m.ID))
		}, mcp.CodeCallLost, 0},
		{"JSON that is no message", func(w http.ResponseWriter, _ *http.Request, _ jsonrpc.Message) { respond(w, 200, `{"jsonrpc":`) }, mcp.CodeCallLost, 0},
		{"a response to something else", func(w http.ResponseWriter, _ *http.Request, _ jsonrpc.Message) {
			respond(w, 200, `{"jsonrpc":"2.0","id":"other","result":{"secret":1}}`)
		}, mcp.CodeCallLost, 0},
		{"a request", func(w http.ResponseWriter, _ *http.Request, _ jsonrpc.Message) {
			respond(w, 200, `{"jsonrpc":"2.0","id":1,"method":"ping"}`)
		}, mcp.CodeCallLost, 0},
		{"too much JSON", func(w http.ResponseWriter, _ *http.Request, m jsonrpc.Message) {
			respondResult(w, m, `{"x":"`+big+`"}`)
		}, mcp.CodeCallLost, 0},
		{"too much JSON in chunks", func(w http.ResponseWriter, _ *http.Request, m jsonrpc.Message) {
			w.Header().Set("Content-Type", "application/json")
			w.(http.Flusher).Flush()
			respondResult(w, m, `{"x":"`+big+`"}`)
		}, mcp.CodeCallLost, 0},
		{"an event that is too long", func(w http.ResponseWriter, _ *http.Request, _ jsonrpc.Message) { events(w, "data: "+big) }, mcp.CodeCallLost, 0},
		{"a stream that ends", func(w http.ResponseWriter, _ *http.Request, _ jsonrpc.Message) { events(w, "id: 1\ndata:\n\n") }, mcp.CodeCallLost, 0},
		{"a stream that breaks", func(w http.ResponseWriter, _ *http.Request, _ jsonrpc.Message) {
			events(w, "id: 1\nretry: 1\ndata:\n\n")
			panic(http.ErrAbortHandler)
		}, mcp.CodeCallLost, 0},
		{"a connection that breaks", func(http.ResponseWriter, *http.Request, jsonrpc.Message) { panic(http.ErrAbortHandler) }, mcp.CodeCallLost, 0},
		{"JSON that breaks off", func(w http.ResponseWriter, _ *http.Request, _ jsonrpc.Message) {
			w.Header().Set("Content-Length", "100")
			respond(w, 200, `{"jsonrpc"`)
		}, mcp.CodeCallLost, 0},
		{"nothing but garbage", func(w http.ResponseWriter, _ *http.Request, _ jsonrpc.Message) {
			events(w, strings.Repeat("data: x\n\n", 1000)+": not reached")
		}, mcp.CodeCallLost, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newRemote(t, tt.answer)
			c := p.client(func(o *streamhttp.ClientOptions) { o.MaxMessageBytes = 1000 })
			result, err := c.Handle(t.Context(), asked("tools/call", `{"name":"t"}`))
			if err == nil {
				t.Fatalf("got %s, want an error", result.Raw())
			}
			if got := mcp.WireError(err).Code; got != tt.code {
				t.Errorf("error %v has code %d on the wire, want %d", err, got, tt.code)
			}
			var status *streamhttp.StatusError
			if errors.As(err, &status) != (tt.status != 0) || status != nil && status.Status != tt.status {
				t.Errorf("error %v, want status %d", err, tt.status)
			}
			if n := len(p.got()); n != 1 {
				t.Errorf("the server was asked %d times, want once", n)
			}
			if strings.Contains(mcp.WireError(err).Message, "127.0.0.1") {
				t.Errorf("error %q tells the address", mcp.WireError(err).Message)
			}
		})
	}
}

func TestStatusErrorHoldsWhatEraDetectionNeeds(t *testing.T) {
	p := newRemote(t, func(w http.ResponseWriter, _ *http.Request, _ jsonrpc.Message) {
		w.Header().Set("X-Test", "1")
		http.Error(w, "\xffno "+strings.Repeat("x", 100<<10), http.StatusMethodNotAllowed)
	})
	_, err := p.client().Handle(t.Context(), asked("server/discover", `{}`))
	var status *streamhttp.StatusError
	if !errors.As(err, &status) || status.Err != nil || status.Status != 405 || status.Header.Get("X-Test") != "1" ||
		len(status.Body) != 1024 || !strings.HasPrefix(status.Body, "?no x") {
		t.Errorf("got %+v", err)
	}
}

func TestHandleTellsWhenNothingWasSent(t *testing.T) {
	refused := func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }
	half := func(r *http.Request) (*http.Response, error) {
		_, _ = r.Body.Read(make([]byte, 1))
		return nil, errors.New("connection reset")
	}
	for _, tt := range []struct {
		name string
		url  string
		rt   http.RoundTripper
		code int
	}{
		{"refused", "http://x/", tripper(refused), mcp.CodeUnavailable},
		{"reset", "http://x/", tripper(half), mcp.CodeCallLost},
		{"no URL", "", tripper(half), mcp.CodeUnavailable},
		{"another scheme", "ftp://x/", tripper(half), mcp.CodeUnavailable},
		{"a bad URL", "http://[/", tripper(half), mcp.CodeUnavailable},
		{"no transport", "http://x/", nil, mcp.CodeUnavailable},
	} {
		c := streamhttp.NewClient(streamhttp.ClientOptions{URL: tt.url, Transport: tt.rt})
		_, err := c.Handle(t.Context(), asked("x/y", `{}`))
		if got := wireCode(err); got != tt.code {
			t.Errorf("%s: %v has code %d, want %d", tt.name, err, got, tt.code)
		}
		ch := c.Open()
		call, err := ch.Start(t.Context(), mcp.Outgoing{Method: "initialize"})
		if err != nil {
			t.Fatal(err)
		}
		for range call.Messages() {
		}
		if got := wireCode(call.Err()); got != tt.code {
			t.Errorf("%s: channel: %v has code %d, want %d", tt.name, call.Err(), got, tt.code)
		}
		if err := ch.Close(); err != nil {
			t.Errorf("%s: Close: %v", tt.name, err)
		}
	}
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestEndOfContextClosesTheStream(t *testing.T) {
	for _, streaming := range []bool{true, false} {
		arrived, gone := make(chan struct{}), make(chan struct{})
		p := newRemote(t, func(w http.ResponseWriter, r *http.Request, _ jsonrpc.Message) {
			if streaming {
				events(w, ": hi\n\n")
			}
			close(arrived)
			<-r.Context().Done()
			close(gone)
		})
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() {
			_, err := p.client().Handle(ctx, asked("x/y", `{}`))
			failed <- err
		}()
		receive(t, "the request", arrived)
		cancel()
		if err := receive(t, "Handle to return", failed); !errors.Is(err, context.Canceled) {
			t.Errorf("streaming %t: got %v, want a cancellation", streaming, err)
		}
		receive(t, "the server to notice", gone)
	}
}

func TestHandleListens(t *testing.T) {
	p := newRemote(t, func(w http.ResponseWriter, _ *http.Request, msg jsonrpc.Message) {
		tag := fmt.Sprintf(`"_meta":{"io.modelcontextprotocol/subscriptionId":%s,"k":1}`, string(msg.ID))
		events(w, event(`{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":{},%s}}`, tag))
		events(w, event(`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"u",%s}}`, tag))
		events(w, event(`{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete",%s}}`, string(msg.ID), tag))
	})
	var got []string
	req := asked("subscriptions/listen", `{"notifications":{}}`)
	req.Notify = func(n mcp.Notification) { got = append(got, n.Method+string(n.Params.Raw())) }
	if _, err := p.client().Handle(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`notifications/subscriptions/acknowledged{"notifications":{},"_meta":{"k":1}}`,
		`notifications/resources/updated{"uri":"u","_meta":{"k":1}}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("notifications (-want +got):\n%s", diff)
	}
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	for name, answer := range map[string]remoteFunc{
		"JSON": func(w http.ResponseWriter, _ *http.Request, m jsonrpc.Message) { respondResult(w, m, `{}`) },
		"an error status": func(w http.ResponseWriter, _ *http.Request, _ jsonrpc.Message) {
			http.Error(w, "x", 400)
		},
		"events": func(w http.ResponseWriter, _ *http.Request, m jsonrpc.Message) {
			events(w, event(`{"jsonrpc":"2.0","id":%s,"result":{}}`, string(m.ID)))
		},
	} {
		p := newRemote(t, answer)
		c := p.client()
		for range 20 {
			_, _ = c.Handle(t.Context(), asked("x/y", `{}`))
		}
		if n := p.conns.Load(); n != 1 {
			t.Errorf("%s: %d connections for 20 calls, want 1", name, n)
		}
	}
}

// A server that keeps the stream open behind the response costs its client one
// short wait, not one for each call.
func TestStreamThatIsNotEndedIsClosed(t *testing.T) {
	p := newRemote(t, func(w http.ResponseWriter, r *http.Request, m jsonrpc.Message) {
		events(w, event(`{"jsonrpc":"2.0","id":%s,"result":{}}`, string(m.ID)))
		<-r.Context().Done()
	})
	c := p.client()
	for range 20 {
		if _, err := c.Handle(t.Context(), asked("x/y", `{}`)); err != nil {
			t.Fatal(err)
		}
	}
}
