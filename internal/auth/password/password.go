// Package password lets local users in by name and password over HTTP: POST
// /token gives a token for them (the resource owner password form of OAuth 2.0,
// as scripts and S0's clients speak it), POST /revoke ends one, GET /users/me/
// says who it is.
//
// It does not know how passwords are kept, nor how tokens are made.
package password

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/auth/mint"
	"github.com/dragoman-mcp/dragoman/internal/auth/users"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// Options are what Handlers work with; all but Log are needed.
type Options struct {
	// Users says whether a password is right; its errors are those of users.Users.
	Users interface {
		Verify(ctx context.Context, name, password string) (store.User, error)
	}
	// Directory is where GET /users/me/ looks.
	Directory store.Users
	// Tokens makes tokens and ends them.
	Tokens *mint.Mint
	// TTL is how long a token is good for; 0 means that a password gives none.
	TTL time.Duration
	// Log takes who logged in and who failed to; nil discards it.
	Log *slog.Logger
}

// Handlers answer the addresses of this package.
type Handlers struct{ o Options }

// New returns Handlers.
func New(o Options) *Handlers {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Handlers{o}
}

// maxForm bounds the body of a request, in bytes.
const maxForm = 16 << 10

// Token answers POST /token.
func (h *Handlers) Token(w http.ResponseWriter, r *http.Request) {
	if h.o.TTL <= 0 {
		fail(w, http.StatusNotFound, "not_found", "passwords give no tokens here; auth.passwords in the configuration makes them")
		return
	}
	if !readForm(w, r) {
		return
	}
	if grant := r.PostForm.Get("grant_type"); grant != "" && grant != "password" {
		fail(w, http.StatusBadRequest, "unsupported_grant_type", "grant_type is "+quote(grant)+", and password is what is known here")
		return
	}
	scopes, ok := scopesOf(r.PostForm.Get("scope"))
	if !ok {
		fail(w, http.StatusBadRequest, "invalid_scope", "the scopes are "+mint.ScopeAll+", for all servers, and "+mint.ScopeServer+"NAME, for one")
		return
	}
	name, password := r.PostForm.Get("username"), r.PostForm.Get("password")
	if name == "" || password == "" {
		fail(w, http.StatusBadRequest, "invalid_request", "username and password are needed")
		return
	}
	user, err := h.o.Users.Verify(r.Context(), name, password)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	token, expires, err := h.o.Tokens.Issue(mint.Grant{User: user.Name, Scopes: scopes, TTL: h.o.TTL})
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	h.o.Log.InfoContext(r.Context(), "user logged in", "principal", users.Principal(user, "password").ID)
	answer(w, http.StatusOK, map[string]any{
		"access_token": token, "token_type": "bearer", "scope": strings.Join(scopes, " "),
		"expires_in": int(time.Until(expires).Round(time.Second) / time.Second),
	})
}

// refuse says that somebody is not let in. The status of a wrong password is the
// one that S0's clients know, and not the 400 of RFC 6749, 5.2.
func (h *Handlers) refuse(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, users.ErrRefused), errors.Is(err, users.ErrDisabled):
		h.o.Log.InfoContext(r.Context(), "login was refused", "err", err)
		w.Header().Set("WWW-Authenticate", `Bearer realm="dragoman"`)
		fail(w, http.StatusUnauthorized, "invalid_grant", "Incorrect username or password")
	case errors.Is(err, users.ErrBusy):
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusServiceUnavailable, "temporarily_unavailable", "too many logins at once; try again in a second")
	case r.Context().Err() != nil:
	default:
		h.o.Log.ErrorContext(r.Context(), "login failed", "err", err)
		w.Header().Set("Retry-After", "5")
		fail(w, http.StatusServiceUnavailable, "temporarily_unavailable", "logins do not work now; try again soon")
	}
}

// Revoke answers POST /revoke (RFC 7009): whoever has a token may end it. What
// is no token of ours is none any more.
func (h *Handlers) Revoke(w http.ResponseWriter, r *http.Request) {
	if !readForm(w, r) {
		return
	}
	id, err := h.o.Tokens.Identify(r.Context(), r.PostForm.Get("token"))
	if err == nil {
		err = h.o.Tokens.Revoke(r.Context(), id.TokenID)
	}
	if err != nil && !errors.Is(err, auth.ErrInvalid) && !errors.Is(err, auth.ErrForeign) {
		h.o.Log.ErrorContext(r.Context(), "token was not revoked", "err", err)
		w.Header().Set("Retry-After", "5")
		fail(w, http.StatusServiceUnavailable, "temporarily_unavailable", "the token was not revoked; try again soon")
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

// JWKS answers with the keys that our tokens are checked with.
func (h *Handlers) JWKS(w http.ResponseWriter, _ *http.Request) { ServeJWKS(w, h.o.Tokens) }

// ServeJWKS writes a published key set.
func ServeJWKS(w http.ResponseWriter, tokens *mint.Mint) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "max-age="+seconds(mint.JWKSMaxAge))
	_, _ = w.Write(tokens.JWKS()) // a caller that has gone does not want it
}

// person is a user as S0's clients read it.
type person struct {
	Username string   `json:"username"`
	Email    string   `json:"email,omitempty"`
	FullName string   `json:"full_name,omitempty"`
	Disabled bool     `json:"disabled"`
	Role     string   `json:"role,omitempty"`
	ID       string   `json:"id"`
	Roles    []string `json:"roles,omitempty"`
	Method   string   `json:"method,omitempty"`
}

// Me answers GET /users/me/ with the caller, who came in by whatever credential.
func (h *Handlers) Me(w http.ResponseWriter, r *http.Request) {
	p := mcp.PrincipalOf(r.Context())
	if p.ID == "" {
		fail(w, http.StatusNotFound, "not_found", "nobody has to show who they are here")
		return
	}
	out := person{Username: p.ID, ID: p.ID, Roles: p.Roles, Method: p.Method}
	if len(p.Roles) > 0 {
		out.Role = p.Roles[0]
	}
	if name, local := strings.CutPrefix(p.ID, "user:"); local {
		user, err := h.o.Directory.Get(r.Context(), name)
		switch {
		case errors.Is(err, store.ErrNotFound):
			fail(w, http.StatusNotFound, "not_found", "there is no such user any more")
			return
		case err != nil:
			h.o.Log.ErrorContext(r.Context(), "user cannot be read", "principal", p.ID, "err", err)
			fail(w, http.StatusServiceUnavailable, "temporarily_unavailable", "users cannot be read now; try again soon")
			return
		}
		out.Username, out.Email, out.FullName, out.Disabled = user.Name, user.Email, user.FullName, user.Disabled
	}
	answer(w, http.StatusOK, out)
}

// scopesOf reads what a token is asked for; everything if nothing is said.
func scopesOf(text string) ([]string, bool) {
	scopes := strings.Fields(text)
	if len(scopes) == 0 {
		return []string{mint.ScopeAll}, true
	}
	bad := slices.ContainsFunc(scopes, func(s string) bool {
		return s != mint.ScopeAll && (!strings.HasPrefix(s, mint.ScopeServer) || s == mint.ScopeServer)
	})
	return scopes, !bad && len(scopes) <= 64
}

// readForm reads the body as a form, or answers why not. Values in the address
// do not count: addresses are logged.
func readForm(w http.ResponseWriter, r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		fail(w, http.StatusUnsupportedMediaType, "invalid_request", "send a form: Content-Type application/x-www-form-urlencoded")
		return false
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		fail(w, http.StatusBadRequest, "invalid_request", "the form cannot be read")
		return false
	}
	for name, values := range r.PostForm {
		if len(values) > 1 && name != "resource" {
			fail(w, http.StatusBadRequest, "invalid_request", quote(name)+" is there twice") // RFC 6749, 3.2
			return false
		}
	}
	return true
}

func fail(w http.ResponseWriter, status int, code, text string) {
	answer(w, status, map[string]string{"error": code, "error_description": text, "detail": text})
}

func answer(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		body, status = []byte(`{"error":"server_error"}`), http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Pragma", "no-cache")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a caller that has gone does not want it
}
