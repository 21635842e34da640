package upstream_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/dragoman-mcp/dragoman/internal/config"
)

// site is an address at which one server may follow another.
type site struct {
	URL      string
	ts       *httptest.Server
	handler  atomic.Pointer[http.Handler]
	requests atomic.Int64
}

// newSite answers with h until it is given another.
func newSite(t testing.TB, h http.Handler) *site {
	t.Helper()
	s := &site{}
	s.become(h)
	s.ts = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		(*s.handler.Load()).ServeHTTP(w, r)
	}))
	s.URL = s.ts.URL + "/mcp"
	t.Cleanup(func() {
		s.ts.CloseClientConnections()
		s.ts.Close()
	})
	return s
}

func (s *site) become(h http.Handler) { s.handler.Store(&h) }

// at makes a configuration of sites.
func at(sites ...*site) func(*config.Server) {
	return func(s *config.Server) {
		if len(sites) == 1 {
			s.URL = sites[0].URL
			return
		}
		for _, site := range sites {
			s.URLs = append(s.URLs, config.Replica{URL: site.URL, Weight: 1})
		}
	}
}

// answering is a handler of one status and body for everything.
func answering(status int, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// hanging takes requests and answers none, until free is closed; then it is h.
func hanging(free <-chan struct{}, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		select {
		case <-free:
			h.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	})
}

// tools runs what the scripted servers here have: echo, slow, calls, hang, break.
type tools struct {
	calls atomic.Int64
	seen  sync.Map // texts that echo was called with, to how often
}

// run returns the result, or false when the connection is to be broken off.
func (s *tools) run(r *http.Request, m message) (string, bool) {
	var p struct {
		Name      string
		Arguments struct {
			Text string
			MS   int
		}
	}
	_ = json.Unmarshal(m.Params, &p)
	s.calls.Add(1)
	text := p.Arguments.Text
	switch p.Name {
	case "echo":
		n, _ := s.seen.LoadOrStore(text, new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
		if p.Arguments.MS > 0 {
			wait(r, time.Duration(rand.IntN(1000*p.Arguments.MS))*time.Microsecond)
		}
	case "slow":
		wait(r, time.Duration(p.Arguments.MS)*time.Millisecond)
	case "calls":
		text = fmt.Sprint(s.calls.Load())
	case "hang":
		<-r.Context().Done()
		return "", false
	case "break":
		return "", false
	}
	quoted, _ := json.Marshal(text)
	return fmt.Sprintf(`{"resultType":"complete","content":[{"type":"text","text":%s}]}`, quoted), true
}

func wait(r *http.Request, d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.Context().Done():
	}
}

// modernSite is a server that speaks 2026-07-28 and nothing else.
type modernSite struct{ tools }

func (s *modernSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var m message
	if r.Method != http.MethodPost || json.Unmarshal(body, &m) != nil {
		http.Error(w, "no", http.StatusMethodNotAllowed)
		return
	}
	if r.Header.Get("Mcp-Protocol-Version") != "2026-07-28" {
		respond(w, http.StatusBadRequest, m.ID, `"error":{"code":-32022,"message":"unsupported","data":{"supported":["2026-07-28"],"requested":"?"}}`)
		return
	}
	switch m.Method {
	case "server/discover":
		respond(w, http.StatusOK, m.ID, `"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":`+capabilities+`,"ttlMs":0,"cacheScope":"private"}`)
	case "tools/list":
		respond(w, http.StatusOK, m.ID, `"result":{"resultType":"complete","tools":[],"ttlMs":0,"cacheScope":"private"}`)
	case "tools/call":
		result, ok := s.run(r, m)
		if !ok {
			panic(http.ErrAbortHandler)
		}
		respond(w, http.StatusOK, m.ID, `"result":`+result)
	default:
		respond(w, http.StatusNotFound, m.ID, `"error":{"code":-32601,"message":"Method not found"}`)
	}
}

func respond(w http.ResponseWriter, status int, id json.RawMessage, rest string) {
	if len(id) == 0 {
		id = json.RawMessage("null")
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,%s}`, id, rest)
}

// sessionSite is a server with sessions that answers as the TypeScript SDK 1.x
// does: an error without id to whoever has no session.
type sessionSite struct {
	tools
	unknown int // status for a session that is not known: 404, or 400 as server-everything has it

	mu       sync.Mutex // guards sessions
	sessions map[string]bool
	opened   int
}

func newSessionSite(unknown int) *sessionSite {
	return &sessionSite{unknown: unknown, sessions: make(map[string]bool)}
}

// forget is what a server does that was started anew.
func (s *sessionSite) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.sessions)
}

// count returns the sessions that are known, and how many were opened.
func (s *sessionSite) count() (live, opened int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions), s.opened
}

func (s *sessionSite) known(r *http.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[r.Header.Get("Mcp-Session-Id")]
}

func (s *sessionSite) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var m message
	_ = json.Unmarshal(body, &m)
	switch {
	case m.Method == "initialize":
		s.initialize(w, m)
	case !s.known(r) && r.Header.Get("Mcp-Session-Id") == "":
		respond(w, http.StatusBadRequest, nil, `"error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}`)
	case !s.known(r):
		respond(w, s.unknown, nil, `"error":{"code":-32000,"message":"Session not found"}`)
	case r.Method == http.MethodDelete:
		s.mu.Lock()
		delete(s.sessions, r.Header.Get("Mcp-Session-Id"))
		s.mu.Unlock()
	case r.Method == http.MethodGet:
		w.WriteHeader(http.StatusMethodNotAllowed)
	case len(m.ID) == 0:
		w.WriteHeader(http.StatusAccepted)
	case m.Method == "ping":
		respond(w, http.StatusOK, m.ID, `"result":{}`)
	case m.Method == "tools/list":
		respond(w, http.StatusOK, m.ID, `"result":{"tools":[]}`)
	case m.Method == "tools/call":
		result, ok := s.run(r, m)
		if !ok {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprintf(w, "data: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":%s}\n\n", m.ID, result)
	default:
		respond(w, http.StatusOK, m.ID, `"error":{"code":-32601,"message":"Method not found"}`)
	}
}

func (s *sessionSite) initialize(w http.ResponseWriter, m message) {
	s.mu.Lock()
	s.opened++
	id := fmt.Sprintf("session-%d-%d", s.opened, rand.Int64())
	s.sessions[id] = true
	s.mu.Unlock()
	w.Header().Set("Mcp-Session-Id", id)
	respond(w, http.StatusOK, m.ID, `"result":{"protocolVersion":"2025-11-25","capabilities":`+capabilities+`,"serverInfo":{"name":"web","version":"1"}}`)
}

// official is a server made with the official Go SDK.
func official(t testing.TB) *sdk.Server {
	server := sdk.NewServer(&sdk.Implementation{Name: "official", Version: "1"}, nil)
	type input struct {
		Text string `json:"text"`
	}
	sdk.AddTool(server, &sdk.Tool{Name: "echo"}, func(_ context.Context, _ *sdk.CallToolRequest, in input) (*sdk.CallToolResult, any, error) {
		return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: in.Text}}}, nil, nil
	})
	t.Cleanup(func() {
		for s := range server.Sessions() {
			_ = s.Close()
		}
	})
	return server
}

func officialHTTP(t testing.TB, stateless bool) http.Handler {
	server := official(t)
	return sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server }, &sdk.StreamableHTTPOptions{Stateless: stateless})
}

// officialSSE is the transport of 2024-11-05: a POST without a session is not
// found, as with server-everything.
func officialSSE(t testing.TB) http.Handler {
	server := official(t)
	h := sdk.NewSSEHandler(func(*http.Request) *sdk.Server { return server }, nil)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Query().Get("sessionid") == "" {
			http.NotFound(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}
