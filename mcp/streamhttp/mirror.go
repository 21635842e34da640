package streamhttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// annotation is the member of a parameter's schema that asks for a header
// (2026-07-28, basic/transports/streamable-http, "Custom Headers from Tool
// Parameters").
const annotation = "x-mcp-header"

// Bounds of what a server can make us keep and send: tools with annotations,
// annotations of a tool, and pages of a list that is read for them.
const (
	maxMirroredTools = 10_000
	maxMirrors       = 64
	maxPages         = 100
)

// mirror says that a parameter of a tool is repeated in a header.
type mirror struct {
	header string // as net/http spells it
	path   []string
}

// value returns what the header says for a call: nothing when the parameter is
// absent, null, or of a kind that has no header form.
func (m mirror) value(arguments jsonrpc.Object) (string, bool) {
	for _, name := range m.path[:len(m.path)-1] {
		var ok bool
		if arguments, ok = jsonrpc.Split(arguments.Get(name)); !ok {
			return "", false
		}
	}
	raw := arguments.Get(m.path[len(m.path)-1])
	if len(raw) == 0 {
		return "", false
	}
	switch raw[0] {
	case '"':
		return jsonrpc.Unquote(raw)
	case 't', 'f':
		return string(raw), true
	case 'n', '{', '[':
		return "", false
	}
	return decimal(string(raw)), true
}

// decimal writes a whole number without fraction and exponent, as headers have
// it; another number stays as it is, for the server to refuse.
func decimal(number string) string {
	if !strings.ContainsAny(number, ".eE") {
		return number
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) >= 1<<53 {
		return number
	}
	return strconv.FormatInt(int64(f), 10)
}

func (c *Client) mirrors(tool string) []mirror {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.mirrored[tool]
}

func equalMirrors(a, b []mirror) bool {
	return slices.EqualFunc(a, b, func(a, b mirror) bool { return a.header == b.header && slices.Equal(a.path, b.path) })
}

// refresh lists all tools, for their annotations, in the name of req's caller.
func (c *Client) refresh(ctx context.Context, req *mcp.Request) error {
	params := jsonrpc.Object{}
	for range maxPages {
		result, err := c.call(ctx, &mcp.Request{Method: "tools/list", Params: params, Client: req.Client, TraceParent: req.TraceParent})
		if err != nil {
			return err
		}
		cursor := result.Get("nextCursor")
		if cursor == nil || string(cursor) == "null" {
			return nil
		}
		params = jsonrpc.Object{}.With(jsonrpc.Edit{Name: "cursor", Value: cursor})
	}
	return fmt.Errorf("list of tools has more than %d pages", maxPages)
}

// learn keeps the annotations of the tools in a list, and returns the list
// without tools whose annotations break the rules: clients must not show those.
func (c *Client) learn(list mcp.Result) mcp.Result {
	tools := list.Get("tools")
	annotated := bytes.Contains(tools, []byte(annotation))
	c.mu.Lock()
	defer c.mu.Unlock()
	if !annotated && len(c.mirrored) == 0 {
		return list
	}
	kept := []byte{'['}
	dropped := false
	for element := range jsonrpc.Elements(tools) {
		if err := c.learnTool(element); err != nil {
			dropped = true
			continue
		}
		if len(kept) > 1 {
			kept = append(kept, ',')
		}
		kept = append(kept, element...)
	}
	if !dropped {
		return list
	}
	kept = append(kept, ']')
	return mcp.Result{Object: list.With(jsonrpc.Edit{Name: "tools", Value: kept})}
}

// learnTool is called with c.mu held.
func (c *Client) learnTool(element []byte) error {
	tool, _ := jsonrpc.Split(element)
	name, _ := tool.String("name")
	a := annotations{}
	if schema := tool.Get("inputSchema"); bytes.Contains(schema, []byte(annotation)) {
		a.schema(schema, []string{})
	}
	if a.err != nil {
		delete(c.mirrored, name)
		c.o.Log.Warn("tool is left out: its x-mcp-header annotations are not valid", "tool", name, "err", a.err)
		return a.err
	}
	if len(a.found) == 0 {
		delete(c.mirrored, name)
		return nil
	}
	if _, known := c.mirrored[name]; known || len(c.mirrored) < maxMirroredTools {
		c.mirrored[name] = a.found
	}
	return nil
}

// annotations gathers those of one tool, or finds what is wrong with them.
type annotations struct {
	found []mirror
	err   error
}

// schema looks through a schema. path leads to what it describes through
// "properties" alone; nil when there is no such path, so that an annotation is
// out of place.
func (a *annotations) schema(raw []byte, path []string) {
	if a.err != nil || !bytes.Contains(raw, []byte(annotation)) {
		return
	}
	node, ok := jsonrpc.Split(raw)
	if !ok {
		for element := range jsonrpc.Elements(raw) {
			a.schema(element, nil)
		}
		return
	}
	for _, m := range node.Members() {
		switch m.Name {
		case annotation:
			a.add(node, m.Value, path)
		case "properties":
			a.named(m.Value, path)
		case "patternProperties", "$defs", "definitions", "dependentSchemas":
			a.named(m.Value, nil)
		case "const", "default", "enum", "example", "examples":
			// values, not schemas: what looks like an annotation is none
		default:
			a.schema(m.Value, nil)
		}
	}
}

// named looks through schemas that stand under names of the server's choice.
func (a *annotations) named(raw []byte, path []string) {
	schemas, _ := jsonrpc.Split(raw)
	for _, m := range schemas.Members() {
		if path == nil {
			a.schema(m.Value, nil)
			continue
		}
		a.schema(m.Value, append(slices.Clip(path), m.Name))
	}
}

func (a *annotations) add(node jsonrpc.Object, value []byte, path []string) {
	name, isString := jsonrpc.Unquote(value)
	at := strconv.Quote(strings.Join(path, "."))
	header := http.CanonicalHeaderKey(headerParamPrefix + name)
	switch {
	case a.err != nil:
	case len(path) == 0:
		a.err = errors.New("annotation is not reachable through properties alone")
	case !isString || !isToken(name):
		a.err = fmt.Errorf("annotation of %s is not the name of a header", at)
	case !primitive(node.Get("type")):
		a.err = fmt.Errorf("annotation of %s, whose type is not string, integer or boolean", at)
	case slices.ContainsFunc(a.found, func(m mirror) bool { return strings.EqualFold(m.header, header) }):
		a.err = fmt.Errorf("annotation of %s names a header that another has: %q", at, name)
	case len(a.found) == maxMirrors:
		a.err = fmt.Errorf("more than %d annotations", maxMirrors)
	default:
		a.found = append(a.found, mirror{header: header, path: path})
	}
}

// primitive reports whether a schema's type is one that has a header form, or
// such a type or null.
func primitive(raw []byte) bool {
	one := func(raw []byte) bool {
		t, _ := jsonrpc.Unquote(raw)
		return t == "string" || t == "integer" || t == "boolean"
	}
	if one(raw) {
		return true
	}
	found := false
	for element := range jsonrpc.Elements(raw) {
		switch {
		case one(element):
			found = true
		case string(element) != `"null"`:
			return false
		}
	}
	return found
}

// isToken reports whether s is a token (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.Contains("!#$%&'*+-.^_`|~", string(rune(c))) {
			return false
		}
	}
	return s != ""
}
