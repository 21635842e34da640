// Package as is the built-in authorization server: it lets clients of MCP send
// their users to log in and to allow the client, and gives the client tokens
// for that. OAuth 2.1 with the authorization code and PKCE S256 and nothing
// else; clients name themselves by a metadata document, are configured, or, if
// that is asked for, register themselves.
//
// There is no login that lasts: each authorization asks for the password, so
// that no page elsewhere can use one. What travels through the browser is
// encrypted and bound to it; what holds once is spent in the store. So every
// replica can go on with what another began.
//
// It does not know how passwords are kept, what a token may do, nor how tokens
// are signed.
package as

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth/mint"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/store"
)

// Options are what a Server works with. All but Log and Now are needed.
type Options struct {
	Config config.AuthorizationServer
	// Issuer is the address of the gateway, without a slash at the end.
	Issuer string
	// Resource says whether a resource (RFC 8707) is this gateway or a part of it.
	Resource func(string) bool
	// Users says whether a password is right; its errors are those of users.Users.
	Users interface {
		Verify(ctx context.Context, name, password string) (store.User, error)
	}
	// State keeps clients, consents, refresh tokens and what was spent.
	State *store.Store
	// Tokens makes access tokens.
	Tokens *mint.Mint
	// Sealer encrypts what travels through the browser.
	Sealer mint.Sealer
	// Client fetches what clients publish of themselves. It must reach public
	// addresses only, and follow no redirects.
	Client *http.Client
	// Log takes what goes on; nil discards it.
	Log *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Server is an authorization server. It may be used concurrently. Run has it forget
// what has ended.
type Server struct {
	o         Options
	documents *documents
}

// New returns a Server.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Server{o: o, documents: newDocuments(o)}
}

const (
	// purgeEvery is how often refresh tokens that have expired are forgotten, and
	// purgeTimeout bounds it.
	purgeEvery   = time.Hour
	purgeTimeout = time.Minute
)

// Run forgets refresh tokens that have expired, at once and then every hour, until
// ctx ends. Replicas may do so at the same time.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(purgeEvery)
	defer tick.Stop()
	for {
		purging, cancel := context.WithTimeout(ctx, purgeTimeout)
		n, err := s.o.State.Families.Purge(purging, s.o.Now())
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.o.Log.WarnContext(ctx, "refresh tokens that have expired cannot be forgotten now", "err", err)
		case n > 0:
			s.o.Log.InfoContext(ctx, "refresh tokens that have expired were forgotten", "count", n)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Paths of the endpoints, below the issuer.
const (
	PathAuthorize = "/oauth/authorize"
	PathToken     = "/oauth/token"
	PathRegister  = "/oauth/register"
	PathRevoke    = "/oauth/revoke"
)

// Metadata answers with what clients need to know (RFC 8414).
func (s *Server) Metadata(w http.ResponseWriter, _ *http.Request) {
	at := func(path string) string { return s.o.Issuer + path }
	document := map[string]any{
		"issuer":                                         s.o.Issuer,
		"authorization_endpoint":                         at(PathAuthorize),
		"token_endpoint":                                 at(PathToken),
		"revocation_endpoint":                            at(PathRevoke),
		"jwks_uri":                                       at("/.well-known/jwks.json"),
		"scopes_supported":                               []string{mint.ScopeAll},
		"response_types_supported":                       []string{"code"},
		"response_modes_supported":                       []string{"query"},
		"grant_types_supported":                          []string{"authorization_code", "refresh_token"},
		"token_endpoint_auth_methods_supported":          []string{"none"},
		"revocation_endpoint_auth_methods_supported":     []string{"none"},
		"code_challenge_methods_supported":               []string{"S256"},
		"authorization_response_iss_parameter_supported": true,
		"client_id_metadata_document_supported":          true,
	}
	if s.o.Config.DynamicRegistration {
		document["registration_endpoint"] = at(PathRegister)
	}
	w.Header().Set("Cache-Control", "max-age=300")
	answer(w, http.StatusOK, document)
}

// scopesOf reads the scopes that are asked for. Those of OpenID Connect, and the
// wish for a refresh token, that many clients add, are passed over: nothing is
// given for them.
func scopesOf(text string) ([]string, bool) {
	var scopes []string
	for _, s := range strings.Fields(text) {
		switch {
		case s == "openid", s == "profile", s == "email", s == "offline_access":
		case s == mint.ScopeAll, strings.HasPrefix(s, mint.ScopeServer) && len(s) > len(mint.ScopeServer) && isName(s[len(mint.ScopeServer):]):
			scopes = append(scopes, s)
		default:
			return nil, false
		}
	}
	if len(scopes) == 0 {
		scopes = []string{mint.ScopeAll}
	}
	return scopes, len(scopes) <= maxScopes
}

const maxScopes = 32

func isName(s string) bool {
	return len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}
