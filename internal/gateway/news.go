package gateway

import (
	"slices"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
)

// settleTime is how long what a server announces is left to settle: one change is
// announced in each of its sessions and processes, which are a moment apart.
const settleTime = 50 * time.Millisecond

// news is what a fetch has found out of a list.
type news struct {
	kind    kind
	told    bool // the server has announced it
	differs bool // it is not what readers of the book have
	grown   bool // it is not what was known before, or is known for the first time
}

func (n news) any() bool { return n.told || n.differs || n.grown }

// differsFrom reports whether readers have something else than fresh.
func (l *list) differsFrom(fresh list) bool {
	nothing := list{}
	return l.given && l.gave != fresh.digest && (l.gave != nothing.gave || len(fresh.entries) > 0)
}

// gather joins the news of resources and of templates, which are told as one: of two
// fetches under way, the first leaves its news to the second. b.mu is held.
func (b *book) gather(k kind, n news) news {
	group, other := k, k
	switch k {
	case resources:
		other = templates
	case templates:
		group, other = resources, resources
	}
	was := b.due[group]
	b.due[group] = news{}
	n = news{kind: group, told: n.told || was.told, differs: n.differs || was.differs, grown: n.grown || was.grown}
	if other != k && !was.any() && b.lists[other].pending != nil {
		b.due[group] = n
		return news{}
	}
	return n
}

// announce tells who listens of news from b: those whose lists b has, and for the
// gateway's own book those whose lists nobody has fetched.
func (sh *shelf) announce(b *book, n news) {
	if !n.any() {
		return
	}
	h := &sh.gateway.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.subscribers {
		if s.lists[n.kind] && (s.server == "" || s.server == sh.server.Name) && sh.concerns(s, b, n) {
			s.put(mcp.Notification{Method: n.kind.changed()})
		}
	}
}

// concerns reports whether a subscriber has to be told of news from b.
func (sh *shelf) concerns(s *subscriber, b *book, n news) bool {
	switch {
	case b.class.owner != "":
		return (n.told || n.differs) && slices.Contains(s.owners[:], b.class.owner)
	case s.class == b.class:
		return n.told || n.differs
	case b.class != itsOwn:
		return false
	}
	loaded, given := sh.standing(s.class, n.kind)
	return !loaded && (n.told || given)
}

// standing reports whether the lists of a class are known, and whether somebody of
// it was answered in their place.
func (sh *shelf) standing(cl class, group kind) (loaded, given bool) {
	sh.mu.Lock()
	b := sh.books[cl]
	sh.mu.Unlock()
	if b == nil {
		return false, false
	}
	for k := range kindCount {
		if l := b.snapshot(k); k.changed() == group.changed() {
			loaded, given = loaded || l.loaded, given || l.given
		}
	}
	return loaded, given
}
