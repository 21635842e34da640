package serve

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/legacy"
	"github.com/dragoman-mcp/dragoman/mcp/streamhttp"
	"github.com/dragoman-mcp/dragoman/server"
)

// Bounds of the listener.
const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
	maxConnections = 4096
	healthTimeout  = 5 * time.Second
)

// mayListen is the bind rule: who listens beyond this machine must know who calls.
func mayListen(o Options) error {
	if o.Listen == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return fmt.Errorf("%q is no address to listen on: write it as HOST:PORT, like 127.0.0.1:8080", o.Listen)
	}
	if !isLoopback(host) && o.Token == "" {
		return fmt.Errorf("listen %s is not loopback, and anybody could call: give a token, or listen on 127.0.0.1", o.Listen)
	}
	return nil
}

func serveHTTP(ctx context.Context, o Options, s *server.Server, handler mcp.Handler, sessions *legacy.Server) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", o.Listen, err)
	}
	stream := streamhttp.NewServer(handler, sessions, streamhttp.ServerOptions{Log: o.Env.Log})
	g := newGuard(o)
	mux := http.NewServeMux()
	mux.Handle("/mcp", g.private(stream))
	mux.Handle("GET /metrics", g.private(http.HandlerFunc(s.ServeMetrics)))
	mux.Handle("GET /health", g.public(health(s)))
	hs := &http.Server{
		Handler: mux, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(o.Env.Log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- hs.Serve(&limited{l, make(chan struct{}, maxConnections)}) }()
	if o.Ready != nil {
		o.Ready("http://" + l.Addr().String() + "/mcp")
	}
	select {
	case err := <-failed:
		stream.Close()
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.Background(), o.Drain)
	defer cancel()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		stream.Close()
	}()
	err = hs.Shutdown(drain)
	if errors.Is(err, context.DeadlineExceeded) {
		err = hs.Close()
	}
	<-closed
	<-failed
	return err
}

// health answers probes: 200 unless nothing works.
func health(s *server.Server) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
		defer cancel()
		h, status := s.Health(ctx), http.StatusOK
		if h.Status == "unhealthy" {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, h)
	})
}

// guard turns away requests that were meant for another host (DNS rebinding),
// pages of other origins, and callers without the token (2025-11-25,
// basic/transports, "Security Warning").
type guard struct {
	hosts []string // lower case, without port
	token *[sha256.Size]byte
}

func newGuard(o Options) *guard {
	g := &guard{}
	for _, h := range o.Hosts {
		g.hosts = append(g.hosts, strings.ToLower(h))
	}
	host, _, _ := net.SplitHostPort(o.Listen) // mayListen has read it
	if ip, err := netip.ParseAddr(host); host != "" && (err != nil || !ip.IsUnspecified()) {
		g.hosts = append(g.hosts, strings.ToLower(host))
	}
	if o.Token != "" {
		digest := sha256.Sum256([]byte(o.Token.Reveal()))
		g.token = &digest
	}
	return g
}

func (g *guard) public(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !g.host(r.Host):
			refuse(w, http.StatusForbidden, "this host name is not served here")
		case !g.origin(r):
			refuse(w, http.StatusForbidden, "pages of this origin may not call")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func (g *guard) private(next http.Handler) http.Handler {
	return g.public(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g.token == nil {
			next.ServeHTTP(w, r)
			return
		}
		scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		digest := sha256.Sum256([]byte(strings.TrimSpace(given)))
		if !strings.EqualFold(scheme, "bearer") || subtle.ConstantTimeCompare(digest[:], g.token[:]) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			refuse(w, http.StatusUnauthorized, "a valid bearer token is needed: Authorization: Bearer TOKEN")
			return
		}
		ctx := mcp.WithPrincipal(r.Context(), mcp.Principal{ID: "token", Method: "token"})
		next.ServeHTTP(w, r.WithContext(ctx))
	}))
}

func (g *guard) host(host string) bool {
	name := strings.ToLower(host)
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
	}
	return isLoopback(name) || slices.Contains(g.hosts, name)
}

func (g *guard) origin(r *http.Request) bool {
	values := r.Header.Values("Origin")
	if len(values) == 0 {
		return true
	}
	u, err := url.Parse(strings.ToLower(values[0]))
	return len(values) == 1 && err == nil && (u.Scheme == "http" || u.Scheme == "https") &&
		u.Host != "" && u.User == nil && u.Path == "" && g.host(u.Host)
}

func isLoopback(name string) bool {
	name = strings.Trim(name, "[]")
	if name == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.IsLoopback()
}

// refuse answers with a JSON-RPC error without id, which every client can read.
func refuse(w http.ResponseWriter, status int, why string) {
	code := mcp.CodeUnauthenticated
	if status == http.StatusForbidden {
		code = -32600
	}
	writeJSON(w, status, map[string]any{"jsonrpc": "2.0", "id": nil, "error": map[string]any{"code": code, "message": why}})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		body, status = []byte(`{"error":"internal error"}`), http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a caller that has gone does not want it
}
