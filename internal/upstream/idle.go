package upstream

import (
	"context"
	"time"
)

// ownAfter is how long a link that only the gateway has used is kept beside one
// that callers use.
const ownAfter = time.Minute

// idle lets go of links that nobody has used for longer than after (0 for
// never): those of a server that runs on demand, those of one principal or
// session, and those for kinds of callers that are no longer there. A server
// that always runs keeps one.
//
// A link that only the gateway itself has used goes after a minute when there is
// another, whatever after says: a session-shaped server has a process or session
// for each set of kinds, and the one for the gateway's own lists is opened before
// it is known which kinds callers have. The gateway's requests then go over that
// of the callers.
func (r *replica) idle(now time.Time, after time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	keeper := r.keeper()
	for _, l := range r.links {
		quiet := now.Sub(time.Unix(0, l.used.Load()))
		spare := !l.called.Load() && quiet >= ownAfter && r.hasOther(l)
		switch {
		case l == keeper || l.holds():
		case spare, after > 0 && quiet >= after:
			r.dismiss(l)
		}
	}
}

// keeper is the link that a server that always runs does not let go: that which
// callers use, or used last. r.mu is held.
func (r *replica) keeper() *link {
	if !r.always() {
		return nil
	}
	var found *link
	for _, l := range r.links {
		if l.over() {
			continue
		}
		if found == nil || l.called.Load() && !found.called.Load() ||
			l.called.Load() == found.called.Load() && l.used.Load() > found.used.Load() {
			found = l
		}
	}
	return found
}

// hasOther reports whether the owner of l has another link. r.mu is held.
func (r *replica) hasOther(l *link) bool {
	for k, other := range r.links {
		if other != l && k.owner == l.key.owner && !other.over() {
			return true
		}
	}
	return false
}

// makeRoom lets the link go that nobody has used for longest; false when all are
// in use. r.mu is held.
func (r *replica) makeRoom() bool {
	var oldest *link
	for _, l := range r.links {
		if !l.holds() && (oldest == nil || l.used.Load() < oldest.used.Load()) {
			oldest = l
		}
	}
	if oldest != nil {
		r.dismiss(oldest)
	}
	return oldest != nil
}

// pause waits; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
