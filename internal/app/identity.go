package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/auth/mtls"
	"github.com/dragoman-mcp/dragoman/internal/auth/oidc"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/egress"
)

// entrance is who may come in by one configuration, and how they are known.
type entrance struct {
	guard *auth.Guard
	tls   *tls.Config // nil: clear text
	close func()      // ends the upkeep of issuers and waits for it
}

// newEntrance makes the door that cfg describes. Nothing is kept if it fails.
func (a *App) newEntrance(cfg *config.Config) (*entrance, error) {
	secure, err := mtls.Load(cfg.TLS)
	if err != nil {
		return nil, err
	}
	o := auth.Options{Log: a.log}
	if cfg.Auth.Certificates.Enabled {
		o.Certificates = mtls.NewClients(cfg.Auth.Certificates, nil)
	}
	issuers, err := a.issuers(cfg.Auth.Issuers)
	if err != nil {
		return nil, err
	}
	for i, issuer := range issuers {
		o.Sources = append(o.Sources, auth.NewCached(issuer, auth.CacheOptions{}))
		o.Servers = append(o.Servers, cfg.Auth.Issuers[i].URL)
		for _, scope := range cfg.Auth.Issuers[i].Scopes {
			if !slices.Contains(o.Scopes, scope) {
				o.Scopes = append(o.Scopes, scope)
			}
		}
	}
	ctx, stop := context.WithCancel(a.ctx)
	var upkeep sync.WaitGroup
	for _, issuer := range issuers {
		upkeep.Go(func() { _ = issuer.Run(ctx) }) // it ends with ctx only
	}
	// The App waits for it, should nobody close the entrance.
	a.work.Go(upkeep.Wait)
	return &entrance{guard: auth.NewGuard(cfg, o), tls: secure, close: func() { stop(); upkeep.Wait() }}, nil
}

func (a *App) issuers(all []config.Issuer) ([]*oidc.Issuer, error) {
	// The operator wrote where issuers are: on the company's network, often.
	client := a.network.Client(egress.ClientOptions{MaxBodyBytes: 1 << 20})
	var out []*oidc.Issuer
	for _, cfg := range all {
		issuer, err := oidc.New(cfg, oidc.Options{Client: client, Log: a.log})
		if err != nil {
			return nil, fmt.Errorf("auth.issuers: %w", err)
		}
		out = append(out, issuer)
	}
	return out, nil
}

// Refresh takes up who may come in from the configuration in use. When it fails,
// nobody else comes in than before.
func (s *Server) Refresh() error {
	made, err := s.app.newEntrance(s.app.Config())
	if err != nil {
		return fmt.Errorf("take up who may come in: %w", err)
	}
	if was := s.entrance.Swap(made); was != nil {
		was.close()
	}
	return nil
}

// handshake is the setup of a TLS connection that begins now.
func (s *Server) handshake(*tls.ClientHelloInfo) (*tls.Config, error) {
	if current := s.entrance.Load().tls; current != nil {
		return current, nil
	}
	return nil, fmt.Errorf("tls was removed from the configuration, which takes a restart")
}

// crossOrigin lets browsers ask what pages may do.
func (s *Server) crossOrigin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.entrance.Load().guard.CORS(next).ServeHTTP(w, r)
	})
}

// metadata tells clients where to get a token (RFC 9728).
func (s *Server) metadata(w http.ResponseWriter, r *http.Request) {
	s.entrance.Load().guard.Metadata(w, r)
}
