package mcp

import "github.com/dragoman-mcp/dragoman/mcp/jsonrpc"

// Removed reports whether a method of the older revisions is gone from this era
// (2026-07-28, changelog), so that the edge answers that it is unknown. A server
// behind us may still have it.
func Removed(method string) bool {
	switch method {
	case "initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe":
		return true
	}
	return false
}

// Cacheable reports whether results of method carry caching hints
// (2026-07-28, server/utilities/caching).
func Cacheable(method string) bool {
	switch method {
	case "server/discover", "tools/list", "prompts/list", "resources/list",
		"resources/templates/list", "resources/read", "skills/list", "skills/get":
		return true
	}
	return false
}

// ModernEdits returns the members that a stateless client must find in r and
// that a server of an older revision did not send: resultType, and where the
// result may be cached, hints that say "not at all".
func ModernEdits(method string, r Result) []jsonrpc.Edit {
	var edits []jsonrpc.Edit
	if r.Get("resultType") == nil {
		edits = append(edits, jsonrpc.Edit{Name: "resultType", Value: []byte(`"complete"`)})
	}
	if !Cacheable(method) || r.Type() != Complete {
		return edits
	}
	if r.Get("ttlMs") == nil {
		edits = append(edits, jsonrpc.Edit{Name: "ttlMs", Value: []byte("0")})
	}
	if r.Get("cacheScope") == nil {
		edits = append(edits, jsonrpc.Edit{Name: "cacheScope", Value: []byte(`"private"`)})
	}
	return edits
}

// Tagged returns a notification of a subscription as its subscriber must see
// it: with the id of its subscriptions/listen request in _meta.
func Tagged(n Notification, id jsonrpc.ID) Notification {
	meta, _ := jsonrpc.Split(n.Params.Get("_meta"))
	text := meta.Append(nil, jsonrpc.Edit{Name: MetaSubscriptionID, Value: []byte(id)})
	return Notification{Method: n.Method, Params: n.Params.With(jsonrpc.Edit{Name: "_meta", Value: text})}
}
