package upstream

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/dragoman-mcp/dragoman/test/bench/h1"
	"github.com/dragoman-mcp/dragoman/test/bench/rawjson"
)

const (
	metaVersion      = "io.modelcontextprotocol/protocolVersion"
	metaCapabilities = "io.modelcontextprotocol/clientCapabilities"

	modernTail = `"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":{"name":"bench-upstream","version":"1.0.0"}}`
	cacheable  = `"ttlMs":60000,"cacheScope":"public",`
)

// modern answers a message of 2026-07-28. Its checks and statuses are those of the revision's "Server validation".
func (c *connection) modern(ctx context.Context, m *h1.Message, r request) answer {
	s := c.server
	if s.options.LegacyOnly {
		s.ledger.refused.Add(1)
		return answer{status: 400, body: []byte(noSession)}
	}
	if refused := checkModern(m, r); refused != nil {
		s.ledger.refused.Add(1)
		return answer{status: 400, id: r.id, body: refused}
	}
	if r.id == nil {
		return answer{status: 202}
	}
	switch string(r.method) {
	case "tools/call":
		return answer{status: 200, id: r.id, body: c.call(ctx, r, Modern)}
	case "tools/list":
		s.ledger.lists.Add(1)
		return answer{status: 200, id: r.id, body: s.list[Modern]}
	case "server/discover":
		s.ledger.discover.Add(1)
		return answer{status: 200, id: r.id, body: []byte(s.discoverResult())}
	case "subscriptions/listen":
		return answer{status: 200, hold: "event: message\ndata: " + acknowledgement(r) + "\n\n"}
	}
	return answer{status: 404, id: r.id, body: []byte(unknownMethod)}
}

// checkModern returns the error of a message whose headers and _meta are not as 2026-07-28 wants them.
func checkModern(m *h1.Message, r request) []byte {
	header := m.Get("MCP-Protocol-Version")
	version, ok := rawjson.Get(r.meta, metaVersion)
	switch {
	case !ok:
		return invalid("_meta lacks " + metaVersion)
	case !bytes.Equal(header, unquote(version)):
		return mismatch("MCP-Protocol-Version")
	case string(header) != Modern:
		return unsupported(string(header))
	case !bytes.Equal(m.Get("Mcp-Method"), r.method):
		return mismatch("Mcp-Method")
	}
	if _, ok := rawjson.Get(r.meta, metaCapabilities); !ok && r.id != nil {
		return invalid("_meta lacks " + metaCapabilities)
	}
	if string(r.method) == "tools/call" && mirrored(m.Get("Mcp-Name")) != string(r.name) {
		return mismatch("Mcp-Name")
	}
	return nil
}

func mismatch(header string) []byte {
	return []byte(`"error":{"code":-32020,"message":"Header ` + header + ` does not match the body"}`)
}

func invalid(what string) []byte {
	return []byte(`"error":{"code":-32602,"message":` + string(quote([]byte(what))) + `}`)
}

func unsupported(requested string) []byte {
	return []byte(`"error":{"code":-32022,"message":"Unsupported protocol version","data":{"supported":["` + Modern +
		`"],"requested":` + string(quote([]byte(requested))) + `}}`)
}

func (s *Server) discoverResult() string {
	versions := `"` + Modern + `"`
	if !s.options.ModernOnly {
		versions += `,"` + Legacy + `"`
	}
	return `"result":{"supportedVersions":[` + versions + `],"capabilities":{"tools":{"listChanged":true}},` + cacheable + modernTail + `}`
}

// acknowledgement is the first message of a listen stream; it honours list changes of tools, of which there are none.
func acknowledgement(r request) string {
	honoured := `{}`
	if wanted, ok := rawjson.Get(r.listen, "toolsListChanged"); ok && string(wanted) == "true" {
		honoured = `{"toolsListChanged":true}`
	}
	return `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"notifications":` + honoured +
		`,"_meta":{"io.modelcontextprotocol/subscriptionId":` + string(r.id) + `}}}`
}

// textResult appends a tool's result with one text block; text is a raw JSON string.
func textResult(to, text []byte, revision string) []byte {
	to = append(to, `"result":{"content":[{"type":"text","text":`...)
	to = append(to, text...)
	to = append(to, `}]`...)
	if revision == Modern {
		to = append(to, ',')
		to = append(to, modernTail...)
	}
	return append(to, '}')
}

func listResult(tools []byte, revision string) []byte {
	result := append([]byte(`"result":{"tools":`), tools...)
	if revision == Modern {
		result = append(result, ","+cacheable+modernTail...)
	}
	return append(result, '}')
}

// quote returns text as a raw JSON string.
func quote(text []byte) []byte {
	raw, _ := json.Marshal(string(text)) // a string cannot fail
	return raw
}
