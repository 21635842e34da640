// Package load is the benchmark's client: closed loops over raw HTTP/1.1 connections, each its own MCP session, that check every
// answer and measure what it cost the process that gave it. It does not know whether that process is a gateway, a proxy or
// the upstream itself.
package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/dragoman-mcp/dragoman/test/bench/h1"
	"github.com/dragoman-mcp/dragoman/test/bench/rawjson"
)

// The revisions that a client may speak.
const (
	Legacy = "2025-06-18"
	Modern = "2026-07-28"
)

// Target is where the calls go.
type Target struct {
	Addr   string `json:"addr"`   // host:port
	Path   string `json:"path"`   // of the MCP endpoint
	Prefix string `json:"prefix"` // before a tool's name, "up__" on an endpoint that joins servers
	// Tokens are those of the users; connections have them in turn. Empty sends none.
	Tokens []string `json:"tokens,omitempty"`
}

// token is what the n-th connection shows; empty for nothing.
func (t Target) token(n int) string {
	if len(t.Tokens) == 0 {
		return ""
	}
	return "Bearer " + t.Tokens[n%len(t.Tokens)]
}

// ErrWrong says that an answer came and was not the right one. What fails otherwise is the connection.
var ErrWrong = errors.New("wrong answer")

// ErrTwice is the ErrWrong of two answers to one request.
var ErrTwice = fmt.Errorf("%w: two answers on one stream", ErrWrong)

// Client is one connection and, in the legacy era, one session. It is not safe for concurrent use.
type Client struct {
	Target   Target
	Revision string

	token   string
	session string
	id      int64
	conn    net.Conn
	in      *h1.Reader
	m       h1.Message
	out     []byte
	body    []byte
	big     template
	pages   []page
}

// Dial connects, as the first of the users; every read and write of the client's life must be over by until.
func Dial(ctx context.Context, target Target, revision string, until time.Time) (*Client, error) {
	c := &Client{Target: target, Revision: revision, token: target.token(0)}
	return c, c.Redial(ctx, until)
}

// Redial replaces the connection; session and ids go on.
func (c *Client) Redial(ctx context.Context, until time.Time) error {
	c.Close()
	dialer := net.Dialer{Timeout: 2 * time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", c.Target.Addr)
	if err != nil {
		return err
	}
	c.conn, c.in = conn, h1.NewReader(conn, 4<<10)
	return conn.SetDeadline(until)
}

// Close closes the connection; the session lives on.
func (c *Client) Close() {
	if c.conn != nil {
		_ = c.conn.Close()
	}
}

// Session is the id of the legacy session, for a second connection of the same client.
func (c *Client) Session() string { return c.session }

// Join makes c part of a session that another connection opened.
func (c *Client) Join(session string) { c.session = session }

// LastID is the id of the request that was sent last.
func (c *Client) LastID() int64 { return c.id }

// Number makes id the id of the next request.
func (c *Client) Number(id int64) { c.id = id - 1 }

// Initialize opens a legacy session and confirms it. For a modern client it does nothing.
func (c *Client) Initialize() error {
	if c.Revision == Modern {
		return nil
	}
	c.session = ""
	c.body = append(c.body[:0], `"protocolVersion":"`+Legacy+`","capabilities":{},"clientInfo":{"name":"bench","version":"1.0.0"}`...)
	message, err := c.request("initialize", "")
	if err != nil {
		return err
	}
	if version, _ := rawjson.Get(message, "result", "protocolVersion"); string(version) != `"`+Legacy+`"` {
		return fmt.Errorf("%w: initialize answered with revision %s", ErrWrong, version)
	}
	c.session = string(c.m.Get("Mcp-Session-Id"))
	return c.Notify(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)
}

// Notify sends a notification and wants 202.
func (c *Client) Notify(message string) error {
	c.head("POST", "", "")
	c.out = append(h1.AppendLength(c.out, len(message)), message...)
	if err := c.exchange(); err != nil {
		return err
	}
	if status := c.m.Status(); status != 202 {
		return fmt.Errorf("%w: status %d for a notification: %s", ErrWrong, status, cut(c.m.Body))
	}
	return nil
}

// End deletes the session. For a modern client, and where no session was given, it does nothing.
func (c *Client) End() error {
	if c.session == "" {
		return nil
	}
	c.head("DELETE", "", "")
	c.out = append(c.out, "\r\n"...)
	c.session = ""
	if err := c.exchange(); err != nil {
		return err
	}
	if status := c.m.Status(); status/100 != 2 {
		return fmt.Errorf("%w: status %d for DELETE: %s", ErrWrong, status, cut(c.m.Body))
	}
	return nil
}

// Call calls the tool echo with text, which must need no escapes in JSON, and wants it back.
func (c *Client) Call(text string) error {
	c.arguments(text)
	message, err := c.request("tools/call", c.Target.Prefix+"echo")
	if err != nil {
		return err
	}
	return c.CheckText(message, text)
}

// CheckText wants a result that is no error and holds exactly text, which needs no escapes.
func (c *Client) CheckText(message []byte, text string) error {
	return c.checkText(message, func(raw []byte) bool { return len(raw) == len(text)+2 && string(raw[1:len(raw)-1]) == text })
}

// Send sends a call of echo and does not wait for the answer.
func (c *Client) Send(text string) error {
	c.arguments(text)
	c.build("tools/call", c.Target.Prefix+"echo")
	_, err := c.conn.Write(c.out)
	return err
}

func (c *Client) arguments(text string) {
	c.body = append(c.body[:0], `"name":"`...)
	c.body = append(c.body, c.Target.Prefix...)
	c.body = append(c.body, `echo","arguments":{"text":"`...)
	c.body = append(c.body, text...)
	c.body = append(c.body, `"}`...)
}

// request sends a request whose params are in c.body without their braces, and returns the answer with that id.
func (c *Client) request(method, name string) ([]byte, error) {
	c.build(method, name)
	if err := c.exchange(); err != nil {
		return nil, err
	}
	return c.Message()
}

// build makes the request in c.out from the params in c.body.
func (c *Client) build(method, name string) {
	c.id++
	c.head("POST", method, name)
	const open, middle, end = `{"jsonrpc":"2.0","id":`, `,"params":{`, `}}`
	var digits [20]byte
	id := strconv.AppendInt(digits[:0], c.id, 10)
	meta := ""
	if c.Revision == Modern {
		meta = modernMeta
		if len(c.body) > 0 {
			meta = "," + modernMeta
		}
	}
	n := len(open) + len(id) + len(`,"method":""`) + len(method) + len(middle) + len(c.body) + len(meta) + len(end)
	c.out = append(h1.AppendLength(c.out, n), open...)
	c.out = append(c.out, id...)
	c.out = append(c.out, `,"method":"`...)
	c.out = append(c.out, method...)
	c.out = append(c.out, '"')
	c.out = append(c.out, middle...)
	c.out = append(c.out, c.body...)
	c.out = append(c.out, meta...)
	c.out = append(c.out, end...)
}

const modernMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"` + Modern + `","io.modelcontextprotocol/clientCapabilities":{},` +
	`"io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1.0.0"}}`

// head begins a request in c.out: the lines that both eras want, without the length.
func (c *Client) head(verb, method, name string) {
	c.out = append(append(append(append(c.out[:0], verb...), ' '), c.Target.Path...), " HTTP/1.1\r\n"...)
	c.out = h1.AppendField(c.out, "Host", c.Target.Addr)
	c.out = h1.AppendField(c.out, "Accept", "application/json, text/event-stream")
	if c.token != "" {
		c.out = h1.AppendField(c.out, "Authorization", c.token)
	}
	if verb == "POST" {
		c.out = h1.AppendField(c.out, "Content-Type", "application/json")
	}
	if method != "initialize" {
		c.out = h1.AppendField(c.out, "MCP-Protocol-Version", c.Revision)
	}
	if c.session != "" {
		c.out = h1.AppendField(c.out, "Mcp-Session-Id", c.session)
	}
	if c.Revision == Modern && method != "" {
		c.out = h1.AppendField(c.out, "Mcp-Method", method)
	}
	if c.Revision == Modern && name != "" {
		c.out = h1.AppendField(c.out, "Mcp-Name", name)
	}
}

// exchange sends c.out and reads one response whole.
func (c *Client) exchange() error {
	if _, err := c.conn.Write(c.out); err != nil {
		return err
	}
	return c.Receive()
}

// Receive reads one response whole.
func (c *Client) Receive() error {
	if err := c.in.ReadHead(&c.m); err != nil {
		return err
	}
	return c.in.ReadBody(&c.m)
}

// Response is what Receive read last.
func (c *Client) Response() *h1.Message { return &c.m }

// Unsolicited is how many bytes have come beyond the last response.
func (c *Client) Unsolicited() int { return len(c.in.Buffered()) }

// Deadline bounds the reads and writes to come.
func (c *Client) Deadline(at time.Time) error { return c.conn.SetDeadline(at) }

// IsTimeout reports whether a read or write went over its deadline.
func IsTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
