// Package auth says who is calling, and turns away at the door what must not
// come in: requests for another host, from pages that may not call, or without
// the credentials that are demanded. It does not know what is called, nor what
// a caller may do.
package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// Guard is the door of a listener. It is made anew when the configuration changes.
type Guard struct {
	hosts   map[string]bool // lower case, with and without port
	origins map[string]bool
	tokens  []token
}

// token is a static bearer token, kept as a digest.
type token struct {
	name   string
	digest [sha256.Size]byte
}

// NewGuard returns the door for a listener at cfg.Listen. Host names of the
// loopback interface are always right (2025-11-25, basic/transports, "Security
// Warning": DNS rebinding).
func NewGuard(cfg *config.Config) *Guard {
	g := &Guard{hosts: make(map[string]bool), origins: make(map[string]bool)}
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
		g.tokens = append(g.tokens, token{t.Name, sha256.Sum256([]byte(t.Token.Reveal()))})
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

// Private serves next to callers who have a token, if any are configured, as
// the principal whose token it is.
func (g *Guard) Private(next http.Handler) http.Handler {
	return g.Public(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(g.tokens) == 0 {
			next.ServeHTTP(w, r)
			return
		}
		name, ok := g.identify(r.Header.Get("Authorization"))
		if !ok {
			w.Header().Set("WWW-Authenticate", `Bearer realm="dragoman"`)
			refuse(w, http.StatusUnauthorized, "a valid bearer token is needed: Authorization: Bearer TOKEN")
			return
		}
		ctx := mcp.WithPrincipal(r.Context(), mcp.Principal{ID: name})
		next.ServeHTTP(w, r.WithContext(ctx))
	}))
}

// Knows reports whether the caller would be let in by Private: for answers that
// tell strangers less.
func (g *Guard) Knows(r *http.Request) bool {
	_, ok := g.identify(r.Header.Get("Authorization"))
	return ok || len(g.tokens) == 0
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
	host = strings.ToLower(host)
	name := host
	if h, port, err := net.SplitHostPort(host); err == nil {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return false
		}
		name = h
	}
	return isLoopback(name) || g.hosts[host] || g.hosts[name]
}

func isLoopback(name string) bool {
	name = strings.Trim(name, "[]")
	if name == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.IsLoopback()
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

// identify compares with every token, in a time that does not depend on which
// is right.
func (g *Guard) identify(header string) (string, bool) {
	scheme, given, ok := strings.Cut(header, " ")
	if !ok || !strings.EqualFold(scheme, "bearer") {
		return "", false
	}
	digest := sha256.Sum256([]byte(strings.TrimSpace(given)))
	name, found := "", false
	for _, t := range g.tokens {
		if subtle.ConstantTimeCompare(digest[:], t.digest[:]) == 1 {
			name, found = t.name, true
		}
	}
	return name, found
}

// refuse answers with a JSON-RPC error that has no id, which is what every MCP
// client can read.
func refuse(w http.ResponseWriter, status int, why string) {
	code := mcp.CodeUnauthenticated
	if status == http.StatusForbidden {
		code = -32600
	}
	body, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": nil, "error": map[string]any{"code": code, "message": why}})
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a caller that has gone does not want it
}
