package auth

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/dragoman-mcp/dragoman/mcp"
)

// wellKnown is where the metadata of a protected resource is (RFC 9728, 3).
const wellKnown = "/.well-known/oauth-protected-resource"

// retryAfter is how many seconds a caller should wait whose credential cannot be
// checked now, because its issuer cannot be reached.
const retryAfter = "5"

// problem is an error of RFC 6750, 3.1.
type problem struct {
	code, text string
	scopes     []string
}

// turnAway answers a request that was not let in.
func (g *Guard) turnAway(w http.ResponseWriter, r *http.Request, err error) {
	var scope *ScopeError
	switch {
	case errors.Is(err, errNone):
		g.challenge(w, r, http.StatusUnauthorized, problem{text: "a valid bearer token is needed: Authorization: Bearer TOKEN"})
		return
	case errors.As(err, &scope):
		g.challenge(w, r, http.StatusForbidden, problem{"insufficient_scope", "the token was not given for this", scope.Need})
	case errors.Is(err, ErrInvalid):
		g.challenge(w, r, http.StatusUnauthorized, problem{code: "invalid_token", text: "the token is not valid here: it may have expired, been revoked, or be meant for somebody else"})
	default:
		w.Header().Set("Retry-After", retryAfter)
		refuse(w, http.StatusServiceUnavailable, "the token cannot be checked now, since its issuer cannot be reached; try again soon")
		g.o.Log.WarnContext(r.Context(), "credentials cannot be checked", "err", err)
		return
	}
	g.o.Log.InfoContext(r.Context(), "caller was refused", "path", r.URL.Path, "err", err)
}

// challenge answers with what RFC 6750, 3 and RFC 9728, 5.1 say.
func (g *Guard) challenge(w http.ResponseWriter, r *http.Request, status int, p problem) {
	var b strings.Builder
	b.WriteString(`Bearer realm="dragoman"`)
	add := func(name, value string) {
		if value != "" {
			b.WriteString(", " + name + `="` + value + `"`)
		}
	}
	add("error", p.code)
	if p.code != "" {
		add("error_description", p.text)
	}
	scopes := p.scopes
	if scopes == nil {
		scopes = g.o.Scopes
	}
	add("scope", strings.Join(scopes, " "))
	if len(g.o.Servers) > 0 {
		// What is in the path was written by the caller: escaped, it ends no quotes.
		add("resource_metadata", g.base(r)+wellKnown+(&url.URL{Path: r.URL.Path}).EscapedPath())
	}
	w.Header().Set("WWW-Authenticate", b.String())
	w.Header().Set("Cache-Control", "no-store")
	refuse(w, status, p.text)
}

// base is the address of the gateway as clients know it, without a slash at the
// end: as configured, or as it was called, since the name was checked.
func (g *Guard) base(r *http.Request) string {
	if g.public != "" {
		return g.public
	}
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// Resource is the address that was called, as a resource (RFC 8707): what
// credentials are for.
func (g *Guard) Resource(r *http.Request) string { return g.base(r) + pathOf(r) }

// pathOf is the path of a request in the one form that it has as part of a
// resource, whatever of it the caller has escaped.
func pathOf(r *http.Request) string {
	path := strings.TrimSuffix(r.URL.Path, "/")
	if strings.Trim(path, plainPath) == "" {
		return path
	}
	return (&url.URL{Path: path}).EscapedPath()
}

// plainPath are characters that need no escape in a path.
const plainPath = "/abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~"

// meant says whether one of the audiences is the address that was called, or
// one above it: a token for /mcp opens /mcp/files, and not the other way round.
func (g *Guard) meant(r *http.Request, audience []string) bool {
	if audience == nil {
		return true
	}
	base, path := g.base(r), pathOf(r)
	for _, aud := range audience {
		above, ours := strings.CutPrefix(strings.TrimSuffix(aud, "/"), base)
		if !ours || above != "" && above[0] != '/' {
			continue
		}
		if rest, within := strings.CutPrefix(path, above); within && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}

// Metadata answers with the metadata of the resource whose path follows the
// well-known one (RFC 9728, 3.2).
func (g *Guard) Metadata(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, wellKnown), "/")
	if len(g.o.Servers) == 0 {
		refuse(w, http.StatusNotFound, "no authorization server is configured; see auth in the configuration")
		return
	}
	document := map[string]any{
		"resource":                 g.base(r) + (&url.URL{Path: path}).EscapedPath(),
		"authorization_servers":    g.o.Servers,
		"bearer_methods_supported": []string{"header"},
		"resource_name":            "Dragoman",
	}
	if len(g.o.Scopes) > 0 {
		document["scopes_supported"] = g.o.Scopes
	}
	body, err := json.Marshal(document)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "internal error")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "max-age=300")
	_, _ = w.Write(append(body, '\n')) // a caller that has gone does not want it
}

// refuse answers with a JSON-RPC error that has no id, which is what every MCP
// client can read.
func refuse(w http.ResponseWriter, status int, why string) {
	code := mcp.CodeUnauthenticated
	switch status {
	case http.StatusForbidden, http.StatusBadRequest, http.StatusNotFound:
		code = -32600
	case http.StatusServiceUnavailable:
		code = mcp.CodeUnavailable
	case http.StatusInternalServerError:
		code = -32603
	}
	body, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": nil, "error": map[string]any{"code": code, "message": why}})
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a caller that has gone does not want it
}
