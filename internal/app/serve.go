package app

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/pprof"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/auth/as"
	"github.com/dragoman-mcp/dragoman/internal/auth/credential"
	"github.com/dragoman-mcp/dragoman/internal/auth/password"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/guards"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// Server answers clients over HTTP.
type Server struct {
	app      *App
	doors    *doors
	entrance atomic.Pointer[entrance]
	draining atomic.Bool
	reload   func() (string, error) // set before Run; nil when there is nothing to reload from
	listener net.Listener
	http     *http.Server
}

// Listen opens the listener that the configuration names. Beyond loopback it
// refuses to without tokens.
func (a *App) Listen(ctx context.Context) (*Server, error) {
	cfg := a.Config()
	if err := mayListen(cfg); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w (is another gateway running? choose another address with --listen)", cfg.Listen, err)
	}
	s := &Server{app: a, doors: newDoors(a), listener: bounded(l, cfg.Limits.Connections)}
	if err := s.Refresh(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if s.entrance.Load().tls != nil {
		// The names of protocols stand here for HTTP/2, and in what handshake gives for the client.
		s.listener = tls.NewListener(s.listener, &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetConfigForClient: s.handshake})
	}
	s.http = &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: cfg.Limits.HeaderTimeout,
		IdleTimeout:       cfg.Limits.IdleTimeout,
		MaxHeaderBytes:    int(cfg.Limits.Header),
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// mayListen is the bind rule: who listens beyond this machine must know who calls.
func mayListen(cfg *config.Config) error {
	host, _, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen %q is no address: write it as HOST:PORT, like 127.0.0.1:8000", cfg.Listen)
	}
	if !config.IsLoopback(host) && !cfg.Auth.Guarded() {
		return fmt.Errorf("listen %s is not loopback, and anybody could call: configure auth.tokens, or listen on 127.0.0.1", cfg.Listen)
	}
	return nil
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// OnReload sets what POST /reload does. It must be called before Run.
func (s *Server) OnReload(reload func() (string, error)) { s.reload = reload }

// reloadNow answers POST /reload.
func (s *Server) reloadNow(w http.ResponseWriter, _ *http.Request) {
	if s.reload == nil {
		writeJSON(w, http.StatusNotFound, map[string]string{"error": "this gateway has no configuration file to reload"})
		return
	}
	done, err := s.reload()
	var less *guards.Lowered
	if errors.As(err, &less) {
		writeJSON(w, http.StatusConflict, map[string]string{"error": err.Error()})
		return
	}
	if err != nil {
		writeJSON(w, http.StatusUnprocessableEntity, map[string]string{"error": err.Error()})
		return
	}
	writeJSON(w, http.StatusOK, map[string]string{"serving": done})
}

// farewell is how long at most the end of calls that did not end within the drain
// timeout, and of streams, may take to reach the clients.
const farewell = 3 * time.Second

// Run serves until ctx ends, then drains: calls under way are answered, those that
// are not within the drain timeout with an error, and then streams are ended.
func (s *Server) Run(ctx context.Context) error {
	defer holdFloor()()
	trimming, stopTrimming := context.WithCancel(ctx)
	var trimmer sync.WaitGroup
	trimmer.Go(func() { trim(trimming) })
	defer trimmer.Wait()
	defer stopTrimming()
	failed := make(chan error, 1)
	go func() { failed <- s.http.Serve(s.listener) }()
	select {
	case err := <-failed:
		s.doors.close()
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	s.draining.Store(true)
	limit := max(s.app.Config().Shutdown.DrainTimeout, time.Millisecond)
	drain, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	parting, cancel := context.WithTimeout(context.Background(), limit+farewell)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if !s.doors.settle(drain) {
			s.app.abort()
			s.doors.settle(parting)
		}
		s.doors.close()
	}()
	err := s.http.Shutdown(parting)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close()
	}
	<-ended
	<-failed
	return err
}

// routes is the table of everything that is answered, with who may ask.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	public := func(pattern string, h http.HandlerFunc) { mux.Handle(pattern, s.behind((*auth.Guard).Public, h)) }
	private := func(pattern string, h http.HandlerFunc) {
		mux.Handle(pattern, s.app.telemetry.Endpoint(pathOf(pattern), s.behind((*auth.Guard).Private, h)))
	}
	private("/mcp", s.doors.mcp)
	private("/mcp/{name}", s.doors.mcp)
	private("GET /mcp/{name}/health", s.serverHealth)
	private("/sse", s.doors.events)
	private("/sse/{name}", s.doors.events)
	private("POST /reload", s.reloadNow)
	private("GET /policy/candidate", s.compare)
	public("GET /health", s.health)
	public("GET /ready", s.ready)
	public("GET /{$}", s.welcome)
	public("POST /token", s.login((*password.Handlers).Token))
	public("POST /revoke", s.login((*password.Handlers).Revoke))
	public("GET /.well-known/jwks.json", s.login((*password.Handlers).JWKS))
	public("GET /.well-known/oauth-authorization-server", s.authorization((*as.Server).Metadata))
	public("GET /.well-known/openid-configuration", s.authorization((*as.Server).Metadata))
	public("GET "+as.PathAuthorize, s.authorization((*as.Server).Authorize))
	public("POST "+as.PathAuthorize, s.authorization((*as.Server).Decide))
	public("POST "+as.PathToken, s.authorization((*as.Server).Token))
	public("POST "+as.PathRegister, s.authorization((*as.Server).Register))
	public("POST "+as.PathRevoke, s.authorization((*as.Server).Revoke))
	public("GET "+credential.PathLogin, s.connect((*credential.Broker).Login))
	public("POST "+credential.PathLogin, s.connect((*credential.Broker).Login))
	public("GET "+credential.PathCallback, s.connect((*credential.Broker).Callback))
	public("GET "+credential.PathClient, s.connect((*credential.Broker).Client))
	private("GET /users/me", s.whoami)
	private("GET /users/me/{$}", s.whoami)
	public("GET /.well-known/oauth-protected-resource", s.metadata)
	public("GET /.well-known/oauth-protected-resource/{path...}", s.metadata)
	if s.app.Config().Telemetry.Metrics {
		private("GET /metrics", s.app.telemetry.Metrics().ServeHTTP)
	}
	if s.app.Config().Telemetry.Profiling {
		private("GET /debug/pprof/", pprof.Index)
		private("GET /debug/pprof/profile", pprof.Profile)
		private("GET /debug/pprof/trace", pprof.Trace)
	}
	return s.contain(s.crossOrigin(direct(mux)))
}

// direct takes what nearly all requests are for to its handler without a look
// through the table, which gives that for it too.
func direct(mux *http.ServeMux) http.Handler {
	const usual = "/mcp"
	found, _ := mux.Handler(&http.Request{Method: http.MethodPost, URL: &url.URL{Path: usual}})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Path == usual {
			found.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// pathOf is a pattern without its method.
func pathOf(pattern string) string {
	if _, path, ok := strings.Cut(pattern, " "); ok {
		return path
	}
	return pattern
}

// behind puts a handler behind the guard of now.
func (s *Server) behind(door func(*auth.Guard, http.Handler) http.Handler, h http.HandlerFunc) http.Handler {
	at := s.guarded(door, h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at().ServeHTTP(w, r.WithContext(mcp.WithRequestID(r.Context(), requestID())))
	})
}

// guarded returns what gives next behind the guard of now, which is made once for
// each guard and not for each request.
func (s *Server) guarded(door func(*auth.Guard, http.Handler) http.Handler, next http.Handler) func() http.Handler {
	type post struct {
		guard *auth.Guard
		http.Handler
	}
	var last atomic.Pointer[post]
	return func() http.Handler {
		guard := s.entrance.Load().guard
		p := last.Load()
		if p == nil || p.guard != guard {
			p = &post{guard, door(guard, next)}
			last.Store(p)
		}
		return p
	}
}

// contain lets a fault end its request and nothing else.
func (s *Server) contain(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if v := recover(); v != nil {
				if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					panic(v)
				}
				s.app.log.Error("request failed with a fault of ours", "path", r.URL.Path, "err", v, "stack", string(debug.Stack()))
				refuse(w, http.StatusInternalServerError, mcp.Errorf(jsonrpc.CodeInternal, "internal error"))
			}
		}()
		if r.ProtoMajor == 1 && len(r.TransferEncoding) > 0 {
			// net/http reads a body in chunks though a length is given too, and does not tell. Who gave both may have meant
			// another request by what comes next, so that nothing does (RFC 9112, 6.1).
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// requestID names a request in the log. It is no secret, so that it need not
// come from the system's generator.
func requestID() string {
	var id [8]byte
	binary.LittleEndian.PutUint64(id[:], rand.Uint64())
	var text [2 * len(id)]byte
	hex.Encode(text[:], id[:])
	return string(text[:])
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		body, status = []byte(`{"error":"internal error"}`), http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a caller that has gone does not want it
}
