package server

import (
	"context"
	"crypto/rand"
	"sync"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// metaCall names, between carried and guard, the call whose context a message
// belongs to. What a caller writes there is overwritten.
const metaCall = "dragoman/call"

// carrier takes the values of a call's context, who calls and under which id,
// past the SDK, which only carries messages.
type carrier struct {
	mu    sync.Mutex // guards calls
	calls map[string]context.Context
}

func (c *carrier) put(ctx context.Context) (id string, forget func()) {
	id = rand.Text()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[id] = ctx
	return id, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.calls, id)
	}
}

func (c *carrier) get(id string) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[id]
}

// entry is the server's handler: calls of tools go to them, and the rest to the
// SDK's server, with the near end of the carrier.
type entry struct {
	next    mcp.Handler
	server  *Server
	carrier *carrier
}

var _ mcp.Handler = (*entry)(nil)

// Handle implements mcp.Handler.
func (h *entry) Handle(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	if req.Method == "tools/call" {
		if b, ok := h.server.tools.Load(req.Name); ok {
			return h.server.direct(ctx, b.(*bound), req)
		}
	}
	id, forget := h.carrier.put(ctx)
	defer forget()
	own := *req
	own.Params = withCall(req.Params, id)
	return h.next.Handle(ctx, &own)
}

// restore is the far end: ctx with the values of the call that it belongs to.
func (c *carrier) restore(ctx context.Context, req sdk.Request) context.Context {
	params := req.GetParams()
	if params == nil {
		return ctx
	}
	meta := metaOf(params)
	id, _ := meta[metaCall].(string)
	if id == "" {
		return ctx
	}
	delete(meta, metaCall)
	if from := c.get(id); from != nil {
		return values{ctx, from}
	}
	return ctx
}

// metaOf returns _meta; nil for params that have none, or are a typed nil.
func metaOf(params sdk.Params) (meta map[string]any) {
	defer func() {
		if recover() != nil {
			meta = nil
		}
	}()
	return params.GetMeta()
}

// values is a context that has the values of another one too.
type values struct {
	context.Context
	from context.Context
}

// Value implements context.Context.
func (v values) Value(key any) any {
	if found := v.Context.Value(key); found != nil {
		return found
	}
	return v.from.Value(key)
}

// withCall is params with the id of a call in _meta.
func withCall(params jsonrpc.Object, id string) jsonrpc.Object {
	meta, _ := jsonrpc.Split(params.Get("_meta"))
	text := meta.Append(nil, jsonrpc.Edit{Name: metaCall, Value: jsonrpc.AppendString(nil, id)})
	return params.With(jsonrpc.Edit{Name: "_meta", Value: text})
}
