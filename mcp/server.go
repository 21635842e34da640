package mcp

import (
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Server is what a server says of itself: the answer to server/discover, or
// what its handshake told.
type Server struct {
	// Revisions are those that it serves, in its own order.
	Revisions    []Revision
	Info         []byte // JSON text of its Implementation object; nil if it did not tell
	Capabilities jsonrpc.Object
	Instructions string
}

// ReadServer reads the result of server/discover.
func ReadServer(r Result) Server {
	s := Server{}
	for element := range jsonrpc.Elements(r.Get("supportedVersions")) {
		if v, ok := jsonrpc.Unquote(element); ok {
			s.Revisions = append(s.Revisions, Revision(v))
		}
	}
	s.Capabilities, _ = jsonrpc.Split(r.Get("capabilities"))
	s.Instructions, _ = r.String("instructions")
	if meta, ok := jsonrpc.Split(r.Get("_meta")); ok {
		s.Info = meta.Get(MetaServerInfo)
	}
	return s
}

// Result writes s as the result of server/discover. Discovery is cacheable;
// ttlMs 0 lets the caller ask again whenever it wants.
func (s Server) Result() Result {
	versions := []byte{'['}
	for i, v := range s.Revisions {
		if i > 0 {
			versions = append(versions, ',')
		}
		versions = jsonrpc.AppendString(versions, string(v))
	}
	versions = append(versions, ']')
	capabilities := s.Capabilities.Raw()
	if capabilities == nil {
		capabilities = []byte("{}")
	}
	edits := []jsonrpc.Edit{
		{Name: "resultType", Value: []byte(`"complete"`)},
		{Name: "supportedVersions", Value: versions},
		{Name: "capabilities", Value: capabilities},
		{Name: "ttlMs", Value: []byte("0")},
		{Name: "cacheScope", Value: []byte(`"private"`)},
	}
	if s.Instructions != "" {
		edits = append(edits, jsonrpc.Edit{Name: "instructions", Value: jsonrpc.AppendString(nil, s.Instructions)})
	}
	if s.Info != nil {
		meta := jsonrpc.Object{}.Append(nil, jsonrpc.Edit{Name: MetaServerInfo, Value: s.Info})
		edits = append(edits, jsonrpc.Edit{Name: "_meta", Value: meta})
	}
	return Result{jsonrpc.Object{}.With(edits...)}
}
