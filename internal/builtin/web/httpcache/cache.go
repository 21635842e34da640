// Package httpcache keeps answers to GET requests as RFC 9111 says a shared cache
// may, and, what it may not share, for one principal each.
//
// The package does not know the network, what answers are about, or who
// principals are.
package httpcache

import (
	"container/list"
	"context"
	"net/http"
	"sync"
	"time"
)

// Answer is one answer. It is shared by all who get it, and must not be changed.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Request is what is asked. All requests are GET.
type Request struct {
	URL    string
	Header http.Header
	// Principal is who asks. What an answer does not declare public is kept for one principal only.
	Principal string
	// Fresh asks for an answer that the server has confirmed just now.
	Fresh bool
	// Later runs f after the answer was given, where the server allows that one
	// that is no longer fresh is given while it is asked anew (RFC 5861 §3). Nil
	// means that nobody may run it, and that such an answer is not given.
	Later func(f func(ctx context.Context))
}

// Send sends a request to the server. Header has the request's fields, and validators if there is something to
// validate.
type Send func(ctx context.Context, url string, header http.Header) (*Answer, error)

// Cache keeps answers. Make it with New. It may be used concurrently; requests for the same at the same time are not joined.
type Cache struct {
	max int64
	now func() time.Time

	mu      sync.Mutex // guards what follows
	entries map[key]*list.Element
	recent  *list.List // of *entry, the latest used first
	bytes   int64
	renewed map[key]bool // what is being asked anew, at most maxRenewed
}

// maxRenewed bounds how many answers are asked anew at the same time after they
// were given.
const maxRenewed = 8

type key struct{ principal, url string }

// entry is an answer with the times that tell how old it is.
type entry struct {
	key      key
	answer   *Answer
	vary     http.Header   // fields of the request that chose the answer
	age      time.Duration // when it came
	came     time.Time
	lifetime time.Duration
	policy   directives
	bytes    int64
}

// New returns an empty cache that keeps at most so many bytes, 0 for none; now is the clock.
func New(maxBytes int64, now func() time.Time) *Cache {
	return &Cache{max: maxBytes, now: now, entries: map[key]*list.Element{}, recent: list.New(), renewed: map[key]bool{}}
}

// Source is where an answer came from.
type Source string

// Sources of answers.
const (
	Network   Source = "network"
	Kept      Source = "cache"
	Confirmed Source = "revalidated" // the server said that what was kept is still right
	Stale     Source = "stale"       // the server did not answer or is being asked, and allows what it said before
)

// Get returns the answer to a request: one that is kept, if it is fresh, or has been confirmed by send.
func (c *Cache) Get(ctx context.Context, r Request, send Send) (*Answer, Source, error) {
	e := c.find(r)
	now := c.now()
	switch {
	case e == nil || r.Fresh:
	case e.fresh(now):
		return e.answer, Kept, nil
	case r.Later != nil && e.meanwhile(now) && c.later(r, e, send):
		return e.answer, Stale, nil
	}
	answer, source, err := c.ask(ctx, r, e, send)
	failed := err != nil && ctx.Err() == nil || err == nil && answer.Status >= 500
	if failed && e != nil && !r.Fresh && e.staleAllowed(now) {
		return e.answer, Stale, nil
	}
	return answer, source, err
}

// later has the server asked anew after the answer was given, once at a time for each; false when too many are already.
func (c *Cache) later(r Request, e *entry, send Send) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.renewed[e.key] {
		return true
	}
	if len(c.renewed) >= maxRenewed {
		return false
	}
	c.renewed[e.key] = true
	r.Later(func(ctx context.Context) {
		defer func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			delete(c.renewed, e.key)
		}()
		_, _, _ = c.ask(ctx, r, e, send) // the answer is there for the next, or it is not
	})
	return true
}

// ask asks the server, with what is kept as something to confirm, and keeps the answer. One that says that the server failed
// takes the place of nothing that may stand in for it.
func (c *Cache) ask(ctx context.Context, r Request, e *entry, send Send) (*Answer, Source, error) {
	header := r.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	if e != nil {
		e.validators(header)
	}
	answer, err := send(ctx, r.URL, header)
	if err != nil {
		return nil, Network, err
	}
	now := c.now()
	switch {
	case e != nil && answer.Status == http.StatusNotModified:
		merged := e.confirm(answer)
		c.keep(r, merged, now)
		return merged, Confirmed, nil
	case e != nil && answer.Status >= 500 && e.staleAllowed(now):
		return answer, Network, nil
	}
	c.keep(r, answer, now)
	return answer, Network, nil
}

// find returns what is kept for a request, the principal's own first.
func (c *Cache) find(r Request) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range []key{{r.Principal, r.URL}, {shared, r.URL}} {
		if at, ok := c.entries[k]; ok && at.Value.(*entry).matches(r.Header) {
			c.recent.MoveToFront(at)
			return at.Value.(*entry)
		}
	}
	return nil
}

// shared is the principal of what everybody may see. No real one has this name.
const shared = "\x00shared"

// keep keeps an answer if it may be kept, and forgets what it replaces.
func (c *Cache) keep(r Request, answer *Answer, now time.Time) {
	policy := read(answer.Header)
	who := r.Principal
	if policy.public() {
		who = shared
	}
	e := &entry{key: key{who, r.URL}, answer: answer, came: now, policy: policy}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop(key{r.Principal, r.URL})
	if who == shared || answer.Status < 400 {
		c.drop(key{shared, r.URL})
	}
	ok := e.storable(r, now)
	e.bytes = int64(len(answer.Body)+len(r.URL)+len(r.Principal)) + 1024
	for name, values := range answer.Header {
		e.bytes += int64(len(name))
		for _, v := range values {
			e.bytes += int64(len(v))
		}
	}
	if !ok || e.bytes > c.max {
		return
	}
	c.entries[e.key] = c.recent.PushFront(e)
	c.bytes += e.bytes
	for c.bytes > c.max {
		c.drop(c.recent.Back().Value.(*entry).key)
	}
}

// drop forgets an entry. The caller holds mu.
func (c *Cache) drop(k key) {
	if at, ok := c.entries[k]; ok {
		c.bytes -= at.Value.(*entry).bytes
		c.recent.Remove(at)
		delete(c.entries, k)
	}
}

// Bytes says how many bytes are kept.
func (c *Cache) Bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

// confirm returns the answer of an entry with the header that a 304 brings (RFC 9111 §3.2).
func (e *entry) confirm(answer *Answer) *Answer {
	header := e.answer.Header.Clone()
	for name, values := range answer.Header {
		switch name {
		case "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Content-Range", "Transfer-Encoding", "Set-Cookie":
			continue
		}
		header[name] = values
	}
	return &Answer{Status: e.answer.Status, Header: header, Body: e.answer.Body}
}
