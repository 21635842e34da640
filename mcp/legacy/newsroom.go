package legacy

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/dragoman-mcp/dragoman/mcp"
)

// maxHeard bounds what waits to be told to one session. What says the same as
// something that waits is not told twice, and there are few kinds of it. Log messages
// leave room for the rest, and are lost beyond it.
const (
	maxHeard     = 16
	maxHeardLogs = 12
	maxHeardSize = 1 << 20 // bytes of log messages; but one has room whatever its length
)

// newsKey tells apart the sessions that may hear of different things.
type newsKey struct {
	principal string
	revision  mcp.Revision
	kinds     mcp.Kinds
	level     string // of log messages; empty for changed lists
	session   string // of one that shares with no other
}

// newsroom hears of changed lists for the sessions that want to hear of nothing
// else, and of log messages: one subscription for all of a principal in the place of
// one for each session, which is what makes a thousand quiet sessions cheap.
type newsroom struct {
	mu    sync.Mutex // guards what follows
	desks map[newsKey]*desk
}

// desk is one subscription and those who hear of it.
type desk struct {
	readers map[*Session]bool
	cancel  context.CancelFunc
}

// join has s hear of log messages from level on, or without one of changed lists,
// until leave is called.
func (r *newsroom) join(s *Session, level string) (leave func()) {
	key := newsKey{principal: s.who.ID, revision: s.client.Revision, kinds: s.client.Kinds, level: level}
	params := filter(nil, false)
	if level != "" {
		params = logFilter(level)
	}
	if s.server.o.ListsDiffer() {
		key.session = s.id
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.desks[key]
	if d == nil {
		d = &desk{readers: make(map[*Session]bool)}
		var ctx context.Context
		ctx, d.cancel = context.WithCancel(mcp.WithPrincipal(context.Background(), s.who))
		if r.desks == nil {
			r.desks = make(map[newsKey]*desk)
		}
		r.desks[key] = d
		client := &mcp.Client{Revision: s.client.Revision, Kinds: s.client.Kinds, Session: key.session}
		req := &mcp.Request{Method: "subscriptions/listen", Params: params, Client: client}
		s.server.listens.Go(func() { s.server.listen(ctx, req, func([]string) {}, func(n mcp.Notification) { r.tell(d, n) }) })
	}
	d.readers[s] = true
	return func() { r.leave(key, d, s) }
}

func (r *newsroom) leave(key newsKey, d *desk, s *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(d.readers, s)
	if len(d.readers) > 0 {
		return
	}
	d.cancel()
	if r.desks[key] == d {
		delete(r.desks, key)
	}
}

func (r *newsroom) tell(d *desk, n mcp.Notification) {
	r.mu.Lock()
	readers := slices.Collect(maps.Keys(d.readers))
	r.mu.Unlock()
	for _, s := range readers {
		s.hear(n)
	}
}

// hear has n told to the session's client without waiting for it.
func (s *Session) hear(n mcp.Notification) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := slices.ContainsFunc(s.heard, func(w mcp.Notification) bool { return w.Method == n.Method && n.Params.IsZero() })
	if s.stream == nil || known || len(s.heard) >= maxHeard || n.Method == logNotice && !s.hasRoom(n) {
		return
	}
	s.heard = append(s.heard, n)
	if !s.telling {
		s.telling = true
		s.server.listens.Go(s.tellHeard)
	}
}

// hasRoom reports whether a log message may wait. s.mu is held.
func (s *Session) hasRoom(n mcp.Notification) bool {
	size := 0
	for _, w := range s.heard {
		size += len(w.Params.Raw())
	}
	return size == 0 || len(s.heard) < maxHeardLogs && size+len(n.Params.Raw()) <= maxHeardSize
}

// tellHeard tells what was heard until there is no more.
func (s *Session) tellHeard() {
	for {
		s.mu.Lock()
		heard := s.heard
		s.heard = nil
		s.telling = len(heard) > 0
		s.mu.Unlock()
		if len(heard) == 0 {
			return
		}
		for _, n := range heard {
			s.push(context.Background(), n)
		}
	}
}
