package mcp

import "github.com/dragoman-mcp/dragoman/mcp/jsonrpc"

// Members of _meta that the protocol owns (2026-07-28, basic/index, "_meta").
const (
	MetaVersion        = "io.modelcontextprotocol/protocolVersion"
	MetaCapabilities   = "io.modelcontextprotocol/clientCapabilities"
	MetaClientInfo     = "io.modelcontextprotocol/clientInfo"
	MetaServerInfo     = "io.modelcontextprotocol/serverInfo"
	MetaLogLevel       = "io.modelcontextprotocol/logLevel"
	MetaSubscriptionID = "io.modelcontextprotocol/subscriptionId"
	MetaProgressToken  = "progressToken"
	MetaTraceParent    = "traceparent"
)

// NameKey returns the parameter that names what a request of method is about,
// the one that the header Mcp-Name mirrors; "" when it has none.
func NameKey(method string) string {
	switch method {
	case "tools/call", "prompts/get":
		return "name"
	case "resources/read", "resources/subscribe", "resources/unsubscribe",
		"skills/get", "resources/directory/read":
		return "uri"
	case "tasks/get", "tasks/update", "tasks/cancel", "tasks/result":
		return "taskId"
	}
	return ""
}

// MirrorsName reports whether the header Mcp-Name is required for method
// (2026-07-28, basic/transports, "Standard headers"; tasks extension).
func MirrorsName(method string) bool {
	switch method {
	case "tools/call", "prompts/get", "resources/read", "tasks/get", "tasks/update", "tasks/cancel":
		return true
	}
	return false
}

// MayAsk reports whether a result of method may be input_required.
func MayAsk(method string) bool {
	switch method {
	case "tools/call", "prompts/get", "resources/read":
		return true
	}
	return false
}

// ReadRequest makes a Request of a message's params: Name, ProgressToken,
// LogLevel and TraceParent are read from them. client may be nil, when the
// request carries in _meta who asks; see [ReadClient].
func ReadRequest(method string, params jsonrpc.Object, client *Client) *Request {
	req := &Request{Method: method, Params: params, Client: client}
	if key := NameKey(method); key != "" {
		req.Name, _ = params.String(key)
	}
	meta, ok := jsonrpc.Split(params.Get("_meta"))
	if !ok {
		return req
	}
	req.ProgressToken = meta.Get(MetaProgressToken)
	req.LogLevel, _ = meta.String(MetaLogLevel)
	req.TraceParent, _ = meta.String(MetaTraceParent)
	return req
}

// ReadClient reads who asks from a modern request's _meta. Missing required
// members are an invalid-params error; an unknown revision is an
// unsupported-version error.
func ReadClient(params jsonrpc.Object) (*Client, error) {
	meta, _ := jsonrpc.Split(params.Get("_meta"))
	version, ok := meta.String(MetaVersion)
	if !ok {
		return nil, Errorf(jsonrpc.CodeInvalidParams, "params._meta must have %q, a string", MetaVersion)
	}
	rev := Revision(version)
	if !rev.Known() || !rev.Modern() {
		return nil, UnsupportedVersion(version, Revisions())
	}
	capabilities, ok := jsonrpc.Split(meta.Get(MetaCapabilities))
	if !ok {
		return nil, Errorf(jsonrpc.CodeInvalidParams, "params._meta must have %q, an object", MetaCapabilities)
	}
	info := meta.Get(MetaClientInfo)
	if _, ok := jsonrpc.Split(info); info != nil && !ok {
		return nil, Errorf(jsonrpc.CodeInvalidParams, "params._meta[%q] must be an object", MetaClientInfo)
	}
	return NewClient(rev, info, capabilities), nil
}

// IsModern reports whether params declare a revision in _meta, which makes the
// request one of the stateless era (2026-07-28, basic/versioning).
func IsModern(params jsonrpc.Object) bool {
	meta, ok := jsonrpc.Split(params.Get("_meta"))
	return ok && meta.Get(MetaVersion) != nil
}

// AppendParams writes the request's params for a peer: Params with Name in its
// place and with a _meta from which the members that the protocol owns are
// gone, except those that the edge sets with own.
func (req *Request) AppendParams(dst []byte, own ...jsonrpc.Edit) []byte {
	edits := make([]jsonrpc.Edit, 0, 2)
	if key := NameKey(req.Method); key != "" {
		if was, _ := req.Params.String(key); was != req.Name {
			edits = append(edits, jsonrpc.Edit{Name: key, Value: jsonrpc.AppendString(nil, req.Name)})
		}
	}
	meta := req.appendMeta(own)
	switch {
	case len(meta) > 2:
		edits = append(edits, jsonrpc.Edit{Name: "_meta", Value: meta})
	case req.Params.Get("_meta") != nil:
		edits = append(edits, jsonrpc.Edit{Name: "_meta"})
	}
	return req.Params.Append(dst, edits...)
}

func (req *Request) appendMeta(own []jsonrpc.Edit) []byte {
	meta, _ := jsonrpc.Split(req.Params.Get("_meta"))
	edits := make([]jsonrpc.Edit, 0, 8+len(own))
	for _, m := range meta.Members() {
		if ownedMeta(m.Name) && !edited(own, m.Name) {
			edits = append(edits, jsonrpc.Edit{Name: m.Name})
		}
	}
	edits = append(edits, own...)
	if req.TraceParent != "" {
		edits = append(edits, jsonrpc.Edit{Name: MetaTraceParent, Value: jsonrpc.AppendString(nil, req.TraceParent)})
	}
	return meta.Append(nil, edits...)
}

func ownedMeta(name string) bool {
	switch name {
	case MetaVersion, MetaCapabilities, MetaClientInfo, MetaLogLevel, MetaSubscriptionID,
		MetaProgressToken, MetaTraceParent:
		return true
	}
	return false
}

func edited(edits []jsonrpc.Edit, name string) bool {
	for _, e := range edits {
		if e.Name == name {
			return true
		}
	}
	return false
}
