package httpsse_test

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

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/httpsse"
)

func TestMessagesArriveAsTheyWereSent(t *testing.T) {
	_, server, client := pair(t, httpsse.ServerOptions{}, httpsse.DialOptions{})
	messages := map[string]string{
		"a small one":      `{"jsonrpc":"2.0","id":1,"method":"ping","x-grease":[1e400,"\u2028"]}`,
		"one over lines":   "{\n \"a\": 1,\n\n \"b\": 2 }",
		"a batch":          `[{"jsonrpc":"2.0","method":"a"}]`,
		"one of megabytes": `{"x":"` + strings.Repeat("é", 1<<20) + `"}`,
		"one of a few KiB": `{"x":"` + strings.Repeat("y", 9<<10) + `"}`,
	}
	for name, message := range messages {
		for way, ends := range map[string][2]mcp.Conn{"to the server": {client, server}, "to the client": {server, client}} {
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
	_, server, client := pair(t, httpsse.ServerOptions{}, httpsse.DialOptions{})
	const writers, each = 8, 40
	for way, ends := range map[string][2]mcp.Conn{"to the server": {client, server}, "to the client": {server, client}} {
		t.Run(way, func(t *testing.T) {
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					for i := range each {
						text := strings.Repeat(string(rune('a'+w)), 1+i*i*10)
						if err := ends[0].Write(within(t, long), fmt.Appendf(nil, "{%d:%s", w, text)); err != nil {
							t.Errorf("write: %v", err)
						}
					}
				})
			}
			for range writers * each {
				got, err := ends[1].Read(within(t, long))
				if err != nil {
					t.Fatal(err)
				}
				if rest := bytes.Trim(got[3:], string(rune('a'+got[1]-'0'))); len(rest) > 0 {
					t.Fatalf("a message holds %.40q of another", rest)
				}
			}
			wg.Wait()
		})
	}
}

func TestTheEndpointIsRightForThePathThatWasAsked(t *testing.T) {
	tests := map[string]struct {
		path, want string
		endpoint   func(*http.Request) string
	}{
		"the path itself":                   {path: "/sse", want: "/sse?sessionId="},
		"the path of a server":              {path: "/sse/files", want: "/sse/files?sessionId="},
		"the query is not repeated":         {path: "/sse/files?x=1", want: "/sse/files?sessionId="},
		"escapes stay":                      {path: "/sse/a%2Fb%20c", want: "/sse/a%2Fb%20c?sessionId="},
		"handlers that strip do not matter": {path: "/in/sse", want: "/in/sse?sessionId="},
		"no other host is named":            {path: "//evil.example/sse", want: "/evil.example/sse?sessionId="},
		"the option decides":                {path: "/sse/files", want: "/gw/messages/files?sessionId=", endpoint: func(r *http.Request) string { return "/gw/messages/" + r.PathValue("server") }},
		"the option may have a query":       {path: "/sse", want: "/m?tenant=a&sessionId=", endpoint: func(*http.Request) string { return "/m?tenant=a" }},
		"the option may be empty":           {path: "/sse", want: "?sessionId=", endpoint: func(*http.Request) string { return "" }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := httpsse.NewServer(func(context.Context, mcp.Conn) error { return nil }, httpsse.ServerOptions{Endpoint: test.endpoint})
			defer s.Close()
			r := httptest.NewRequest("GET", "http://gateway.example/", nil)
			r.RequestURI = test.path
			r.SetPathValue("server", "files")
			w := &recorder{ResponseRecorder: httptest.NewRecorder()}
			s.Stream(w, r)
			got := w.Body.String()
			if !strings.HasPrefix(got, "event: endpoint\ndata: "+test.want) {
				t.Errorf("stream: got %q, want the endpoint %s…", got, test.want)
			}
			if id := strings.TrimSpace(got[strings.Index(got, "sessionId=")+10:]); len(id) < 26 {
				t.Errorf("session id %q is easy to guess", id)
			}
			if kind := w.Header().Get("Content-Type"); kind != "text/event-stream" {
				t.Errorf("content type: got %q", kind)
			}
		})
	}
}

// recorder takes deadlines as a connection does.
type recorder struct{ *httptest.ResponseRecorder }

func (*recorder) SetWriteDeadline(time.Time) error { return nil }

func TestAResponseWithoutDeadlinesIsRefused(t *testing.T) {
	s := httpsse.NewServer(func(context.Context, mcp.Conn) error { return errors.New("must not be served") }, httpsse.ServerOptions{})
	defer s.Close()
	w := httptest.NewRecorder()
	s.Stream(w, httptest.NewRequest("GET", "/sse", nil))
	if w.Code != http.StatusInternalServerError {
		t.Errorf("got status %d, want 500", w.Code)
	}
}

func TestAPostIsRefused(t *testing.T) {
	g := start(t, httpsse.ServerOptions{MaxBodyBytes: 100})
	_, _, endpoint := stream(t, g, "ann")
	wait(t, g.conns, "session")
	tests := map[string]struct {
		url    string
		header map[string]string
		body   io.Reader
		want   int
	}{
		"for a session that does not exist":    {url: "/sse?sessionId=GUESSED", body: strings.NewReader("{}"), want: 404},
		"without a session":                    {url: "/sse", body: strings.NewReader("{}"), want: 404},
		"of another principal":                 {header: map[string]string{"Test-Principal": "bob"}, body: strings.NewReader("{}"), want: 404},
		"of nobody":                            {header: map[string]string{"Test-Principal": ""}, body: strings.NewReader("{}"), want: 404},
		"with another type":                    {header: map[string]string{"Content-Type": "text/plain"}, body: strings.NewReader("{}"), want: 415},
		"without a type":                       {header: map[string]string{"Content-Type": ""}, body: strings.NewReader("{}"), want: 415},
		"with another charset":                 {header: map[string]string{"Content-Type": "application/json; charset=utf-16"}, body: strings.NewReader("{}"), want: 415},
		"with a compressed body":               {header: map[string]string{"Content-Encoding": "gzip"}, body: strings.NewReader("{}"), want: 415},
		"with a body over the bound":           {body: strings.NewReader("{" + strings.Repeat(" ", 100)), want: 413},
		"with a body over the bound in chunks": {body: io.MultiReader(strings.NewReader("{" + strings.Repeat(" ", 100))), want: 413},
		"with an empty body":                   {body: strings.NewReader(""), want: 400},
		"with a body that is no message":       {body: strings.NewReader("hello"), want: 400},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			header := map[string]string{"Test-Principal": "ann"}
			for k, v := range test.header {
				header[k] = v
			}
			url := endpoint
			if test.url != "" {
				url = test.url
			}
			if got, text := post(t, g.url+url, header, test.body); got != test.want {
				t.Errorf("got %d %q, want %d", got, text, test.want)
			}
		})
	}
}

func TestOtherMethodsAreRefused(t *testing.T) {
	s := httpsse.NewServer(nil, httpsse.ServerOptions{})
	defer s.Close()
	tests := map[string]struct {
		serve  http.HandlerFunc
		method string
		allow  string
	}{
		"PUT by both":            {s.ServeHTTP, "PUT", "GET, POST"},
		"DELETE by both":         {s.ServeHTTP, "DELETE", "GET, POST"},
		"HEAD by the stream":     {s.Stream, "HEAD", "GET"},
		"GET by the message end": {s.Message, "GET", "POST"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			test.serve(w, httptest.NewRequest(test.method, "/sse", nil))
			if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != test.allow {
				t.Errorf("got %d, Allow %q, want 405, %q", w.Code, w.Header().Get("Allow"), test.allow)
			}
		})
	}
}

func TestAPostOfTheRightPrincipalIsAcceptedWhenItWasRead(t *testing.T) {
	g := start(t, httpsse.ServerOptions{})
	_, _, endpoint := stream(t, g, "ann")
	c := wait(t, g.conns, "session")
	read := make(chan string, 1)
	go func() {
		message, err := c.Read(context.Background())
		read <- fmt.Sprintf("%s %v", message, err)
	}()
	header := map[string]string{"Test-Principal": "ann", "Content-Type": "application/json; charset=UTF-8"}
	if got, text := post(t, g.url+endpoint, header, strings.NewReader(` {"a":1}`)); got != http.StatusAccepted {
		t.Errorf("got %d %q, want 202", got, text)
	}
	if got := wait(t, read, "message"); got != ` {"a":1} <nil>` {
		t.Errorf("read %q", got)
	}
}

func TestAMessageThatNobodyReadsIsSentBack(t *testing.T) {
	g := start(t, httpsse.ServerOptions{QueueTimeout: 100 * time.Millisecond, MaxPosts: 1})
	_, _, endpoint := stream(t, g, "")
	wait(t, g.conns, "session")
	statuses := make(chan int, 4)
	for range 4 {
		go func() {
			status, _ := post(t, g.url+endpoint, nil, strings.NewReader("{}"))
			statuses <- status
		}()
	}
	for range 4 {
		if got := wait(t, statuses, "post"); got != http.StatusServiceUnavailable {
			t.Errorf("got %d, want 503", got)
		}
	}
}

func TestTheNumberOfSessionsIsBounded(t *testing.T) {
	g := start(t, httpsse.ServerOptions{MaxSessions: 2})
	first, _, _ := stream(t, g, "")
	stream(t, g, "")
	_, err := httpsse.Dial(within(t, long), g.url+"/sse", httpsse.DialOptions{RoundTripper: transport(t)})
	var status *httpsse.StatusError
	if !errors.As(err, &status) || status.Status != http.StatusServiceUnavailable {
		t.Fatalf("third session: got %v, want 503", err)
	}
	first.Close()
	wait(t, g.ended, "end of the first session")
	var c mcp.Conn
	for deadline := time.Now().Add(long); c == nil && time.Now().Before(deadline); {
		c, err = httpsse.Dial(within(t, long), g.url+"/sse", httpsse.DialOptions{RoundTripper: transport(t)})
	}
	if err != nil {
		t.Fatalf("session after one has ended: %v", err)
	}
	c.Close()
}

func TestASessionEndsWithItsClient(t *testing.T) {
	g := start(t, httpsse.ServerOptions{})
	tcp, _, endpoint := stream(t, g, "")
	c := wait(t, g.conns, "session")
	errs := make(chan error, 1)
	go func() {
		_, err := c.Read(context.Background())
		errs <- err
	}()
	tcp.Close()
	if err := wait(t, errs, "read"); !errors.Is(err, io.EOF) {
		t.Errorf("read: got %v, want EOF", err)
	}
	wait(t, g.ended, "end of the session")
	if err := c.Write(t.Context(), []byte("{}")); !errors.Is(err, io.EOF) {
		t.Errorf("write: got %v, want EOF", err)
	}
	if got, _ := post(t, g.url+endpoint, nil, strings.NewReader("{}")); got != http.StatusNotFound {
		t.Errorf("post to an ended session: got %d, want 404", got)
	}
}

func TestAClientSeesAnOrderlyEnd(t *testing.T) {
	for name, end := range map[string]func(*gateway, mcp.Conn){
		"when the session is closed": func(_ *gateway, c mcp.Conn) { c.Close() },
		"when the server is closed":  func(g *gateway, _ mcp.Conn) { g.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			g, server, client := pair(t, httpsse.ServerOptions{}, httpsse.DialOptions{})
			end(g, server)
			if _, err := client.Read(within(t, long)); !errors.Is(err, io.EOF) {
				t.Errorf("client: got %v, want EOF", err)
			}
			if _, err := server.Read(t.Context()); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("server: got %v, want %v", err, io.ErrClosedPipe)
			}
		})
	}
}

func TestAClosedServerOpensNoSession(t *testing.T) {
	g := start(t, httpsse.ServerOptions{})
	g.Close()
	_, err := httpsse.Dial(within(t, long), g.url+"/sse", httpsse.DialOptions{RoundTripper: transport(t)})
	var status *httpsse.StatusError
	if !errors.As(err, &status) || status.Status != http.StatusServiceUnavailable {
		t.Errorf("got %v, want 503", err)
	}
}

func TestAQuietStreamIsKeptAlive(t *testing.T) {
	g := start(t, httpsse.ServerOptions{KeepAlive: 10 * time.Millisecond})
	_, events, _ := stream(t, g, "")
	for comments := 0; comments < 3; {
		line, err := events.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, ":") {
			comments++
		}
	}
}

func TestAClientThatDoesNotReadIsCutOff(t *testing.T) {
	g := start(t, httpsse.ServerOptions{WriteTimeout: 200 * time.Millisecond})
	stream(t, g, "")
	c := wait(t, g.conns, "session")
	errs := make(chan error, 5)
	go func() {
		_, err := c.Read(context.Background())
		errs <- err
	}()
	for range 4 {
		go func() {
			for {
				if err := c.Write(context.Background(), bytes.Repeat([]byte("x"), 60<<10)); err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	for range 5 {
		if err := wait(t, errs, "writes and read"); !strings.Contains(err.Error(), "client does not read") {
			t.Errorf("got %v, want an error that says that the client does not read", err)
		}
	}
	wait(t, g.ended, "end of the session")
}

func TestCloseInterruptsAWriteThatIsStuck(t *testing.T) {
	g := start(t, httpsse.ServerOptions{WriteTimeout: time.Hour})
	stream(t, g, "")
	c := wait(t, g.conns, "session")
	stuck := make(chan error, 1)
	go func() {
		for {
			if err := c.Write(context.Background(), bytes.Repeat([]byte("x"), 4<<20)); err != nil {
				stuck <- err
				return
			}
		}
	}()
	var err error
	for err == nil { // until the connection takes no more
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		err = c.Write(ctx, []byte("{}"))
		cancel()
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("write behind a stuck one: got %v, want a passed deadline", err)
	}
	g.Close()
	if err := wait(t, stuck, "stuck write"); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("stuck write: got %v, want %v", err, io.ErrClosedPipe)
	}
}

func TestABodyThatTricklesIsGivenUp(t *testing.T) {
	g := start(t, httpsse.ServerOptions{BodyTimeout: 100 * time.Millisecond})
	_, _, endpoint := stream(t, g, "")
	wait(t, g.conns, "session")
	slow, trickle := io.Pipe()
	defer trickle.Close()
	go trickle.Write([]byte("{"))
	if got, _ := post(t, g.url+endpoint, nil, slow); got != http.StatusRequestTimeout {
		t.Errorf("got %d, want 408", got)
	}
}

func TestTheEndOfAReadsContextLeavesTheSessionAlone(t *testing.T) {
	_, server, client := pair(t, httpsse.ServerOptions{}, httpsse.DialOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	go cancel()
	if _, err := server.Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
	go client.Write(within(t, long), []byte("{}"))
	if got, err := server.Read(within(t, long)); err != nil || string(got) != "{}" {
		t.Errorf("got %q, %v, want the message", got, err)
	}
}
