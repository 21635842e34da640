package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/auth/as"
	"github.com/dragoman-mcp/dragoman/internal/auth/credential"
	"github.com/dragoman-mcp/dragoman/internal/auth/keys"
	"github.com/dragoman-mcp/dragoman/internal/auth/mint"
	"github.com/dragoman-mcp/dragoman/internal/auth/mtls"
	"github.com/dragoman-mcp/dragoman/internal/auth/oidc"
	"github.com/dragoman-mcp/dragoman/internal/auth/password"
	"github.com/dragoman-mcp/dragoman/internal/auth/users"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/egress"
	"github.com/dragoman-mcp/dragoman/internal/store"
)

// entrance is who may come in by one configuration, and how they are known.
type entrance struct {
	guard  *auth.Guard
	tls    *tls.Config        // nil: clear text
	logins *password.Handlers // nil: nobody logs in here
	server *as.Server         // nil: there is no authorization server
	close  func()             // ends the upkeep of what it is made of, and waits for it
}

// opening is an entrance that is being made.
type opening struct {
	app      *App
	cfg      *config.Config
	base     string // address of the gateway, as clients know it
	options  auth.Options
	upkeep   []func(context.Context) error
	people   *credential.Passwords // nil: passwords let nobody in
	asked    []*oidc.Introspector
	entrance entrance
}

// newEntrance makes the door that cfg describes.
// Nothing is kept if it fails.
func (s *Server) newEntrance(cfg *config.Config) (*entrance, error) {
	o := &opening{app: s.app, cfg: cfg, base: address(cfg, s.listener.Addr())}
	o.options = auth.Options{Log: s.app.log, Current: func() *auth.Guard { return s.entrance.Load().guard }}
	for _, part := range []func() error{o.certificates, o.issuers, o.local, o.opaque} {
		if err := part(); err != nil {
			return nil, err
		}
	}
	o.entrance.guard = auth.NewGuard(cfg, o.options)
	s.app.accounts.base.Store(&o.base)
	s.app.accounts.people.Store(o.people)
	o.start()
	return &o.entrance, nil
}

// start begins the upkeep.
func (o *opening) start() {
	ctx, stop := context.WithCancel(o.app.ctx)
	var upkeep sync.WaitGroup
	for _, run := range o.upkeep {
		upkeep.Go(func() { _ = run(ctx) }) // it ends with ctx only
	}
	// The App waits for it, should nobody close the entrance.
	o.app.work.Go(upkeep.Wait)
	o.entrance.close = func() { stop(); upkeep.Wait() }
}

func (o *opening) certificates() error {
	vouching, err := mtls.LoadAuthorities(o.cfg.TLS, nil, o.app.log)
	if err != nil {
		return err
	}
	if o.cfg.Auth.Certificates.Enabled {
		o.options.Certificates = mtls.NewClients(o.cfg.Auth.Certificates, vouching)
	}
	o.entrance.tls, err = mtls.Load(o.cfg.TLS, vouching)
	return err
}

// local lets in those who are in our own store.
func (o *opening) local() error {
	a := o.cfg.Auth
	if !a.Keys.Enabled && !a.Passwords.Enabled && !a.Server.Enabled {
		return nil
	}
	state, err := o.app.state(o.cfg)
	if err != nil {
		return err
	}
	if a.Keys.Enabled {
		known := keys.New(state, keys.Options{})
		o.options.Sources = append(o.options.Sources, known)
		o.upkeep = append(o.upkeep, known.Run)
	}
	if !a.Passwords.Enabled && !a.Server.Enabled {
		return nil
	}
	return o.logins(state)
}

func (o *opening) logins(state *store.Store) error {
	sealer, err := o.app.signing(o.cfg)
	if err != nil {
		return fmt.Errorf("encrypt signing keys: %w", err)
	}
	ctx, cancel := context.WithTimeout(o.app.ctx, openTimeout)
	defer cancel()
	tokens, err := mint.Open(ctx, mint.Options{
		Issuer: o.base, Keys: state.SigningKeys, Denials: state.Denials, Users: state.Users, Feed: state.Feed, Sealer: sealer,
		Algorithm: o.cfg.Auth.Passwords.Algorithm, KeyAge: o.cfg.Auth.Passwords.KeyAge, Log: o.app.log,
	})
	if err != nil {
		return err
	}
	o.options.Sources = append(o.options.Sources, auth.NewCached(tokens, auth.CacheOptions{}))
	o.upkeep = append(o.upkeep, tokens.Run)
	var ttl time.Duration // 0: tokens are for clients of the authorization server only
	if o.cfg.Auth.Passwords.Enabled {
		ttl = o.cfg.Auth.Passwords.TokenTTL
	}
	people := users.New(state.Users, state.Families, users.Options{})
	var known credential.Passwords = people
	o.people = &known
	o.entrance.logins = password.New(password.Options{Users: people, Directory: state.Users, Tokens: tokens, TTL: ttl, Log: o.app.log})
	if !o.cfg.Auth.Server.Enabled {
		return nil
	}
	outside, err := o.outside()
	if err != nil {
		return err
	}
	o.options.Servers = append(o.options.Servers, o.base)
	o.options.Scopes = append(o.options.Scopes, mint.ScopeAll)
	o.entrance.server = as.New(as.Options{
		Config: o.cfg.Auth.Server, Issuer: o.base, Resource: o.resource, Users: people, State: state, Tokens: tokens, Sealer: sealer,
		Client: outside, Log: o.app.log,
	})
	o.upkeep = append(o.upkeep, o.entrance.server.Run)
	return nil
}

// outside is the way to what strangers name: public addresses only, and not
// through a proxy, which would judge by itself what is public. Nothing may fail
// after it, since it lasts until the upkeep ends.
func (o *opening) outside() (*http.Client, error) {
	guard, err := egress.NewGuard(egress.Policy{Name: "client metadata", Schemes: []string{"https"}}, nil)
	if err != nil {
		return nil, err
	}
	network := egress.New(egress.Options{Guard: guard, UserAgent: "dragoman/" + o.app.o.Version})
	o.upkeep = append(o.upkeep, func(ctx context.Context) error {
		<-ctx.Done()
		return network.Close()
	})
	return network.Client(egress.ClientOptions{Timeout: 10 * time.Second, MaxBodyBytes: 1 << 20, MaxRedirects: -1}), nil
}

// resource says whether a client means this gateway, or a part of it. Without
// public_url it may have called it by any name of this machine.
func (o *opening) resource(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.RawQuery != "" || u.User != nil || strings.Contains(text, "#") {
		return false
	}
	if o.cfg.PublicURL == "" {
		base, err := url.Parse(o.base)
		if err != nil || u.Scheme != base.Scheme || u.Port() != base.Port() {
			return false
		}
		return config.IsLoopback(u.Hostname())
	}
	return text == o.base || strings.HasPrefix(text, o.base+"/")
}

// issuers lets in those whom identity providers vouch for.
func (o *opening) issuers() error {
	// The operator wrote where issuers are: on the company's network, often.
	client := o.app.network.Client(egress.ClientOptions{MaxBodyBytes: 1 << 20})
	for _, cfg := range o.cfg.Auth.Issuers {
		issuer, err := oidc.New(cfg, oidc.Options{Client: client, Log: o.app.log})
		if err != nil {
			return fmt.Errorf("auth.issuers: %w", err)
		}
		if cfg.Introspection.URL != "" {
			asking := o.app.network.Client(egress.ClientOptions{MaxBodyBytes: 1 << 20, MaxRedirects: -1}) // it shows a secret
			o.asked = append(o.asked, oidc.NewIntrospector(issuer, oidc.Options{Client: asking, Log: o.app.log}))
		}
		o.options.Sources = append(o.options.Sources, auth.NewCached(issuer, auth.CacheOptions{}))
		o.upkeep = append(o.upkeep, issuer.Run)
		o.options.Servers = append(o.options.Servers, cfg.URL)
		for _, scope := range cfg.Scopes {
			if !slices.Contains(o.options.Scopes, scope) {
				o.options.Scopes = append(o.options.Scopes, scope)
			}
		}
	}
	return nil
}

// opaque lets in those whose tokens only their issuer can read. They come after
// all others: an issuer sees no credential of another kind that is good here.
func (o *opening) opaque() error {
	for _, issuer := range o.asked {
		o.options.Sources = append(o.options.Sources, auth.NewCached(issuer, issuer.Cache()))
		o.upkeep = append(o.upkeep, issuer.Run)
	}
	return nil
}

// Refresh takes up who may come in from the configuration in use. When it fails,
// nobody else comes in than before.
func (s *Server) Refresh() error {
	made, err := s.newEntrance(s.app.Config())
	if err != nil {
		return fmt.Errorf("take up who may come in: %w", err)
	}
	if was := s.entrance.Swap(made); was != nil {
		was.close()
	}
	return nil
}

// address is the gateway's as clients know it, without a slash at the end.
func address(cfg *config.Config, listening net.Addr) string {
	if cfg.PublicURL != "" {
		return strings.TrimSuffix(cfg.PublicURL, "/")
	}
	scheme := "http://"
	if cfg.TLS.Cert != "" {
		scheme = "https://"
	}
	host, port, err := net.SplitHostPort(listening.String())
	if err != nil {
		return scheme + listening.String()
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return scheme + net.JoinHostPort(host, port)
}

// handshake is the setup of a TLS connection that begins now.
func (s *Server) handshake(*tls.ClientHelloInfo) (*tls.Config, error) {
	if current := s.entrance.Load().tls; current != nil {
		return current, nil
	}
	return nil, errors.New("tls was removed from the configuration, which takes a restart")
}

// crossOrigin lets browsers ask what pages may do.
func (s *Server) crossOrigin(next http.Handler) http.Handler {
	at := s.guarded((*auth.Guard).CORS, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { at().ServeHTTP(w, r) })
}

// metadata tells clients where to get a token (RFC 9728).
func (s *Server) metadata(w http.ResponseWriter, r *http.Request) {
	s.entrance.Load().guard.Metadata(w, r)
}

// login answers with a handler of those that log in here, if anybody does.
func (s *Server) login(which func(*password.Handlers, http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		logins := s.entrance.Load().logins
		if logins == nil {
			writeJSON(w, http.StatusNotFound, map[string]string{"error": "not_found", "detail": "nobody logs in here; auth.passwords in the configuration lets local users"})
			return
		}
		which(logins, w, r)
	}
}

// authorization answers with a handler of the authorization server, if there is one.
func (s *Server) authorization(which func(*as.Server, http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		server := s.entrance.Load().server
		if server == nil {
			writeJSON(w, http.StatusNotFound, map[string]string{"error": "not_found", "detail": "there is no authorization server here; auth.authorization_server in the configuration makes one"})
			return
		}
		which(server, w, r)
	}
}

// whoami answers GET /users/me/, also where nobody logs in.
func (s *Server) whoami(w http.ResponseWriter, r *http.Request) {
	logins := s.entrance.Load().logins
	if logins == nil {
		logins = password.New(password.Options{})
	}
	logins.Me(w, r)
}
