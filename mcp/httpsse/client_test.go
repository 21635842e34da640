package httpsse_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/httpsse"
)

// script is a server that a test writes by hand.
func script(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

// events is a stream that sends text and then stays open.
func events(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		io.WriteString(w, text)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
}

func dial(t testing.TB, url string, o httpsse.DialOptions) (mcp.Conn, error) {
	t.Helper()
	o.RoundTripper = transport(t)
	c, err := httpsse.Dial(within(t, long), url, o)
	if err == nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

func TestDialTakesTheEndpoint(t *testing.T) {
	posted := make(chan string, 1)
	tests := map[string]struct{ path, stream, want string }{
		"of a path":                         {"/sse", "event: endpoint\ndata: /message?sessionId=1\n\n", "/message?sessionId=1"},
		"of a query alone":                  {"/a/sse", "event: endpoint\ndata: ?s=1\n\n", "/a/sse?s=1"},
		"relative to the stream":            {"/a/b/sse?token=x", "event: endpoint\ndata: ../message\n\n", "/a/message"},
		"whole, of the same origin":         {"/sse", "event: endpoint\ndata: http://HOST/m?x=%20#y\n\n", "/m?x=%20"},
		"after comments and unknown events": {"/sse", ": hi\n\nevent: grease\ndata: {}\n\nid: 7\nevent: endpoint\ndata: /m\nx-grease: 1\n\n", "/m"},
		"with CRLF and without the space":   {"/sse", "event:endpoint\r\ndata:/m\r\n\r\n", "/m"},
		"but not a second one":              {"/sse", "event: endpoint\ndata: /m\n\nevent: endpoint\ndata: /other\n\n", "/m"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			url := script(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					posted <- r.URL.RequestURI()
					w.WriteHeader(http.StatusAccepted)
					return
				}
				events(strings.ReplaceAll(test.stream, "HOST", r.Host)+"data: {}\n\n")(w, r)
			})
			c, err := dial(t, url+test.path, httpsse.DialOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := c.Read(within(t, long)); err != nil || string(got) != "{}" {
				t.Errorf("read: got %q, %v", got, err)
			}
			if err := c.Write(within(t, long), []byte("{}")); err != nil {
				t.Fatal(err)
			}
			if got := wait(t, posted, "post"); got != test.want {
				t.Errorf("posted to %q, want %q", got, test.want)
			}
		})
	}
}

func TestDialRefusesAnEndpoint(t *testing.T) {
	tests := map[string]struct{ stream, want string }{
		"of another host":          {"event: endpoint\ndata: http://evil.example/m\n\n", "own origin"},
		"of another host, briefly": {"event: endpoint\ndata: //evil.example/m\n\n", "own origin"},
		"of another port":          {"event: endpoint\ndata: http://127.0.0.1:1/m\n\n", "own origin"},
		"of another scheme":        {"event: endpoint\ndata: https://HOST/m\n\n", "own origin"},
		"that is no address":       {"event: endpoint\ndata: javascript:alert(1)\n\n", "own origin"},
		"with a user":              {"event: endpoint\ndata: http://u:p@HOST/m\n\n", "own origin"},
		"that cannot be read":      {"event: endpoint\ndata: http://[::1/m\n\n", "read the endpoint event"},
		"that is empty":            {"event: endpoint\ndata:\n\n", "has 0 bytes"},
		"that is very long":        {"event: endpoint\ndata: /" + strings.Repeat("x", 9000) + "\n\n", "has 9001 bytes"},
		"that comes too late":      {"data: {}\n\nevent: endpoint\ndata: /m\n\n", "before the endpoint"},
		"that does not end":        {"event: endpoint\ndata: " + strings.Repeat("x", 100000), "size bound"},
		"that does not come":       {": hello\n\n", "deadline exceeded"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			url := script(t, func(w http.ResponseWriter, r *http.Request) {
				events(strings.ReplaceAll(test.stream, "HOST", r.Host))(w, r)
			})
			o := httpsse.DialOptions{MaxMessageBytes: 50000, EndpointTimeout: long}
			if name == "that does not come" {
				o.EndpointTimeout = 300 * time.Millisecond
			}
			_, err := dial(t, url+"/sse", o)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want an error with %q", err, test.want)
			}
		})
	}
}

func TestDialTellsWhatTheServerAnswered(t *testing.T) {
	tests := map[string]struct {
		answer http.HandlerFunc
		want   httpsse.StatusError
	}{
		"nothing there":   {http.NotFound, httpsse.StatusError{Status: 404, ContentType: "text/plain; charset=utf-8"}},
		"no GET here":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(405) }, httpsse.StatusError{Status: 405}},
		"no credentials":  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }, httpsse.StatusError{Status: 401}},
		"a page":          {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }, httpsse.StatusError{Status: 200, ContentType: "text/html; charset=utf-8"}},
		"nothing to send": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, httpsse.StatusError{Status: 204}},
		"go elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/sse/")
			w.WriteHeader(307)
		}, httpsse.StatusError{Status: 307, Location: "/sse/"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := dial(t, script(t, test.answer)+"/sse", httpsse.DialOptions{})
			var got *httpsse.StatusError
			if !errors.As(err, &got) {
				t.Fatalf("got %v, want a StatusError", err)
			}
			if diff := cmp.Diff(test.want, *got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDialEndsWithItsContext(t *testing.T) {
	url := script(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := httpsse.Dial(ctx, url, httpsse.DialOptions{RoundTripper: transport(t)})
	if !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "http://") {
		t.Errorf("got %v, want a passed deadline, without the address", err)
	}
}

func TestDialNeedsARoundTripper(t *testing.T) {
	if _, err := httpsse.Dial(t.Context(), "http://127.0.0.1:1/", httpsse.DialOptions{}); err == nil || !strings.Contains(err.Error(), "RoundTripper") {
		t.Errorf("got %v, want an error that asks for a RoundTripper", err)
	}
}

const open = "event: endpoint\ndata: /m?session=SECRET\n\n"

func TestEveryRequestCarriesTheHeader(t *testing.T) {
	got := make(chan string, 2)
	url := script(t, func(w http.ResponseWriter, r *http.Request) {
		got <- r.Method + " " + r.Header.Get("Authorization") + " " + r.Header.Get("Content-Type")
		if r.Method == http.MethodGet {
			events(open)(w, r)
		}
	})
	header := http.Header{"Authorization": {"Bearer x"}}
	c, err := dial(t, url, httpsse.DialOptions{Header: header})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Write(within(t, long), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"GET Bearer x ", "POST Bearer x application/json"} {
		if got := wait(t, got, "request"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if len(header) != 1 {
		t.Errorf("the caller's header was changed: %v", header)
	}
}

func TestReadSkipsWhatIsNoMessage(t *testing.T) {
	url := script(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, open+": ping\n\nevent: ping\ndata: {\"no\":1}\n\ndata:\n\nid: 3\n\nevent: message\ndata: {\"a\":\ndata: 1}\n\ndata: {\"b\":2}\n\ndata: {\"cut\":")
	})
	c, err := dial(t, url, httpsse.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"{\"a\":\n1}", `{"b":2}`} {
		if got, err := c.Read(within(t, long)); err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	for range 2 {
		if _, err := c.Read(within(t, long)); !errors.Is(err, io.EOF) {
			t.Errorf("at the end: got %v, want EOF", err)
		}
	}
	if err := c.Write(within(t, long), []byte("{}")); !errors.Is(err, io.EOF) {
		t.Errorf("write after the end: got %v, want EOF", err)
	}
}

func TestAStreamThatBreaksIsNoOrderlyEnd(t *testing.T) {
	url := script(t, func(w http.ResponseWriter, r *http.Request) {
		conn, _, _ := http.NewResponseController(w).Hijack()
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(open), open)
		conn.Close()
	})
	c, err := dial(t, url, httpsse.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(within(t, long)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("got %v, want an error that is not EOF", err)
	}
}

func TestAMessageOfTheServerIsBounded(t *testing.T) {
	const bound = 4 << 20
	url := script(t, func(w http.ResponseWriter, r *http.Request) {
		events(open)(flushOnly{w}, doneRequest(r))
		fmt.Fprintf(w, "data: \"%s\"\n\ndata: ", strings.Repeat("x", bound-2))
		block := strings.Repeat("x", 1<<20)
		for range 1 << 10 { // a gigabyte
			if _, err := io.WriteString(w, block); err != nil {
				return
			}
		}
	})
	c, err := dial(t, url, httpsse.DialOptions{MaxMessageBytes: bound})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Read(within(t, long)); err != nil || len(got) != bound {
		t.Errorf("a message of the bound: got %d bytes, %v", len(got), err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err = c.Read(within(t, long)); err == nil || !strings.Contains(err.Error(), "bound") {
		t.Errorf("a message over the bound: got %v, want an error about it", err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 5*bound {
		t.Errorf("allocated %d bytes in all, want at most five times the bound of %d", took, bound)
	}
}

// flushOnly and doneRequest let events return at once.
type flushOnly struct{ http.ResponseWriter }

func (f flushOnly) Flush() { http.NewResponseController(f.ResponseWriter).Flush() }

func doneRequest(r *http.Request) *http.Request {
	ctx, cancel := context.WithCancel(r.Context())
	cancel()
	return r.WithContext(ctx)
}

func TestWriteTellsWhatTheServerAnswered(t *testing.T) {
	tests := map[string]struct {
		status int
		ok     bool
		lost   bool
	}{
		"accepted is fine":                   {202, true, false},
		"so is OK":                           {200, true, false},
		"the session is lost":                {404, false, true},
		"the session is gone":                {410, false, true},
		"a fault of the server is only that": {500, false, false},
		"a redirect is not followed":         {307, false, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			url := script(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					events(open)(w, r)
					return
				}
				w.Header().Set("Location", "http://evil.example/")
				w.WriteHeader(test.status)
				io.WriteString(w, strings.Repeat("x", 100000))
			})
			c, err := dial(t, url, httpsse.DialOptions{})
			if err != nil {
				t.Fatal(err)
			}
			err = c.Write(within(t, long), []byte("{}"))
			var status *httpsse.StatusError
			if test.ok != (err == nil) || !test.ok && (!errors.As(err, &status) || status.Status != test.status) {
				t.Errorf("got %v, want a StatusError unless it is fine", err)
			}
			if errors.Is(err, mcp.ErrSessionLost) != test.lost {
				t.Errorf("got %v, want a lost session: %t", err, test.lost)
			}
		})
	}
}

func TestAServerThatNeverAnswersAPostBlocksNobody(t *testing.T) {
	posts := make(chan struct{}, 9)
	url := script(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			posts <- struct{}{}
			io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return
		}
		events(open)(w, r)
	})
	c, err := dial(t, url, httpsse.DialOptions{WriteTimeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Write(context.Background(), []byte("{}")); !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("got %v, want a passed deadline, without the session", err)
	}
	wait(t, posts, "post")
	c, err = dial(t, url, httpsse.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 1)
	go func() { errs <- c.Write(context.Background(), []byte("{}")) }()
	wait(t, posts, "post")
	c.Close()
	if err := wait(t, errs, "write"); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("write when closed: got %v, want %v", err, io.ErrClosedPipe)
	}
}

func TestCloseUnblocksRead(t *testing.T) {
	c, err := dial(t, script(t, events(open)), httpsse.DialOptions{})
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 1)
	go func() {
		_, err := c.Read(context.Background())
		errs <- err
	}()
	for range 3 {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if err := wait(t, errs, "read"); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v, want %v", err, io.ErrClosedPipe)
	}
}

func TestTheEndOfAReadsContextClosesTheClient(t *testing.T) {
	for name, end := range map[string]func(cancel func()){
		"before":    func(cancel func()) { cancel() },
		"meanwhile": func(cancel func()) { go cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			g, _, client := pair(t, httpsse.ServerOptions{}, httpsse.DialOptions{})
			ctx, cancel := context.WithCancel(t.Context())
			end(cancel)
			if _, err := client.Read(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want canceled", err)
			}
			wait(t, g.ended, "end of the session")
		})
	}
}

func TestASessionWorksOverHTTP2(t *testing.T) {
	g := &gateway{conns: make(chan mcp.Conn, 1)}
	g.Server = httpsse.NewServer(func(ctx context.Context, c mcp.Conn) error {
		g.conns <- c
		<-ctx.Done()
		return nil
	}, httpsse.ServerOptions{WriteTimeout: 3 * time.Second, KeepAlive: 10 * time.Millisecond})
	protocols := make(chan int, 2)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocols <- r.ProtoMajor
		g.ServeHTTP(w, r)
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	t.Cleanup(func() { g.Close() })
	c, err := httpsse.Dial(within(t, long), srv.URL+"/sse", httpsse.DialOptions{RoundTripper: srv.Client().Transport})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	server := wait(t, g.conns, "session")
	big := `{"x":"` + strings.Repeat("y", 300<<10) + `"}`
	for way, ends := range map[string][2]mcp.Conn{"to the server": {c, server}, "to the client": {server, c}} {
		errs := make(chan error, 1)
		go func() { errs <- ends[0].Write(within(t, long), []byte(big)) }()
		if got, err := ends[1].Read(within(t, long)); err != nil || string(got) != big {
			t.Errorf("%s: got %d bytes, %v", way, len(got), err)
		}
		if err := wait(t, errs, "write"); err != nil {
			t.Errorf("%s: %v", way, err)
		}
	}
	if a, b := wait(t, protocols, "GET"), wait(t, protocols, "POST"); a != 2 || b != 2 {
		t.Errorf("protocols: got %d and %d, want HTTP/2", a, b)
	}
	for err == nil { // the client does not read any more
		err = server.Write(within(t, long), []byte(big[:16<<10]))
	}
	if !strings.Contains(err.Error(), "client does not read") {
		t.Errorf("write: got %v, want an error that says that the client does not read", err)
	}
}
