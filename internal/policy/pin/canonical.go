package pin

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Bounds of one definition. One that is beyond them is never approved.
const (
	maxDepth      = 64
	maxDefinition = 1 << 20
	maxName       = 512
)

var errUnreadable = errors.New("definition is nested too deep, too long, or has characters that do not exist")

// canonical writes JSON so that equal definitions have equal bytes: members
// sorted by name, no space, text escaped in one way. The order of arrays counts,
// and so does how a number is written.
func canonical(dst, raw []byte, depth int) ([]byte, error) {
	if depth > maxDepth || len(dst) > maxDefinition || len(raw) == 0 {
		return nil, errUnreadable
	}
	switch raw[0] {
	case '{':
		return canonicalObject(dst, raw, depth)
	case '[':
		dst = append(dst, '[')
		first := true
		var err error
		for element := range jsonrpc.Elements(raw) {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			if dst, err = canonical(dst, element, depth+1); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	case '"':
		s, ok := jsonrpc.Unquote(raw)
		if !ok {
			return nil, errUnreadable
		}
		return jsonrpc.AppendString(dst, s), nil
	}
	return append(dst, raw...), nil
}

func canonicalObject(dst, raw []byte, depth int) ([]byte, error) {
	o, ok := jsonrpc.Split(raw)
	if !ok {
		return nil, errUnreadable
	}
	members := slices.Clone(o.Members())
	slices.SortFunc(members, func(a, b jsonrpc.Member) int { return cmp.Compare(a.Name, b.Name) })
	dst = append(dst, '{')
	var err error
	for i, m := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(jsonrpc.AppendString(dst, m.Name), ':')
		if dst, err = canonical(dst, m.Value, depth+1); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

// digest is the hash of a canonical definition.
func digest(definition []byte) string {
	sum := sha256.Sum256(definition)
	return hex.EncodeToString(sum[:])
}
