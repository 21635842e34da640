package mcp

import (
	"strings"
	"sync/atomic"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Client tells who asks: what the peer said of itself, on this request or at
// its handshake. It is shared by all requests of a session and must not be changed.
type Client struct {
	Revision Revision
	// Info is the JSON text of the peer's Implementation object; nil if it did not tell.
	Info []byte
	// Capabilities is the peer's capabilities object as it wrote it.
	Capabilities jsonrpc.Object
	// Session names the session of a peer that has one, the same for all its
	// requests and hard to guess; empty for a stateless peer.
	Session string
	// Kinds are the capabilities above, read.
	Kinds Kinds

	introduction atomic.Pointer[introduction] // of a client with a session to stateless peers
}

// introduction is the _meta of a client that wants to see logs from a level on.
type introduction struct {
	level string
	text  []byte
}

// introduce writes a _meta that tells a stateless peer who asks, and from which
// level on it wants logs if it does: the same for nearly all requests of a
// session. It must not be changed.
func (c *Client) introduce(level string) []byte {
	if known := c.introduction.Load(); known != nil && known.level == level {
		return known.text
	}
	text := append([]byte(`{"`+MetaVersion+`":"`), Revision20260728...)
	text = append(text, `","`+MetaCapabilities+`":`...)
	text = append(text, modernCapabilities(c)...)
	if c.Info != nil {
		text = append(append(text, `,"`+MetaClientInfo+`":`...), c.Info...)
	}
	if level != "" {
		text = jsonrpc.AppendString(append(text, `,"`+MetaLogLevel+`":`...), level)
	}
	text = append(text, '}')
	c.introduction.Store(&introduction{level, text})
	return text
}

// modernCapabilities says of a client what it said itself. A client of a
// session-shaped revision has no extensions, and its tasks are another dialect.
func modernCapabilities(c *Client) []byte {
	if c.Capabilities.IsZero() {
		return []byte("{}")
	}
	if c.Revision.Modern() || c.Capabilities.Get("tasks") == nil {
		return c.Capabilities.Raw()
	}
	return c.Capabilities.Append(nil, jsonrpc.Edit{Name: "tasks"})
}

// NewClient returns a Client of what a peer declared, with its kinds read.
func NewClient(r Revision, info []byte, capabilities jsonrpc.Object) *Client {
	return &Client{Revision: r, Info: info, Capabilities: capabilities, Kinds: KindsOf(capabilities)}
}

// Kinds is the set of things that a client can be asked for in mid-call.
type Kinds uint8

// What a client may declare (schema 2026-07-28, ClientCapabilities).
const (
	ElicitForm Kinds = 1 << iota
	ElicitURL
	Sampling
	SamplingTools
	SamplingContext
	Roots
)

// KindsOf reads a capabilities object. elicitation:{} means form only
// (2025-11-25, client/elicitation, "Capabilities").
func KindsOf(capabilities jsonrpc.Object) Kinds {
	var k Kinds
	if e, ok := jsonrpc.Split(capabilities.Get("elicitation")); ok {
		if e.Get("form") != nil || e.Get("url") == nil {
			k |= ElicitForm
		}
		if e.Get("url") != nil {
			k |= ElicitURL
		}
	}
	if s, ok := jsonrpc.Split(capabilities.Get("sampling")); ok {
		k |= Sampling
		if s.Get("tools") != nil {
			k |= SamplingTools
		}
		if s.Get("context") != nil {
			k |= SamplingContext
		}
	}
	if _, ok := jsonrpc.Split(capabilities.Get("roots")); ok {
		k |= Roots
	}
	return k
}

// WithoutKinds returns c if it can be asked for none of k, and otherwise a client
// that is c but for those. k has all that belongs to sampling, or nothing of it.
func (c *Client) WithoutKinds(k Kinds) *Client {
	if c == nil || c.Kinds&k == 0 {
		return c
	}
	var edits []jsonrpc.Edit
	if c.Kinds&k&(ElicitForm|ElicitURL) != 0 {
		left := c.Kinds &^ k & (ElicitForm | ElicitURL)
		e := jsonrpc.Edit{Name: "elicitation"}
		if left != 0 {
			e.Value = []byte(left.elicitation(Revision20260728))
		}
		edits = append(edits, e)
	}
	if c.Kinds&k&Sampling != 0 {
		edits = append(edits, jsonrpc.Edit{Name: "sampling"})
	}
	if c.Kinds&k&Roots != 0 {
		edits = append(edits, jsonrpc.Edit{Name: "roots"})
	}
	other := NewClient(c.Revision, c.Info, c.Capabilities.With(edits...))
	other.Session = c.Session
	return other
}

// Has reports whether k contains all of want.
func (k Kinds) Has(want Kinds) bool { return k&want == want }

// Capabilities writes k as the capabilities object of a client of revision r:
// what that revision does not know is left out.
func (k Kinds) Capabilities(r Revision) []byte {
	var parts []string
	if k&(ElicitForm|ElicitURL) != 0 && r >= Revision20250618 {
		parts = append(parts, `"elicitation":`+k.elicitation(r))
	}
	if k.Has(Sampling) {
		parts = append(parts, `"sampling":`+k.sampling(r))
	}
	if k.Has(Roots) {
		parts = append(parts, `"roots":{}`)
	}
	return []byte("{" + strings.Join(parts, ",") + "}")
}

func (k Kinds) elicitation(r Revision) string {
	if r < Revision20251125 {
		return "{}"
	}
	var modes []string
	if k.Has(ElicitForm) {
		modes = append(modes, `"form":{}`)
	}
	if k.Has(ElicitURL) {
		modes = append(modes, `"url":{}`)
	}
	return "{" + strings.Join(modes, ",") + "}"
}

func (k Kinds) sampling(r Revision) string {
	if r < Revision20251125 {
		return "{}"
	}
	var parts []string
	if k.Has(SamplingTools) {
		parts = append(parts, `"tools":{}`)
	}
	if k.Has(SamplingContext) {
		parts = append(parts, `"context":{}`)
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// String lists the kinds, for logs and for keys of session pools.
func (k Kinds) String() string {
	names := [...]string{"elicit-form", "elicit-url", "sampling", "sampling-tools", "sampling-context", "roots"}
	var set []string
	for i, n := range names {
		if k&(1<<i) != 0 {
			set = append(set, n)
		}
	}
	return strings.Join(set, "+")
}
