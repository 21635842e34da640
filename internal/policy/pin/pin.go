// Package pin remembers which definitions of a server were approved - its
// tools, prompts, templates, instructions, how it is started and what package it
// is started from - and keeps what has changed since away from clients, or from
// being started, until somebody has looked at it.
//
// A definition is told by the hash of its canonical JSON, with everything that a
// server says in it. The order of lists does not count. What a definition says
// of itself (annotations) is part of the hash and of nothing else here.
//
// It does not know who may approve, nor what a definition does.
package pin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/store"
)

// Modes of config.Access.Pinning.
const (
	firstSight = "first_sight"
	strict     = "strict"
)

// States of a pin.
const (
	approved    = "approved"
	pending     = "pending"     // never seen before, and first sight is not enough
	quarantined = "quarantined" // another definition of this name was approved or rejected
	rejected    = "rejected"
	retired     = "retired" // was approved until another took its place
)

// Kinds of definitions.
const (
	kindTool         = "tool"
	kindPrompt       = "prompt"
	kindTemplate     = "template"
	kindInstructions = "instructions"
	kindLaunch       = "launch"
	kindPackage      = "package" // what a launcher of packages has fetched
	kindGrant        = "grant"   // no definition: an approval of what was not seen yet
)

// maxPins bounds what is kept of one server: what is beyond it is not approved.
const maxPins = 20_000

// storeTimeout bounds what a call waits for the store.
const storeTimeout = 5 * time.Second

// Store keeps pins; store.Pins does.
type Store interface {
	Put(ctx context.Context, pins ...store.Pin) error
	List(ctx context.Context, server string) ([]store.Pin, error)
	Remove(ctx context.Context, p store.Pin) error
}

// Options are what a Book needs.
type Options struct {
	// Mode is config.Access.Pinning: first_sight or strict.
	Mode  string
	Store Store
	// Changed is told of servers whose approvals have changed, so that lists made
	// before are made anew.
	Changed func(server string)
	// Called returns the context in which a tool or prompt is called, whose approved
	// definition has this hash; that of the call when it is nil.
	Called func(ctx context.Context, hash string) context.Context
	Now    func() time.Time
	Log    *slog.Logger
}

// Book knows the pins of all servers. It may be used concurrently.
type Book struct {
	o Options

	mu       sync.Mutex // guards what follows
	pages    map[string]*page
	launches map[string]started  // by server
	watched  map[string]*watched // by server, of its latest configuration
}

// New returns a Book. The store is read as servers are used.
func New(o Options) *Book {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Called == nil {
		o.Called = func(ctx context.Context, _ string) context.Context { return ctx }
	}
	if o.Changed == nil {
		o.Changed = func(string) {}
	}
	return &Book{o: o, pages: make(map[string]*page), launches: make(map[string]started), watched: make(map[string]*watched)}
}

// name tells the definitions of a server apart.
type name struct{ kind, name string }

// page is what is known of one server.
type page struct {
	server string

	mu     sync.Mutex // guards what follows, and writing to the store
	loaded bool
	count  int
	pins   map[name]map[string]store.Pin // by hash
	seen   map[name]string               // hash of what the server says now
	looks  bool                          // it is being looked at what it offers
}

func (b *Book) page(server string) *page {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.pages[server]
	if p == nil {
		p = &page{server: server, seen: make(map[name]string)}
		b.pages[server] = p
	}
	return p
}

// load reads what the store has. p.mu is held.
func (b *Book) load(ctx context.Context, p *page) error {
	if p.loaded {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	all, err := b.o.Store.List(ctx, p.server)
	if err != nil {
		return fmt.Errorf("read what was approved of server %s: %w", p.server, err)
	}
	p.pins, p.count = make(map[name]map[string]store.Pin), len(all)
	for _, one := range all {
		p.keep(one)
	}
	p.loaded = true
	return nil
}

func (p *page) keep(one store.Pin) {
	n := name{one.Kind, one.Name}
	if p.pins[n] == nil {
		p.pins[n] = make(map[string]store.Pin)
	}
	p.pins[n][one.Hash] = one
}

// Forget makes the store be read again: a pin of the server was changed elsewhere. With an empty name it is all servers.
func (b *Book) Forget(server string) {
	b.mu.Lock()
	var pages []*page
	for n, p := range b.pages {
		if server == "" || n == server {
			pages = append(pages, p)
		}
	}
	b.mu.Unlock()
	for _, p := range pages {
		p.mu.Lock()
		p.loaded = false
		p.mu.Unlock()
		b.o.Changed(p.server)
	}
}

// Run follows the changes that other processes make, until ctx ends. Of a server whose start was approved it looks at what
// it offers, so that this waits for approval before somebody calls.
func (b *Book) Run(ctx context.Context, feed store.Feed) error {
	var looks sync.WaitGroup
	defer looks.Wait()
	for change, err := range feed.Changes(ctx) {
		switch {
		case err != nil:
			b.o.Log.WarnContext(ctx, "changes of approvals cannot be followed now", "err", err)
		case change.Domain == "":
			b.Forget("")
		case change.Domain == "pins":
			b.Forget(change.Key)
			if w := b.unlooked(change.Key); w != nil {
				looks.Go(func() { w.lookAtAll(ctx) })
			}
		}
	}
	return ctx.Err()
}

// sight is one definition as a server gives it.
type sight struct {
	name
	definition []byte // canonical
	hash       string
}

// judge says whether what is seen is approved, and writes down what is new. The
// answers are in the order of sights. Without the store nothing new is approved.
func (b *Book) judge(ctx context.Context, server string, sights []sight) ([]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	p := b.page(server)
	p.mu.Lock()
	defer p.mu.Unlock()
	out, err := b.judgeLoaded(ctx, p, sights)
	if errors.Is(err, store.ErrConflict) { // another replica saw it first
		p.loaded = false
		out, err = b.judgeLoaded(ctx, p, sights)
	}
	return out, err
}

func (b *Book) judgeLoaded(ctx context.Context, p *page, sights []sight) ([]bool, error) {
	if err := b.load(ctx, p); err != nil {
		return nil, err
	}
	out := make([]bool, len(sights))
	var fresh []store.Pin
	for i, s := range sights {
		p.seen[s.name] = s.hash
		known, ok := p.pins[s.name][s.hash]
		if !ok && s.hash != "" && p.count+len(fresh) < maxPins {
			known = b.first(p, s)
			fresh = append(fresh, known)
		}
		out[i] = known.State == approved
	}
	if len(fresh) == 0 {
		return out, nil
	}
	if err := b.write(ctx, p, fresh); err != nil {
		return nil, fmt.Errorf("write down definitions of server %s: %w", p.server, err)
	}
	return out, nil
}

// first is the pin of a definition that was not there before.
func (b *Book) first(p *page, s sight) store.Pin {
	now := b.o.Now()
	one := store.Pin{Server: p.server, Kind: s.kind, Name: s.name.name, Hash: s.hash, Definition: s.definition, At: now, Created: now}
	switch {
	case p.decided(s.name):
		one.State = quarantined
	case b.o.Mode == strict && p.grant(now) != "":
		one.State, one.By = approved, p.grant(now)
	case b.o.Mode == strict:
		one.State = pending
	default:
		one.State, one.By = approved, "first sight"
	}
	return one
}

// decided reports whether anybody, or the first sight, has decided about a
// definition of this name.
func (p *page) decided(n name) bool {
	for _, one := range p.pins[n] {
		if one.State == approved || one.State == rejected || one.State == retired {
			return true
		}
	}
	return false
}

// write keeps fresh pins, and drops those that wait for a decision under the
// same name: a server that says something new each time fills no disk.
func (b *Book) write(ctx context.Context, p *page, fresh []store.Pin) error {
	if err := b.o.Store.Put(ctx, fresh...); err != nil {
		return err
	}
	p.loaded = false // the versions are the store's
	for _, one := range fresh {
		if one.State == approved {
			continue
		}
		b.o.Log.WarnContext(ctx, "definition is held back until it is approved", "server", one.Server,
			"kind", one.Kind, "name", one.Name, "state", one.State, "definition", one.Hash)
		if err := b.drop(ctx, p.pins[name{one.Kind, one.Name}]); err != nil {
			return err
		}
	}
	return b.load(ctx, p)
}

// drop forgets those of older pins that nobody has decided about.
func (b *Book) drop(ctx context.Context, older map[string]store.Pin) error {
	for _, one := range older {
		if one.State != pending && one.State != quarantined {
			continue
		}
		err := b.o.Store.Remove(ctx, one)
		if err != nil && !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return nil
}

// status is what is known of a name now: the state of the definition that the
// server gives, empty when it gives none, and its hash.
func (b *Book) status(ctx context.Context, server string, n name) (state, hash string, err error) {
	p := b.page(server)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := b.load(ctx, p); err != nil {
		return "", "", err
	}
	hash, ok := p.seen[n]
	if !ok {
		return "", "", nil
	}
	if one, ok := p.pins[n][hash]; ok {
		return one.State, hash, nil
	}
	return quarantined, hash, nil
}
