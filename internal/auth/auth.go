// Package auth says who is calling, and turns away at the door what must not
// come in: requests for another host, from pages that may not call, or without
// the credentials that are demanded. It does not know what is called, nor what
// a caller may do, nor how the credentials of each kind are checked: that is in
// the packages below.
package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// Options are what a Guard asks beside the configuration. The zero value is
// ready to use.
type Options struct {
	// Sources know callers by what they send, and are asked in this order.
	Sources []Source
	// Certificates knows callers by their certificates; may be nil.
	Certificates Certificates
	// Servers are the authorization servers that callers without credentials are
	// sent to, by their issuer; Scopes what they should ask for there.
	Servers, Scopes []string
	// Current gives the Guard that is in use, which may be another after a reload,
	// for looking again at credentials of streams. Nil means this one.
	Current func() *Guard
	// Log takes why callers were refused; nil discards it.
	Log *slog.Logger
}

// Guard is the door of a listener. It is made anew when the configuration changes.
type Guard struct {
	hosts   map[string]bool // lower case, with and without port
	origins map[string]bool
	tokens  []token
	public  string // URL without slash at the end; empty if it is as called
	open    bool   // nobody has to show who they are
	proxies proxies
	places  bool // somebody asks where callers are
	watch   *watch
	o       Options

	served atomic.Pointer[string] // the host of a request that was right: most that follow have the same
}

// token is a static bearer token, kept as a digest.
type token struct {
	name   string
	roles  []string
	digest [sha256.Size]byte
}

// NewGuard returns the door for a listener at cfg.Listen. Host names of the
// loopback interface are always right (2025-11-25, basic/transports, "Security
// Warning": DNS rebinding).
func NewGuard(cfg *config.Config, o Options) *Guard {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	g := &Guard{
		hosts: make(map[string]bool), origins: make(map[string]bool), o: o,
		public: strings.TrimSuffix(cfg.PublicURL, "/"),
		open:   !cfg.Auth.Guarded(), proxies: newProxies(cfg), places: len(cfg.Access.Policies)+len(cfg.Access.Candidate) > 0,
	}
	g.watch = &watch{guard: g}
	for _, h := range cfg.AllowedHosts {
		g.hosts[strings.ToLower(h)] = true
	}
	if host, _, err := net.SplitHostPort(cfg.Listen); err == nil && host != "" {
		if ip, err := netip.ParseAddr(host); err != nil || !ip.IsUnspecified() {
			g.hosts[strings.ToLower(host)] = true
		}
	}
	for _, o := range cfg.AllowedOrigins {
		g.origins[strings.ToLower(strings.TrimSuffix(o, "/"))] = true
	}
	if u, err := url.Parse(cfg.PublicURL); err == nil && u.Host != "" {
		g.hosts[strings.ToLower(u.Host)] = true
		g.origins[strings.ToLower(u.Scheme+"://"+u.Host)] = true
	}
	for _, t := range cfg.Auth.Tokens {
		g.tokens = append(g.tokens, token{t.Name, t.Roles, sha256.Sum256([]byte(t.Token.Reveal()))})
	}
	return g
}

// Public serves next to whoever comes to the right host, without credentials:
// for health checks.
func (g *Guard) Public(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if why := g.misled(r); why != "" {
			refuse(w, http.StatusForbidden, why)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Private serves next to callers who can show who they are, as the principal
// that they are; to everybody if no way to do so is configured. What they showed
// is taken off the request: nothing behind the door can pass it on
// (2026-07-28, basic/authorization, "Token Handling").
func (g *Guard) Private(next http.Handler) http.Handler {
	return g.Public(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "" && r.URL.Query().Has("access_token") {
			g.challenge(w, r, http.StatusBadRequest, problem{code: "invalid_request", text: "a token must not be in the address, where logs and others see it; send it as Authorization: Bearer TOKEN"})
			return
		}
		if g.open {
			bare(r)
			if g.places {
				r = r.WithContext(g.placed(r))
			}
			next.ServeHTTP(w, r)
			return
		}
		identity, err := g.identify(r)
		if err != nil {
			g.turnAway(w, r, err)
			return
		}
		held := g.hold(r, identity)
		defer held.close()
		bare(r)
		next.ServeHTTP(w, r.WithContext(held))
	}))
}

// placed returns the context of a request, which says where that comes from if
// somebody asks for it.
func (g *Guard) placed(r *http.Request) context.Context {
	if !g.places {
		return r.Context()
	}
	address := g.proxies.from(r)
	return context.WithValue(r.Context(), addressKey{}, &address)
}

// hold makes a request end when its credential does. Close what it returns.
func (g *Guard) hold(r *http.Request, id Identity) *lifetime {
	l := &lifetime{watch: g.watch, principal: id.Principal, expires: id.Expires, stream: isStream(r)}
	l.Begin(r.Context())
	if l.given, _ = bearerOf(r.Header.Get("Authorization")); l.given == "" {
		l.state = r.TLS
	}
	if g.places {
		address := g.proxies.from(r)
		l.place = &address
	}
	g.watch.add(l)
	return l
}

// again looks at the credential of a request anew, by the configuration of now.
func (g *Guard) again(ctx context.Context, l *lifetime) (Identity, error) {
	current := g
	if g.o.Current != nil {
		current = g.o.Current()
	}
	if l.given != "" {
		return current.bearer(ctx, l.given)
	}
	return current.certified(l.state)
}

// Methods of callers with a static token, and with an access token.
const (
	fixedMethod = "token"
	tokenMethod = "jwt"
)

// bearerOf takes the token out of a header.
func bearerOf(header string) (string, bool) {
	scheme, given, ok := strings.Cut(header, " ")
	return strings.TrimSpace(given), ok && strings.EqualFold(scheme, "bearer")
}

// bare takes credentials off a request.
func bare(r *http.Request) {
	r.Header.Del("Authorization")
	r.Header.Del("Cookie")
}

// Knows reports whether the caller would be let in by Private: for answers that
// tell strangers less.
func (g *Guard) Knows(r *http.Request) bool {
	if g.open {
		return true
	}
	_, err := g.identify(r)
	return err == nil
}

// errNone is a request without any credential, which is told how to get one and
// nothing else (RFC 6750, 3.1).
var errNone = errors.New("no credential was sent")

// identify says who sends a request. Who sends a token is judged by it alone,
// whatever certificate there is beside it.
func (g *Guard) identify(r *http.Request) (Identity, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		return g.certified(r.TLS)
	}
	if len(headers) > 1 {
		return Identity{}, Invalid("request has %d Authorization headers", len(headers))
	}
	given, ok := bearerOf(headers[0])
	if !ok {
		return Identity{}, Invalid("authorization is not by bearer token")
	}
	identity, err := g.bearer(r.Context(), given)
	if err != nil {
		return Identity{}, err
	}
	if !g.meant(r, identity.Audience) {
		return Identity{}, Invalid("audience is %q, which is not %s", identity.Audience, g.Resource(r))
	}
	return identity, nil
}

func (g *Guard) bearer(ctx context.Context, given string) (Identity, error) {
	if t := g.fixed(given); t != nil {
		return Identity{Principal: mcp.Principal{ID: t.name, Roles: t.roles, Method: fixedMethod}}, nil
	}
	for _, source := range g.o.Sources {
		identity, err := source.Identify(ctx, given)
		if !errors.Is(err, ErrForeign) {
			return identity, err
		}
	}
	return Identity{}, Invalid("nobody knows the token")
}

func (g *Guard) certified(state *tls.ConnectionState) (Identity, error) {
	if g.o.Certificates == nil || state == nil {
		return Identity{}, errNone
	}
	identity, err := g.o.Certificates.IdentifyTLS(state)
	if errors.Is(err, ErrForeign) {
		return Identity{}, errNone
	}
	return identity, err
}

// fixed compares with every token, in a time that does not depend on which is right.
func (g *Guard) fixed(given string) *token {
	if len(g.tokens) == 0 {
		return nil
	}
	digest := digestOf(given)
	var found *token
	for i := range g.tokens {
		if subtle.ConstantTimeCompare(digest[:], g.tokens[i].digest[:]) == 1 {
			found = &g.tokens[i]
		}
	}
	return found
}

// misled says why a request was not meant for this listener, or comes from a
// page that may not call; empty when it is right.
func (g *Guard) misled(r *http.Request) string {
	if !g.host(r.Host) {
		return "this host name is not served here; add it to allowed_hosts if it should be"
	}
	if !g.origin(r) {
		return "pages of this origin may not call; add it to allowed_origins if they should"
	}
	return ""
}

func (g *Guard) host(host string) bool {
	if served := g.served.Load(); served != nil && *served == host {
		return true
	}
	if !g.serves(strings.ToLower(host)) {
		return false
	}
	g.served.Store(&host)
	return true
}

func (g *Guard) serves(host string) bool {
	name := host
	if h, port, err := net.SplitHostPort(host); err == nil {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return false
		}
		name = h
	}
	if strings.HasPrefix(name, "[") != strings.HasSuffix(name, "]") {
		return false
	}
	return config.IsLoopback(strings.Trim(name, "[]")) || g.hosts[host] || g.hosts[name]
}

func (g *Guard) origin(r *http.Request) bool {
	values := r.Header.Values("Origin")
	if len(values) == 0 {
		return true
	}
	origin := strings.ToLower(values[0])
	if len(values) > 1 {
		return false
	}
	if g.origins[origin] {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.User == nil && u.Path == "" && g.host(u.Host) && u.Host != ""
}
