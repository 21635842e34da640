// Package httpapi is the built-in server for HTTP APIs: whatever an OpenAPI
// document describes, and any GraphQL endpoint. A handful of operations become
// tools of their own; of more, three tools search, describe and call.
//
// Where the API is, and what it is called with, is decided by the operator: no
// argument changes the host, a segment of a path, or a credential.
//
// It does not know how requests are written (package openapi), what is allowed in
// a query (package graphql), or how they are sent (package outbound).
package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/outbound"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/backend"
)

// api is the server. What depends on the document is in rest, once it is there.
type api struct {
	server *server.Server
	env    *server.Env
	cfg    settings
	docs   *http.Client // for the document alone
	sent   *prometheus.CounterVec
	pages  *backend.Cache[*page]

	rest    atomic.Pointer[rest]
	graph   atomic.Pointer[graph]
	problem atomic.Pointer[string] // why there is no document, or that it has changed
}

// New makes the server.
func New(env *server.Env) (*server.Server, error) {
	var cfg settings
	if err := env.Decode(&cfg); err != nil {
		return nil, err
	}
	a := &api{env: env, cfg: cfg}
	a.server = server.New(env, server.About{Name: "httpapi", Title: "HTTP API", Instructions: a.instructions(), Limits: cfg.Limits})
	a.sent = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "httpapi_requests_total", Help: "Requests to the API by status; 0 is none.",
	}, []string{"status"})
	if err := a.server.Metrics().Register(a.sent); err != nil {
		return nil, fmt.Errorf("register the metrics: %w", err)
	}
	a.pages = backend.NewCache(backend.CacheOptions[*page]{MaxBytes: int64(cfg.Pages), Bytes: (*page).size, TTL: 10 * time.Minute})
	a.server.OnClose(a.pages.Close)
	network, err := a.server.Network(server.Reach{Private: true, Deny: cfg.Reach.Deny, TrustProxy: cfg.Reach.TrustProxy})
	if err != nil {
		return nil, err
	}
	a.docs = network.Client(server.ClientOptions{MaxBodyBytes: int64(cfg.MaxDocument)})
	a.server.Check("api", a.check)
	if cfg.GraphQL.URL != "" {
		return a.server, a.openGraph()
	}
	return a.server, a.openDocument()
}

func (a *api) instructions() string {
	if a.cfg.GraphQL.URL != "" {
		return "A GraphQL API. Find fields with search and describe, then execute a query that selects only what is needed."
	}
	return "An HTTP API. Find an operation with search, read its arguments with describe, then call it. Use fields to get only what is needed."
}

// check is the health of the API as far as it is known without a request.
func (a *api) check(context.Context) error {
	if p := a.problem.Load(); p != nil {
		return server.Errorf("see the server's log", "%s", *p)
	}
	var sender *outbound.Sender
	if r := a.rest.Load(); r != nil {
		sender = r.sender
	} else if g := a.graph.Load(); g != nil {
		sender = g.sender
	}
	if sender == nil {
		return server.Errorf("wait", "the description of the API has not arrived yet")
	}
	if state := sender.State(); state == "open" {
		return server.Errorf("wait until it is tried again", "the API has failed too often")
	}
	return nil
}

// problemIs notes why there is no document, for the health and for callers.
func (a *api) problemIs(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	a.problem.Store(&text)
	a.server.Log().Warn("api description", "err", text)
}

// sender makes what sends to base: a way out that leads there and nowhere else, and
// brings answers of so many bytes at most.
func (a *api) sender(base *url.URL, credentials []outbound.Credential, private bool, most server.Size) (*outbound.Sender, error) {
	reach := a.cfg.Reach
	reach.Private = reach.Private || private
	reach.Only = []string{base.Hostname()}
	network, err := a.server.Network(reach)
	if err != nil {
		return nil, err
	}
	tokens := server.Reach{Private: true, Deny: reach.Deny, TrustProxy: reach.TrustProxy}
	for _, c := range credentials {
		if u, err := url.Parse(c.Token.URL); err == nil && u.Hostname() != "" {
			tokens.Only = append(tokens.Only, u.Hostname())
		}
	}
	var tokenClient *http.Client
	if len(tokens.Only) > 0 {
		network, err := a.server.Network(tokens)
		if err != nil {
			return nil, err
		}
		tokenClient = network.Client(server.ClientOptions{Timeout: 15 * time.Second, MaxRedirects: -1})
	}
	s := outbound.New(outbound.Options{
		Transport: network.Transport(server.ClientOptions{MaxBodyBytes: int64(most)}),
		Timeout:   a.cfg.Limits.Time, TokenClient: tokenClient, Credentials: credentials, Rate: a.cfg.Rate, Retry: a.cfg.Retry, Breaker: a.cfg.Breaker,
		IdempotencyHeader: a.cfg.IdempotencyHeader, CacheBytes: int64(a.cfg.Cache), Now: a.now,
		Sent: a.count(),
	})
	a.server.OnClose(s.Close)
	return s, nil
}

// count counts requests by status. That of the most usual one is looked up once.
func (a *api) count() func(status int) {
	usual := sync.OnceValue(func() prometheus.Counter { return a.sent.WithLabelValues("200") })
	return func(status int) {
		if status == http.StatusOK {
			usual().Inc()
			return
		}
		a.sent.WithLabelValues(strconv.Itoa(status)).Inc()
	}
}

func (a *api) now() time.Time {
	if a.env.Now != nil {
		return a.env.Now()
	}
	return time.Now()
}
