package mcp

import "github.com/dragoman-mcp/dragoman/mcp/jsonrpc"

// List is one that a server may have and tell the changes of, by its names in the
// protocol (2026-07-28, basic/patterns/subscriptions).
type List struct {
	// Capability is what a server announces that has it, with listChanged if it tells
	// of changes.
	Capability string
	// Filter is the member of a subscription's filter that asks for it.
	Filter string
	// Changed is the notification that it has changed.
	Changed string
}

// In reports whether a filter asks for the list, or what is granted has it.
func (l List) In(filter jsonrpc.Object) bool { return string(filter.Get(l.Filter)) == "true" }

// Ask is what stands in a filter that asks for the list.
func (l List) Ask() jsonrpc.Edit { return jsonrpc.Edit{Name: l.Filter, Value: []byte("true")} }

// Lists are all that there are. That of templates is one with the resources'.
func Lists() [3]List {
	return [...]List{
		{"tools", "toolsListChanged", "notifications/tools/list_changed"},
		{"prompts", "promptsListChanged", "notifications/prompts/list_changed"},
		{"resources", "resourcesListChanged", "notifications/resources/list_changed"},
	}
}

// ChangedList returns the list that a notification tells the change of; false when
// it is another notification.
func ChangedList(method string) (List, bool) {
	for _, l := range Lists() {
		if l.Changed == method {
			return l, true
		}
	}
	return List{}, false
}

// OfSession reports whether a request is about the session and what the server has,
// the same for all callers: the server does nothing for one of them that it would
// ask about, or log.
func OfSession(method string) bool {
	switch method {
	case "ping", "initialize", "server/discover", "logging/setLevel", methodListen, "resources/subscribe", "resources/unsubscribe",
		"tools/list", "prompts/list", "resources/list", "resources/templates/list":
		return true
	}
	return false
}
