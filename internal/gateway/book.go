package gateway

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Bounds of one server's list. What is beyond them is left out, and said so.
const (
	maxListPages   = 1000
	maxListEntries = 100_000
	retryFetch     = 2 * time.Second // after a fetch that failed, before the next
)

// entry is one tool, prompt, resource or template of a server.
type entry struct {
	name    string // by which the server knows it
	object  jsonrpc.Object
	headers []paramHeader // what a tool mirrors in headers
}

// list is what is known of one list of a server.
type list struct {
	entries []entry
	loaded  bool      // was fetched at least once
	fetched time.Time // last good fetch
	expires time.Time // until when it may be used as it is
	valid   bool      // no change was announced since
	again   bool      // a change was announced during the fetch under way
	hinted  bool      // the server said how long it holds
	public  bool      // the server said that anybody may see it
	err     error     // why the last fetch failed; nil when it did not
	held    int       // entries that wait for approval, and are not among these
	tried   time.Time // last fetch, good or not
	digest  [sha256.Size]byte
	pending chan struct{} // closed when the fetch under way has ended; nil when none is
	began   time.Time     // when that was started
	told    bool          // the server has announced a change: who listens is told, whatever the fetch finds
	owed    bool          // the list may differ from what who listens knows: it is fetched until that succeeds
	waits   bool          // to be fetched again, after failures in a row
	failed  int
	given   bool              // somebody has an answer from it, or in its place
	gave    [sha256.Size]byte // digest of what was answered, or announced since; zero for nothing
}

// book has the lists of one server as one class of callers sees them.
type book struct {
	shelf     *shelf
	class     class
	principal mcp.Principal
	client    *mcp.Client // who is asked for
	used      time.Time   // guarded by shelf.mu

	mu      sync.Mutex // guards what follows
	about   *mcp.Server
	lists   [kindCount]list
	due     [kindCount]news // by group, what waits for the other list of the group
	watched bool
}

func newBook(sh *shelf, cl class, principal mcp.Principal) *book {
	b := &book{shelf: sh, class: cl, principal: principal, used: sh.gateway.o.Now()}
	revision := mcp.Revision20251125
	if cl.modern {
		revision = mcp.Revision20260728
	}
	capabilities, _ := jsonrpc.Split(cl.kinds.Capabilities(mcp.Revision20260728))
	b.client = mcp.NewClient(revision, sh.gateway.o.Info, capabilities)
	return b
}

// snapshot returns a list as it is known now.
func (b *book) snapshot(k kind) list {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lists[k]
}

func (b *book) setWatched(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watched = on
}

func (b *book) invalidate(k kind) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lists[k].valid = false
	b.lists[k].again = b.lists[k].pending != nil
}

// pardon lets lists that could not be fetched be asked for again at once.
func (b *book) pardon() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k := range b.lists {
		b.lists[k].tried = time.Time{}
	}
}

// renew fetches a list whose change was announced, if anybody has used it.
func (b *book) renew(k kind) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lists[k].loaded {
		b.lists[k].told, b.lists[k].owed = true, true
		b.fetch(k)
	}
}

// recheck fetches a list that may have changed unannounced, if anybody has used it
// or must says so.
func (b *book) recheck(k kind, must bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := &b.lists[k]
	l.valid, l.again = false, l.pending != nil
	if l.loaded || must {
		l.owed = true
		b.fetch(k)
	}
}

// retry fetches a list that is owed after a while, longer after each failure.
// b.mu is held.
func (b *book) retry(k kind) {
	l := &b.lists[k]
	if l.waits || b.shelf.ctx.Err() != nil {
		return
	}
	l.waits = true
	delay := min(retryFetch<<min(l.failed, 5), watchMax)
	b.shelf.gateway.work.Go(func() {
		pause(b.shelf.ctx, delay)
		b.mu.Lock()
		defer b.mu.Unlock()
		l.waits = false
		if l.owed && b.shelf.ctx.Err() == nil {
			b.fetch(k)
		}
	})
}

// fetch starts a fetch unless one is under way. b.mu is held.
func (b *book) fetch(k kind) <-chan struct{} {
	l := &b.lists[k]
	if l.pending == nil {
		l.pending, l.began = make(chan struct{}), b.shelf.gateway.o.Now()
		b.shelf.gateway.work.Go(func() { b.refresh(k) })
	}
	return l.pending
}

// meet asks the server what it is, and reports whether it answered. If not, that
// is why none of its lists is fresh.
func (b *book) meet(ctx context.Context) bool {
	g := b.shelf.gateway
	ctx, cancel := context.WithTimeout(ctx, g.o.FetchTimeout)
	defer cancel()
	_, err := b.discover(ctx)
	if err == nil {
		return true
	}
	b.mu.Lock()
	for k := range kindCount {
		if l := &b.lists[k]; l.pending == nil {
			l.err, l.tried, l.valid = err, g.o.Now(), false
		}
	}
	b.mu.Unlock()
	g.changed()
	return false
}

func (b *book) refresh(k kind) {
	ctx, cancel := context.WithTimeout(mcp.WithPrincipal(b.shelf.ctx, b.principal), b.shelf.gateway.o.FetchTimeout)
	defer cancel()
	fresh, err := b.download(ctx, k)
	b.mu.Lock()
	n := b.take(k, fresh, err)
	b.mu.Unlock()
	b.shelf.gateway.changed()
	b.shelf.announce(b, n)
}

// take keeps what a fetch has found, and returns what who listens has to be told.
// b.mu is held.
func (b *book) take(k kind, fresh list, err error) news {
	l := &b.lists[k]
	close(l.pending)
	l.pending = nil
	l.tried, l.err = b.shelf.gateway.o.Now(), err
	if err != nil {
		l.valid = false // what is known may be old: ask again
		l.failed++
		if l.owed {
			b.retry(k)
		}
		return b.gather(k, news{})
	}
	n := news{told: l.told, differs: l.differsFrom(fresh), grown: l.digest != fresh.digest && (l.loaded || len(fresh.entries) > 0)}
	fresh.tried, fresh.loaded, fresh.valid = l.tried, true, !l.again
	fresh.waits, fresh.owed = l.waits, l.again
	fresh.given, fresh.gave = l.given, l.gave
	if n.told || n.differs {
		fresh.gave = fresh.digest
	}
	again := l.again
	*l = fresh
	if again {
		b.fetch(k)
	}
	return b.gather(k, n)
}

// download asks for all pages of a list.
func (b *book) download(ctx context.Context, k kind) (list, error) {
	about, err := b.discover(ctx)
	if err != nil {
		return list{}, err
	}
	now := b.shelf.gateway.o.Now()
	l := list{fetched: now, expires: now.Add(b.shelf.gateway.o.TTL), public: true}
	if about.Capabilities.Get(k.capability()) == nil {
		return l, nil
	}
	err = b.pages(ctx, k, &l)
	b.shelf.note(k.method(), err)
	return l, err
}

// pages adds all pages of a list to l.
func (b *book) pages(ctx context.Context, k kind, l *list) error {
	hash := sha256.New()
	params := jsonrpc.Object{}
	seen := make(map[string]bool)
	for range maxListPages {
		page, err := b.shelf.server.Handler.Handle(ctx, &mcp.Request{Method: k.method(), Params: params, Client: b.client})
		if isMissing(err) {
			return nil // announced a capability without this list, as many do with templates
		}
		if err != nil {
			return fmt.Errorf("%s: %w", k.method(), err)
		}
		hash.Write(page.Get(k.member()))
		l.held += heldIn(page)
		b.collect(l, k, page, seen)
		cursor := page.Get("nextCursor")
		if cursor == nil || cursor[0] != '"' || len(l.entries) >= maxListEntries {
			break
		}
		params = jsonrpc.Object{}.With(jsonrpc.Edit{Name: "cursor", Value: cursor})
	}
	hash.Sum(l.digest[:0])
	slices.SortStableFunc(l.entries, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	return nil
}

// heldIn is how many entries of a page were held back by what approves definitions.
func heldIn(page mcp.Result) int {
	meta, _ := jsonrpc.Split(page.Get("_meta"))
	n, _ := strconv.Atoi(string(meta.Get(mcp.MetaHeld))) // it is ours, or left out
	return min(max(n, 0), maxListEntries)
}

func isMissing(err error) bool {
	var wire *mcp.Error
	return errors.As(err, &wire) && wire.Code == jsonrpc.CodeMethodNotFound
}

// collect takes the entries of a page; what has no name, or one that was there
// before, is left out.
func (b *book) collect(l *list, k kind, page mcp.Result, seen map[string]bool) {
	for element := range jsonrpc.Elements(page.Get(k.member())) {
		o, ok := jsonrpc.Split(element)
		if !ok {
			continue
		}
		name, ok := o.String(k.key())
		if !ok || seen[name] || k == tools && !b.shelf.server.Tools.Allows(name) {
			continue
		}
		seen[name] = true
		e := entry{name: name, object: o}
		if k == tools {
			e.headers = headersOf(o)
			if b.class.modern {
				e.object = o.With(hideTaskSupport(o)...)
			}
		}
		l.entries = append(l.entries, e)
	}
	if ttl, ok := milliseconds(page.Get("ttlMs")); ok {
		l.hinted = ttl > 0 || !b.announces(k)
		if until := l.fetched.Add(ttl); l.hinted && until.Before(l.expires) {
			l.expires = until
		}
	}
	if scope, _ := page.String("cacheScope"); scope != "public" {
		l.public = false
	}
}

// announces reports whether a change of the list would be heard of. b.mu may not be held.
func (b *book) announces(k kind) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.watched && offers(b.about, k.capability(), "listChanged")
}

// discover returns what the server says of itself.
func (b *book) discover(ctx context.Context) (*mcp.Server, error) {
	result, err := b.shelf.server.Handler.Handle(ctx, &mcp.Request{Method: "server/discover", Client: b.client})
	b.shelf.note("server/discover", err)
	if err != nil {
		return nil, fmt.Errorf("server/discover: %w", err)
	}
	about := mcp.ReadServer(result)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.about = &about
	return &about, nil
}

// known returns what the server last said of itself to this class, else to the
// gateway; nil when it never did.
func (b *book) known() *mcp.Server {
	if about := b.heard(); about != nil || b.class.owner != "" {
		return about
	}
	for _, other := range b.shelf.all() {
		if about := other.heard(); about != nil && other.class == itsOwn {
			return about
		}
	}
	return nil
}

// heard returns what the server last said of itself to this class.
func (b *book) heard() *mcp.Server {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.about
}

func offers(about *mcp.Server, capability, feature string) bool {
	if about == nil {
		return false
	}
	o, _ := jsonrpc.Split(about.Capabilities.Get(capability))
	return string(o.Get(feature)) == "true"
}

// filter asks for the changes that the server announces; zero when it announces none.
func (b *book) filter() jsonrpc.Object {
	about := b.known()
	var edits []jsonrpc.Edit
	for _, l := range mcp.Lists() {
		if offers(about, l.Capability, "listChanged") {
			edits = append(edits, l.Ask())
		}
	}
	if edits == nil {
		return jsonrpc.Object{}
	}
	wanted := jsonrpc.Object{}.Append(nil, edits...)
	return jsonrpc.Object{}.With(jsonrpc.Edit{Name: "notifications", Value: wanted})
}

func milliseconds(raw []byte) (time.Duration, bool) {
	if len(raw) == 0 || len(raw) > 12 {
		return 0, false
	}
	n := int64(0)
	for _, c := range raw {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	return time.Duration(n) * time.Millisecond, true
}
