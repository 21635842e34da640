package gateway

import (
	"bytes"
	"context"
	"strconv"
	"strings"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// paramHeader is a tool's argument that its callers mirror in a header.
type paramHeader struct {
	header string   // lower-case rest of Mcp-Param-*
	path   []string // of the argument
}

// maxHeaderDepth bounds how deep in a schema annotations are looked for.
const maxHeaderDepth = 16

// headersOf reads the x-mcp-header annotations of a tool's input schema
// (2026-07-28, basic/transports/streamable-http, "Custom headers"): they count
// only where a chain of properties leads to them.
func headersOf(tool jsonrpc.Object) []paramHeader {
	schema := tool.Get("inputSchema")
	if !bytes.Contains(schema, []byte(`"x-mcp-header"`)) {
		return nil
	}
	return collectHeaders(nil, schema, nil)
}

func collectHeaders(found []paramHeader, schema []byte, path []string) []paramHeader {
	o, ok := jsonrpc.Split(schema)
	if !ok || len(path) > maxHeaderDepth {
		return found
	}
	if name, ok := o.String("x-mcp-header"); ok && len(path) > 0 {
		found = append(found, paramHeader{header: strings.ToLower(name), path: path})
	}
	properties, _ := jsonrpc.Split(o.Get("properties"))
	for _, p := range properties.Members() {
		found = collectHeaders(found, p.Value, append(path[:len(path):len(path)], p.Name))
	}
	return found
}

// checkHeaders compares a call's Mcp-Param-* headers with its arguments. Only a
// caller over HTTP sends any: ParamHeaders is nil for others.
func (m *member) checkHeaders(ctx context.Context, req *mcp.Request, tool string) error {
	if req.ParamHeaders == nil {
		return nil
	}
	for _, e := range m.shelf.book(ctx, req.Client).snapshot(tools).entries {
		if e.name != tool {
			continue
		}
		if len(e.headers) == 0 {
			return nil
		}
		arguments, _ := jsonrpc.Split(req.Params.Get("arguments"))
		for _, h := range e.headers {
			if err := h.check(arguments, req.ParamHeaders); err != nil {
				return err
			}
		}
		return nil
	}
	return nil
}

func (h paramHeader) check(arguments jsonrpc.Object, headers map[string]string) error {
	value := argument(arguments, h.path)
	got, sent := headers[h.header]
	absent := value == nil || bytes.Equal(value, []byte("null"))
	switch {
	case absent && !sent, !absent && sent && sameValue(value, got):
		return nil
	case !sent:
		return mcp.Errorf(mcp.CodeHeaderMismatch, "header Mcp-Param-%s is missing: it must have the value of arguments.%s", h.header, strings.Join(h.path, "."))
	}
	return mcp.Errorf(mcp.CodeHeaderMismatch, "header Mcp-Param-%s does not have the value of arguments.%s", h.header, strings.Join(h.path, "."))
}

func argument(o jsonrpc.Object, path []string) []byte {
	for i, name := range path {
		value := o.Get(name)
		if i == len(path)-1 {
			return value
		}
		next, ok := jsonrpc.Split(value)
		if !ok {
			return nil
		}
		o = next
	}
	return nil
}

// sameValue compares an argument with its header: strings as such, numbers as numbers.
func sameValue(value []byte, header string) bool {
	if s, ok := jsonrpc.Unquote(value); ok {
		return s == header
	}
	if string(value) == header {
		return true
	}
	a, errA := strconv.ParseFloat(string(value), 64)
	b, errB := strconv.ParseFloat(header, 64)
	return errA == nil && errB == nil && a == b
}
