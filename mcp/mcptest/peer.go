package mcptest

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// TB is what a peer needs of a test.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Context() context.Context
}

// Peer is the other end of a connection, played by a test: it sends and expects
// messages as they are on the wire.
type Peer struct {
	t    TB
	conn mcp.Conn
	mu   sync.Mutex // guards held
	held []jsonrpc.Message
}

// NewPeer plays the peer at conn for t.
func NewPeer(t TB, conn mcp.Conn) *Peer { return &Peer{t: t, conn: conn} }

// Close ends the connection.
func (p *Peer) Close() { _ = p.conn.Close() }

// Send sends a message as it is.
func (p *Peer) Send(format string, args ...any) {
	p.t.Helper()
	if err := p.conn.Write(p.t.Context(), fmt.Appendf(nil, format, args...)); err != nil {
		p.t.Fatalf("send %s: %v", fmt.Sprintf(format, args...), err)
	}
}

// Next returns the next message.
func (p *Peer) Next() jsonrpc.Message {
	p.t.Helper()
	p.mu.Lock()
	if len(p.held) > 0 {
		m := p.held[0]
		p.held = p.held[1:]
		p.mu.Unlock()
		return m
	}
	p.mu.Unlock()
	return p.receive()
}

func (p *Peer) receive() jsonrpc.Message {
	p.t.Helper()
	text, err := p.conn.Read(p.t.Context())
	if err != nil {
		p.t.Fatalf("receive: %v", err)
	}
	m, err := jsonrpc.Parse(text, jsonrpc.Limits{})
	if err != nil {
		p.t.Fatalf("received %s: %v", text, err)
	}
	return m
}

// Request returns the next request or notification of method; other messages
// wait for Next.
func (p *Peer) Request(method string) jsonrpc.Message {
	p.t.Helper()
	return p.find("a "+method, func(m jsonrpc.Message) bool { return m.Method == method })
}

// Response returns the response to id; other messages wait for Next.
func (p *Peer) Response(id string) jsonrpc.Message {
	p.t.Helper()
	return p.find("the response to "+id, func(m jsonrpc.Message) bool { return m.IsResponse() && string(m.ID) == id })
}

func (p *Peer) find(what string, is func(jsonrpc.Message) bool) jsonrpc.Message {
	p.t.Helper()
	p.mu.Lock()
	for i, m := range p.held {
		if is(m) {
			p.held = append(p.held[:i:i], p.held[i+1:]...)
			p.mu.Unlock()
			return m
		}
	}
	p.mu.Unlock()
	for range 1000 {
		m := p.receive()
		if is(m) {
			return m
		}
		p.mu.Lock()
		p.held = append(p.held, m)
		p.mu.Unlock()
	}
	p.t.Fatalf("1000 messages came without %s", what)
	return jsonrpc.Message{}
}

// Text returns a message as it is on the wire.
func Text(m jsonrpc.Message) string { return string(m.Append(nil)) }

// Has reports whether the text of m contains every part.
func Has(m jsonrpc.Message, parts ...string) bool {
	text := Text(m)
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}
