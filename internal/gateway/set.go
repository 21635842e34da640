package gateway

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/config/pattern"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// Isolation says whose calls share a server's sessions, and so its lists.
type Isolation string

// The degrees of isolation.
const (
	Shared       Isolation = "shared"
	PerPrincipal Isolation = "principal"
	PerSession   Isolation = "session"
)

// Server is one server behind the gateway.
type Server struct {
	Name        string
	Title       string
	Description string
	Handler     mcp.Handler
	Isolation   Isolation // Shared when empty
	// Tools are those of the server's own tools that exist for clients.
	Tools config.Filter
}

// View is a named subset of everything. Its patterns are globs over the names
// that the whole endpoint has (server__tool), for resources server__uri.
type View struct {
	Name        string
	Title       string
	Description string
	Tools       []string
	Prompts     []string
	Resources   []string
	// Rename gives tools and prompts other names: new name to old.
	Rename map[string]string
	// Override replaces what a tool says of itself, by its name in the view.
	Override map[string]Override
}

// Override replaces what a tool or prompt says of itself; empty keeps it.
type Override struct{ Title, Description string }

// member is a server of a set, with its lists.
type member struct {
	Server
	shelf *shelf
}

// set is what the gateway serves at one time. It never changes.
type set struct {
	gateway *Gateway
	servers []*member // sorted by name
	byName  map[string]*member
	views   []*view // sorted by name
	scopes  map[string]scope

	users    atomic.Int64  // requests under way, and one while the set is in use
	replaced chan struct{} // closed when another set is in use
	drained  chan struct{} // closed when the last request has been answered after that
	once     sync.Once
}

func emptySet(g *Gateway) *set {
	s := &set{
		gateway: g, byName: make(map[string]*member), scopes: make(map[string]scope),
		replaced: make(chan struct{}), drained: make(chan struct{}),
	}
	s.users.Store(1)
	return s
}

// leave ends a use of the set. A user that comes too late to count goes to the
// next set, and may see the count at zero again.
func (s *set) leave() {
	if s.users.Add(-1) == 0 {
		s.once.Do(func() { close(s.drained) })
	}
}

// scope is what one endpoint shows.
type scope interface {
	handle(ctx context.Context, req *mcp.Request) (mcp.Result, error)
	// owner returns the server that a resource is subscribed to at; nil for none.
	owner(ctx context.Context, c *mcp.Client, uri string) *member
	// about is the server whose list changes count; empty for all.
	about() string
	// has are the servers that it has for a caller.
	has(ctx context.Context) []*member
}

func newSet(g *Gateway, servers []Server, views []View) (*set, error) {
	s := emptySet(g)
	old := g.set.Load()
	for _, server := range servers {
		if server.Name == "" || s.byName[server.Name] != nil {
			return nil, fmt.Errorf("server name %q is empty or used twice", server.Name)
		}
		m := &member{Server: server}
		if was := old.byName[server.Name]; was != nil && sameServer(was.Server, server) {
			m.shelf = was.shelf
		} else {
			m.shelf = newShelf(g, server)
		}
		s.servers = append(s.servers, m)
		s.byName[server.Name] = m
		s.scopes[server.Name] = newSingle(s, m)
	}
	slices.SortFunc(s.servers, func(a, b *member) int { return cmp.Compare(a.Name, b.Name) })
	s.scopes[""] = &many{set: s, members: s.servers}
	for _, v := range views {
		if _, ok := s.scopes[v.Name]; ok || v.Name == "" {
			return nil, fmt.Errorf("view name %q is empty or used twice", v.Name)
		}
		view, err := newView(v)
		if err != nil {
			return nil, err
		}
		s.views = append(s.views, view)
		s.scopes[v.Name] = &many{set: s, name: v.Name, view: view, members: s.servers}
	}
	slices.SortFunc(s.views, func(a, b *view) int { return cmp.Compare(a.Name, b.Name) })
	return s, nil
}

// equals reports whether two sets show the same of the same servers.
func (s *set) equals(other *set) bool {
	return slices.EqualFunc(s.servers, other.servers, func(a, b *member) bool {
		return a.shelf == b.shelf && a.Title == b.Title && a.Description == b.Description
	}) && slices.EqualFunc(s.views, other.views, func(a, b *view) bool { return reflect.DeepEqual(a.View, b.View) })
}

func sameServer(a, b Server) bool {
	return a.Name == b.Name && a.Isolation == b.Isolation && sameHandler(a.Handler, b.Handler) &&
		slices.Equal(a.Tools.Allow, b.Tools.Allow) && slices.Equal(a.Tools.Deny, b.Tools.Deny)
}

// sameHandler compares handlers that can be compared; functions cannot.
func sameHandler(a, b mcp.Handler) bool {
	t := reflect.TypeOf(a)
	return t != nil && t == reflect.TypeOf(b) && t.Comparable() && a == b
}

// view is a View with its renames turned around.
type view struct {
	View
	renamed map[string]string // old name to new
}

func newView(v View) (*view, error) {
	out := &view{View: v, renamed: make(map[string]string)}
	for name, was := range v.Rename {
		if out.renamed[was] != "" {
			return nil, fmt.Errorf("view %s: %s is renamed twice, to %s and %s", v.Name, was, out.renamed[was], name)
		}
		out.renamed[was] = name
	}
	return out, nil
}

// shows returns the name that the view gives to a tool or prompt that
// everything calls name; false when the view does not have it.
func (v *view) shows(k kind, name string) (string, bool) {
	if renamed, ok := v.renamed[name]; ok {
		return renamed, true
	}
	if _, taken := v.Rename[name]; taken {
		return "", false // something else has this name here
	}
	return name, pattern.Match(v.patterns(k), name)
}

// original is the other way round.
func (v *view) original(k kind, name string) (string, bool) {
	if was, ok := v.Rename[name]; ok {
		return was, true
	}
	if _, away := v.renamed[name]; away {
		return "", false
	}
	return name, pattern.Match(v.patterns(k), name)
}

func (v *view) patterns(k kind) []string {
	if k == tools {
		return v.Tools
	}
	return v.Prompts
}

func (v *view) hasResource(o Options, server, uri string) bool {
	return pattern.Match(v.Resources, server+o.Separator+uri)
}
