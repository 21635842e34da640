package mcp

import "github.com/dragoman-mcp/dragoman/mcp/jsonrpc"

// A call may be answered with a task, whose result is asked for later, in two
// dialects: that of revision 2025-11-25 (basic/utilities/tasks), where the
// caller asks for it, and the extension of the stateless era, where the server
// decides, for clients that declared it.
const (
	// ExtensionTasks names the extension in capabilities.
	ExtensionTasks = "io.modelcontextprotocol/tasks"
	// TaskCreated is the extension's result type.
	TaskCreated ResultType = "task"
	// MetaRelatedTask is the member of _meta by which 2025-11-25 links a message
	// to a task.
	MetaRelatedTask = "io.modelcontextprotocol/related-task"
	// FilterTaskStatus is a member of the notifications of subscriptions/listen
	// within this house: true asks for what a server of 2025-11-25 tells unasked
	// of the tasks that the session has begun, their status and progress. It
	// crosses no wire.
	FilterTaskStatus = "dragoman/taskStatus"
)

// TakesTasks reports whether c may be answered in the dialect of the stateless
// era: it declared the extension.
func (c *Client) TakesTasks() bool {
	return c != nil && c.Revision.Modern() && c.extension(ExtensionTasks) != nil
}

// KnowsTasks reports whether c is of the revision that has tasks in its core.
func (c *Client) KnowsTasks() bool {
	return c != nil && c.Revision == Revision20251125
}

func (c *Client) extension(name string) []byte {
	text := c.Capabilities.Get("extensions")
	if text == nil {
		return nil
	}
	extensions, _ := jsonrpc.Split(text)
	return extensions.Get(name)
}

// WithTasks returns a client that is c but for declaring the extension.
func (c *Client) WithTasks() *Client {
	if c == nil {
		c = NewClient(Revision20260728, nil, jsonrpc.Object{})
	}
	return c.withExtension(jsonrpc.Edit{Name: ExtensionTasks, Value: []byte("{}")})
}

// WithoutTasks returns c if it does not declare the extension, and otherwise a
// client that is c but for that.
func (c *Client) WithoutTasks() *Client {
	if c == nil || c.extension(ExtensionTasks) == nil {
		return c
	}
	return c.withExtension(jsonrpc.Edit{Name: ExtensionTasks})
}

func (c *Client) withExtension(change jsonrpc.Edit) *Client {
	extensions, _ := jsonrpc.Split(c.Capabilities.Get("extensions"))
	text := extensions.Append(nil, change)
	if len(text) == len("{}") {
		text = nil
	}
	other := NewClient(c.Revision, c.Info, c.Capabilities.With(jsonrpc.Edit{Name: "extensions", Value: text}))
	other.Session = c.Session
	return other
}
