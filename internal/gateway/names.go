package gateway

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// digestLength is the number of characters of a digest that ends a name which
// had to be changed: 40 bits, so that two of a thousand names clash once in two
// million gateways.
const digestLength = 8

// exposedName is what clients see of a server's tool: server, separator, name.
// It is bounded and has only characters that model APIs accept; a name that
// does not fit is changed and ends in a digest of what it was.
func (o Options) exposedName(server, name string) string {
	full := server + o.Separator + name
	if o.fits(full) {
		return full
	}
	clean := strings.Map(acceptable, full)
	sum := sha256.Sum256([]byte(full))
	digest := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:digestLength]
	keep := min(len(clean), o.MaxName-1-digestLength)
	return clean[:keep] + "_" + digest
}

// fits says whether a name needs no change.
func (o Options) fits(full string) bool {
	return len(full) <= o.MaxName && strings.IndexFunc(full, func(r rune) bool { return acceptable(r) != r }) < 0
}

// acceptable keeps what MCP recommends for names (2026-07-28, server/tools,
// "Tool names") and replaces the rest.
func acceptable(r rune) rune {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-', r == '.', r == '/':
		return r
	}
	return '_'
}

// split cuts an exposed name that was not changed.
func (o Options) split(name string) (server, rest string, ok bool) {
	return strings.Cut(name, o.Separator)
}
