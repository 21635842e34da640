package app

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/dragoman-mcp/dragoman/internal/telemetry"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/legacy"
	"github.com/dragoman-mcp/dragoman/mcp/stdio"
)

// ServeStdio serves one client on two pipes, until it has closed its end or ctx
// ends. name is the endpoint; "" for everything.
func (a *App) ServeStdio(ctx context.Context, in io.Reader, out io.WriteCloser, name string) error {
	handler, ok := a.Endpoint(name)
	if !ok {
		return fmt.Errorf("there is no server or view named %q", name)
	}
	handler = a.telemetry.Observe(handler, telemetry.Leg{Side: telemetry.Incoming, Transport: telemetry.Pipe})
	cfg := a.Config()
	sessions := legacy.NewServer(handler, a.sealer, legacy.ServerOptions{
		Endpoint: name, InputTimeout: cfg.Session.InputWait, Log: a.log, ListsDiffer: a.listsDiffer,
	})
	defer sessions.Close()
	ctx = mcp.WithPrincipal(ctx, Operator())
	conn := stdio.NewConn(in, out, stdio.Options{MaxMessageBytes: int(cfg.Limits.Body)})
	err := legacy.Serve(ctx, conn, handler, sessions, legacy.ServeOptions{
		Limits: jsonrpc.Limits{MaxDepth: cfg.Limits.Depth}, Grace: cfg.Shutdown.DrainTimeout,
	})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
