package gateway

import "context"

// Audience says who may know of what. What somebody may not know of is not in
// its lists, and unknown when it asks for it by a name that a view gave; whether
// a call is permitted is decided where the call arrives, at the server.
type Audience interface {
	// Audience names who sees the same as the caller of ctx, so that lists can be
	// kept for them: equal names, equal lists. Empty is everybody.
	Audience(ctx context.Context) string
	// Sees reports whether the caller of ctx may know of an entry of a server's
	// list, by the method of the list and the server's own name for the entry; of
	// the server itself with the method server/discover and no name.
	Sees(ctx context.Context, server, method, name string) bool
}

// audience names who sees the same as the caller of ctx.
func (g *Gateway) audience(ctx context.Context) string {
	if g.o.Audience == nil {
		return ""
	}
	return g.o.Audience.Audience(ctx)
}

// sees reports whether the caller of ctx may know of an entry.
func (g *Gateway) sees(ctx context.Context, server string, k kind, name string) bool {
	return g.audience(ctx) == "" || g.o.Audience.Sees(ctx, server, k.method(), name)
}

// meets reports whether the caller of ctx may know of a server.
func (g *Gateway) meets(ctx context.Context, server string) bool {
	return g.audience(ctx) == "" || g.o.Audience.Sees(ctx, server, "server/discover", "")
}

// visible leaves what the caller may not know of out of the servers' shares, and
// servers of which it may know nothing.
func (m *many) visible(ctx context.Context, k kind, parts []part) []part {
	g := m.set.gateway
	if g.audience(ctx) == "" {
		return parts
	}
	var out []part
	for _, p := range parts {
		var seen []entry
		for _, e := range p.list.entries {
			if g.sees(ctx, p.member.Name, k, e.name) {
				seen = append(seen, e)
			}
		}
		if len(seen) == 0 && !g.meets(ctx, p.member.Name) {
			continue
		}
		p.list.entries = seen
		out = append(out, p)
	}
	return out
}

// met are the servers that the caller may know of.
func (m *many) met(ctx context.Context) []*member {
	var out []*member
	for _, member := range m.members {
		if m.set.gateway.meets(ctx, member.Name) {
			out = append(out, member)
		}
	}
	return out
}

// Refresh has the lists of a server made anew, and tells who listens: what may be
// known of it has changed.
func (g *Gateway) Refresh(server string) {
	s := g.enter()
	defer s.leave()
	m := s.byName[server]
	if m == nil {
		return
	}
	for _, b := range m.shelf.all() {
		b.pardon()
	}
	m.shelf.invalidate(kindCount)
	for _, k := range []kind{tools, prompts, resources} { // templates go with resources
		m.shelf.renew(k)
	}
}
