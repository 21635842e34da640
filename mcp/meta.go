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

// MetaRefused is the member of _meta by which an answer to a server's question says
// why nobody was asked. It is the gateway's own: inputResponses have no form for
// errors, and servers with sessions are sent one in its place.
const MetaRefused = "dragoman/refused"

// MetaHeld is the member of a list's _meta that says how many entries of the page
// wait for approval, for who makes lists of pages.
const MetaHeld = "dragoman/held"

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
	meta := [...]jsonrpc.Member{{Name: MetaProgressToken}, {Name: MetaLogLevel}, {Name: MetaTraceParent}}
	params.Within("_meta", meta[:])
	req.ProgressToken = meta[0].Value
	req.LogLevel, _ = jsonrpc.Unquote(meta[1].Value)
	req.TraceParent, _ = jsonrpc.Unquote(meta[2].Value)
	return req
}

// ReadClient reads who asks from a modern request's _meta. Missing required
// members are an invalid-params error; an unknown revision is an
// unsupported-version error.
func ReadClient(params jsonrpc.Object) (*Client, error) {
	meta := [...]jsonrpc.Member{{Name: MetaVersion}, {Name: MetaCapabilities}, {Name: MetaClientInfo}}
	params.Within("_meta", meta[:])
	version, ok := jsonrpc.Unquote(meta[0].Value)
	if !ok {
		return nil, Errorf(jsonrpc.CodeInvalidParams, "params._meta must have %q, a string", MetaVersion)
	}
	rev := Revision(version)
	if !rev.Known() || !rev.Modern() {
		return nil, UnsupportedVersion(version, Revisions())
	}
	capabilities, ok := jsonrpc.Split(meta[1].Value)
	if !ok {
		return nil, Errorf(jsonrpc.CodeInvalidParams, "params._meta must have %q, an object", MetaCapabilities)
	}
	info := meta[2].Value
	if info != nil && info[0] != '{' {
		return nil, Errorf(jsonrpc.CodeInvalidParams, "params._meta[%q] must be an object", MetaClientInfo)
	}
	return NewClient(rev, info, capabilities), nil
}

// IsModern reports whether params declare a revision in _meta, which makes the
// request one of the stateless era (2026-07-28, basic/versioning).
func IsModern(params jsonrpc.Object) bool {
	return jsonrpc.Lookup(params.Get("_meta"), MetaVersion) != nil
}

// AppendParams writes the request's params for a peer: Params with Name in its
// place and with a _meta from which the members that the protocol owns are
// gone, except those that the edge sets with own.
func (req *Request) AppendParams(dst []byte, own ...jsonrpc.Edit) []byte {
	meta, _ := jsonrpc.Split(req.Params.Get("_meta"))
	edits := make([]jsonrpc.Edit, 0, 8)
	for _, m := range meta.Members() {
		if ownedMeta(m.Name) && !edited(own, m.Name) {
			edits = append(edits, jsonrpc.Edit{Name: m.Name})
		}
	}
	edits = append(edits, own...)
	if req.TraceParent != "" {
		edits = append(edits, jsonrpc.Edit{Name: MetaTraceParent, Value: jsonrpc.AppendString(nil, req.TraceParent)})
	}
	if len(edits) == 0 {
		return req.appendWith(dst)
	}
	text := meta.Append(nil, edits...)
	if len(text) == 2 {
		text = nil
	}
	return req.appendWith(dst, jsonrpc.Edit{Name: "_meta", Value: text})
}

// appendWith writes Params with Name in its place and with a further edit.
func (req *Request) appendWith(dst []byte, more ...jsonrpc.Edit) []byte {
	edits := append(make([]jsonrpc.Edit, 0, 2), more...)
	if key := NameKey(req.Method); key != "" && req.renames(key) {
		edits = append(edits, jsonrpc.Edit{Name: key, Value: jsonrpc.AppendString(nil, req.Name)})
	}
	return req.Params.Append(dst, edits...)
}

// renames reports whether Name is another than the one in Params.
func (req *Request) renames(key string) bool {
	was := req.Params.Get(key)
	if req.Name != "" {
		return !jsonrpc.IsString(was, req.Name)
	}
	name, _ := jsonrpc.Unquote(was)
	return name != ""
}

// AppendModern writes the request's params for a peer of the stateless era, to
// which every request tells who asks. token is the edge's own progress token,
// "" for none.
func (req *Request) AppendModern(dst []byte, token string) []byte {
	given := req.Params.Get("_meta")
	if req.Client != nil && sameMemory(jsonrpc.Lookup(given, MetaCapabilities), req.Client.Capabilities.Raw()) {
		return req.appendPassed(dst, given, token)
	}
	meta, _ := jsonrpc.Split(given)
	client := req.Client
	if client == nil {
		client = &Client{Revision: Revision20260728}
	}
	about := client.introduce(req.LogLevel)
	if len(meta.Members()) == 0 && token == "" && req.TraceParent == "" {
		return req.appendWith(dst, jsonrpc.Edit{Name: "_meta", Value: about})
	}
	text := make([]byte, 1, 512)
	text[0] = '{'
	for _, m := range meta.Members() {
		if !ownedMeta(m.Name) {
			text = append(append(jsonrpc.AppendString(text, m.Name), ':'), m.Value...)
			text = append(text, ',')
		}
	}
	text = append(text, about[1:len(about)-1]...)
	if token != "" {
		text = append(append(text, `,"`+MetaProgressToken+`":`...), token...)
	}
	if req.TraceParent != "" {
		text = jsonrpc.AppendString(append(text, `,"`+MetaTraceParent+`":`...), req.TraceParent)
	}
	return req.appendWith(dst, jsonrpc.Edit{Name: "_meta", Value: append(text, '}')})
}

// sameMemory reports whether a and b are the same bytes at the same place: then
// Client was read from these very params (see [ReadClient]).
func sameMemory(a, b []byte) bool {
	return len(a) > 0 && len(a) == len(b) && &a[0] == &b[0]
}

// appendPassed is AppendModern for the request of a stateless client, which has
// told itself who asks: only what belongs to one leg is changed.
func (req *Request) appendPassed(dst, given []byte, token string) []byte {
	was := [...]jsonrpc.Member{{Name: MetaProgressToken}, {Name: MetaTraceParent}}
	req.Params.Within("_meta", was[:])
	var edits []jsonrpc.Edit
	switch {
	case token != "":
		edits = append(edits, jsonrpc.Edit{Name: MetaProgressToken, Value: []byte(token)})
	case was[0].Value != nil:
		edits = append(edits, jsonrpc.Edit{Name: MetaProgressToken})
	}
	if parent, _ := jsonrpc.Unquote(was[1].Value); parent != req.TraceParent {
		edits = append(edits, jsonrpc.Edit{Name: MetaTraceParent, Value: jsonrpc.AppendString(nil, req.TraceParent)})
	}
	if edits == nil {
		return req.appendWith(dst)
	}
	meta, _ := jsonrpc.Split(given)
	return req.appendWith(dst, jsonrpc.Edit{Name: "_meta", Value: meta.Append(nil, edits...)})
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
