package flow

import (
	"slices"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
)

// Bounds of what is remembered. Nothing is forgotten for lack of room: what has to go is kept as read by everybody who
// may have read it (see Memory.lost and reader.lost).
const (
	// maxReaders are the principals that have read something lately.
	maxReaders = 16_384
	// maxOwn are the conversations of one of them, maxScopes those of all.
	maxOwn    = 4096
	maxScopes = 65_536
	// maxOfServer are the tools and the like of one server in one conversation; when there are more, all of the server counts.
	maxOfServer = 16
	// maxItems are those of all servers. When there are more, all of each server counts.
	maxItems = 64
	// maxSourceName is the longest name that is kept, in bytes; of what has a longer one, all of the server counts.
	maxSourceName = 512
	// fresh is the part of the time for which something counts in which it is not written down again when it is read again.
	fresh = 64
)

// Memory is what conversations have read. It is safe for concurrent use, and lives as long as the process.
type Memory struct {
	by    by
	lasts time.Duration
	now   func() time.Time
	most  bounds

	mu      sync.RWMutex // guards what follows
	readers map[string]*reader
	scopes  int       // of all readers
	lost    *record   // what readers have read that had to go: whoever is not known here may be one of them
	swept   time.Time // when what has expired was last looked for
}

type bounds struct{ readers, own, scopes int }

// reader is a principal. Its records never change, others take their place.
type reader struct {
	any     *record           // what any of its clients has read
	unnamed *record           // what those have read that say nothing of themselves
	own     map[scope]*record // what each of them has read
	lost    *record           // what those have read that had to go
}

// record is what was read, and until when that counts.
type record struct {
	read  []Source
	until []time.Time // of each
	first time.Time   // the least of them
}

// NewMemory returns a memory in which nothing was read. Now is the clock; nil means time.Now.
func NewMemory(c config.Conversation, now func() time.Time) *Memory {
	m := &Memory{by: readBy(c), lasts: c.For, now: now, readers: make(map[string]*reader), most: bounds{maxReaders, maxOwn, maxScopes}}
	if m.lasts <= 0 {
		m.lasts = defaultLasts
	}
	if m.now == nil {
		m.now = time.Now
	}
	return m
}

// Fresh is for how long after Note the same need not be noted again.
func (m *Memory) Fresh() time.Duration { return m.lasts / fresh }

// Seen is what the conversation has read. It must not be changed.
func (m *Memory) Seen(c Conversation) []Source {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if len(m.readers) == 0 {
		return nil
	}
	r := m.readers[c.principal]
	switch {
	case r == nil:
		return m.lost.at(m.now)
	case c.own.id == "":
		return r.any.at(m.now)
	}
	own, ok := r.own[c.own]
	if !ok {
		own = r.lost
	}
	read := own.at(m.now)
	if c.own.session || r.unnamed == nil {
		return read
	}
	return union(read, r.unnamed.at(m.now))
}

func union(a, b []Source) []Source {
	if len(a) == 0 {
		return b
	}
	out := slices.Clip(a)
	for _, s := range b {
		if !slices.Contains(a, s) {
			out = append(out, s)
		}
	}
	return out
}

// Note remembers that the conversation is given something of s to read.
func (m *Memory) Note(c Conversation, s Source) {
	if len(s.Name) > maxSourceName {
		s.Name = ""
	}
	now := m.now()
	until := now.Add(m.lasts + m.lasts/fresh)
	if m.noted(c, s, now.Add(m.lasts)) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.readers[c.principal]
	if r == nil {
		r = m.enter(c.principal, now)
	}
	r.any = r.any.with(s, now, until)
	switch was, ok := r.own[c.own]; {
	case c.own.id == "" && m.by != byPrincipal:
		r.unnamed = r.unnamed.with(s, now, until)
	case c.own.id == "":
	case ok:
		r.own[c.own] = was.with(s, now, until)
	case m.room(r, now):
		r.own[c.own] = r.lost.with(s, now, until)
		m.scopes++
	default:
		r.lost = r.lost.with(s, now, until)
	}
}

// noted reports whether it is remembered already that s was read, for as long as it has to be.
func (m *Memory) noted(c Conversation, s Source, until time.Time) bool {
	m.mu.RLock()
	defer m.mu.RUnlock()
	r := m.readers[c.principal]
	switch {
	case r == nil || !r.any.has(s, until):
		return false
	case c.own.id != "":
		return r.own[c.own].has(s, until)
	}
	return m.by == byPrincipal || r.unnamed.has(s, until)
}

// enter makes room for a reader. m.mu is held.
func (m *Memory) enter(principal string, now time.Time) *reader {
	if len(m.readers) >= m.most.readers {
		m.sweep(now)
	}
	for id, old := range m.readers { // any of them will do
		if len(m.readers) < m.most.readers {
			break
		}
		m.lost = m.lost.and(old.any, now)
		m.scopes -= len(old.own)
		delete(m.readers, id)
	}
	r := &reader{any: m.lost, unnamed: m.lost, lost: m.lost, own: make(map[scope]*record)}
	m.readers[principal] = r
	return r
}

// room makes room for one more conversation of r; false when others need it. m.mu is held.
func (m *Memory) room(r *reader, now time.Time) bool {
	if m.scopes >= m.most.scopes || len(r.own) >= m.most.own {
		m.sweep(now)
	}
	if m.scopes < m.most.scopes && len(r.own) < m.most.own {
		return true
	}
	for id, old := range r.own { // any of them will do
		r.lost = r.lost.and(old, now)
		delete(r.own, id)
		m.scopes--
		return true
	}
	return false
}

// sweep forgets what has expired, not more often than it is worth. m.mu is held.
func (m *Memory) sweep(now time.Time) {
	if now.Sub(m.swept) < m.lasts/fresh {
		return
	}
	m.swept = now
	for id, r := range m.readers {
		for own, rec := range r.own {
			if rec.expired(now) {
				delete(r.own, own)
				m.scopes--
			}
		}
		if r.any.expired(now) {
			m.scopes -= len(r.own)
			delete(m.readers, id)
		}
	}
}

// at returns what counts now; a record that is not there has nothing.
func (r *record) at(now func() time.Time) []Source {
	if r == nil {
		return nil
	}
	t := now()
	if r.first.After(t) {
		return r.read
	}
	var out []Source
	for i, s := range r.read {
		if r.until[i].After(t) {
			out = append(out, s)
		}
	}
	return out
}

func (r *record) expired(now time.Time) bool {
	return r == nil || !slices.ContainsFunc(r.until, func(t time.Time) bool { return t.After(now) })
}

// has reports whether s counts as read until then.
func (r *record) has(s Source, until time.Time) bool {
	if r == nil {
		return false
	}
	for i, known := range r.read {
		if known.Server == s.Server && (known.Name == "" || known.Name == s.Name) && !r.until[i].Before(until) {
			return true
		}
	}
	return false
}

// with returns a record in which s was read too, and what has expired is gone.
func (r *record) with(s Source, now, until time.Time) *record {
	out := &record{}
	if r != nil {
		for i, known := range r.read {
			if r.until[i].After(now) {
				out.put(known, r.until[i])
			}
		}
	}
	out.put(s, until)
	if len(out.read) > maxItems {
		whole := &record{}
		for i, known := range out.read {
			whole.put(Source{Server: known.Server}, out.until[i])
		}
		out = whole
	}
	out.first = slices.MinFunc(out.until, time.Time.Compare)
	return out
}

// and returns a record in which all of both was read.
func (r *record) and(o *record, now time.Time) *record {
	if o == nil {
		return r
	}
	for i, s := range o.read {
		if o.until[i].After(now) {
			r = r.with(s, now, o.until[i])
		}
	}
	return r
}

// put writes s into a record that nobody else knows yet. When a server has too many entries, one stands for all.
func (r *record) put(s Source, until time.Time) {
	of := 0
	for i, known := range r.read {
		if known == s {
			r.until[i] = later(r.until[i], until)
			return
		}
		if known.Server == s.Server {
			of++
		}
	}
	if of >= maxOfServer {
		kept := &record{}
		for i, known := range r.read {
			if known.Server == s.Server {
				until = later(until, r.until[i])
				continue
			}
			kept.read, kept.until = append(kept.read, known), append(kept.until, r.until[i])
		}
		r.read, r.until, s.Name = kept.read, kept.until, ""
	}
	r.read, r.until = append(r.read, s), append(r.until, until)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
