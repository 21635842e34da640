package legacy

import (
	"bytes"
	"crypto/rand"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// legacyCapabilities writes a server's capabilities for a client of r: no
// extensions, and tasks only in the revision that had them in the core.
func legacyCapabilities(capabilities jsonrpc.Object, r mcp.Revision) []byte {
	edits := []jsonrpc.Edit{{Name: "extensions"}}
	if r < mcp.Revision20251125 {
		edits = append(edits, jsonrpc.Edit{Name: "tasks"})
	}
	return capabilities.Append(nil, edits...)
}

// legacyError turns codes that only stateless clients know into ones that the
// older revisions have.
func legacyError(msg jsonrpc.Message, err *mcp.Error) *mcp.Error {
	code := err.Code
	switch {
	case code == mcp.CodeHeaderMismatch, code == mcp.CodeMissingCapability, code == mcp.CodeUnsupportedVersion:
		code = jsonrpc.CodeInvalidRequest
	case code == jsonrpc.CodeInvalidParams && msg.Method == "resources/read" && hasURI(err.Data):
		code = mcp.CodeLegacyNotFound
	default:
		return err
	}
	return &mcp.Error{Code: code, Message: err.Message, Data: err.Data}
}

func hasURI(data []byte) bool {
	o, ok := jsonrpc.Split(data)
	return ok && o.Get("uri") != nil
}

// modernError is the other way round: a missing resource is -32602 since
// 2026-07-28. The uri in data is what tells it from other wrong parameters.
func modernError(req *mcp.Request, err *mcp.Error) *mcp.Error {
	if err.Code != mcp.CodeLegacyNotFound || req.Method != "resources/read" {
		return err
	}
	data := []byte(err.Data)
	if !hasURI(data) {
		data = jsonrpc.Object{}.Append(nil, jsonrpc.Edit{Name: "uri", Value: jsonrpc.AppendString(nil, req.Name)})
	}
	return &mcp.Error{Code: jsonrpc.CodeInvalidParams, Message: err.Message, Data: data}
}

// legacyEdits make of a result what a client of r knows: without the members of
// the stateless era, and with content that r has. Members that nobody here
// knows stay.
func legacyEdits(method string, result mcp.Result, r mcp.Revision) []jsonrpc.Edit {
	var edits []jsonrpc.Edit
	for _, name := range [...]string{"resultType", "ttlMs", "cacheScope"} {
		if result.Get(name) != nil {
			edits = append(edits, jsonrpc.Edit{Name: name})
		}
	}
	if meta, ok := jsonrpc.Split(result.Get("_meta")); ok && meta.Get(mcp.MetaServerInfo) != nil {
		edits = append(edits, jsonrpc.Edit{Name: "_meta", Value: withoutServerInfo(meta)})
	}
	switch method {
	case "tools/list":
		edits = append(edits, legacyTools(result, r)...)
	case "tools/call":
		edits = append(edits, legacyOutput(result, r)...)
	}
	return edits
}

// withoutServerInfo returns nil, which removes _meta, when nothing else is in it.
func withoutServerInfo(meta jsonrpc.Object) []byte {
	if len(meta.Members()) == 1 {
		return nil
	}
	return meta.Append(nil, jsonrpc.Edit{Name: mcp.MetaServerInfo})
}

// legacyTools drops output schemas that are no object schema, which is all that
// revisions before 2026-07-28 allow, and task support where tasks do not exist.
func legacyTools(result mcp.Result, r mcp.Revision) []jsonrpc.Edit {
	tools := result.Get("tools")
	hasOutput := bytes.Contains(tools, []byte(`"outputSchema"`))
	hasExecution := r < mcp.Revision20251125 && bytes.Contains(tools, []byte(`"execution"`))
	if !hasOutput && !hasExecution {
		return nil
	}
	return rewrite("tools", tools, func(tool jsonrpc.Object) []jsonrpc.Edit {
		var edits []jsonrpc.Edit
		if schema := tool.Get("outputSchema"); schema != nil && !objectSchema(schema) {
			edits = append(edits, jsonrpc.Edit{Name: "outputSchema"})
		}
		if hasExecution && tool.Get("execution") != nil {
			edits = append(edits, jsonrpc.Edit{Name: "execution"})
		}
		return edits
	})
}

func objectSchema(schema []byte) bool {
	o, ok := jsonrpc.Split(schema)
	kind, _ := o.String("type")
	return ok && kind == "object"
}

// rewrite edits the objects of an array; nil when none of them changes.
func rewrite(name string, array []byte, edit func(jsonrpc.Object) []jsonrpc.Edit) []jsonrpc.Edit {
	changed, out := false, []byte{'['}
	for element := range jsonrpc.Elements(array) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		o, ok := jsonrpc.Split(element)
		var edits []jsonrpc.Edit
		if ok {
			edits = edit(o)
		}
		if len(edits) == 0 {
			out = append(out, element...)
			continue
		}
		changed = true
		out = o.Append(out, edits...)
	}
	if !changed {
		return nil
	}
	return []jsonrpc.Edit{{Name: name, Value: append(out, ']')}}
}

// legacyOutput leaves structured content that is no object to the text block
// beside it, and says in text what content blocks say that r does not have.
func legacyOutput(result mcp.Result, r mcp.Revision) []jsonrpc.Edit {
	var edits []jsonrpc.Edit
	if structured := result.Get("structuredContent"); structured != nil && structured[0] != '{' {
		edits = append(edits, jsonrpc.Edit{Name: "structuredContent"})
	}
	content := result.Get("content")
	if r >= mcp.Revision20250618 || !bytes.Contains(content, []byte(`"resource_link"`)) && !bytes.Contains(content, []byte(`"audio"`)) {
		return edits
	}
	return append(edits, rewrite("content", content, func(block jsonrpc.Object) []jsonrpc.Edit {
		kind, _ := block.String("type")
		switch {
		case kind == "resource_link":
			return asText(block, linkText(block), "uri", "name", "title", "description", "mimeType", "size", "icons")
		case kind == "audio" && r < mcp.Revision20250326:
			mime, _ := block.String("mimeType")
			return asText(block, "[audio, "+mime+": this client's protocol revision has no audio content]", "data", "mimeType")
		}
		return nil
	})...)
}

func linkText(block jsonrpc.Object) string {
	uri, _ := block.String("uri")
	name, _ := block.String("name")
	if name == "" {
		return uri
	}
	return name + ": " + uri
}

func asText(block jsonrpc.Object, text string, gone ...string) []jsonrpc.Edit {
	edits := []jsonrpc.Edit{
		{Name: "type", Value: []byte(`"text"`)},
		{Name: "text", Value: jsonrpc.AppendString(nil, text)},
	}
	for _, name := range gone {
		if block.Get(name) != nil {
			edits = append(edits, jsonrpc.Edit{Name: name})
		}
	}
	return edits
}

// legacyQuestion is an input request as a client of r knows it: before
// 2025-11-25 an elicitation has no mode, and in it a URL needs an id.
func legacyQuestion(method string, params jsonrpc.Object, r mcp.Revision) jsonrpc.Object {
	if method != "elicitation/create" {
		return params
	}
	mode, _ := params.String("mode")
	switch {
	case mode == "url" && params.Get("elicitationId") == nil:
		return params.With(jsonrpc.Edit{Name: "elicitationId", Value: jsonrpc.AppendString(nil, rand.Text())})
	case mode == "form" && r < mcp.Revision20251125:
		return params.With(jsonrpc.Edit{Name: "mode"})
	}
	return params
}

// modernQuestion is a request of a server as an entry of inputRequests. It has
// params even where they are empty, of roots/list: they may be missing there, but
// the Go SDK (v1.8.0) cannot read an entry without.
func modernQuestion(msg jsonrpc.Message) []byte {
	params := []byte("{}")
	if !msg.Params.IsZero() {
		// We declare no tasks of our own to servers, so that an answer may not be
		// one (2025-11-25, basic/utilities/tasks, "Task Support and Handling").
		params = msg.Params.With(jsonrpc.Edit{Name: "elicitationId"}, jsonrpc.Edit{Name: "task"}).Raw()
	}
	return jsonrpc.Object{}.Append(nil,
		jsonrpc.Edit{Name: "method", Value: jsonrpc.AppendString(nil, msg.Method)}, jsonrpc.Edit{Name: "params", Value: params})
}
