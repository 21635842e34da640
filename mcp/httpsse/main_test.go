package httpsse_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/httpsse"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const long = 4 * time.Minute

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// wait returns what ch yields, and fails when it takes longer than any test here should.
func wait[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(long):
		t.Fatalf("%s: nothing came in %s", what, long)
		panic("unreachable")
	}
}

// gateway is a server under test: what it was given to serve, and how that ended.
type gateway struct {
	*httpsse.Server
	url   string
	conns chan mcp.Conn
	ended chan error
}

// start serves streams by waiting until the session ends; a test uses the conn
// meanwhile. The header Test-Principal is who calls.
func start(t testing.TB, o httpsse.ServerOptions) *gateway {
	t.Helper()
	g := &gateway{conns: make(chan mcp.Conn, 64), ended: make(chan error, 64)}
	g.Server = httpsse.NewServer(func(ctx context.Context, c mcp.Conn) error {
		g.conns <- c
		<-ctx.Done()
		g.ended <- ctx.Err()
		return nil
	}, o)
	g.listen(t)
	return g
}

func (g *gateway) listen(t testing.TB) {
	mux := http.NewServeMux()
	mux.Handle("/sse", g.Server)
	mux.Handle("/sse/{server}", g.Server)
	mux.Handle("/in/{server}", http.StripPrefix("/in", g.Server))
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := mcp.Principal{ID: r.Header.Get("Test-Principal")}
		mux.ServeHTTP(w, r.WithContext(mcp.WithPrincipal(r.Context(), who)))
	}))
	g.url = srv.URL
	t.Cleanup(srv.Close)
	t.Cleanup(func() { g.Close() })
}

// transport leaves nothing behind.
func transport(t testing.TB) *http.Transport {
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// pair returns the two ends of a session, both ours.
func pair(t testing.TB, so httpsse.ServerOptions, do httpsse.DialOptions) (g *gateway, server, client mcp.Conn) {
	t.Helper()
	g = start(t, so)
	do.RoundTripper = transport(t)
	ctx, cancel := context.WithCancel(t.Context())
	client, err := httpsse.Dial(ctx, g.url+"/sse", do)
	cancel() // bounds the opening only
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return g, wait(t, g.conns, "session"), client
}

// stream opens a session by hand over a connection of its own, and returns it
// with the path and query to post to.
func stream(t testing.TB, g *gateway, principal string) (net.Conn, *bufio.Reader, string) {
	t.Helper()
	tcp, err := net.Dial("tcp", strings.TrimPrefix(g.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tcp.Close() })
	fmt.Fprintf(tcp, "GET /sse HTTP/1.1\r\nHost: x\r\nTest-Principal: %s\r\nAccept: text/event-stream\r\n\r\n", principal)
	in := bufio.NewReader(tcp)
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("open a stream: got %v, %v", resp, err)
	}
	events := bufio.NewReader(resp.Body)
	for {
		line, err := events.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if endpoint, ok := strings.CutPrefix(line, "data: "); ok {
			return tcp, events, strings.TrimSpace(endpoint)
		}
	}
}

// post sends a message by hand and returns the answer's status and text.
func post(t testing.TB, url string, header map[string]string, body io.Reader) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(within(t, long), http.MethodPost, url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := (&http.Client{Transport: transport(t)}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}
