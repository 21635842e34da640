package gateway

import (
	"context"
	"errors"
	"strings"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// many is the endpoint of all servers, or of a view of them.
type many struct {
	set     *set
	name    string
	view    *view     // nil for everything
	members []*member // whose entries are listed
	plain   bool      // under the servers' own names
}

func (m *many) handle(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	req = untasked(req)
	if k, ok := kindOf(req.Method); ok {
		return m.list(ctx, req, k)
	}
	switch req.Method {
	case "server/discover":
		return m.discover(ctx, req.Client), nil
	case "tools/call":
		return m.call(ctx, req, tools)
	case "prompts/get":
		return m.call(ctx, req, prompts)
	case "resources/read":
		return m.read(ctx, req)
	case "completion/complete":
		return m.complete(ctx, req)
	}
	if strings.HasPrefix(req.Method, "tasks/") {
		return mcp.Result{}, mcp.MethodNotFound(req.Method)
	}
	return m.extension(ctx, req)
}

// call routes a call by the name of its tool or prompt.
func (m *many) call(ctx context.Context, req *mcp.Request, k kind) (mcp.Result, error) {
	r, err := m.resolve(ctx, req.Client, k, req.Name)
	if err != nil {
		return mcp.Result{}, err
	}
	if m.view != nil && !m.set.gateway.sees(ctx, r.member.Name, k, r.entry.name) {
		return mcp.Result{}, m.unknown(k, req.Name) // as of a name that the view does not give
	}
	if k == tools {
		if err := r.member.checkHeaders(ctx, req, r.entry.name); err != nil {
			return mcp.Result{}, err
		}
	}
	return r.member.forward(ctx, req, r.entry.name)
}

// forward gives the request to the server, under the server's own name for
// what it is about.
func (m *member) forward(ctx context.Context, req *mcp.Request, name string) (mcp.Result, error) {
	if req.Name != name || req.Method == "tools/call" {
		own := *req
		own.Name, own.NoTasks = name, true
		req = &own
	}
	return m.Handler.Handle(ctx, req)
}

// resolve finds the server and its own name for a name of this endpoint. A name
// that was not changed says both itself; the lists are asked only for one that
// was.
func (m *many) resolve(ctx context.Context, c *mcp.Client, k kind, name string) (route, error) {
	full := name
	if m.view != nil {
		was, ok := m.view.original(k, name)
		if !ok {
			return route{}, m.unknown(k, name)
		}
		full = was
	}
	o := m.set.gateway.o
	if server, own, ok := o.split(full); ok {
		owner := m.set.byName[server]
		fits := owner != nil && (o.fits(full) || o.exposedName(server, own) == full) && (k != tools || owner.Tools.Allows(own))
		if fits && !mayBeShortened(full) {
			return route{member: owner, entry: entry{name: own}}, nil
		}
		if fits {
			if _, listed := m.prepared(ctx, c, k).routes[name]; !listed {
				return route{member: owner, entry: entry{name: own}}, nil
			}
		}
	}
	if r, ok := m.prepared(ctx, c, k).routes[name]; ok {
		return r, nil
	}
	return route{}, m.unknown(k, name)
}

// mayBeShortened reports whether name ends like one that did not fit.
func mayBeShortened(name string) bool {
	return len(name)-strings.LastIndexByte(name, '_')-1 == digestLength
}

func (m *many) unknown(k kind, name string) error {
	what := strings.TrimSuffix(k.member(), "s")
	hint := ""
	if server, _, ok := m.set.gateway.o.split(name); k.named() && (!ok || m.set.byName[server] == nil) {
		hint = "; names here are SERVER" + m.set.gateway.o.Separator + strings.ToUpper(what)
	}
	return mcp.Errorf(jsonrpc.CodeInvalidParams, "unknown %s: %s%s", what, name, hint)
}

// read routes a resource by the lists, then by the templates.
func (m *many) read(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	owner, err := m.ownerOf(ctx, req.Client, req.Name)
	if err != nil {
		return mcp.Result{}, err
	}
	return owner.forward(ctx, req, req.Name)
}

// ownerOf returns the server that a resource is read from: the one that lists
// it; else the one with the most specific template that it matches; else the
// only one that has resources at all, for resources need not be listed.
func (m *many) ownerOf(ctx context.Context, c *mcp.Client, uri string) (*member, error) {
	if r, ok := m.prepared(ctx, c, resources).routes[uri]; ok {
		return r.member, nil
	}
	shown := m.prepared(ctx, c, templates)
	var best *member
	length := -1
	for template, r := range shown.routes {
		if n, ok := matchTemplate(template, uri); ok && (n > length || n == length && r.member.Name < best.Name) {
			best, length = r.member, n
		}
	}
	if best == nil {
		best = m.only("resources", c, ctx)
	}
	if best != nil && m.view != nil && !m.view.hasResource(m.set.gateway.o, best.Name, uri) {
		best = nil
	}
	if best == nil {
		return nil, mcp.ErrorData(jsonrpc.CodeInvalidParams, "no server has the resource "+uri, map[string]string{"uri": uri})
	}
	return best, nil
}

func (m *many) owner(ctx context.Context, c *mcp.Client, uri string) *member {
	owner, err := m.ownerOf(ctx, c, uri)
	if err != nil {
		return nil
	}
	return owner
}

func (m *many) about() string { return "" }

func (m *many) has(ctx context.Context) []*member { return m.met(ctx) }

// only returns the only server that announced capability; nil when it is not one.
func (m *many) only(capability string, c *mcp.Client, ctx context.Context) *member {
	var found *member
	for _, member := range m.members {
		about := member.shelf.book(ctx, c).known()
		if about == nil || about.Capabilities.Get(capability) == nil {
			continue
		}
		if found != nil {
			return nil
		}
		found = member
	}
	return found
}

// complete routes a completion by what it refers to.
func (m *many) complete(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	ref, _ := jsonrpc.Split(req.Params.Get("ref"))
	switch kind, _ := ref.String("type"); kind {
	case "ref/prompt":
		name, _ := ref.String("name")
		r, err := m.resolve(ctx, req.Client, prompts, name)
		if err != nil {
			return mcp.Result{}, err
		}
		own := *req
		ownRef := ref.Append(nil, jsonrpc.Edit{Name: "name", Value: jsonrpc.AppendString(nil, r.entry.name)})
		own.Params = req.Params.With(jsonrpc.Edit{Name: "ref", Value: ownRef})
		return r.member.Handler.Handle(ctx, &own)
	case "ref/resource":
		uri, _ := ref.String("uri")
		if r, ok := m.prepared(ctx, req.Client, templates).routes[uri]; ok {
			return r.member.Handler.Handle(ctx, req)
		}
		owner, err := m.ownerOf(ctx, req.Client, uri)
		if err != nil {
			return mcp.Result{}, err
		}
		return owner.Handler.Handle(ctx, req)
	}
	return mcp.Result{}, mcp.Errorf(jsonrpc.CodeInvalidParams, `ref.type must be "ref/prompt" or "ref/resource"`)
}

// extension routes a method that the core does not have: by the resource that
// it is about, else to the only server that announced an extension of its
// namespace, so that skills/list finds io.modelcontextprotocol/skills.
func (m *many) extension(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	if mcp.NameKey(req.Method) == "uri" {
		if owner, err := m.ownerOf(ctx, req.Client, req.Name); err == nil {
			return owner.forward(ctx, req, req.Name)
		}
	}
	namespace, _, _ := strings.Cut(req.Method, "/")
	var found []*member
	for _, member := range m.met(ctx) {
		if member.extends(ctx, req.Client, namespace) {
			found = append(found, member)
		}
	}
	switch len(found) {
	case 0:
		return mcp.Result{}, mcp.MethodNotFound(req.Method)
	case 1:
		return found[0].Handler.Handle(ctx, req)
	}
	names := make([]string, len(found))
	for i, member := range found {
		names[i] = member.Name
	}
	return mcp.Result{}, mcp.Errorf(jsonrpc.CodeMethodNotFound,
		"%s: several servers have it (%s); use the endpoint of one of them", req.Method, strings.Join(names, ", "))
}

// extends reports whether the server announced an extension, or a capability of
// its own, whose name ends in namespace.
func (m *member) extends(ctx context.Context, c *mcp.Client, namespace string) bool {
	about := m.shelf.book(ctx, c).known()
	if about == nil {
		return false
	}
	if about.Capabilities.Get(namespace) != nil {
		return true
	}
	extensions, _ := jsonrpc.Split(about.Capabilities.Get("extensions"))
	for _, e := range extensions.Members() {
		if e.Name == namespace || strings.HasSuffix(e.Name, "/"+namespace) {
			return true
		}
	}
	return false
}

// single is the endpoint of one server, with the server's own names.
type single struct {
	set    *set
	member *member
	lists  *many
}

func newSingle(s *set, m *member) *single {
	lists := &many{set: s, name: m.Name + "\x00own", members: []*member{m}, plain: true}
	return &single{set: s, member: m, lists: lists}
}

func (s *single) handle(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	if k, ok := kindOf(req.Method); ok {
		return s.list(ctx, req, k)
	}
	switch req.Method {
	case "server/discover":
		return s.discover(ctx, req)
	case "tools/call":
		if !s.member.Tools.Allows(req.Name) {
			return mcp.Result{}, mcp.Errorf(jsonrpc.CodeInvalidParams, "unknown tool: %s", req.Name)
		}
		if err := s.member.checkHeaders(ctx, req, req.Name); err != nil {
			return mcp.Result{}, err
		}
	}
	return s.member.Handler.Handle(ctx, req)
}

func (s *single) owner(context.Context, *mcp.Client, string) *member { return s.member }

func (s *single) about() string { return s.member.Name }

func (s *single) has(context.Context) []*member { return []*member{s.member} }

// list is the same as that of everything, with one server and its own names.
func (s *single) list(ctx context.Context, req *mcp.Request, k kind) (mcp.Result, error) {
	b := s.member.shelf.book(ctx, req.Client)
	if l := b.snapshot(k); !l.loaded {
		// Nothing is known yet: the caller hears itself why not, if it cannot be had.
		waitCtx, cancel := context.WithTimeout(ctx, s.set.gateway.o.FetchTimeout)
		l = b.get(waitCtx, k)
		cancel()
		if !l.loaded && l.err != nil {
			return mcp.Result{}, s.unavailable(l.err)
		}
	}
	return s.lists.list(ctx, req, k)
}

func (s *single) unavailable(err error) error {
	var wire *mcp.Error
	if errors.As(err, &wire) {
		return wire
	}
	return mcp.Errorf(mcp.CodeUnavailable, "server %s cannot be reached: %s", s.member.Name, reason(err))
}
