package policy

import (
	"slices"
	"sync"

	"github.com/cedar-policy/cedar-go"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/pattern"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// Bounds of what is remembered of callers and of what they call. When one is
// reached, all is forgotten and made anew as it is needed.
const (
	maxPeople = 4096
	maxThings = 16384
	maxPairs  = 32768
	// maxSelves is how many credentials of one id that say different things are remembered.
	maxSelves = 4
	// maxRemembered is the longest name, in bytes, of a thing that is remembered:
	// callers choose URIs.
	maxRemembered = 512
)

// person is a principal as policies see it.
type person struct {
	of     mcp.Principal // from which it was made
	uid    cedar.EntityUID
	entity cedar.Entity
	in     []cedar.EntityUID // roles and groups

	once     sync.Once // makes audience
	audience string
}

func newPerson(p mcp.Principal, defaults []string) *person {
	roles := p.Roles
	if len(roles) == 0 && p.ID != "" {
		roles = defaults
	}
	who := &person{of: p, uid: cedar.NewEntityUID("User", cedar.String(p.ID))}
	for _, role := range roles {
		who.in = append(who.in, cedar.NewEntityUID("Role", cedar.String(role)))
	}
	for _, group := range p.Groups {
		who.in = append(who.in, cedar.NewEntityUID("Group", cedar.String(group)))
	}
	name := p.Name
	if name == "" {
		name = p.ID
	}
	who.entity = cedar.Entity{
		UID: who.uid, Parents: cedar.NewEntityUIDSet(who.in...),
		Attributes: cedar.NewRecord(cedar.RecordMap{
			"id": cedar.String(p.ID), "name": cedar.String(name), "method": cedar.String(p.Method),
			"authenticated": cedar.Boolean(p.ID != ""),
		}),
	}
	return who
}

// is reports whether the person was made from an equal principal.
func (who *person) is(p mcp.Principal) bool {
	return who.of.ID == p.ID && who.of.Name == p.Name && who.of.Method == p.Method &&
		slices.Equal(who.of.Roles, p.Roles) && slices.Equal(who.of.Groups, p.Groups) &&
		(who.of.Servers == nil) == (p.Servers == nil) && slices.Equal(who.of.Servers, p.Servers)
}

// thing is what something is done to, with the rules that can be about that.
type thing struct {
	uid    cedar.EntityUID
	entity cedar.Entity
	in     []cedar.EntityUID // server and views
	action cedar.EntityUID
	rules  []*rule
	known  bool // there is such an action
	placed bool // a rule looks at where a call comes from, and at nothing else of it
	kept   bool // it is remembered
}

// thingKey names a thing together with what is done to it.
type thingKey struct {
	action Action
	of     Resource
}

func newThing(k thingKey, views []shownBy) *thing {
	r := k.of
	t := &thing{action: cedar.NewEntityUID("Action", cedar.String(k.action))}
	id := r.Name
	attributes := cedar.RecordMap{"name": cedar.String(r.Name)}
	switch r.Kind {
	case ofServer:
		id, attributes = r.Server, nil
	case ofPlatform:
		attributes = nil
	case ofContext:
		attributes = cedar.RecordMap{"owner": cedar.NewEntityUID("User", cedar.String(r.Owner))}
	case ofTool, ofPrompt, ofResource:
		id = r.Server + "/" + r.Name
		server := cedar.NewEntityUID("Server", cedar.String(r.Server))
		t.in = append(t.in, server)
		attributes["server"] = server
		if r.Kind == ofResource {
			delete(attributes, "name")
			attributes["uri"] = cedar.String(r.Name)
		}
		for _, v := range views {
			if v.shows(r) {
				t.in = append(t.in, cedar.NewEntityUID("View", cedar.String(v.name)))
			}
		}
	}
	t.uid = cedar.NewEntityUID(cedar.EntityType(r.Kind), cedar.String(id))
	t.entity = cedar.Entity{UID: t.uid, Parents: cedar.NewEntityUIDSet(t.in...), Attributes: cedar.NewRecord(attributes)}
	return t
}

// shownBy is a view as a set of things: what it shows belongs to it, wherever it is called.
type shownBy struct {
	name, separator string
	of              config.View
}

func (v shownBy) shows(r Resource) bool {
	full := r.Server + v.separator + r.Name
	patterns := v.of.Tools
	switch r.Kind {
	case ofPrompt:
		patterns = v.of.Prompts
	case ofResource:
		return pattern.Match(v.of.Resources, full)
	}
	if pattern.Match(patterns, full) {
		return true
	}
	for _, was := range v.of.Rename {
		if was == full {
			return true
		}
	}
	return false
}

// scene is what one evaluation can look up. What is not here is known by its name only.
type scene struct {
	who     *person
	what    *thing
	actions map[cedar.EntityUID]cedar.Entity
}

// Get implements cedar.EntityGetter.
func (s *scene) Get(uid cedar.EntityUID) (cedar.Entity, bool) {
	switch {
	case uid == s.who.uid:
		return s.who.entity, true
	case uid == s.what.uid:
		return s.what.entity, true
	}
	e, ok := s.actions[uid]
	return e, ok
}

// memory remembers at most max values.
type memory[K comparable, V any] struct {
	max int
	mu  sync.RWMutex // guards m
	m   map[K]V
}

func newMemory[K comparable, V any](limit int) *memory[K, V] {
	return &memory[K, V]{max: limit, m: make(map[K]V)}
}

func (m *memory[K, V]) get(k K) (V, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	v, ok := m.m[k]
	return v, ok
}

func (m *memory[K, V]) put(k K, v V) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.m) >= m.max {
		clear(m.m)
	}
	m.m[k] = v
}
