package streamhttp_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/streamhttp"
)

// The table of security.md T04.
func TestContentTypeMustBeJSON(t *testing.T) {
	e := serve(t, echo, newSessions(), streamhttp.ServerOptions{})
	tests := []struct {
		header string
		status int
	}{
		{"Content-Type: application/json", 200},
		{"Content-Type: application/json;charset=utf-8", 200},
		{"Content-Type: APPLICATION/JSON ; charset=\"utf-8\"", 200},
		{"Content-Type", 415},
		{"Content-Type: text/plain", 415},
		{"Content-Type: application/x-www-form-urlencoded", 415},
		{"Content-Type: multipart/form-data; boundary=x", 415},
		{"Content-Type: application/json, text/plain", 415},
		{"Content-Type: application/jsonp", 415},
		{"Content-Type: text/json", 415},
		{"+Content-Type: application/json", 415},
		{"Content-Encoding: gzip", 415},
		{"Content-Encoding: identity", 200},
	}
	for _, tt := range tests {
		if a := e.post(modern("1", "x/y", ""), append(mirrored("x/y", ""), tt.header)...); a.status != tt.status {
			t.Errorf("%s: got %d %s, want %d", tt.header, a.status, a.body, tt.status)
		}
	}
}

func TestAcceptDecidesTheFormOfTheAnswer(t *testing.T) {
	noisy := mcp.HandlerFunc(func(_ context.Context, req *mcp.Request) (mcp.Result, error) {
		if req.Method == "x/noisy" {
			req.Emit(mcp.Notification{Method: "notifications/message"})
		}
		return mcp.EmptyResult(), nil
	})
	e := serve(t, noisy, nil, streamhttp.ServerOptions{})
	tests := []struct {
		accept, method string
		status         int
		media          string
	}{
		{"application/json, text/event-stream", "x/quiet", 200, "application/json"},
		{"application/json, text/event-stream", "x/noisy", 200, "text/event-stream"},
		{"text/event-stream;q=0.5,application/json;q=0.9", "x/noisy", 200, "text/event-stream"},
		{"*/*", "x/noisy", 200, "text/event-stream"},
		{"", "x/noisy", 200, "text/event-stream"},
		{"APPLICATION/JSON", "x/noisy", 200, "application/json"},
		{"application/*;q=1.0", "x/noisy", 200, "application/json"},
		{"application/json, text/event-stream;q=0", "x/noisy", 200, "application/json"},
		{"text/event-stream", "x/quiet", 200, "text/event-stream"},
		{"text/html", "x/quiet", 406, "application/json"},
		{"application/json", "subscriptions/listen", 406, "application/json"},
	}
	for _, tt := range tests {
		t.Run(tt.accept+" for "+tt.method, func(t *testing.T) {
			header := "Accept: " + tt.accept
			if tt.accept == "" {
				header = "Accept"
			}
			a := e.post(modern("1", tt.method, ""), append(mirrored(tt.method, ""), header)...)
			if a.status != tt.status || a.header.Get("Content-Type") != tt.media {
				t.Errorf("got %d %s, want %d %s", a.status, a.header.Get("Content-Type"), tt.status, tt.media)
			}
			if tt.status == 200 && !strings.Contains(a.body, `"result":{"resultType":"complete"}`) {
				t.Errorf("answer %s lacks the result", a.body)
			}
		})
	}
}

func TestBodyIsBounded(t *testing.T) {
	e := serve(t, echo, newSessions(), streamhttp.ServerOptions{MaxBodyBytes: 100 << 10})
	pad := func(n int) string { return modern("1", "x/y", `"p":"`+strings.Repeat("x", n)+`"`) }
	tests := []struct {
		name    string
		size    int
		chunked bool
		status  int
	}{
		{"small", 10, false, 200},
		{"beyond what is set aside at first", 90 << 10, false, 200},
		{"too large", 100 << 10, false, 413},
		{"small in chunks", 10, true, 200},
		{"large in chunks", 90 << 10, true, 200},
		{"too large in chunks", 100 << 10, true, 413},
		{"much too large in chunks", 10 << 20, true, 413},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, _ := http.NewRequestWithContext(t.Context(), "POST", e.url, strings.NewReader(pad(tt.size)))
			if tt.chunked {
				req, _ = http.NewRequestWithContext(t.Context(), "POST", e.url, io.MultiReader(strings.NewReader(pad(tt.size))))
			}
			req.Header = http.Header{"Content-Type": {"application/json"}, "Mcp-Protocol-Version": {"2026-07-28"}, "Mcp-Method": {"x/y"}}
			resp, err := e.http.Do(req)
			if err != nil {
				if tt.status == 413 {
					return // the server has closed the connection while we were still sending
				}
				t.Fatal(err)
			}
			if a := e.read(resp); a.status != tt.status {
				t.Errorf("got %d %.200s, want %d", a.status, a.body, tt.status)
			}
		})
	}
}

func TestBodyThatDoesNotArriveIsGivenUp(t *testing.T) {
	e := serve(t, echo, newSessions(), streamhttp.ServerOptions{BodyTimeout: 20 * time.Millisecond})
	conn := e.dial()
	fmt.Fprint(conn, "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{")
	if got := readStatus(t, conn); got != http.StatusRequestTimeout {
		t.Errorf("status = %d, want 408", got)
	}
	conn = e.dial()
	fmt.Fprint(conn, "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 4000000\r\n\r\n{")
	if got := readStatus(t, conn); got != http.StatusRequestTimeout {
		t.Errorf("status = %d, want 408", got)
	}
}

func TestDepthAndBatchesAreBounded(t *testing.T) {
	s := newSessions()
	e := serve(t, echo, s, streamhttp.ServerOptions{Limits: jsonrpc.Limits{MaxDepth: 8, MaxBatch: 2}})
	deep := strings.Repeat("[", 20) + strings.Repeat("]", 20)
	if a := e.post(modern("1", "x/y", `"p":`+deep), mirrored("x/y", "")...); a.status != 400 {
		t.Errorf("deep body: got %d %s, want 400", a.status, a.body)
	}
	_, head := e.open(s, mcp.Revision20250326)
	ping := `{"jsonrpc":"2.0","id":%d,"method":"ping"}`
	three := "[" + fmt.Sprintf(ping, 1) + "," + fmt.Sprintf(ping, 2) + "," + fmt.Sprintf(ping, 3) + "]"
	if a := e.post(three, head...); a.status != 400 || a.code() != -32600 {
		t.Errorf("long batch: got %d %s, want 400 and -32600", a.status, a.body)
	}
}

// A client that does not read is cut when the buffers between are full.
func TestSlowReaderIsCut(t *testing.T) {
	big := jsonrpc.Object{}.With(jsonrpc.Edit{Name: "data", Value: jsonrpc.AppendString(nil, strings.Repeat("x", 1<<20))})
	t.Run("of a modern stream", func(t *testing.T) {
		ended := make(chan struct{})
		h := mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
			defer close(ended)
			for ctx.Err() == nil {
				req.Emit(mcp.Notification{Method: "notifications/message", Params: big})
			}
			return mcp.Result{}, ctx.Err()
		})
		e := serve(t, h, nil, streamhttp.ServerOptions{WriteTimeout: 50 * time.Millisecond})
		conn := e.dial()
		body := modern("1", "x/y", "")
		fmt.Fprintf(conn, "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: x/y\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		receive(t, "the end of the call", ended)
	})
	t.Run("of a JSON answer", func(t *testing.T) {
		returned := make(chan struct{})
		h := mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) {
			return mcp.RawResult([]byte(`{"data":"` + strings.Repeat("x", 64<<20) + `"}`)), nil
		})
		srv := streamhttp.NewServer(h, nil, streamhttp.ServerOptions{WriteTimeout: 50 * time.Millisecond})
		e := serveHTTP(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(returned)
			srv.ServeHTTP(w, r)
		}))
		conn := e.dial()
		body := modern("1", "x/y", "")
		fmt.Fprintf(conn, "POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: x/y\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		receive(t, "the end of the answer", returned)
	})
	t.Run("of a session's stream", func(t *testing.T) {
		s := newSessions()
		e := serve(t, echo, s, streamhttp.ServerOptions{WriteTimeout: 50 * time.Millisecond, ReplayEvents: -1})
		one, head := e.open(s, mcp.Revision20251125)
		conn := e.dial()
		fmt.Fprintf(conn, "GET /mcp HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n%s\r\n\r\n", strings.Join(head, "\r\n"))
		out := receive(t, "the stream", one.attached)
		var err error
		until(t, "an error of Send", func() bool {
			err = out.Send(t.Context(), jsonrpc.Message{Method: "notifications/message", Params: big})
			return err != nil
		})
		receive(t, "the stream to be detached", one.detached)
	})
}
