package gateway

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// maxPages bounds the prepared lists of all endpoints and classes of callers.
const maxPages = 512

// MetaMissing is the member of a list's _meta that says which servers' entries
// are not, or not freshly, in it, and why.
const MetaMissing = "dragoman/missing"

// pageKey names a prepared list.
type pageKey struct {
	scope string
	kind  kind
	class class
}

// pages is a list of an endpoint, as bytes that only have to be sent.
type pages struct {
	epoch   int64
	set     *set
	until   time.Time // no longer good from then on
	results []mcp.Result
	expires time.Time // what clients are told, zero when they shall not keep it
	version string    // part of cursors, so that one of another version is noticed
	routes  map[string]route

	mu      sync.Mutex   // guards what follows
	left    int64        // seconds that the pages of counted say
	counted []mcp.Result // results with their time left
}

// route is where a name of an endpoint leads.
type route struct {
	member *member
	entry  entry
}

// item is an entry on its way into a prepared list.
type item struct {
	name string
	text []byte
	route
}

// part is one server's share of a list.
type part struct {
	member *member
	list   list
}

// list answers a list request from prepared bytes.
func (m *many) list(ctx context.Context, req *mcp.Request, k kind) (mcp.Result, error) {
	p := m.prepared(ctx, req.Client, k)
	at := 0
	if cursor, ok := req.Params.String("cursor"); ok {
		version, number, _ := strings.Cut(cursor, ".")
		n, err := strconv.Atoi(number)
		if err != nil || version != p.version || n < 1 || n >= len(p.results) {
			return mcp.Result{}, mcp.Errorf(jsonrpc.CodeInvalidParams, "cursor is not valid, or the list has changed since: start again without one")
		}
		at = n
	} else if req.Params.Get("cursor") != nil {
		return mcp.Result{}, mcp.Errorf(jsonrpc.CodeInvalidParams, "cursor must be a string")
	}
	if p.expires.IsZero() || req.Client == nil || !req.Client.Revision.Modern() {
		return p.results[at], nil
	}
	return p.timed(at, m.set.gateway.o.Now()), nil
}

// timed returns a page that says how long it may still be kept: in whole
// seconds, so that it is written anew at most once in each.
func (p *pages) timed(at int, now time.Time) mcp.Result {
	left := max(int64(p.expires.Sub(now)/time.Second), 0)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left != left || p.counted == nil {
		p.left, p.counted = left, make([]mcp.Result, len(p.results))
	}
	if p.counted[at].IsZero() {
		ttl := strconv.AppendInt(nil, left*1000, 10)
		p.counted[at] = mcp.Result{Object: p.results[at].With(jsonrpc.Edit{Name: "ttlMs", Value: ttl})}
	}
	return p.counted[at]
}

// prepared returns the list as the caller's class sees it, made anew when
// something has changed.
func (m *many) prepared(ctx context.Context, c *mcp.Client, k kind) *pages {
	g := m.set.gateway
	key := pageKey{scope: m.name, kind: k, class: m.classOf(ctx, c)}
	epoch, now := g.epoch.Load(), g.o.Now()
	g.mu.Lock()
	p := g.pages[key]
	g.mu.Unlock()
	if p != nil && p.epoch == epoch && p.set == m.set && now.Before(p.until) {
		return p
	}
	p = m.prepare(k, m.visible(ctx, k, m.gather(ctx, c, k)), key.class)
	p.epoch, p.set = epoch, m.set
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.pages) >= maxPages {
		clear(g.pages)
	}
	g.pages[key] = p
	return p
}

// classOf joins the classes that the servers of the endpoint tell apart.
func (m *many) classOf(ctx context.Context, c *mcp.Client) class {
	joined := class{audience: m.set.gateway.audience(ctx)}
	for _, member := range m.members {
		cl := member.shelf.classOf(ctx, c)
		joined.kinds, joined.modern = cl.kinds, cl.modern
		if cl.owner != "" && !joined.session {
			joined.owner, joined.session = cl.owner, cl.session
		}
	}
	return joined
}

// gather asks all servers at the same time, and waits for none longer than ListDeadline.
func (m *many) gather(ctx context.Context, c *mcp.Client, k kind) []part {
	ctx, cancel := context.WithTimeout(ctx, m.set.gateway.o.ListDeadline)
	defer cancel()
	parts := make([]part, len(m.members))
	var wg sync.WaitGroup
	for i, member := range m.members {
		parts[i].member = member
		b := member.shelf.book(ctx, c)
		if b.usable(k) {
			parts[i].list = b.answer(k, nil)
			continue
		}
		wg.Go(func() { parts[i].list = b.get(ctx, k) })
	}
	wg.Wait()
	return parts
}

// usable reports whether nothing has to be done for the list.
func (b *book) usable(k kind) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.lists[k]
	return l.loaded && l.valid && b.shelf.gateway.o.Now().Before(l.expires)
}

// prepare writes the pages.
func (m *many) prepare(k kind, parts []part, cl class) *pages {
	g := m.set.gateway
	p := &pages{routes: make(map[string]route), until: g.o.Now().Add(g.o.TTL)}
	items := m.items(k, parts)
	hinted, public := len(parts) > 0, m.view == nil && cl.audience == ""
	for _, part := range parts {
		hinted = hinted && part.list.hinted && part.list.err == nil
		public = public && part.list.public && part.list.err == nil && part.member.shelf.server.Isolation != PerPrincipal
		switch {
		case part.list.err != nil:
			p.until = earlier(p.until, g.o.Now().Add(retryFetch))
		default:
			p.until = earlier(p.until, part.list.expires)
		}
	}
	if hinted {
		p.expires = p.until
	}
	var digest [8]byte
	for _, it := range items {
		p.routes[it.name] = it.route
		mix(&digest, it.text)
	}
	p.version = fmt.Sprintf("%x", digest)
	meta := missing(parts)
	for at := 0; at == 0 || at < len(items); at += g.o.PageSize {
		page := items[at:min(at+g.o.PageSize, len(items))]
		next := ""
		if at+g.o.PageSize < len(items) {
			next = p.version + "." + strconv.Itoa(len(p.results)+1)
		}
		p.results = append(p.results, writePage(k, page, next, meta, hints{modern: cl.modern, public: public}))
	}
	return p
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// mix is FNV-1a over text, continued from digest.
func mix(digest *[8]byte, text []byte) {
	h := uint64(14695981039346656037)
	for _, c := range digest {
		h = (h ^ uint64(c)) * 1099511628211
	}
	for _, c := range text {
		h = (h ^ uint64(c)) * 1099511628211
	}
	for i := range digest {
		digest[i] = byte(h >> (8 * i))
	}
}

// items names the entries as the endpoint shows them, sorted. Of two entries
// with one name, the first server's stays.
func (m *many) items(k kind, parts []part) []item {
	var items []item
	seen := make(map[string]bool)
	for _, part := range parts {
		for _, e := range part.list.entries {
			name, ok := m.nameOf(k, part.member, e.name)
			if !ok || seen[name] {
				continue
			}
			seen[name] = true
			items = append(items, item{name: name, text: m.text(k, e, name), route: route{part.member, e}})
		}
	}
	slices.SortStableFunc(items, func(a, b item) int { return cmp.Compare(a.name, b.name) })
	return items
}

// nameOf is what the endpoint calls a server's entry.
func (m *many) nameOf(k kind, owner *member, name string) (string, bool) {
	if k.named() && !m.plain {
		name = m.set.gateway.o.exposedName(owner.Name, name)
	}
	switch {
	case m.view == nil:
		return name, true
	case !k.named():
		return name, m.view.hasResource(m.set.gateway.o, owner.Name, name)
	}
	return m.view.shows(k, name)
}

// text writes an entry under its name here.
func (m *many) text(k kind, e entry, name string) []byte {
	var edits []jsonrpc.Edit
	if k.named() && !m.plain {
		edits = append(edits, jsonrpc.Edit{Name: "name", Value: jsonrpc.AppendString(nil, name)})
		if k == tools {
			edits = append(edits, hideTaskSupport(e.object)...)
		}
		if m.view != nil {
			edits = append(edits, m.view.Override[name].edits()...)
		}
	}
	if len(edits) == 0 {
		return e.object.Raw()
	}
	return e.object.Append(nil, edits...)
}

func (o Override) edits() []jsonrpc.Edit {
	var edits []jsonrpc.Edit
	if o.Title != "" {
		edits = append(edits, jsonrpc.Edit{Name: "title", Value: jsonrpc.AppendString(nil, o.Title)})
	}
	if o.Description != "" {
		edits = append(edits, jsonrpc.Edit{Name: "description", Value: jsonrpc.AppendString(nil, o.Description)})
	}
	return edits
}

// hints are what a page tells of its keeping.
type hints struct{ modern, public bool }

func writePage(k kind, page []item, next string, meta []byte, h hints) mcp.Result {
	var list bytes.Buffer
	list.WriteByte('[')
	for i, it := range page {
		if i > 0 {
			list.WriteByte(',')
		}
		list.Write(it.text)
	}
	list.WriteByte(']')
	edits := []jsonrpc.Edit{}
	if h.modern {
		scope := `"private"`
		if h.public {
			scope = `"public"`
		}
		edits = append(edits,
			jsonrpc.Edit{Name: "resultType", Value: []byte(`"complete"`)},
			jsonrpc.Edit{Name: "ttlMs", Value: []byte("0")},
			jsonrpc.Edit{Name: "cacheScope", Value: []byte(scope)})
	}
	edits = append(edits, jsonrpc.Edit{Name: k.member(), Value: list.Bytes()})
	if next != "" {
		edits = append(edits, jsonrpc.Edit{Name: "nextCursor", Value: jsonrpc.AppendString(nil, next)})
	}
	if meta != nil {
		edits = append(edits, jsonrpc.Edit{Name: "_meta", Value: meta})
	}
	return mcp.Result{Object: jsonrpc.Object{}.With(edits...)}
}

// missing says which servers' entries are not, or not freshly, there.
func missing(parts []part) []byte {
	out := []byte{'['}
	for _, part := range parts {
		if part.list.err == nil && part.list.held == 0 {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		edits := []jsonrpc.Edit{
			{Name: "server", Value: jsonrpc.AppendString(nil, part.member.Name)},
			{Name: "reason", Value: jsonrpc.AppendString(nil, part.reason())},
			{Name: "lastKnown", Value: strconv.AppendBool(nil, part.list.loaded)},
		}
		out = jsonrpc.Object{}.Append(out, edits...)
	}
	if len(out) == 1 {
		return nil
	}
	return jsonrpc.Object{}.Append(nil, jsonrpc.Edit{Name: MetaMissing, Value: append(out, ']')})
}

// reason is why not all of a server's entries are there.
func (p part) reason() string {
	if p.list.err != nil {
		return reason(p.list.err)
	}
	return "entries of it wait for the approval of an operator, who sees them with: dragoman tools diff " + p.member.Name
}

// reason is what clients may know of why a server is missing.
func reason(err error) string {
	if wire := mcp.WireError(err); wire.Code != jsonrpc.CodeInternal {
		return wire.Message
	}
	return "its list could not be fetched; the gateway's log says why"
}
