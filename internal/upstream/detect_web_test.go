package upstream_test

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/mcp"
)

func TestWhatAServerAtAURLSpeaksIsFoundOut(t *testing.T) {
	protocol := func(p, transport string) func(*config.Server) {
		return func(s *config.Server) { s.Protocol, s.Transport = p, transport }
	}
	anything := protocol("auto", "auto")
	const noSession = `{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":null}`
	for name, c := range map[string]struct {
		server  http.Handler
		demand  func(*config.Server)
		want    mcp.Revision // empty when it cannot be opened
		dialect string
		how     string
		says    string // in the error, when it cannot be opened
	}{
		"one that is stateless only":                               {&modernSite{}, anything, "2026-07-28", "modern", "streamable-http", ""},
		"one that answers as the TypeScript SDK 1.x":               {newSessionSite(404), anything, "2025-11-25", "legacy", "streamable-http", ""},
		"the official Go SDK without sessions":                     {officialHTTP(t, true), anything, "2026-07-28", "modern", "streamable-http", ""},
		"the official Go SDK with sessions, whose error looks new": {officialHTTP(t, false), anything, "2025-11-25", "legacy", "streamable-http", ""},
		"HTTP+SSE, where a POST is not found":                      {officialSSE(t), anything, "2025-11-25", "sse", "sse", ""},
		"sessions are demanded of one that has both":               {officialHTTP(t, true), protocol("legacy", "auto"), "2025-11-25", "legacy", "streamable-http", ""},
		"an old revision is demanded":                              {officialHTTP(t, true), protocol("2025-03-26", "streamable-http"), "2025-03-26", "", "streamable-http", ""},
		"HTTP+SSE is demanded":                                     {officialSSE(t), protocol("auto", "sse"), "2025-11-25", "", "sse", ""},
		"the stateless era is demanded of one with sessions":       {newSessionSite(404), protocol("modern", "auto"), "", "", "", "it answered HTTP 400"},
		"HTTP+SSE is not tried when Streamable HTTP is demanded":   {officialSSE(t), protocol("auto", "streamable-http"), "", "", "", "it answered HTTP 404"},
		"one that wants credentials says nothing of its protocol":  {answering(401, noSession), anything, "", "", "", "check the credentials"},
		"one that is overloaded says nothing of its protocol":      {answering(503, ""), anything, "", "", "", "it answered HTTP 503"},
		"one that fails says nothing of its protocol":              {answering(500, ""), anything, "", "", "", "it answered HTTP 500"},
		"something else than an MCP server":                        {http.NotFoundHandler(), anything, "", "", "", "check that url is the address"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, c.server)
			u := newHouse(t).open(then(at(s), c.demand))
			if c.want == "" {
				e := fails(t, u, tool("echo", `{"text":"x"}`))
				if e.Code != mcp.CodeUnavailable || !strings.Contains(e.Message, c.says) || strings.Contains(e.Message, "127.0.0.1") {
					t.Errorf("got %v, want code %d, %q and no address", e, mcp.CodeUnavailable, c.says)
				}
				if d := u.Dialects(); d[0] != "" {
					t.Errorf("taken to speak %q, want nothing known", d[0])
				}
				return
			}
			if got := must(t, u, tool("echo", `{"text":"hello"}`)); got != "hello" {
				t.Errorf("echo = %q", got)
			}
			st := u.Status()
			if mcp.Revision(st.Revision) != c.want || st.Transport != c.how || u.Dialects()[0] != c.dialect {
				t.Errorf("speaks %s over %s, remembered as %q; want %s over %s, %q",
					st.Revision, st.Transport, u.Dialects()[0], c.want, c.how, c.dialect)
			}
		})
	}
}

func TestAFailureOfTheNetworkIsNoAnswerAboutTheEra(t *testing.T) {
	free := make(chan struct{})
	for name, h := range map[string]http.Handler{
		"a connection that breaks": http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
		"silence":                  hanging(free, newSessionSite(404)),
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, h) // of its own: a request of the other's gateway may come late
			u := newHouse(t).open(then(at(s), func(c *config.Server) { c.ConnectTimeout = 3 * time.Second }))
			if e := fails(t, u, tool("echo", `{}`)); e.Code != mcp.CodeUnavailable {
				t.Errorf("got %v, want code %d", e, mcp.CodeUnavailable)
			}
			if n := s.requests.Load(); n != 1 {
				t.Errorf("%d requests were sent, want 1: the probe, after which nothing is known", n)
			}
			s.become(newSessionSite(404))
			must(t, u, tool("echo", `{"text":"x"}`))
			if got := u.Status().Revision; got != "2025-11-25" {
				t.Errorf("speaks %s when it answers, want 2025-11-25", got)
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		u := newHouse(t).open(func(c *config.Server) { c.URL = "http://" + address + "/mcp?token=hush" })
		e := fails(t, u, tool("echo", `{}`))
		if e.Code != mcp.CodeUnavailable || !strings.Contains(e.Message, "the connection was refused") {
			t.Errorf("got %v, want code %d and that the connection was refused", e, mcp.CodeUnavailable)
		}
		if strings.Contains(string(e.Data)+e.Message, address) || strings.Contains(u.Status().Replicas[0].Address, "hush") {
			t.Errorf("the address is told to callers, or its secret to operators: %v %s %s", e, e.Data, u.Status().Replicas[0].Address)
		}
	})
}

func TestAServerThatIsReplacedByOneOfTheOtherEraIsFoundOut(t *testing.T) {
	for name, c := range map[string]struct {
		before, after http.Handler
		first, then   string
	}{
		"sessions after stateless":                                    {&modernSite{}, newSessionSite(404), "2026-07-28", "2025-11-25"},
		"stateless after sessions":                                    {newSessionSite(404), &modernSite{}, "2025-11-25", "2026-07-28"},
		"the Go SDK with sessions after it without":                   {officialHTTP(t, true), officialHTTP(t, false), "2026-07-28", "2025-11-25"},
		"the Go SDK without sessions, which still takes old requests": {officialHTTP(t, false), officialHTTP(t, true), "2025-11-25", "2025-11-25"},
		"HTTP+SSE after stateless":                                    {&modernSite{}, officialSSE(t), "2026-07-28", "2025-11-25"},
		"another with sessions, which answers 404":                    {newSessionSite(404), newSessionSite(404), "2025-11-25", "2025-11-25"},
		"another with sessions, which answers 400 -32000":             {newSessionSite(400), newSessionSite(400), "2025-11-25", "2025-11-25"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, c.before)
			u := newHouse(t).open(at(s))
			must(t, u, tool("echo", `{"text":"x"}`))
			if got := u.Status().Revision; got != c.first {
				t.Fatalf("speaks %s at first, want %s", got, c.first)
			}
			s.become(c.after)
			if got := must(t, u, tool("echo", `{"text":"still"}`)); got != "still" {
				t.Errorf("the call after the change got %q", got)
			}
			if got := u.Status().Revision; got != c.then {
				t.Errorf("speaks %s then, want %s", got, c.then)
			}
			if n := u.Status().Failures; n != 0 {
				t.Errorf("%d calls count as failed, want 0: nobody noticed", n)
			}
		})
	}
}

func TestAnErrorOfAServerThatIsStillTheSameIsPassedOn(t *testing.T) {
	modern := &modernSite{}
	s := newSite(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Mcp-Name") == "odd" {
			respond(w, http.StatusBadRequest, nil, `"error":{"code":-32600,"message":"odd request"}`)
			return
		}
		modern.ServeHTTP(w, r)
	}))
	u := newHouse(t).open(at(s))
	for range 3 {
		if e := fails(t, u, tool("odd", `{}`)); e.Code != -32600 || e.Message != "odd request" {
			t.Errorf("got %v, want the server's own error", e)
		}
	}
	if st := u.Status(); st.Revision != "2026-07-28" || st.Failures != 0 || st.Replicas[0].Breaker != "closed" {
		t.Errorf("speaks %s, %d failures, breaker %s; want 2026-07-28, 0, closed", st.Revision, st.Failures, st.Replicas[0].Breaker)
	}
}
