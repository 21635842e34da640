package upstream

import (
	"context"
	"crypto/rand"
	"sync"

	"github.com/dragoman-mcp/dragoman/test/bench/h1"
)

// sessions is the set of open session ids.
type sessions struct {
	mu   sync.RWMutex // guards open
	open map[string]struct{}
}

func newSessions() *sessions { return &sessions{open: map[string]struct{}{}} }

func (s *sessions) start() string {
	id := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[id] = struct{}{}
	return id
}

func (s *sessions) has(id []byte) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.open[string(id)]
	return ok
}

// end reports whether the session was open.
func (s *sessions) end(id []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.open[string(id)]
	delete(s.open, string(id))
	return ok
}

func (s *sessions) count() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.open)
}

const (
	initializeResult = `"result":{"protocolVersion":"` + Legacy + `","capabilities":{"tools":{"listChanged":true}},` +
		`"serverInfo":{"name":"bench-upstream","version":"1.0.0"}}`
	// The three answers that the TypeScript SDK 1.x gives before it looks at a message.
	noSession   = `"error":{"code":-32000,"message":"Bad Request: No valid session ID provided"}`
	goneSession = `"error":{"code":-32001,"message":"Session not found"}`
	badVersion  = `"error":{"code":-32000,"message":"Bad Request: Unsupported protocol version (supported versions: ` + Legacy + `)"}`

	unknownMethod = `"error":{"code":-32601,"message":"Method not found"}`
)

// legacy answers a message of 2025-06-18.
func (c *connection) legacy(ctx context.Context, m *h1.Message, r request) answer {
	s := c.server
	if s.options.ModernOnly { // versioning: name the versions that are supported in any error to an initialize
		s.ledger.refused.Add(1)
		return answer{status: 400, id: r.id, body: unsupported("none")}
	}
	if string(r.method) == "initialize" {
		s.ledger.initialize.Add(1)
		return answer{status: 200, session: s.sessions.start(), id: r.id, body: []byte(initializeResult)}
	}
	if refused, ok := s.checkSession(m); !ok {
		return refused
	}
	if r.id == nil || r.method == nil { // a notification or a response
		return answer{status: 202}
	}
	return answer{status: 200, id: r.id, body: c.legacyMethod(ctx, r)}
}

func (c *connection) legacyMethod(ctx context.Context, r request) []byte {
	switch string(r.method) {
	case "tools/call":
		return c.call(ctx, r, Legacy)
	case "tools/list":
		c.server.ledger.lists.Add(1)
		return c.server.list[Legacy]
	case "ping":
		return []byte(`"result":{}`)
	}
	return []byte(unknownMethod)
}

// checkSession refuses a request without an open session or with another revision than the session's.
func (s *Server) checkSession(m *h1.Message) (refused answer, ok bool) {
	id := m.Get("Mcp-Session-Id")
	version := m.Get("MCP-Protocol-Version")
	switch {
	case id == nil:
		refused = answer{status: 400, body: []byte(noSession)}
	case !s.sessions.has(id):
		refused = answer{status: 404, body: []byte(goneSession)}
	case version != nil && string(version) != Legacy:
		refused = answer{status: 400, body: []byte(badVersion)}
	default:
		return answer{}, true
	}
	s.ledger.refused.Add(1)
	return refused, false
}

// openStream answers GET: the stream on which a server may speak first.
func (s *Server) openStream(m *h1.Message) answer {
	if refused, ok := s.checkSession(m); !ok {
		return refused
	}
	return answer{status: 200, hold: ": open\n\n"}
}

func (s *Server) endSession(m *h1.Message) answer {
	if refused, ok := s.checkSession(m); !ok {
		return refused
	}
	if !s.sessions.end(m.Get("Mcp-Session-Id")) {
		return answer{status: 404, body: []byte(goneSession)}
	}
	s.ledger.deleted.Add(1)
	return answer{status: 200}
}
