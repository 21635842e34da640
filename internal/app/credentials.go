package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/auth/credential"
	"github.com/dragoman-mcp/dragoman/internal/auth/mint"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/egress"
	"github.com/dragoman-mcp/dragoman/internal/secret"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// accounts are what is shown to servers, made when a server first needs it.
type accounts struct {
	base   atomic.Pointer[string]               // where browsers reach us; nil before Listen
	people atomic.Pointer[credential.Passwords] // nil: passwords let nobody in
	broker atomic.Pointer[credential.Broker]    // nil: no server has needed one

	mu      sync.Mutex // guards outside, and the making of broker
	outside *egress.Network
}

// personal is a server as it has to be if each caller has a token of its own: its
// connections are not shared, and the tool for logging in is shown.
func personal(server config.Server) config.Server {
	if !server.Auth.Personal() {
		return server
	}
	if server.Isolation == "shared" || server.Isolation == "" {
		server.Isolation = "principal"
	}
	if server.Auth.Type == "oauth" && len(server.Tools.Allow) > 0 {
		server.Tools.Allow = append(slices.Clone(server.Tools.Allow), credential.LoginTool)
	}
	return server
}

// credential returns what is shown to a server; nil if nothing is beside headers.
func (a *App) credential(cfg *config.Config, server config.Server) (*credential.Server, error) {
	if server.Auth.Type == "" || server.Auth.Type == "none" {
		return nil, nil
	}
	b, err := a.openBroker()
	if err != nil {
		return nil, fmt.Errorf("server %s: auth: %w", server.Name, err)
	}
	if server.Auth.Type == "oauth" {
		if err := a.openKeeper(b, cfg); err != nil {
			return nil, fmt.Errorf("server %s: auth: %w", server.Name, err)
		}
	}
	return b.Server(server), nil
}

func (a *App) openBroker() (*credential.Broker, error) {
	c := &a.accounts
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.broker.Load(); b != nil {
		return b, nil
	}
	guard, err := egress.NewGuard(egress.Policy{Name: "authorization servers", Schemes: []string{"https"}}, nil)
	if err != nil {
		return nil, err
	}
	c.outside = egress.New(egress.Options{Guard: guard, UserAgent: "dragoman/" + a.o.Version})
	bounds := egress.ClientOptions{MaxBodyBytes: 1 << 20, MaxRedirects: -1}
	b := credential.New(credential.Options{
		Near: a.network.Client(bounds), Far: c.outside.Client(bounds), Base: a.base, Passwords: a.passwords,
		Changed: func(server string) { a.refresh(server) }, Log: a.log,
	})
	c.broker.Store(b)
	return b, nil
}

// openKeeper gives the broker what it keeps credentials with.
func (a *App) openKeeper(b *credential.Broker, cfg *config.Config) error {
	if b.Keeps() {
		return nil
	}
	state, err := a.state(cfg)
	if err != nil {
		return err
	}
	box, err := a.box(cfg)
	if err != nil {
		return err
	}
	sealer, err := a.sealerOf(cfg)
	if err != nil {
		return err
	}
	b.Keep(credential.Keeper{State: state, Box: box, Sealer: sealer})
	a.work.Go(func() { _ = b.Run(a.ctx) }) // it ends with ctx only
	return nil
}

// base is where browsers reach the gateway: where it listens, or would.
func (a *App) base() string {
	if base := a.accounts.base.Load(); base != nil {
		return *base
	}
	cfg := a.cfg.Load()
	if cfg == nil {
		return ""
	}
	base, err := baseOf(cfg)
	if err != nil {
		return ""
	}
	return base
}

// baseOf is where browsers reach the gateway that runs by a configuration.
func baseOf(cfg *config.Config) (string, error) {
	if cfg.PublicURL != "" {
		return strings.TrimSuffix(cfg.PublicURL, "/"), nil
	}
	listening, err := net.ResolveTCPAddr("tcp", cfg.Listen)
	if err != nil || listening.Port == 0 {
		return "", fmt.Errorf("listen is %s, by which no browser finds the gateway: set public_url", cfg.Listen)
	}
	return address(cfg, listening), nil
}

func (a *App) passwords() credential.Passwords {
	if people := a.accounts.people.Load(); people != nil {
		return *people
	}
	return nil
}

// closeCredentials waits for tokens that are being renewed, which would be lost.
func (a *App) closeCredentials() error {
	c := &a.accounts
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.broker.Load(); b != nil {
		b.Close()
	}
	if c.outside == nil {
		return nil
	}
	return c.outside.Close()
}

// connect answers with the pages on which callers log in at servers, if there are any.
func (s *Server) connect(which func(*credential.Broker, http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		b := s.app.accounts.broker.Load()
		if b == nil || !b.Keeps() {
			writeJSON(w, http.StatusNotFound, map[string]string{"error": "not_found", "detail": "nobody logs in at a server here; auth: oauth at a server in the configuration lets callers"})
			return
		}
		which(b, w, r)
	}
}

// shown notes what a caller shows, for servers whose tokens it is exchanged for.
func (a *App) shown(next mcp.Handler) mcp.Handler {
	return mcp.HandlerFunc(func(ctx context.Context, req *mcp.Request) (mcp.Result, error) {
		if b := a.accounts.broker.Load(); b != nil && b.Trades() {
			if token, expires, ok := auth.Shown(ctx); ok {
				b.Shown(mcp.PrincipalOf(ctx).ID, token, expires)
			}
		}
		return next.Handle(ctx, req)
	})
}

// sealerOf makes what encrypts what is small: by a key of this machine, or of those
// who share session.secret.
func (a *App) sealerOf(cfg *config.Config) (mint.Sealer, error) {
	material, err := sealingSecret(cfg)
	if err != nil {
		return nil, err
	}
	return mint.NewSealer(material)
}

// signing is what encrypts signing keys: the box, where the configuration says what
// with, else the secret of this machine. What was encrypted before can be read.
func (a *App) signing(cfg *config.Config) (mint.Sealer, error) {
	older, err := a.sealerOf(cfg)
	if !cfg.Secrets.Boxed() {
		return older, err
	}
	box, boxErr := a.box(cfg)
	if boxErr != nil {
		return nil, boxErr
	}
	if err != nil {
		return box.Named("gateway:signing", nil), nil
	}
	return box.Named("gateway:signing", older), nil
}

// box encrypts what is kept for others. What was encrypted with another master key
// than the first is encrypted anew behind the start.
func (a *App) box(cfg *config.Config) (*secret.Box, error) {
	state, err := a.state(cfg)
	if err != nil {
		return nil, err
	}
	a.memory.mu.Lock()
	defer a.memory.mu.Unlock()
	if a.memory.box != nil {
		return a.memory.box, nil
	}
	wrapper, err := a.wrapper(cfg)
	if err != nil {
		return nil, err
	}
	a.memory.box = secret.NewBox(wrapper, state.DataKeys, nil)
	a.work.Go(func() { a.rewrap(a.memory.box) })
	return a.memory.box, nil
}

// rewrapTimeout bounds the encrypting anew of all data keys.
const rewrapTimeout = time.Hour

func (a *App) rewrap(box *secret.Box) {
	ctx, cancel := context.WithTimeout(a.ctx, rewrapTimeout)
	defer cancel()
	n, err := box.Rewrap(ctx)
	switch {
	case err != nil && a.ctx.Err() == nil:
		a.log.Warn("data keys cannot all be encrypted anew, which is tried again at the next start", "done", n, "err", err)
	case n > 0:
		a.log.Info("data keys were encrypted anew with the newest master key", "done", n)
	}
}

// wrapper has the master keys: those of the configuration, and behind them the one
// of this machine, which was used before there were others.
func (a *App) wrapper(cfg *config.Config) (secret.Wrapper, error) {
	var all secret.Among
	if cfg.Secrets.KeyFile != "" {
		passphrase := secret.NewValue([]byte(cfg.Secrets.Passphrase.Reveal()))
		defer passphrase.Destroy()
		file, err := secret.OpenKeyFile(cfg.Secrets.KeyFile, passphrase)
		if err != nil {
			return nil, fmt.Errorf("secrets: %w", err)
		}
		all = append(all, file)
	}
	if k := cfg.Secrets.KMS; k.URL != "" {
		all = append(secret.Among{a.keyService(k)}, all...)
	}
	material, err := sealingSecret(cfg)
	if err != nil && len(all) == 0 {
		return nil, err
	}
	if err == nil {
		local, localErr := secret.NewLocal(material)
		if localErr != nil {
			return nil, localErr
		}
		all = append(all, local)
	}
	if len(all) == 0 {
		return nil, errors.New("there is no key")
	}
	return all, nil
}

// maxTokenFile bounds the file with the token of a key service, in bytes.
const maxTokenFile = 16 << 10

func (a *App) keyService(k config.KeyService) *secret.Transit {
	token := func() (string, error) { return k.Token.Reveal(), nil }
	if k.TokenFile != "" {
		token = func() (string, error) {
			f, err := os.Open(k.TokenFile)
			if err != nil {
				return "", err
			}
			defer f.Close()
			text, err := io.ReadAll(io.LimitReader(f, maxTokenFile))
			return strings.TrimSpace(string(text)), err
		}
	}
	return secret.NewTransit(secret.TransitOptions{
		URL: k.URL, Mount: k.Mount, Key: k.Key, Namespace: k.Namespace, Token: token,
		Client: a.network.Client(egress.ClientOptions{MaxBodyBytes: 1 << 20, MaxRedirects: -1}),
	})
}

// LogOut forgets the logins of a principal at a server, or with an empty one of all
// principals, and has their authorization servers take them back. cfg is that of the
// gateway, which may run meanwhile.
func (a *App) LogOut(ctx context.Context, cfg *config.Config, server, principal string) ([]credential.Ended, error) {
	b, err := a.brokerOf(cfg)
	if err != nil {
		return nil, err
	}
	return b.LogOut(ctx, principal, server)
}

// Erase forgets all that is kept for a principal and the keys that it was encrypted
// with, and has authorization servers take its logins back. cfg is as for LogOut.
func (a *App) Erase(ctx context.Context, cfg *config.Config, principal string) ([]credential.Ended, error) {
	b, err := a.brokerOf(cfg)
	if err != nil {
		return nil, err
	}
	return b.Erase(ctx, principal)
}

// brokerOf gives what has the credentials of the servers of a gateway.
func (a *App) brokerOf(cfg *config.Config) (*credential.Broker, error) {
	b, err := a.openBroker()
	if err != nil {
		return nil, err
	}
	if err := a.openKeeper(b, cfg); err != nil {
		return nil, err
	}
	for _, known := range cfg.Servers {
		if known.Auth.Type == "oauth" {
			b.Server(known)
		}
	}
	return b, nil
}

// LoginLink makes a link where a principal can log in at a server of the type oauth,
// by a configuration whose gateway runs elsewhere: its pages are at the address that
// it is reached at.
func LoginLink(ctx context.Context, cfg *config.Config, server, principal string) (string, error) {
	material, err := sealingSecret(cfg)
	if err != nil {
		return "", err
	}
	sealer, err := mint.NewSealer(material)
	if err != nil {
		return "", err
	}
	base, err := baseOf(cfg)
	if err != nil {
		return "", err
	}
	b := credential.New(credential.Options{Base: func() string { return base }})
	defer b.Close()
	b.Keep(credential.Keeper{Sealer: sealer})
	return b.VouchedLink(ctx, server, mcp.Principal{ID: principal})
}
