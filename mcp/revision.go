package mcp

import "slices"

// Revision is a dated revision of the protocol. Revisions compare as strings.
type Revision string

// The five revisions that exist.
const (
	Revision20241105 Revision = "2024-11-05"
	Revision20250326 Revision = "2025-03-26"
	Revision20250618 Revision = "2025-06-18"
	Revision20251125 Revision = "2025-11-25"
	Revision20260728 Revision = "2026-07-28"
)

// Revisions returns all revisions, newest first.
func Revisions() []Revision {
	return []Revision{Revision20260728, Revision20251125, Revision20250618, Revision20250326, Revision20241105}
}

// Modern reports whether r is of the stateless era: no handshake, no session,
// no requests from server to client.
func (r Revision) Modern() bool { return r >= Revision20260728 }

// Known reports whether r is one of the revisions above.
func (r Revision) Known() bool { return slices.Contains(Revisions(), r) }

// NegotiateLegacy returns the session-shaped revision that a server answers to
// a client that proposes r: r itself when it is one, the newest otherwise
// (2025-11-25, basic/lifecycle, "Version Negotiation").
func NegotiateLegacy(r Revision) Revision {
	if r.Known() && !r.Modern() {
		return r
	}
	return Revision20251125
}
