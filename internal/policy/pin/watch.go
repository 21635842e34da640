package pin

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Watch returns next with what is not approved left out of its lists and
// refused when it is called.
func (b *Book) Watch(server config.Server, next mcp.Handler) mcp.Handler {
	w := &watched{b: b, server: server.Name, next: next, launch: b.launchSight(server)}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watched[server.Name] = w
	return w
}

// newSight makes a sight of a definition; one that cannot be read has no hash, and is never approved.
func newSight(kind, of string, raw []byte) sight {
	s := sight{name: name{kind, of}}
	if of == "" || len(of) > maxName {
		return s
	}
	if text, err := canonical(nil, raw, 0); err == nil && len(text) <= maxDefinition {
		s.definition, s.hash = text, digest(text)
	}
	return s
}

// watched is a server of which only what is approved is there.
type watched struct {
	b      *Book
	server string
	next   mcp.Handler
	launch sight
}

// lists are the methods whose entries are pinned. Resources are data that comes
// and goes; what a model reads of them it asks for.
func lists(method string) (kind, member, key string) {
	switch method {
	case "tools/list":
		return kindTool, "tools", "name"
	case "prompts/list":
		return kindPrompt, "prompts", "name"
	case "resources/templates/list":
		return kindTemplate, "resourceTemplates", "uriTemplate"
	}
	return "", "", ""
}

// Handle implements mcp.Handler.
func (w *watched) Handle(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	if err := w.launched(ctx); err != nil {
		return w.withheld(req, err)
	}
	switch req.Method {
	case "tools/list", "prompts/list", "resources/templates/list":
		return w.list(ctx, req)
	case "server/discover":
		return w.discover(ctx, req)
	case "tools/call":
		return w.call(ctx, req, name{kindTool, req.Name}, "tools/list")
	case "prompts/get":
		return w.call(ctx, req, name{kindPrompt, req.Name}, "prompts/list")
	}
	return w.next.Handle(ctx, req)
}

// launched checks that the server is started as it was approved.
func (w *watched) launched(ctx context.Context) error {
	state, _, err := w.b.status(ctx, w.server, w.launch.name)
	if err == nil && state == "" {
		var ok []bool
		if ok, err = w.b.judge(ctx, w.server, []sight{w.launch}); err == nil && ok[0] {
			return nil
		}
		state = quarantined
	}
	if err != nil {
		return w.b.unknown(ctx, w.server, err)
	}
	if state == approved {
		return nil
	}
	return w.b.held(ctx, w.server, w.launch.name)
}

// withheld answers for a server that is not used at all: checks go through, so
// that it is known to be well.
func (w *watched) withheld(req *mcp.Request, err error) (mcp.Result, error) {
	if kind, member, _ := lists(req.Method); kind != "" {
		return mcp.Result{Object: jsonrpc.Object{}.With(jsonrpc.Edit{Name: member, Value: []byte("[]")})}, nil
	}
	return mcp.Result{}, err
}

// list leaves out what is not approved.
func (w *watched) list(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	result, err := w.next.Handle(ctx, req)
	if err != nil {
		return result, err
	}
	kind, member, key := lists(req.Method)
	var entries [][]byte
	var sights []sight
	for element := range jsonrpc.Elements(result.Get(member)) {
		o, ok := jsonrpc.Split(element)
		if !ok {
			continue
		}
		of, ok := o.String(key)
		if !ok {
			continue
		}
		entries, sights = append(entries, element), append(sights, newSight(kind, of, element))
	}
	ok, err := w.b.judge(ctx, w.server, sights)
	if err != nil {
		return mcp.Result{}, w.b.unknown(ctx, w.server, err)
	}
	text, held := []byte{'['}, 0
	for i, entry := range entries {
		if !ok[i] {
			held++
			continue
		}
		if len(text) > 1 {
			text = append(text, ',')
		}
		text = append(text, entry...)
	}
	return mcp.Result{Object: result.With(jsonrpc.Edit{Name: member, Value: append(text, ']')}, heldBack(result, held))}, nil
}

// heldBack says in a list's _meta how much of it is held back, in the place of what the server says of that.
func heldBack(result mcp.Result, held int) jsonrpc.Edit {
	meta, _ := jsonrpc.Split(result.Get("_meta"))
	edit := jsonrpc.Edit{Name: mcp.MetaHeld}
	if held > 0 {
		edit.Value = strconv.AppendInt(nil, int64(held), 10)
	}
	if result.Get("_meta") == nil && held == 0 {
		return jsonrpc.Edit{Name: "_meta"}
	}
	return jsonrpc.Edit{Name: "_meta", Value: meta.With(edit).Append(nil)}
}

// discover leaves out instructions that are not approved.
func (w *watched) discover(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	result, err := w.next.Handle(ctx, req)
	raw := result.Get("instructions")
	if err != nil || raw == nil {
		return result, err
	}
	ok, err := w.b.judge(ctx, w.server, []sight{newSight(kindInstructions, kindInstructions, raw)})
	if err != nil {
		return mcp.Result{}, w.b.unknown(ctx, w.server, err)
	}
	if !ok[0] {
		result.Object = result.With(jsonrpc.Edit{Name: "instructions"})
	}
	return result, nil
}

// maxLook bounds the pages that are looked through for a tool that was not seen yet.
const maxLook = 100

// call lets a call of what is approved through. What was never seen is looked
// for in the server's list, as the caller would see it.
func (w *watched) call(ctx context.Context, req *mcp.Request, n name, method string) (mcp.Result, error) {
	state, hash, err := w.b.status(ctx, w.server, n)
	if err != nil {
		return mcp.Result{}, w.b.unknown(ctx, w.server, err)
	}
	if state == "" {
		if err := w.look(ctx, req, method); err != nil {
			return mcp.Result{}, err
		}
		if state, hash, err = w.b.status(ctx, w.server, n); err != nil {
			return mcp.Result{}, w.b.unknown(ctx, w.server, err)
		}
	}
	switch state {
	case approved:
		return w.next.Handle(w.b.o.Called(ctx, hash), req)
	case "":
		return mcp.Result{}, mcp.Errorf(jsonrpc.CodeInvalidParams, "unknown %s: %s", n.kind, n.name)
	}
	why := "is not what was approved (" + state + "); an operator can see what changed with"
	if state == pending {
		why = "waits for approval; an operator can look at it with"
	}
	return mcp.Result{}, mcp.ErrorData(mcp.CodeQuarantined, fmt.Sprintf("the %s %s of server %s %s: dragoman tools diff %s",
		n.kind, n.name, w.server, why, w.server), map[string]string{"server": w.server, "name": n.name, "state": state})
}

func (w *watched) look(ctx context.Context, req *mcp.Request, method string) error {
	params := jsonrpc.Object{}
	for range maxLook {
		page, err := w.list(ctx, &mcp.Request{Method: method, Params: params, Client: req.Client})
		if err != nil {
			return err
		}
		cursor := page.Get("nextCursor")
		if len(cursor) == 0 || cursor[0] != '"' {
			return nil
		}
		params = jsonrpc.Object{}.With(jsonrpc.Edit{Name: "cursor", Value: cursor})
	}
	return nil
}

// lookTime bounds how long a server may take to show what it offers, its start and the fetch of its package included.
const lookTime = 10 * time.Minute

// unlooked is a server that has shown nothing yet, and that nobody looks at; nil for any other.
func (b *Book) unlooked(server string) *watched {
	b.mu.Lock()
	w := b.watched[server]
	b.mu.Unlock()
	if w == nil {
		return nil
	}
	p := b.page(server)
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := range p.seen {
		if n.kind != kindLaunch && n.kind != kindPackage {
			return nil
		}
	}
	if p.looks {
		return nil
	}
	p.looks = true
	return w
}

// lookAtAll asks a server for everything that is pinned, so that it is written down. It does nothing as long as the server's
// start is not approved, and what the server does not answer is asked again when somebody calls.
func (w *watched) lookAtAll(ctx context.Context) {
	defer func() {
		p := w.b.page(w.server)
		p.mu.Lock()
		p.looks = false
		p.mu.Unlock()
	}()
	if w.launched(ctx) != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	if _, err := w.discover(ctx, &mcp.Request{Method: "server/discover"}); err != nil {
		w.b.o.Log.InfoContext(ctx, "server whose start was approved does not say yet what it offers", "server", w.server, "err", err)
		return
	}
	for _, method := range []string{"tools/list", "prompts/list", "resources/templates/list"} {
		_ = w.look(ctx, &mcp.Request{}, method) // most have not all of them
	}
}
