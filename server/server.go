package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/sdkserver"
	"github.com/dragoman-mcp/dragoman/server/internal/plan"
)

// About is what a server says of itself.
type About struct {
	// Name is the server's own, such as "weather".
	Name string
	// Title is the name for people.
	Title string
	// Version is the server's own; empty means Env.Version.
	Version string
	// Instructions tell a model in a few sentences when and how to use the server.
	Instructions string
	// Limits bound every call that does not bring limits of its own; zero fields
	// mean the defaults of Limits.
	Limits Limits
	// Subscribe is told which resource a client wants to hear of, and Unsubscribe
	// that it no longer does. Without Subscribe, resources cannot be subscribed to.
	Subscribe, Unsubscribe func(ctx context.Context, uri string) error
	// Complete completes arguments of prompts and resource templates; may be nil.
	Complete func(context.Context, *sdk.CompleteRequest) (*sdk.CompleteResult, error)
}

// Server is one MCP server. Make it with [New], give it tools with [AddTool],
// and what else it has with the methods of [Server.SDK]. Whoever runs it closes it.
type Server struct {
	about    About
	env      Env
	log      *slog.Logger
	sdk      *sdk.Server
	started  time.Time
	registry *prometheus.Registry
	metrics  metrics
	sealer   *sealer
	carrier  carrier
	checks   checks
	tools    sync.Map // of *bound, by name
	plans    plan.Plans

	ctx    context.Context // of what the server does by itself; ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup
	calls  sync.WaitGroup // direct ones, which begin only while closed is false

	mu      sync.Mutex // guards what follows
	closers []func() error
	handler *sdkserver.Server
	closed  bool
}

// New returns a server without tools. It is called by the function that makes
// the server; whoever runs that calls it with [Open].
func New(env *Env, about About) *Server {
	e := env.complete(about)
	if about.Version == "" {
		about.Version = e.Version
	}
	about.Limits = about.Limits.complete()
	s := &Server{
		about: about, env: e, log: e.Log, started: e.Now(),
		registry: prometheus.NewRegistry(), sealer: newSealer(e.Secret, about.Name),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.metrics = newMetrics(s.Metrics())
	s.carrier.calls = make(map[string]context.Context)
	s.checks.known = make(map[string]*check)
	s.sdk = sdk.NewServer(
		&sdk.Implementation{Name: about.Name, Title: about.Title, Version: about.Version},
		s.options(),
	)
	s.sdk.AddReceivingMiddleware(s.guard)
	env.made = append(env.made, s)
	return s
}

// Open calls the function that makes a server. When that fails or panics, what
// it has made until then is closed.
func Open(env *Env, make func(*Env) (*Server, error)) (s *Server, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("make the server: %v", v)
		}
		if err != nil {
			s = nil
			for _, made := range env.made {
				err = errors.Join(err, made.Close())
			}
		}
		env.made = nil
	}()
	return make(env)
}

func (s *Server) options() *sdk.ServerOptions {
	o := &sdk.ServerOptions{
		Instructions: s.about.Instructions, Capabilities: &sdk.ServerCapabilities{},
		CompletionHandler: s.about.Complete,
	}
	if s.about.Subscribe == nil {
		return o
	}
	o.SubscribeHandler = func(ctx context.Context, r *sdk.SubscribeRequest) error {
		return s.about.Subscribe(ctx, r.Params.URI)
	}
	o.UnsubscribeHandler = func(ctx context.Context, r *sdk.UnsubscribeRequest) error {
		if s.about.Unsubscribe == nil {
			return nil
		}
		return s.about.Unsubscribe(ctx, r.Params.URI)
	}
	return o
}

// SDK returns the SDK's server, for resources, templates, prompts and whatever
// this package does not wrap. What is added or removed through it is told to
// clients as a change of the list; ResourceUpdated tells of a resource.
func (s *Server) SDK() *sdk.Server { return s.sdk }

// Log returns the server's log.
func (s *Server) Log() *slog.Logger { return s.log }

// Handler returns the server as the house calls it. It is the same handler each
// time, may be called concurrently, and lasts until Close.
func (s *Server) Handler() (mcp.Handler, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.New("the server is closed")
	}
	if s.handler == nil {
		h, err := sdkserver.New(s.sdk)
		if err != nil {
			return nil, err
		}
		s.handler = h
	}
	return &entry{next: s.handler, server: s, carrier: &s.carrier}, nil
}

// Go runs f until it returns; its context ends when the server is closed, and
// Close waits for it. An error is logged.
func (s *Server) Go(f func(ctx context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.work.Go(func() {
		if err := f(s.ctx); err != nil && s.ctx.Err() == nil {
			s.log.Error("work of the server ended", "err", err)
		}
	})
}

// OnClose has f called by Close, the latest first, after the last call and what
// Go runs have ended.
func (s *Server) OnClose(f func() error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closers = append(s.closers, f)
}

// enter begins a call, whose context ends with the server's and when its time is
// up; false when the server is closed.
func (s *Server) enter(ctx context.Context, limit time.Duration) (in context.Context, leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ctx, func() {}, false
	}
	s.calls.Add(1)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errTime)
	detach := context.AfterFunc(s.ctx, cancel)
	return ctx, func() {
		detach()
		cancel()
		s.calls.Done()
	}, true
}

// Close ends the contexts of what is under way, waits for it, and releases
// everything that the server holds.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	handler, closers := s.handler, slices.Clone(s.closers)
	s.mu.Unlock()
	s.cancel()
	s.calls.Wait()
	var errs []error
	if handler != nil {
		errs = append(errs, handler.Close())
	}
	s.work.Wait()
	for _, f := range slices.Backward(closers) {
		if err := f(); err != nil {
			errs = append(errs, fmt.Errorf("close %s: %w", s.about.Name, err))
		}
	}
	return errors.Join(errs...)
}

// Metrics takes the server's own metrics. All of them get the label server.
func (s *Server) Metrics() prometheus.Registerer {
	return prometheus.WrapRegistererWith(prometheus.Labels{"server": s.env.Name}, s.registry)
}

// Gatherer gives the metrics of this server, for whoever runs it.
func (s *Server) Gatherer() prometheus.Gatherer { return s.registry }

// ServeMetrics answers with the metrics in the format that Prometheus reads.
func (s *Server) ServeMetrics(w http.ResponseWriter, r *http.Request) {
	promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}
