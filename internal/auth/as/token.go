package as

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth/mint"
	"github.com/dragoman-mcp/dragoman/internal/auth/users"
	"github.com/dragoman-mcp/dragoman/internal/store"
)

// verifierForm is a code verifier (RFC 7636, 4.1).
var verifierForm = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)

// grant is what a refresh token stands for, as the store keeps it.
type grant struct {
	Scopes    []string `json:"scopes"`
	Resources []string `json:"resources,omitempty"`
}

// Token answers POST to the token endpoint.
func (s *Server) Token(w http.ResponseWriter, r *http.Request) {
	if !readForm(w, r) {
		return
	}
	if r.Header.Get("Authorization") != "" || r.PostForm.Has("client_secret") || r.PostForm.Has("client_assertion") {
		fail(w, http.StatusUnauthorized, "invalid_client", "clients have no secret here; send client_id alone (token_endpoint_auth_method none)")
		return
	}
	switch r.PostForm.Get("grant_type") {
	case "authorization_code":
		s.redeem(w, r)
	case "refresh_token":
		s.refresh(w, r)
	default:
		fail(w, http.StatusBadRequest, "unsupported_grant_type", "grant_type has to be authorization_code or refresh_token")
	}
}

// redeem gives tokens for a code. A code that comes a second time was stolen by
// whoever came first or second: all that came of it ends (RFC 6749, 4.1.2).
func (s *Server) redeem(w http.ResponseWriter, r *http.Request) {
	var code request
	f := r.PostForm
	if s.open(r.Context(), sealCode, f.Get("code"), &code) != nil || !s.o.Now().Before(code.Until) {
		fail(w, http.StatusBadRequest, "invalid_grant", "the code is not valid, or has expired")
		return
	}
	sum := sha256.Sum256([]byte(f.Get("code_verifier")))
	proof := base64.RawURLEncoding.EncodeToString(sum[:])
	switch {
	case f.Get("client_id") != code.Client, f.Get("redirect_uri") != code.Redirect:
		fail(w, http.StatusBadRequest, "invalid_grant", "the code was given to another client, or another redirect_uri")
		return
	case !verifierForm.MatchString(f.Get("code_verifier")), subtle.ConstantTimeCompare([]byte(proof), []byte(code.Challenge)) != 1:
		fail(w, http.StatusBadRequest, "invalid_grant", "code_verifier does not fit")
		return
	}
	resources, ok := narrowed(f["resource"], code.Resources)
	if !ok || !s.mine(resources) {
		fail(w, http.StatusBadRequest, "invalid_target", "resource is not one that was allowed")
		return
	}
	family := digest("family " + code.Nonce)
	err := s.o.State.Denials.Spend(r.Context(), "oauth-code:"+code.Nonce, code.Until)
	if errors.Is(err, store.ErrConflict) {
		s.endFamily(r.Context(), family, "code was used twice")
		fail(w, http.StatusBadRequest, "invalid_grant", "the code was used before")
		return
	}
	if err != nil {
		s.broken(w, r, err)
		return
	}
	data, err := json.Marshal(grant{code.Scopes, code.Resources})
	if err != nil {
		s.broken(w, r, err)
		return
	}
	secret := rand.Text() + rand.Text()
	now := s.o.Now()
	kept := store.Family{
		ID: family, Subject: code.User, Client: code.Client, Hash: hash(secret), Data: data,
		Created: now, Expires: now.Add(s.o.Config.RefreshTTL),
	}
	if err := s.o.State.Families.Add(r.Context(), kept); err != nil {
		s.broken(w, r, err)
		return
	}
	// The family is there by now, so that a change is either seen here or ends it.
	if same, err := users.Unchanged(r.Context(), s.o.State.Users, code.User, code.As); err != nil {
		s.broken(w, r, err)
		return
	} else if !same {
		s.endFamily(r.Context(), family, "user was changed during the login")
		fail(w, http.StatusBadRequest, "invalid_grant", "the user was changed since the login began, and has to log in again")
		return
	}
	s.give(w, r, mint.Grant{User: code.User, Client: code.Client, Audience: resources, Scopes: code.Scopes, Family: family}, secret)
}

// refresh gives a new access token and a new refresh token for a refresh token.
// One that comes a second time ends the family (OAuth 2.1, 4.3.1).
func (s *Server) refresh(w http.ResponseWriter, r *http.Request) {
	family, secret, _ := strings.Cut(r.PostForm.Get("refresh_token"), ".")
	kept, err := s.o.State.Families.Get(r.Context(), family)
	switch {
	case errors.Is(err, store.ErrNotFound):
		fail(w, http.StatusBadRequest, "invalid_grant", "the refresh token is not valid")
		return
	case err != nil:
		s.broken(w, r, err)
		return
	case kept.Client != r.PostForm.Get("client_id") || !kept.Revoked.IsZero() || !s.o.Now().Before(kept.Expires):
		fail(w, http.StatusBadRequest, "invalid_grant", "the refresh token is not valid, or not any more")
		return
	}
	var granted grant
	if err := json.Unmarshal(kept.Data, &granted); err != nil {
		s.broken(w, r, err)
		return
	}
	scopes, resources, why := s.less(r, granted)
	if why != nil {
		fail(w, http.StatusBadRequest, why.code, why.text)
		return
	}
	if ok, err := s.comesIn(r.Context(), kept); err != nil {
		s.broken(w, r, err)
		return
	} else if !ok {
		fail(w, http.StatusBadRequest, "invalid_grant", "the user may not come in any more")
		return
	}
	next := rand.Text() + rand.Text()
	err = s.o.State.Families.Rotate(r.Context(), family, hash(secret), hash(next))
	if errors.Is(err, store.ErrConflict) {
		s.endFamily(r.Context(), family, "refresh token was used twice")
		fail(w, http.StatusBadRequest, "invalid_grant", "the refresh token was used before; the user has to log in again")
		return
	}
	if err != nil {
		s.broken(w, r, err)
		return
	}
	s.give(w, r, mint.Grant{User: kept.Subject, Client: kept.Client, Audience: resources, Scopes: scopes, Family: family}, next)
}

// less reads what is asked for now of what was granted.
func (s *Server) less(r *http.Request, granted grant) (scopes, resources []string, why *refusal) {
	scopes = granted.Scopes
	if text := r.PostForm.Get("scope"); text != "" {
		var ok bool
		if scopes, ok = scopesOf(text); !ok || slices.ContainsFunc(scopes, func(one string) bool { return !slices.Contains(granted.Scopes, one) }) {
			return nil, nil, &refusal{"invalid_scope", "scope is more than was granted"}
		}
	}
	resources, ok := narrowed(r.PostForm["resource"], granted.Resources)
	if !ok || !s.mine(resources) {
		return nil, nil, &refusal{"invalid_target", "resource is not one that was allowed"}
	}
	return scopes, resources, nil
}

// narrowed gives the resources that are asked for, of those that were allowed.
// None that were allowed means all of the gateway.
func narrowed(asked, allowed []string) ([]string, bool) {
	if len(asked) == 0 {
		return allowed, true
	}
	if len(allowed) == 0 {
		return asked, true
	}
	for _, one := range asked {
		if !slices.Contains(allowed, one) {
			return nil, false
		}
	}
	return asked, true
}

// comesIn says whether the user of a family still exists, as the same one, and
// is not disabled.
func (s *Server) comesIn(ctx context.Context, kept store.Family) (bool, error) {
	user, err := s.o.State.Users.Get(ctx, kept.Subject)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil && !user.Disabled && !user.Created.After(kept.Created), err
}

// give answers with an access token and a refresh token.
func (s *Server) give(w http.ResponseWriter, r *http.Request, g mint.Grant, secret string) {
	g.TTL = s.o.Config.AccessTTL
	token, expires, err := s.o.Tokens.Issue(g)
	if err != nil {
		s.broken(w, r, err)
		return
	}
	answer(w, http.StatusOK, map[string]any{
		"access_token": token, "token_type": "Bearer", "scope": strings.Join(g.Scopes, " "),
		"expires_in": int(expires.Sub(s.o.Now()).Round(time.Second) / time.Second), "refresh_token": g.Family + "." + secret,
	})
}

// Revoke answers POST to the revocation endpoint (RFC 7009). A refresh token
// takes with it all that came of the same login.
func (s *Server) Revoke(w http.ResponseWriter, r *http.Request) {
	if !readForm(w, r) {
		return
	}
	token := r.PostForm.Get("token")
	if id, err := s.o.Tokens.Identify(r.Context(), token); err == nil {
		if err := s.o.Tokens.Revoke(r.Context(), id.TokenID); err != nil {
			s.broken(w, r, err)
			return
		}
	} else if family, secret, ok := strings.Cut(token, "."); ok {
		kept, err := s.o.State.Families.Get(r.Context(), family)
		if err == nil && subtle.ConstantTimeCompare(kept.Hash, hash(secret)) == 1 {
			s.endFamily(r.Context(), family, "client gave it back")
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

// endFamily ends all that came of one login.
func (s *Server) endFamily(ctx context.Context, family, why string) {
	err := s.o.State.Families.Revoke(ctx, family, s.o.Now())
	if errors.Is(err, store.ErrNotFound) {
		err = nil
	}
	err = errors.Join(err, s.o.Tokens.RevokeFamily(ctx, family))
	s.o.Log.WarnContext(ctx, "login was ended", "family", family, "reason", why, "err", err)
}

func (s *Server) broken(w http.ResponseWriter, r *http.Request, err error) {
	s.o.Log.ErrorContext(r.Context(), "token endpoint failed", "err", err)
	w.Header().Set("Retry-After", "5")
	fail(w, http.StatusServiceUnavailable, "temporarily_unavailable", "tokens cannot be given now; try again soon")
}

func hash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

func readForm(w http.ResponseWriter, r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		fail(w, http.StatusBadRequest, "invalid_request", "send a form: Content-Type application/x-www-form-urlencoded")
		return false
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		fail(w, http.StatusBadRequest, "invalid_request", "the form cannot be read")
		return false
	}
	for name, values := range r.PostForm {
		if len(values) > 1 && name != "resource" {
			fail(w, http.StatusBadRequest, "invalid_request", "a parameter is there twice") // RFC 6749, 3.2
			return false
		}
	}
	return true
}
