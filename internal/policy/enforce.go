package policy

import (
	"context"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Definitions says which definitions of a server are approved.
type Definitions interface {
	// Watch returns next with what is not approved left out of its lists, and refused.
	Watch(server config.Server, next mcp.Handler) mcp.Handler
}

// Limits says how many calls are made.
type Limits interface {
	// Take counts a call. The error is for the caller; done is called when the
	// call has been answered, and only if there was no error.
	Take(ctx context.Context, principal, server, tool string) (done func(), err error)
}

// Enforce puts the policy in front of a server. It stands where it is certain
// which server gets a call and under which name, behind everything that routes
// and renames, so that no endpoint, view or transport leads around it.
//
// Lists pass: they are fetched for many callers at once, and what each of them
// may see is asked with Sees. A call that could not be permitted with any
// arguments is answered like one of a thing that does not exist; one that
// could, with mcp.CodeForbidden.
func (p *Policy) Enforce(server config.Server, next mcp.Handler) mcp.Handler {
	if p.d.Definitions != nil {
		next = p.d.Definitions.Watch(server, next)
	}
	return &enforced{p: p, server: server.Name, next: next}
}

// enforced is a server behind its policy.
type enforced struct {
	p      *Policy
	server string
	next   mcp.Handler
	tasks  owners
}

// Handle implements mcp.Handler.
func (e *enforced) Handle(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	if req.Method == "subscriptions/listen" {
		return e.listen(ctx, req)
	}
	action, what, ok := target(e.server, req)
	if !ok {
		return e.next.Handle(ctx, req)
	}
	rules := e.p.rules.Load()
	if e.p.d.Limits == nil && action != useTask && !rules.guards() {
		if rules.trial == nil {
			return e.forward(ctx, req)
		}
		return e.tried(ctx, req, e.question(ctx, req, action, what))
	}
	if action == complete {
		if err := reference(req); err != nil {
			return mcp.Result{}, err
		}
	}
	req, answer, err := e.p.approvals.Take(ctx, e.server, req)
	if err != nil {
		return mcp.Result{}, err
	}
	q := e.question(ctx, req, action, what)
	d := q.settle(e.p.judge(ctx, q), req, answer)
	ctx = e.p.d.Decided(ctx, q, d)
	if !d.Allow {
		return e.refuse(ctx, req, q, d)
	}
	if action == useTask && !e.tasks.permits(q.Principal.ID, req.Name) {
		return mcp.Result{}, mcp.Errorf(jsonrpc.CodeInvalidParams, "unknown task: %s", req.Name)
	}
	done, err := e.count(ctx, req, q)
	if err != nil {
		return mcp.Result{}, err
	}
	defer done()
	if reads(action) && rules.watches() && rules.remembers(q.source()) {
		defer e.p.note(q.conversation, q.source())()
	}
	result, err := e.forward(ctx, req)
	if err == nil && d.Approval == ApprovalGiven {
		return e.p.approvals.Carry(ctx, q.subject(req, d), result)
	}
	return result, err
}

// tried forwards a call about which nothing has to be decided, and has the policies on trial asked about it.
func (e *enforced) tried(ctx context.Context, req *mcp.Request, q Question) (mcp.Result, error) {
	e.p.judge(ctx, q)
	if reads(q.Action) && e.p.rules.Load().sees() {
		defer e.p.note(q.conversation, q.source())()
	}
	return e.forward(ctx, req)
}

// count counts a call, if calls are counted.
func (e *enforced) count(ctx context.Context, req *mcp.Request, q Question) (done func(), err error) {
	if e.p.d.Limits == nil || !counted(q.Action) || req.Abandon { // who gives a call up makes none
		return func() {}, nil
	}
	return e.p.d.Limits.Take(ctx, q.Principal.ID, e.server, q.Resource.Name)
}

// forward gives the request to the server.
func (e *enforced) forward(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	result, err := e.next.Handle(ctx, req)
	if err == nil && req.Method == "tools/call" {
		e.tasks.note(ctx, result)
	}
	return result, err
}

func (e *enforced) question(ctx context.Context, req *mcp.Request, action Action, what Resource) Question {
	q := Question{Principal: mcp.PrincipalOf(ctx), Action: action, Resource: what, Address: e.p.d.Address(ctx)}
	if action == callTool || action == getPrompt {
		q.Arguments, _ = jsonrpc.Split(req.Params.Get("arguments"))
	}
	if req.Client != nil {
		q.Revision = req.Client.Revision
	}
	if e.p.rules.Load().watches() {
		q.conversation = e.p.memory.Of(q.Principal, req.Client)
		q.Seen = e.p.memory.Seen(q.conversation)
	}
	return q
}

// counted reports whether limits count the action as a call.
func counted(a Action) bool {
	return a == callTool || a == getPrompt || a == readResource || a == complete || a == extend
}

// refusal is what the caller hears: nothing of what it may not know of.
func (e *enforced) refusal(ctx context.Context, req *mcp.Request, q Question) error {
	q.Listing = true
	if e.p.Decide(ctx, q).Allow {
		return mcp.Errorf(mcp.CodeForbidden, "not permitted: a policy refuses this call of %s", shown(req, q.Resource))
	}
	switch q.Resource.Kind {
	case ofTool, ofPrompt:
		return mcp.Errorf(jsonrpc.CodeInvalidParams, "unknown %s: %s", strings.ToLower(string(q.Resource.Kind)), shown(req, q.Resource))
	case ofResource:
		return mcp.ErrorData(jsonrpc.CodeInvalidParams, "no server has the resource "+q.Resource.Name, map[string]string{"uri": q.Resource.Name})
	}
	return mcp.MethodNotFound(req.Method)
}

// shown is the name as the caller wrote it: whoever renames changes Name, not Params.
func shown(req *mcp.Request, what Resource) string {
	if name, ok := req.Params.String("name"); ok {
		return name
	}
	return what.Name
}

// target says what a request does to what; false when it is one that everybody
// who was let in may make.
func target(server string, req *mcp.Request) (Action, Resource, bool) {
	switch req.Method {
	case "tools/call":
		return callTool, Resource{Kind: ofTool, Server: server, Name: req.Name}, true
	case "prompts/get":
		return getPrompt, Resource{Kind: ofPrompt, Server: server, Name: req.Name}, true
	case "resources/read":
		return readResource, Resource{Kind: ofResource, Server: server, Name: req.Name}, true
	case "resources/subscribe", "resources/unsubscribe":
		return subscribe, Resource{Kind: ofResource, Server: server, Name: req.Name}, true
	case "completion/complete":
		return complete, completed(server, req), true
	case "server/discover", "initialize", "ping", "logging/setLevel",
		"tools/list", "prompts/list", "resources/list", "resources/templates/list":
		return "", Resource{}, false
	}
	switch {
	case strings.HasPrefix(req.Method, "tasks/"):
		return useTask, Resource{Kind: ofServer, Server: server}, true
	case mcp.NameKey(req.Method) == "uri":
		return readResource, Resource{Kind: ofResource, Server: server, Name: req.Name}, true
	}
	return extend, Resource{Kind: ofServer, Server: server}, true
}

// listen takes the resources that the caller may not subscribe to out of a
// subscription: the server does not grant what it is not asked for.
func (e *enforced) listen(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	wanted, _ := jsonrpc.Split(req.Params.Get("notifications"))
	if err := plain("notifications", wanted, "resourceSubscriptions"); err != nil {
		return mcp.Result{}, err
	}
	uris := wanted.Get("resourceSubscriptions")
	if uris == nil {
		return e.next.Handle(ctx, req)
	}
	permitted, changed := []byte{'['}, false
	for element := range jsonrpc.Elements(uris) {
		uri, ok := jsonrpc.Unquote(element)
		q := e.question(ctx, req, subscribe, Resource{Kind: ofResource, Server: e.server, Name: uri})
		d := e.p.judge(ctx, q)
		e.p.d.Decided(ctx, q, d)
		if !ok || !d.Allow {
			changed = true
			continue
		}
		if len(permitted) > 1 {
			permitted = append(permitted, ',')
		}
		permitted = append(permitted, element...)
	}
	if changed {
		text := wanted.Append(nil, jsonrpc.Edit{Name: "resourceSubscriptions", Value: append(permitted, ']')})
		own := *req
		own.Params = req.Params.With(jsonrpc.Edit{Name: "notifications", Value: text})
		req = &own
	}
	return e.next.Handle(ctx, req)
}

// Sees reports whether the caller of ctx may know of an entry of a server's
// list: method is that of the list, name the server's own or the URI. With the
// method server/discover it is the server itself, and what it says of itself.
func (p *Policy) Sees(ctx context.Context, server, method, name string) bool {
	q := Question{Principal: mcp.PrincipalOf(ctx), Listing: true, Resource: Resource{Server: server, Name: name}}
	switch method {
	case "tools/list":
		q.Action, q.Resource.Kind = callTool, ofTool
	case "prompts/list":
		q.Action, q.Resource.Kind = getPrompt, ofPrompt
	case "resources/list", "resources/templates/list":
		q.Action, q.Resource.Kind = readResource, ofResource
	default:
		q.Action, q.Resource = list, Resource{Kind: ofServer, Server: server}
	}
	return p.Decide(ctx, q).Allow
}

// Audience names who sees the same as the caller of ctx: lists that were made
// for one may be shown to another with an equal Audience, and to nobody else.
// It is empty when everybody sees everything.
func (p *Policy) Audience(ctx context.Context) string {
	r := p.rules.Load()
	if !r.closed {
		return ""
	}
	return r.audience(mcp.PrincipalOf(ctx))
}
