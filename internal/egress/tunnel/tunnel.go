// Package tunnel is the way out of programs that have no network of their own: an
// HTTP proxy (CONNECT, and plain http) on a listener that only one of them reaches.
// Everything goes over an egress.Network, whose guard judges each destination.
// It does not know who made the listener, what a sandbox is, or what is said in a
// tunnel; and it asks nobody who they are: who reaches the listener may use it.
package tunnel

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/egress"
)

const (
	// maxConns bounds the connections of one program; further ones wait.
	maxConns = 128
	// headTimeout is how long the head of a request may take.
	headTimeout = 10 * time.Second
	// dialTimeout is how long a destination may take to answer.
	dialTimeout = 30 * time.Second
	// idleTimeout is how long a tunnel may be silent, both ways.
	idleTimeout = 10 * time.Minute
	// exchangeTimeout bounds a plain request with its answer.
	exchangeTimeout = 10 * time.Minute
	maxHead         = 64 << 10 // bytes of the head of a request
	pieceSize       = 32 << 10 // bytes that are passed on at once
)

// Serve takes connections of l until ctx ends or l is closed, and closes l. It
// returns when every connection has ended, which they do with ctx. beyond is nil
// when n reaches everything itself.
func Serve(ctx context.Context, l net.Listener, n *egress.Network, beyond *Beyond, log *slog.Logger) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &proxy{ctx: ctx, network: n, beyond: beyond, log: log}
	server := &http.Server{
		Handler: p, ReadHeaderTimeout: headTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHead,
		ErrorLog:    slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // of what the program does wrong it hears itself
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	var closer sync.WaitGroup
	closer.Go(func() {
		<-ctx.Done()
		_ = server.Close() // and the listener; tunnels see the end of ctx themselves
	})
	err := server.Serve(&bounded{Listener: l, places: make(chan struct{}, maxConns)})
	if !errors.Is(err, http.ErrServerClosed) && ctx.Err() == nil {
		log.Warn("the proxy of a sandbox ends", "err", err)
	}
	cancel()
	closer.Wait()
	p.close()
}

// proxy answers the requests of one program.
type proxy struct {
	ctx     context.Context // of Serve: hijacked connections outlive that of their request
	network *egress.Network
	beyond  *Beyond
	log     *slog.Logger

	mu     sync.Mutex // guards closed, and that nobody enters after it
	closed bool
	inside sync.WaitGroup
}

// enter says that a request is being answered; false when no more are.
func (p *proxy) enter() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.inside.Add(1)
	}
	return !p.closed
}

// close waits for all that is being answered.
func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.inside.Wait()
}

// ServeHTTP implements http.Handler.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !p.enter() {
		return
	}
	defer p.inside.Done()
	switch {
	case r.Method == http.MethodConnect:
		p.connect(w, r)
	case r.URL.Scheme == "http" && r.URL.Host != "":
		p.forward(w, r)
	default:
		http.Error(w, "this is a proxy: ask it for CONNECT host:port, or for a whole http:// address", http.StatusBadRequest)
	}
}

// connect makes a tunnel (RFC 9110, section 9.3.6).
func (p *proxy) connect(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), dialTimeout)
	defer cancel()
	there, err := p.reach(ctx, r.RequestURI)
	if err != nil {
		p.refuse(w, r.RequestURI, err)
		return
	}
	defer func() { _ = there.Close() }()
	here, early, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // the program is gone
	}
	defer func() { _ = here.Close() }()
	stop := context.AfterFunc(p.ctx, func() {
		_ = here.Close()
		_ = there.Close()
	})
	defer stop()
	_ = here.SetDeadline(time.Now().Add(idleTimeout)) // instead of those that the server has set
	if _, err := io.WriteString(here, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	var way sync.WaitGroup
	way.Go(func() { pass(there, here, io.LimitReader(early, int64(early.Reader.Buffered())), here) })
	pass(here, there, there)
	way.Wait()
}

// pass copies what from gives to to until it ends, then tells to that it has. Each
// piece gives both connections another idleTimeout.
func pass(to, from net.Conn, parts ...io.Reader) {
	buf := make([]byte, pieceSize)
	r := io.MultiReader(parts...)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			until := time.Now().Add(idleTimeout)
			_, _ = from.SetDeadline(until), to.SetDeadline(until) // closed ones tell below
			if _, werr := to.Write(buf[:n]); werr != nil {
				err = werr
			}
		}
		if err == nil {
			continue
		}
		if half, ok := to.(interface{ CloseWrite() error }); ok && errors.Is(err, io.EOF) {
			_ = half.CloseWrite()
			return
		}
		_, _ = to.Close(), from.Close()
		return
	}
}

// forward sends a plain request on (RFC 9110, section 7.6). Redirects are the
// program's business, which comes again with them.
func (p *proxy) forward(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), exchangeTimeout)
	defer cancel()
	out := r.Clone(ctx)
	out.RequestURI, out.Host = "", r.URL.Host // what was judged is what is asked for
	strip(out.Header)
	if r.ContentLength == 0 {
		out.Body = nil
	}
	resp, err := p.send(out)
	if err != nil {
		p.refuse(w, r.URL.Host, err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	strip(resp.Header)
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	buf := make([]byte, pieceSize)
	for {
		n, err := resp.Body.Read(buf)
		if _, werr := w.Write(buf[:n]); werr != nil || err != nil && !errors.Is(err, io.EOF) {
			panic(http.ErrAbortHandler) // the program must see that something is missing
		}
		if err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush() // events must not wait for company
	}
}

// strip takes out what is for one connection only.
func strip(h http.Header) {
	for _, name := range h.Values("Connection") {
		h.Del(name)
	}
	for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade"} {
		h.Del(name)
	}
}

// refuse tells the program why it does not get through, and the log where it wanted to go.
func (p *proxy) refuse(w http.ResponseWriter, destination string, err error) {
	status := http.StatusBadGateway
	var refused *egress.RefusedError
	switch {
	case errors.As(err, &refused):
		status = http.StatusForbidden
		p.log.Warn("program in a sandbox wanted to reach what is closed to it", "destination", destination, "err", err)
	case errors.Is(err, egress.ErrRefused):
		status = http.StatusForbidden
	case errors.Is(err, context.DeadlineExceeded):
		status = http.StatusGatewayTimeout
	}
	if status != http.StatusForbidden {
		p.log.Debug("program in a sandbox did not reach a destination", "destination", destination, "err", err)
	}
	http.Error(w, err.Error(), status)
}

// bounded is a listener with a bound on its connections.
type bounded struct {
	net.Listener
	places chan struct{}
}

// Accept implements net.Listener. It waits for a place first; the end of a
// connection gives one.
func (b *bounded) Accept() (net.Conn, error) {
	c, err := b.Listener.Accept()
	if err != nil {
		return nil, err
	}
	b.places <- struct{}{}
	return &placed{Conn: c, leave: sync.OnceFunc(func() { <-b.places })}, nil
}

type placed struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *placed) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// CloseWrite ends one direction.
func (c *placed) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}
