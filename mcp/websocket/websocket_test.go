package websocket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	coder "github.com/coder/websocket"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/websocket"
)

func TestMessagesArriveAsTheyWereSent(t *testing.T) {
	server, dialer := pair(t, websocket.Options{}, websocket.Options{})
	messages := map[string]string{
		"a small one":                `{"jsonrpc":"2.0","id":1,"method":"ping"}`,
		"one with white space":       "{\n\t\"a\": [1e400, \"\\u2028\"],\r\n \"x-grease\": null }\n",
		"an empty one":               "",
		"one of many frames":         `{"x":"` + strings.Repeat("é", 3<<20) + `"}`,
		"one of just a frame":        `{"x":"` + strings.Repeat("y", 1<<20-8) + `"}`,
		"one that is one byte more":  `{"x":"` + strings.Repeat("y", 1<<20-7) + `"}`,
		"one around the buffer size": `{"x":"` + strings.Repeat("y", 1024-8) + `"}`,
	}
	for name, message := range messages {
		for way, ends := range map[string][2]mcp.Conn{"to the server": {dialer, server}, "to the client": {server, dialer}} {
			t.Run(name+" "+way, func(t *testing.T) {
				errs := make(chan error, 1)
				go func() { errs <- ends[0].Write(within(t, long), []byte(message)) }()
				got, err := ends[1].Read(within(t, long))
				if err != nil || string(got) != message {
					t.Errorf("got %d bytes, %v, want %d", len(got), err, len(message))
				}
				if err := wait(t, errs, "write"); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestConcurrentWritesDoNotMix(t *testing.T) {
	server, dialer := pair(t, websocket.Options{}, websocket.Options{})
	const writers, each = 8, 40
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				size := 10
				if i == 20 {
					size = 1<<20 + 100
				}
				message := fmt.Appendf(nil, "%d:%s", w, strings.Repeat(string(rune('a'+w)), size))
				if err := dialer.Write(within(t, long), message); err != nil {
					t.Errorf("write: %v", err)
				}
			}
		})
	}
	for range writers * each {
		got, err := server.Read(within(t, long))
		if err != nil {
			t.Fatal(err)
		}
		w := got[0] - '0'
		if body := bytes.Trim(got[2:], string(rune('a'+w))); len(body) > 0 {
			t.Fatalf("message of writer %d holds %.40q", w, body)
		}
	}
	wg.Wait()
}

func TestUpgradeNegotiatesTheSubprotocol(t *testing.T) {
	url, accepted := serve(t, websocket.Options{})
	tests := map[string]struct {
		offer []string
		want  string
	}{
		"mcp is taken":               {[]string{"mcp"}, "mcp"},
		"mcp is taken among others":  {[]string{"graphql-ws", "mcp"}, "mcp"},
		"a client may offer nothing": {nil, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			ws := foreign(t, url, &coder.DialOptions{Subprotocols: test.offer, CompressionMode: coder.CompressionContextTakeover})
			if got := ws.Subprotocol(); got != test.want {
				t.Errorf("offered %q: got %q, want %q", test.offer, got, test.want)
			}
			c := wait(t, accepted, "accept")
			if err := ws.Write(within(t, long), coder.MessageText, []byte(strings.Repeat("{", 5000))); err != nil {
				t.Fatal(err)
			}
			if got, err := c.Read(within(t, long)); err != nil || len(got) != 5000 {
				t.Errorf("got %d bytes, %v, want 5000", len(got), err)
			}
		})
	}
}

func TestUpgradeRefuses(t *testing.T) {
	strict, _ := serve(t, websocket.Options{})
	chosen, _ := serve(t, websocket.Options{CheckOrigin: func(r *http.Request) bool { return r.Header.Get("Origin") == "https://good.example" }})
	upgrade := map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
	tests := map[string]struct {
		url    string
		change map[string]string
		want   int
	}{
		"a foreign origin":                     {strict, map[string]string{"Origin": "https://evil.example"}, http.StatusForbidden},
		"the null origin":                      {strict, map[string]string{"Origin": "null"}, http.StatusForbidden},
		"an origin that the option refuses":    {chosen, map[string]string{"Origin": "https://evil.example"}, http.StatusForbidden},
		"a plain request":                      {strict, map[string]string{"Upgrade": "", "Connection": ""}, http.StatusUpgradeRequired},
		"another version of the protocol":      {strict, map[string]string{"Sec-WebSocket-Version": "8"}, http.StatusBadRequest},
		"not: an origin that the option takes": {chosen, map[string]string{"Origin": "https://good.example"}, http.StatusSwitchingProtocols},
		"not: its own origin":                  {strict, map[string]string{"Origin": strings.TrimSuffix(strict, "/mcp")}, http.StatusSwitchingProtocols},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			req, _ := http.NewRequestWithContext(within(t, long), "GET", test.url, nil)
			for _, headers := range []map[string]string{upgrade, test.change} {
				for k, v := range headers {
					req.Header.Set(k, v)
				}
			}
			resp, err := client(t).Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != test.want {
				t.Errorf("got status %d, want %d", resp.StatusCode, test.want)
			}
		})
	}
}

func TestIsUpgrade(t *testing.T) {
	for value, want := range map[string]bool{"websocket": true, "h2c, WebSocket": true, "": false, "h2c": false, "websockets": false} {
		r := &http.Request{Header: http.Header{"Upgrade": {value}}}
		if got := websocket.IsUpgrade(r); got != want {
			t.Errorf("Upgrade: %q: got %t, want %t", value, got, want)
		}
	}
}

func TestCloseIsOrderly(t *testing.T) {
	for name, first := range map[string]int{"by the server": 0, "by the client": 1} {
		t.Run(name, func(t *testing.T) {
			server, dialer := pair(t, websocket.Options{}, websocket.Options{})
			ends := []mcp.Conn{server, dialer}
			closer, other := ends[first], ends[1-first]
			errs := make(chan error, 2)
			for _, c := range ends {
				go func() {
					_, err := c.Read(context.Background())
					errs <- err
				}()
			}
			began := time.Now()
			for range 3 {
				if err := closer.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}
			got := []error{wait(t, errs, "read"), wait(t, errs, "read")}
			if !errors.Is(errors.Join(got...), io.EOF) || !errors.Is(errors.Join(got...), io.ErrClosedPipe) {
				t.Errorf("reads: got %v, want EOF at the other end and %v here", got, io.ErrClosedPipe)
			}
			if took := time.Since(began); took > time.Minute {
				t.Errorf("took %s, want a handshake that needs no timeout", took)
			}
			if err := closer.Write(t.Context(), []byte("{}")); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("write after close: got %v, want %v", err, io.ErrClosedPipe)
			}
			if err := other.Write(t.Context(), []byte("{}")); err == nil {
				t.Error("write to a closed peer: got no error")
			}
		})
	}
}

// watched is a context that ends as soon as somebody waits for its end. One that has ended before a Read begins closes
// nothing.
type watched struct {
	context.Context
	cancel func()
}

func (w watched) Done() <-chan struct{} {
	w.cancel()
	return w.Context.Done()
}

func TestTheEndOfAReadsContextClosesProperly(t *testing.T) {
	server, dialer := pair(t, websocket.Options{}, websocket.Options{})
	errs := make(chan error, 1)
	go func() {
		_, err := dialer.Read(context.Background())
		errs <- err
	}()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if _, err := server.Read(watched{ctx, cancel}); !errors.Is(err, context.Canceled) {
		t.Errorf("read: got %v, want canceled", err)
	}
	if err := wait(t, errs, "read of the peer"); !errors.Is(err, io.EOF) {
		t.Errorf("the peer: got %v, want EOF after a closing handshake", err)
	}
}

func TestDialTellsTheStatus(t *testing.T) {
	url, _ := serve(t, websocket.Options{CheckOrigin: func(*http.Request) bool { return false }})
	_, err := websocket.Dial(within(t, long), url, websocket.Options{HTTPClient: client(t)})
	var status *websocket.StatusError
	if !errors.As(err, &status) || status.Status != http.StatusForbidden {
		t.Errorf("got %v, want a StatusError with 403", err)
	}
}

func TestDialNeedsATransport(t *testing.T) {
	for _, c := range []*http.Client{nil, {}} {
		if _, err := websocket.Dial(t.Context(), "ws://127.0.0.1:1/", websocket.Options{HTTPClient: c}); err == nil || !strings.Contains(err.Error(), "must have a Transport") {
			t.Errorf("client %v: got %v, want an error that asks for a Transport", c, err)
		}
	}
}

func TestDialSendsItsHeaderAndFollowsNoRedirect(t *testing.T) {
	requests := make(chan *http.Request, 4)
	url := plain(t, func(w http.ResponseWriter, r *http.Request) {
		requests <- r
		http.Redirect(w, r, "http://127.0.0.1:1/elsewhere", http.StatusTemporaryRedirect)
	})
	header := http.Header{"Authorization": {"Bearer x"}}
	_, err := websocket.Dial(within(t, long), url, websocket.Options{HTTPClient: client(t), Header: header})
	var status *websocket.StatusError
	if !errors.As(err, &status) || status.Status != http.StatusTemporaryRedirect {
		t.Errorf("got %v, want a StatusError with 307", err)
	}
	r := wait(t, requests, "request")
	if r.Header.Get("Authorization") != "Bearer x" || r.Header.Get("Sec-WebSocket-Protocol") != "mcp" {
		t.Errorf("request header: got %v, want the given one and the subprotocol", r.Header)
	}
	if len(header) != 1 {
		t.Errorf("the caller's header was changed: %v", header)
	}
}

func TestDialWorksWhereHTTP2IsSpoken(t *testing.T) {
	conns := make(chan mcp.Conn, 1)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := websocket.Upgrade(w, r, websocket.Options{}); err == nil {
			conns <- c
		}
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	for _, scheme := range []string{"https", "wss"} {
		c, err := websocket.Dial(within(t, long), scheme+strings.TrimPrefix(srv.URL, "https"), websocket.Options{HTTPClient: srv.Client()})
		if err != nil {
			t.Fatalf("%s: %v", scheme, err)
		}
		server := wait(t, conns, "accept")
		go server.Write(within(t, long), []byte("{}"))
		if got, err := c.Read(within(t, long)); err != nil || string(got) != "{}" {
			t.Errorf("%s: got %q, %v", scheme, got, err)
		}
		go server.Read(within(t, long))
		c.Close()
		server.Close()
	}
}
