package upstream

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/test/bench/h1"
	"github.com/dragoman-mcp/dragoman/test/bench/rawjson"
)

// request is one JSON-RPC message from the client, its parts raw.
type request struct {
	id, method   []byte
	name, text   []byte // of tools/call: params.name and params.arguments.text
	meta, listen []byte // params._meta and params.notifications
	params       []byte
}

var errNoMessage = errors.New("read message: not a JSON-RPC 2.0 object")

// readRequest takes a message apart. It copies nothing.
func readRequest(body []byte) (request, error) {
	var r request
	var version []byte
	err := rawjson.Each(body, func(name, value []byte) bool {
		switch string(name) {
		case "jsonrpc":
			version = value
		case "id":
			r.id = value
		case "method":
			r.method = unquote(value)
		case "params":
			r.params = value
		}
		return true
	})
	if err != nil {
		return r, err
	}
	if string(version) != `"2.0"` || !rawjson.Whole(body) {
		return r, errNoMessage
	}
	if r.params == nil {
		return r, nil
	}
	return r, rawjson.Each(r.params, r.param)
}

func (r *request) param(name, value []byte) bool {
	switch string(name) {
	case "name":
		r.name = unquote(value)
	case "arguments":
		r.text, _ = rawjson.Get(value, "text")
	case "_meta":
		r.meta = value
	case "notifications":
		r.listen = value
	}
	return true
}

// unquote drops the quotes of a raw string; the names that we compare with need no escapes.
func unquote(raw []byte) []byte {
	if len(raw) < 2 || raw[0] != '"' {
		return raw
	}
	return raw[1 : len(raw)-1]
}

// isModern is the era of a message on a URL that may serve both (spec 2026-07-28, versioning).
func isModern(m *h1.Message, r request) bool {
	if m.Get("Mcp-Session-Id") != nil || string(r.method) == "initialize" {
		return false
	}
	if m.Get("Mcp-Method") != nil || string(m.Get("MCP-Protocol-Version")) >= Modern {
		return true
	}
	_, ok := rawjson.Get(r.meta, metaVersion)
	return ok
}

// call runs a tool and returns `"result":…` or `"error":…`. The text that it returns lives in the connection's scratch.
func (c *connection) call(ctx context.Context, r request, revision string) []byte {
	s := c.server
	s.ledger.calls.Add(1)
	switch string(r.name) {
	case "echo":
		if len(r.text) == 0 || r.text[0] != '"' {
			return []byte(`"error":{"code":-32602,"message":"echo needs the argument text, a string"}`)
		}
		s.delay(ctx, c.delay.Int64N)
		if s.options.Late > 0 {
			s.ledger.note(r.text)
		}
		c.scratch = textResult(c.scratch[:0], r.text, revision)
		return c.scratch
	case "big":
		return s.big[revision]
	case "stats":
		return textResult(nil, quote(s.ledger.snapshot(s.sessions.count()).json()), revision)
	}
	return []byte(`"error":{"code":-32602,"message":"Unknown tool"}`)
}

// delay waits a random part of Late, the square of a uniform number, so that most answers are early and some very late.
func (s *Server) delay(ctx context.Context, random func(int64) int64) {
	if s.options.Late <= 0 {
		return
	}
	part := random(1 << 15)
	wait := time.NewTimer(time.Duration(part*part) * s.options.Late >> 30)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
}

// mirrored returns the value of a header that mirrors a member of the body, its Base64 form undone (2026-07-28 transports).
func mirrored(value []byte) string {
	inner, ok := strings.CutPrefix(string(value), "=?base64?")
	if !ok {
		return string(value)
	}
	inner, _ = strings.CutSuffix(inner, "?=")
	text, err := base64.StdEncoding.DecodeString(inner)
	if err != nil {
		return string(value)
	}
	return string(text)
}
