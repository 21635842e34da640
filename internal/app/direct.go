package app

import (
	"context"
	"net/http"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/upstream"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// Direct is one server without the gateway around it: under its own names, with
// nothing kept of its lists, and not seen by any client. Commands speak with a
// server in this way.
type Direct struct {
	up      *upstream.Upstream
	handler mcp.Handler // up, with what it is shown
}

var _ mcp.Handler = (*Direct)(nil)

// Direct makes a server that is opened by the first call of it. Close it before
// the App.
func (a *App) Direct(server config.Server) (*Direct, error) {
	up, handler, err := a.reach(a.Config(), personal(server))
	if err != nil {
		return nil, err
	}
	return &Direct{up, handler}, nil
}

// Handle implements mcp.Handler. Commands wait for results and know no tasks.
func (d *Direct) Handle(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
	own := *req
	own.NoTasks = true
	return d.handler.Handle(ctx, &own)
}

// Status reports what is known of the server now; it asks nobody.
func (d *Direct) Status() upstream.Status { return d.up.Status() }

// Close stops the server, as upstream.Upstream.Close does.
func (d *Direct) Close(ctx context.Context) error { return d.up.Close(ctx) }

// HTTPClient reaches what is no MCP server, such as the endpoints by which a
// running gateway is asked how it does.
func (a *App) HTTPClient() *http.Client { return a.network.HTTPClient() }
