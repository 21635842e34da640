package streamhttp_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/sse"
	"github.com/dragoman-mcp/dragoman/mcp/streamhttp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait of these tests.
const patience = 4 * time.Minute

// until waits for a condition that no channel tells.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

// receive takes a value from a channel.
func receive[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for: %s", what)
		panic("not reached")
	}
}

// endpoint is a Server on a socket.
type endpoint struct {
	t    *testing.T
	url  string
	http *http.Client
	srv  *streamhttp.Server
	ts   *httptest.Server
}

func serve(t *testing.T, h mcp.Handler, sessions mcp.Sessions, o streamhttp.ServerOptions) *endpoint {
	t.Helper()
	srv := streamhttp.NewServer(h, sessions, o)
	e := serveHTTP(t, srv)
	e.srv = srv
	t.Cleanup(srv.Close)
	return e
}

func serveHTTP(t *testing.T, h http.Handler) *endpoint {
	t.Helper()
	ts := httptest.NewServer(h)
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		ts.CloseClientConnections()
		ts.Close()
	})
	return &endpoint{t: t, url: ts.URL + "/mcp", http: &http.Client{Transport: transport}, ts: ts}
}

// grease is what no peer may stumble over.
const grease = `"x-grease":{"Name":[1,null,{"é":1e3}],"big":123456789012345678901234567890}`

// meta is a complete _meta of a modern request.
const meta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",` + grease +
	`,"io.modelcontextprotocol/clientCapabilities":{"elicitation":{},"extensions":{"example.com/x":{}}}}`

// modern makes the body of a modern request.
func modern(id, method, params string) string {
	if params != "" {
		params = "," + params
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,%s,"method":%q,"params":{%s%s}}`, id, grease, method, meta, params)
}

// mirrored are the headers of a modern request.
func mirrored(method, name string) []string {
	h := []string{"MCP-Protocol-Version: 2026-07-28", "Mcp-Method: " + method}
	if name != "" {
		h = append(h, "Mcp-Name: "+name)
	}
	return h
}

// do sends a request with headers "Name: value"; one without value is removed.
func (e *endpoint) do(ctx context.Context, method, body string, headers ...string) *http.Response {
	e.t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, e.url, r)
	if err != nil {
		e.t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
	}
	for _, h := range headers {
		name, value, ok := strings.Cut(h, ": ")
		if !ok {
			req.Header.Del(name)
			continue
		}
		if strings.HasPrefix(name, "+") {
			req.Header.Add(name[1:], value)
			continue
		}
		req.Header.Set(name, value)
	}
	resp, err := e.http.Do(req)
	if err != nil {
		e.t.Fatalf("%s %s: %v", method, body, err)
	}
	return resp
}

// answer is an HTTP answer that has been read.
type answer struct {
	status int
	header http.Header
	body   string
}

func (e *endpoint) read(resp *http.Response) answer {
	e.t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		e.t.Fatalf("read answer: %v", err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

func (e *endpoint) post(body string, headers ...string) answer {
	e.t.Helper()
	return e.read(e.do(e.t.Context(), http.MethodPost, body, headers...))
}

// code is the error code of a JSON answer; 0 when it has none.
func (a answer) code() int {
	msg, err := jsonrpc.Parse([]byte(a.body), jsonrpc.Limits{})
	if err != nil || msg.Error == nil {
		return 0
	}
	return msg.Error.Code
}

func (a answer) events(t *testing.T) []sse.Event {
	t.Helper()
	var events []sse.Event
	r := sse.NewReader(strings.NewReader(a.body), 0)
	for {
		e, err := r.Next()
		if err != nil {
			return events
		}
		events = append(events, e)
	}
}

// reading is an event stream that is being read.
type reading struct {
	t    *testing.T
	resp *http.Response
	r    *sse.Reader
	stop context.CancelFunc
}

// stream sends a request whose answer must be an event stream.
func (e *endpoint) stream(method, body string, headers ...string) *reading {
	e.t.Helper()
	ctx, cancel := context.WithCancel(e.t.Context())
	e.t.Cleanup(cancel)
	resp := e.do(ctx, method, body, headers...)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		text, _ := io.ReadAll(resp.Body)
		e.t.Fatalf("%s %s: got %d %s %s, want an event stream", method, body, resp.StatusCode, resp.Header.Get("Content-Type"), text)
	}
	e.t.Cleanup(func() { _ = resp.Body.Close() })
	return &reading{t: e.t, resp: resp, r: sse.NewReader(resp.Body, 0), stop: cancel}
}

// next returns the next event with data or, for primes, with an id.
func (r *reading) next() sse.Event {
	r.t.Helper()
	ev, err := r.r.Next()
	if err != nil {
		r.t.Fatalf("read event: %v", err)
	}
	return ev
}

// message returns the next message, skipping events without data.
func (r *reading) message() jsonrpc.Message {
	r.t.Helper()
	for {
		ev := r.next()
		if len(ev.Data) == 0 {
			continue
		}
		msg, err := jsonrpc.Parse(ev.Data, jsonrpc.Limits{})
		if err != nil {
			r.t.Fatalf("event %q: %v", ev.Data, err)
		}
		return msg
	}
}

func (r *reading) wantEnd() {
	r.t.Helper()
	for {
		ev, err := r.r.Next()
		if err == io.EOF {
			return
		}
		if err != nil || len(ev.Data) > 0 {
			r.t.Fatalf("got %q, %v, want the end of the stream", ev.Data, err)
		}
	}
}

// dial opens a connection for a test that writes HTTP itself.
func (e *endpoint) dial() net.Conn {
	e.t.Helper()
	conn, err := net.Dial("tcp", e.ts.Listener.Addr().String())
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

func readStatus(t *testing.T, conn net.Conn) int {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("read response: %v", err)
	}
	return resp.StatusCode
}

// echo answers with what it was asked.
var echo = mcp.HandlerFunc(func(_ context.Context, req *mcp.Request) (mcp.Result, error) {
	text := jsonrpc.Object{}.With(
		jsonrpc.Edit{Name: "method", Value: jsonrpc.AppendString(nil, req.Method)},
		jsonrpc.Edit{Name: "name", Value: jsonrpc.AppendString(nil, req.Name)},
		jsonrpc.Edit{Name: "params", Value: req.Params.Raw()},
	)
	return mcp.Result{Object: text}, nil
})

// sessions is a Sessions whose sessions do what the test says.
type sessions struct {
	handle func(ctx context.Context, s *session, msg jsonrpc.Message, out mcp.Stream) jsonrpc.Message

	mu   sync.Mutex
	live map[string]*session
}

type session struct {
	all      *sessions
	id       string
	revision mcp.Revision
	done     chan struct{}
	received chan jsonrpc.Message
	attached chan mcp.Stream
	detached chan mcp.Stream

	mu     sync.Mutex
	stream mcp.Stream
	ends   func() // guarded by all.mu
}

func newSessions() *sessions { return &sessions{live: make(map[string]*session)} }

func (s *sessions) Open(_ context.Context, msg jsonrpc.Message) (mcp.Session, jsonrpc.Message) {
	version, ok := msg.Params.String("protocolVersion")
	if !ok {
		return nil, jsonrpc.Message{ID: msg.ID, Error: mcp.Errorf(jsonrpc.CodeInvalidParams, "no protocolVersion")}
	}
	one := &session{
		all: s, id: rand.Text(), revision: mcp.NegotiateLegacy(mcp.Revision(version)), done: make(chan struct{}),
		received: make(chan jsonrpc.Message, 100), attached: make(chan mcp.Stream, 100), detached: make(chan mcp.Stream, 100),
	}
	s.mu.Lock()
	s.live[one.id] = one
	s.mu.Unlock()
	result := fmt.Appendf(nil, `{"protocolVersion":%q,"capabilities":{},"serverInfo":{"name":"t","version":"1"},%s}`, one.revision, grease)
	return one, jsonrpc.Message{ID: msg.ID, Result: mcp.RawResult(result).Object}
}

func (s *sessions) Find(_ context.Context, id string) (mcp.Session, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.live[id]
	return one, ok
}

func (s *sessions) get(id string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live[id]
}

func (s *session) ID() string             { return s.id }
func (s *session) Revision() mcp.Revision { return s.revision }
func (s *session) Done() <-chan struct{}  { return s.done }

func (s *session) OnEnd(f func()) (stop func()) {
	s.all.mu.Lock()
	_, live := s.all.live[s.id]
	if live {
		s.ends = f
	}
	s.all.mu.Unlock()
	if !live {
		f()
	}
	return func() {
		s.all.mu.Lock()
		defer s.all.mu.Unlock()
		s.ends = nil
	}
}

func (s *session) Handle(ctx context.Context, msg jsonrpc.Message, out mcp.Stream) jsonrpc.Message {
	if s.all.handle != nil {
		return s.all.handle(ctx, s, msg, out)
	}
	return resultOf(msg, `{"echo":`+string(msg.Params.Append(nil))+`}`)
}

func (s *session) Receive(_ context.Context, m jsonrpc.Message) { s.received <- m }

func (s *session) Attach(out mcp.Stream) func() {
	s.mu.Lock()
	s.stream = out
	s.mu.Unlock()
	s.attached <- out
	return func() {
		s.mu.Lock()
		if s.stream == out {
			s.stream = nil
		}
		s.mu.Unlock()
		s.detached <- out
	}
}

func (s *session) End() {
	s.all.mu.Lock()
	_, live := s.all.live[s.id]
	ends := s.ends
	if live {
		delete(s.all.live, s.id)
		close(s.done)
	}
	s.all.mu.Unlock()
	if live && ends != nil {
		ends()
	}
}

func resultOf(request jsonrpc.Message, text string) jsonrpc.Message {
	return jsonrpc.Message{ID: request.ID, Result: mcp.RawResult([]byte(text)).Object}
}

func note(format string, args ...any) jsonrpc.Message {
	m, err := jsonrpc.Parse(fmt.Appendf(nil, format, args...), jsonrpc.Limits{})
	if err != nil {
		panic(err)
	}
	return m
}

// open opens a session and returns it with the headers that name it.
func (e *endpoint) open(s *sessions, r mcp.Revision) (*session, []string) {
	e.t.Helper()
	a := e.post(fmt.Sprintf(`{"jsonrpc":"2.0","id":"i",%s,"method":"initialize","params":{"protocolVersion":%q,"capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`, grease, r))
	id := a.header.Get("Mcp-Session-Id")
	if a.status != http.StatusOK || id == "" {
		e.t.Fatalf("initialize: got %d %s, want a session", a.status, a.body)
	}
	one := s.get(id)
	e.t.Cleanup(one.End)
	return one, []string{"Mcp-Session-Id: " + id, "MCP-Protocol-Version: " + string(r)}
}
