// Package streamhttp carries MCP over Streamable HTTP, in both eras of the
// protocol and in both directions: a [Server] answers clients on one endpoint,
// and a [Client] makes a remote endpoint a handler or a channel.
//
// The eras share the endpoint. A request that says in its headers or its _meta
// that it is of 2026-07-28 or later is stateless: one POST, one answer, and the
// client that goes away has cancelled. Everything else belongs to a session of
// 2025-03-26 to 2025-11-25: POST, GET and DELETE with an Mcp-Session-Id, event
// streams that survive their connections, and a client that goes away has
// cancelled nothing.
//
//	POST ─┬─ modern ── headers == body? ── Handler ── JSON, or SSE from the first notification on
//	      └─ legacy ── Session.Handle ──── stream ──── JSON, or SSE with ids ──┐
//	GET ──── legacy ── Session.Attach ──── stream ──── SSE with ids ───────────┤ bounded store
//	GET + Last-Event-ID ── the stream that was cut ────────────────────────────┘ per session
//
// The package knows nothing of what methods do, of who may call them, of Origin
// and Host checks, or of how sessions answer: it is given a handler, sessions
// and, for the client, an http.RoundTripper, and it dials nothing.
package streamhttp

// The headers of the transport, as net/http spells them.
const (
	headerVersion     = "Mcp-Protocol-Version"
	headerMethod      = "Mcp-Method"
	headerName        = "Mcp-Name"
	headerParamPrefix = "Mcp-Param-"
	headerSession     = "Mcp-Session-Id"
	headerLastEvent   = "Last-Event-Id"
	headerTraceParent = "Traceparent"
)

const (
	mediaJSON   = "application/json"
	mediaEvents = "text/event-stream"
)
