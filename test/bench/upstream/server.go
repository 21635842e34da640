// Package upstream is the MCP server that the benchmark puts behind the gateway and behind the bare proxy: as cheap as Go
// allows, strict, and both eras (2025-06-18 with sessions, 2026-07-28 without) on one URL or only one of them. It can hold a
// long list of tools, answer late and out of order, and count what it executed, so that a call that was lost, doubled or
// handed to another caller shows. It does not know who calls it: a gateway, a proxy or the load itself.
package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/test/bench/h1"
)

// Revisions that the server speaks, one of each era.
const (
	Legacy = "2025-06-18"
	Modern = "2026-07-28"
)

// Options say what kind of server it is. The zero value speaks both eras, has the three base tools and answers at once.
type Options struct {
	// LegacyOnly answers a modern request as the TypeScript SDK 1.x does: 400, error -32000, id null.
	LegacyOnly bool `json:"legacyOnly"`
	// ModernOnly refuses initialize, sessions, GET and DELETE.
	ModernOnly bool `json:"modernOnly"`
	// Tools is how many tools the list has; 0 is the base tools (echo, big, stats) only.
	Tools int `json:"tools"`
	// Listeners is how many addresses the process listens on; 0 is one. It is for gateways with many servers.
	Listeners int `json:"listeners"`
	// Late is the longest random delay before echo answers; 0 answers at once.
	Late time.Duration `json:"late"`
	// IDLast puts the id behind the result, as the TypeScript SDK does, instead of before it, as the Go SDK does.
	IDLast bool `json:"idLast"`
}

// Server answers on any number of listeners and pipes. It is safe for concurrent use.
type Server struct {
	options  Options
	ledger   *ledger
	sessions *sessions
	list     map[string][]byte // by revision: the prepared `"result":{…}` of tools/list
	big      map[string][]byte // by revision: that of the tool big
}

// New prepares the answers.
func New(options Options) *Server {
	s := &Server{options: options, ledger: newLedger(), sessions: newSessions()}
	s.list, s.big = map[string][]byte{}, map[string][]byte{}
	for _, revision := range []string{Legacy, Modern} {
		s.list[revision] = listResult(tools(options.Tools), revision)
		s.big[revision] = textResult(nil, bigText(), revision)
	}
	return s
}

// Serve answers HTTP on l until ctx ends, then closes l and every connection and waits for them.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var open sync.WaitGroup
	defer open.Wait()
	defer cancel()
	open.Go(func() {
		<-ctx.Done()
		_ = l.Close()
	})
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		open.Go(func() { s.serveConn(ctx, conn) })
	}
}

// connection is one client connection and the buffers that its answers are made in.
type connection struct {
	server  *Server
	conn    net.Conn
	in      *h1.Reader
	out     []byte
	scratch []byte
	delay   *rand.Rand
}

// serveConn answers requests of one connection in turn until the peer closes, breaks HTTP, or ctx ends.
func (s *Server) serveConn(ctx context.Context, conn net.Conn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	c := &connection{server: s, conn: conn, in: h1.NewReader(conn, 4<<10), delay: rand.New(rand.NewPCG(rand.Uint64(), 1))}
	var m h1.Message
	for {
		if err := c.in.ReadHead(&m); err != nil {
			return
		}
		if err := c.in.ReadBody(&m); err != nil {
			return
		}
		a := c.answer(ctx, &m)
		if a.hold != "" { // counted before the client knows of it
			c.server.ledger.streams.Add(1)
			defer c.server.ledger.streams.Add(-1)
		}
		if err := c.write(a); err != nil || m.Close {
			return
		}
		if a.hold != "" {
			c.wait()
			return
		}
	}
}

// answer is what to send for one HTTP request.
type answer struct {
	status  int
	session string // goes into Mcp-Session-Id
	id      []byte // of the JSON-RPC request; nil is null
	body    []byte // `"result":{…}` or `"error":{…}`; nil sends no body
	plain   []byte // a body that is no JSON-RPC message
	hold    string // the first bytes of an event stream that stays open
}

// answer decides by path and HTTP method, before anything of MCP.
func (c *connection) answer(ctx context.Context, m *h1.Message) answer {
	method, target := m.Request()
	s := c.server
	switch {
	case string(target) == "/bench/stats":
		return answer{status: 200, plain: s.ledger.snapshot(s.sessions.count()).json()}
	case string(target) != "/mcp":
		return answer{status: 404}
	case m.Get("Origin") != nil: // no browser has business here (2025-06-18 transports: servers MUST validate Origin)
		return answer{status: 403}
	case string(method) == "POST":
		return c.post(ctx, m)
	case s.options.ModernOnly:
		return answer{status: 405}
	case string(method) == "GET":
		return s.openStream(m)
	case string(method) == "DELETE":
		return s.endSession(m)
	}
	return answer{status: 405}
}

// post checks the HTTP binding that both eras share, reads the message and gives it to its era.
func (c *connection) post(ctx context.Context, m *h1.Message) answer {
	accept := m.Get("Accept")
	if !bytes.Contains(accept, []byte("application/json")) || !bytes.Contains(accept, []byte("text/event-stream")) {
		return answer{status: 406}
	}
	if !bytes.HasPrefix(m.Get("Content-Type"), []byte("application/json")) {
		return answer{status: 415}
	}
	r, err := readRequest(m.Body)
	if err != nil {
		c.server.ledger.refused.Add(1)
		return answer{status: 400, body: []byte(`"error":{"code":-32700,"message":"Parse error"}`)}
	}
	if isModern(m, r) {
		return c.modern(ctx, m, r)
	}
	return c.legacy(ctx, m, r)
}

// write sends an answer in one write, or in three parts when the body is too large to be copied for nothing.
func (c *connection) write(a answer) error {
	c.out = h1.AppendStatus(c.out[:0], a.status)
	if a.session != "" {
		c.out = h1.AppendField(c.out, "Mcp-Session-Id", a.session)
	}
	if a.hold != "" {
		return c.writeStreamHead(a)
	}
	if a.plain != nil {
		c.out = h1.AppendField(c.out, "Content-Type", "application/json")
		c.out = append(h1.AppendLength(c.out, len(a.plain)), a.plain...)
		_, err := c.conn.Write(c.out)
		return err
	}
	if a.body == nil {
		c.out = h1.AppendLength(c.out, 0)
		_, err := c.conn.Write(c.out)
		return err
	}
	c.out = h1.AppendField(c.out, "Content-Type", "application/json")
	return c.writeMessage(a)
}

func (c *connection) writeMessage(a answer) error {
	before, after := frame(c.server.options.IDLast, a.id)
	c.out = h1.AppendLength(c.out, len(before)+len(a.body)+len(after))
	c.out = append(c.out, before...)
	if len(a.body) < 64<<10 {
		c.out = append(append(c.out, a.body...), after...)
		_, err := c.conn.Write(c.out)
		return err
	}
	parts := net.Buffers{c.out, a.body, []byte(after)}
	_, err := parts.WriteTo(c.conn)
	return err
}

// frame returns what stands before and behind the result or error of a message.
func frame(idLast bool, id []byte) (before, after string) {
	text := "null"
	if id != nil {
		text = string(id)
	}
	if idLast {
		return `{`, `,"jsonrpc":"2.0","id":` + text + `}`
	}
	return `{"jsonrpc":"2.0","id":` + text + `,`, `}`
}

func (c *connection) writeStreamHead(a answer) error {
	c.out = h1.AppendField(c.out, "Content-Type", "text/event-stream")
	c.out = h1.AppendField(c.out, "Cache-Control", "no-cache")
	c.out = h1.AppendField(c.out, "X-Accel-Buffering", "no")
	c.out = h1.AppendField(c.out, "Transfer-Encoding", "chunked")
	c.out = append(c.out, "\r\n"...)
	c.out = h1.AppendChunk(c.out, []byte(a.hold))
	_, err := c.conn.Write(c.out)
	return err
}

// wait holds an event stream until the peer goes away or serveConn's context closes the connection.
func (c *connection) wait() {
	_, _ = io.Copy(io.Discard, c.conn)
}

// bigText is 1 MiB of printable text with a line end every 100 characters, as a raw JSON string.
func bigText() []byte {
	line := strings.Repeat("0123456789", 10)[:98] + `\n` // 99 bytes of text in 100 bytes of JSON
	var b bytes.Buffer
	b.WriteByte('"')
	for b.Len() <= 1<<20 {
		b.WriteString(line)
	}
	b.WriteByte('"')
	return b.Bytes()
}
