// Package serve runs one server alone: over standard input and output, for a
// client that starts it, or over HTTP. Clients of every revision are served.
//
// It does not know what the server is for, and has none of what a gateway adds:
// no users beyond one token, no views, no audit.
package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/legacy"
	"github.com/dragoman-mcp/dragoman/mcp/stdio"
	"github.com/dragoman-mcp/dragoman/server"
)

// Options say how a server is run. The zero value serves nothing: In and Out, or
// Listen, must be there.
type Options struct {
	// Env is what the server is given; Run completes Log.
	Env server.Env
	// In and Out are the pipes to the client, when Listen is empty.
	In  io.Reader
	Out io.WriteCloser
	// Listen is HOST:PORT; beyond loopback a Token is needed.
	Listen string
	// Token is what callers over HTTP must bring: "Authorization: Bearer TOKEN".
	// Empty lets in who comes from this machine.
	Token server.Secret
	// Hosts are names beside those of loopback and of Listen by which callers may
	// address the server, as in the header Host, and from whose pages they may
	// come, as in the header Origin.
	Hosts []string
	// Ready is told the URL of the endpoint once it can be called; may be nil.
	Ready func(url string)
	// Proxy returns the HTTP proxy for what the server asks for; nil for none.
	Proxy func(*http.Request) (*url.URL, error)
	// Drain bounds how long calls under way may go on when ctx has ended; 5 s by default.
	Drain time.Duration
}

// Run makes the server and serves until ctx ends or, over pipes, the client has
// closed its end. When it returns everything has been released.
func Run(ctx context.Context, o Options, make func(*server.Env) (*server.Server, error)) (err error) {
	if o.Drain <= 0 {
		o.Drain = 5 * time.Second
	}
	if o.Env.Log == nil {
		o.Env.Log = slog.New(slog.DiscardHandler)
	}
	if o.Env.Proxy == nil {
		o.Env.Proxy = o.Proxy
	}
	if err := mayListen(o); err != nil {
		return err
	}
	s, err := server.Open(&o.Env, make)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	handler, err := s.Handler()
	if err != nil {
		return err
	}
	sealer, err := legacy.NewSealer(nil)
	if err != nil {
		return err
	}
	sessions := legacy.NewServer(handler, sealer, legacy.ServerOptions{Log: o.Env.Log})
	defer sessions.Close()
	if o.Listen != "" {
		return serveHTTP(ctx, o, s, handler, sessions)
	}
	return servePipes(ctx, o, handler, sessions)
}

func servePipes(ctx context.Context, o Options, handler mcp.Handler, sessions *legacy.Server) error {
	if o.In == nil || o.Out == nil {
		return errors.New("there is neither an address to listen on nor a pipe to a client")
	}
	conn := stdio.NewConn(o.In, o.Out, stdio.Options{})
	err := legacy.Serve(ctx, conn, handler, sessions, legacy.ServeOptions{Grace: o.Drain})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("serve the client: %w", err)
	}
	return nil
}
