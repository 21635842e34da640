package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/dragoman-mcp/dragoman/internal/app"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

const (
	ann = "ann-0123456789abcdef"
	bob = "bob-0123456789abcdef"
)

// client makes requests of one principal.
type client struct {
	http *http.Client
	url  string
}

func (c client) do(ctx context.Context, token, method, path, body string, header ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return c.http.Do(req)
}

const listenCall = `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},` +
	`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`

// ways are those to hold a stream open. They return what is said first: an event, or why there is none.
func (c client) ways() map[string]func(ctx context.Context, token string) (string, io.Closer, error) {
	opened := func(res *http.Response, err error) (string, io.Closer, error) {
		if err != nil {
			return "", nil, err
		}
		first := make([]byte, 64<<10)
		n, err := res.Body.Read(first)
		return string(first[:n]), res.Body, err
	}
	return map[string]func(ctx context.Context, token string) (string, io.Closer, error){
		"HTTP+SSE": func(ctx context.Context, token string) (string, io.Closer, error) {
			return opened(c.do(ctx, token, "GET", "/sse", ""))
		},
		"a subscription": func(ctx context.Context, token string) (string, io.Closer, error) {
			return opened(c.do(ctx, token, "POST", "/mcp", listenCall, "Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "subscriptions/listen"))
		},
		"the stream of a session": func(ctx context.Context, token string) (string, io.Closer, error) {
			res, err := c.do(ctx, token, "POST", "/mcp", strings.Replace(initialize, "2025-06-18", "2025-11-25", 1)) // whose streams say something at once
			if err != nil {
				return "", nil, err
			}
			_ = res.Body.Close()
			return opened(c.do(ctx, token, "GET", "/mcp", "", "Mcp-Session-Id", res.Header.Get("Mcp-Session-Id")))
		},
		"a WebSocket": func(ctx context.Context, token string) (string, io.Closer, error) {
			conn, res, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(c.url, "http")+"/mcp", &websocket.DialOptions{
				HTTPClient: c.http, Subprotocols: []string{"mcp"}, HTTPHeader: http.Header{"Authorization": {"Bearer " + token}}})
			if err != nil && res != nil {
				return opened(res, nil)
			}
			if err != nil {
				return "", nil, err
			}
			return "open", closing(conn.CloseNow), nil
		},
	}
}

type closing func() error

func (c closing) Close() error { return c() }

func TestAPrincipalHoldsNoMoreStreamsThanItMay(t *testing.T) {
	const refusal = "streams of this caller are open"
	for _, way := range []string{"HTTP+SSE", "a subscription", "the stream of a session", "a WebSocket"} {
		t.Run(way, func(t *testing.T) {
			_, _, url := run(t, fmt.Sprintf("listen: 127.0.0.1:0\nlimits: {streams_per_principal: 2}\n"+
				"auth: {tokens: [{name: ann, token: %s}, {name: bob, token: %s}]}\nservers: {time: {builtin: time}}\n", ann, bob))
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			open := client{http: &http.Client{Transport: transport}, url: url}.ways()[way]
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
			defer cancel()
			held := func(token string) (io.Closer, string) {
				t.Helper()
				said, stream, err := open(ctx, token)
				if err != nil && said == "" {
					t.Fatal(err)
				}
				return stream, said
			}
			var streams []io.Closer
			for _, token := range []string{ann, ann, bob} {
				stream, said := held(token)
				if strings.Contains(said, refusal) {
					t.Fatalf("one that may be open was refused: %s", said)
				}
				streams = append(streams, stream)
			}
			stream, said := held(ann)
			if stream.Close(); !strings.Contains(said, refusal) {
				t.Errorf("one too many: got %q, want it refused", said)
			}
			for _, stream := range streams {
				stream.Close()
			}
			tick := time.NewTicker(10 * time.Millisecond) // the gateway learns of it later
			defer tick.Stop()
			for said = refusal; strings.Contains(said, refusal); {
				<-tick.C
				stream, said = held(ann)
				stream.Close()
			}
		})
	}
}

func TestTheGatewayHasNoMoreCallsUnderWayThanItMay(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	slow := mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
		if req.Method != "tools/call" {
			return mcp.Result{}, mcp.MethodNotFound(req.Method)
		}
		begun <- struct{}{}
		<-end
		return mcp.Result{Object: jsonrpc.Written([]byte(`{"content":[]}`), nil)}, nil
	})
	a, err := app.Open(parse(t, "listen: 127.0.0.1:0\nlimits: {in_flight: 1}\nservers: {slow: {builtin: time}}\n"), app.Options{
		Version: "test", Builtin: func(string, json.RawMessage) (mcp.Handler, error) { return slow, nil }})
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + serve(t, a).Addr().String()
	call := func() (int, string) {
		return post(t, url+"/mcp/slow", strings.ReplaceAll(fmt.Sprintf(nowCall, `,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`), "time__now", "now"),
			"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "now")
	}
	answered := make(chan string, 1)
	go func() {
		_, got := call()
		answered <- got
	}()
	<-begun
	if status, got := call(); status != http.StatusTooManyRequests || !strings.Contains(got, "limits.in_flight") {
		t.Errorf("a second call: got HTTP %d %s, want it refused", status, got)
	}
	close(end)
	if got := <-answered; !strings.Contains(got, `"content"`) {
		t.Errorf("the first call: got %s", got)
	}
}
