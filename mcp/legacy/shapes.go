package legacy

import (
	"strings"
	"sync"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Bounds of what is remembered of long lists: how long one must be, and how many.
const (
	minShaped = 4 << 10
	maxShaped = 64
)

// shapes remembers how long lists are changed for clients of one revision. A
// list that is served from memory is the same bytes each time, and need not be
// looked through each time.
type shapes struct {
	mu    sync.Mutex // guards known
	known map[shapeKey]shape
}

// shapeKey names the bytes of a list by where they are. The shape holds them,
// so that no others can be there.
type shapeKey struct {
	first    *byte
	length   int
	method   string
	revision mcp.Revision
}

type shape struct {
	raw   []byte
	edits []jsonrpc.Edit
}

// edits returns legacyEdits.
func (s *shapes) edits(method string, result mcp.Result, r mcp.Revision) []jsonrpc.Edit {
	raw := result.Raw()
	if len(raw) < minShaped || !strings.HasSuffix(method, "/list") {
		return legacyEdits(method, result, r)
	}
	key := shapeKey{&raw[0], len(raw), method, r}
	s.mu.Lock()
	known, ok := s.known[key]
	s.mu.Unlock()
	if ok {
		return known.edits
	}
	edits := legacyEdits(method, result, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || len(s.known) >= maxShaped {
		s.known = make(map[shapeKey]shape)
	}
	s.known[key] = shape{raw, edits}
	return edits
}
