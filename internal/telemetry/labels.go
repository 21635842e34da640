package telemetry

import (
	"errors"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// other is the label value of all that has none of its own.
const other = "other"

// maxToolLabel bounds a tool's name as a label value, in bytes.
const maxToolLabel = 128

// toolError is the error type of a call whose result says that the tool failed
// (OpenTelemetry, semantic conventions for MCP, "error.type").
const toolError = "tool_error"

// methodLabel returns a method as a label value. What a client may ask for is
// not bounded, what the protocol has is.
func methodLabel(method string) string {
	switch method {
	case "server/discover", "initialize", "ping",
		"tools/list", "tools/call",
		"prompts/list", "prompts/get",
		"resources/list", "resources/templates/list", "resources/read", "resources/subscribe",
		"resources/unsubscribe", "resources/directory/read",
		"subscriptions/listen", "completion/complete", "logging/setLevel",
		"tasks/list", "tasks/get", "tasks/update", "tasks/cancel", "tasks/result",
		"skills/list", "skills/get",
		"elicitation/create", "sampling/createMessage", "roots/list":
		return method
	}
	return other
}

func revisionLabel(c *mcp.Client) string {
	switch {
	case c == nil || c.Revision == "":
		return ""
	case c.Revision.Known():
		return string(c.Revision)
	}
	return other
}

// fits reports whether a tool's name may be a label value.
func fits(tool string) bool {
	if len(tool) > maxToolLabel || !utf8.ValidString(tool) {
		return false
	}
	for _, r := range tool {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// failureOf returns the error type of an outcome, "" when there is none: the
// code of the JSON-RPC error that the peer sees, or tool_error.
func failureOf(method string, res mcp.Result, err error) string {
	if err == nil {
		if method == "tools/call" && string(res.Get("isError")) == "true" {
			return toolError
		}
		return ""
	}
	return codeLabel(mcp.WireError(err).Code)
}

// codeLabel bounds the codes, of which a server may invent any number.
func codeLabel(code int) string {
	switch code {
	case jsonrpc.CodeParse, jsonrpc.CodeInvalidRequest, jsonrpc.CodeMethodNotFound, jsonrpc.CodeInvalidParams,
		jsonrpc.CodeInternal, mcp.CodeHeaderMismatch, mcp.CodeMissingCapability, mcp.CodeUnsupportedVersion,
		mcp.CodeLegacyNotFound, mcp.CodeLegacyURLElicitation, mcp.CodeUnavailable, mcp.CodeTimeout, mcp.CodeBusy,
		mcp.CodeCallLost, mcp.CodeUnauthenticated:
		return strconv.Itoa(code)
	}
	return other
}

// ours reports whether an error tells of trouble on our side of the wire, or
// with a server, rather than of a request that was wrong.
func ours(err error) bool {
	if err == nil {
		return false
	}
	var wire *mcp.Error
	if !errors.As(err, &wire) {
		return true
	}
	switch wire.Code {
	case jsonrpc.CodeInternal, mcp.CodeUnavailable, mcp.CodeTimeout, mcp.CodeBusy, mcp.CodeCallLost:
		return true
	}
	return false
}
