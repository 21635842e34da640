// Package oidc knows callers by the access tokens of identity providers: it
// finds an issuer's keys (OpenID Connect discovery, RFC 8414), keeps them fresh
// without letting anybody make it ask often, and turns a token that holds into
// a principal.
//
// It does not know tokens of our own, what a role may do, nor how a connection
// is opened: it gets an HTTP client.
package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/auth/jwt"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// Options are the surroundings of an Issuer.
type Options struct {
	// Client asks the issuer. It must follow no redirect to another origin with
	// credentials, of which none are sent, and bound its answers.
	Client *http.Client
	// Log takes what goes wrong; nil discards it.
	Log *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Issuer is one identity provider.
type Issuer struct {
	cfg        config.Issuer
	algorithms []string
	rules      jwt.Rules
	secret     *jwt.Key // instead of keys
	keys       *keyCache
	now        func() time.Time
}

// New returns the Issuer that cfg describes. It asks nobody yet.
func New(cfg config.Issuer, o Options) (*Issuer, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	i := &Issuer{cfg: cfg, algorithms: cfg.Algorithms, now: o.Now}
	i.rules = jwt.Rules{Issuer: cfg.URL, Types: lower(cfg.Types), Leeway: cfg.Leeway, Audience: func(string) bool { return true }}
	if len(cfg.Audience) > 0 {
		i.rules.Audience = func(aud string) bool { return slices.Contains(cfg.Audience, aud) }
	}
	if cfg.Secret != "" {
		return i, i.shareSecret()
	}
	if len(i.algorithms) == 0 {
		i.algorithms = []string{"EdDSA", "ES256", "RS256"}
	}
	for _, alg := range i.algorithms {
		if !jwt.Known(alg) || jwt.Symmetric(alg) {
			return nil, fmt.Errorf("issuer %s: algorithm %q is not one with public keys", cfg.Name, alg)
		}
	}
	i.keys = newKeyCache(cfg, o)
	return i, nil
}

// shareSecret makes one key of the secret, for exactly one algorithm.
func (i *Issuer) shareSecret() error {
	if len(i.algorithms) == 0 {
		i.algorithms = []string{"HS256"}
	}
	if len(i.algorithms) > 1 {
		return fmt.Errorf("issuer %s: a secret is for one algorithm, not for %s", i.cfg.Name, strings.Join(i.algorithms, " and "))
	}
	key, err := jwt.SecretKey(i.algorithms[0], i.cfg.Secret.Reveal())
	if err != nil {
		return fmt.Errorf("issuer %s: %w", i.cfg.Name, err)
	}
	i.secret = &key
	return nil
}

func lower(all []string) []string {
	var out []string
	for _, s := range all {
		out = append(out, strings.TrimPrefix(strings.ToLower(s), "application/"))
	}
	return out
}

// Run keeps the keys fresh until ctx ends.
func (i *Issuer) Run(ctx context.Context) error {
	if i.keys == nil {
		<-ctx.Done()
		return nil
	}
	return i.keys.run(ctx)
}

var _ auth.Revoker = (*Issuer)(nil)

// Identify implements auth.Source for access tokens of this issuer.
func (i *Issuer) Identify(ctx context.Context, credential string) (auth.Identity, error) {
	if strings.Count(credential, ".") != 2 {
		return auth.Identity{}, auth.ErrForeign
	}
	token, err := jwt.Parse(credential)
	if err != nil {
		return auth.Identity{}, auth.Invalid("%w", err)
	}
	if iss, _ := token.Claims.Text("iss"); iss != i.cfg.URL {
		return auth.Identity{}, auth.ErrForeign
	}
	if !slices.Contains(i.algorithms, token.Algorithm) {
		return auth.Identity{}, auth.Invalid("issuer %s may not use the algorithm %s", i.cfg.Name, token.Algorithm)
	}
	keyID, err := i.verify(ctx, token)
	if err != nil {
		return auth.Identity{}, err
	}
	if err := i.rules.Check(token, i.now()); err != nil {
		return auth.Identity{}, auth.Invalid("%w", err)
	}
	if missing := without(i.cfg.Scopes, token.Claims.Scopes()); len(missing) > 0 {
		return auth.Identity{}, &auth.ScopeError{Need: i.cfg.Scopes}
	}
	return i.identity(token.Claims, keyID), nil
}

// Holds implements auth.Revoker: a key that the issuer has withdrawn takes its
// tokens with it.
func (i *Issuer) Holds(identity auth.Identity) bool {
	return i.keys == nil || i.keys.has(identity.KeyID)
}

// verify checks the signature with the keys that may have made it.
func (i *Issuer) verify(ctx context.Context, token *jwt.Token) (keyID string, err error) {
	if i.secret != nil {
		if err := i.secret.Verify(token); err != nil {
			return "", auth.Invalid("%w", err)
		}
		return "", nil
	}
	keys, err := i.keys.find(ctx, token.KeyID, token.Algorithm)
	if err != nil {
		return "", err
	}
	if len(keys) == 0 {
		return "", auth.Invalid("issuer %s has no key %q for %s", i.cfg.Name, token.KeyID, token.Algorithm)
	}
	err = jwt.ErrSignature
	for _, key := range keys {
		if err = key.Verify(token); err == nil {
			return key.ID, nil
		}
	}
	return "", auth.Invalid("%w", err)
}

// identity is what the claims say, in our words.
func (i *Issuer) identity(c jwt.Claims, keyID string) auth.Identity {
	names := i.cfg.Claims
	subject, _ := c.Text("sub")
	id := auth.Identity{KeyID: keyID, Principal: mcp.Principal{ID: i.cfg.Name + ":" + subject, Method: "jwt"}}
	id.TokenID, _ = c.Text("jti")
	id.Expires, _ = c.Time("exp") // Check has read both
	id.Issued, _ = c.Time("iat")
	if len(i.cfg.Audience) == 0 {
		id.Audience, _ = c.Texts("aud")
	}
	p := &id.Principal
	if name, ok := c.At(names.Name); ok && len(name) == 1 {
		p.Name = name[0]
	}
	p.Groups, _ = c.At(names.Groups)
	roles, _ := c.At(names.Roles)
	p.Roles = slices.Clone(i.cfg.DefaultRoles)
	for _, theirs := range append(roles, p.Groups...) {
		if ours, ok := i.cfg.Roles[theirs]; ok && !slices.Contains(p.Roles, ours) {
			p.Roles = append(p.Roles, ours)
		}
	}
	if names.Servers != "" {
		if servers, ok := c.At(names.Servers); ok {
			p.Servers = append([]string{}, servers...) // an empty list is bound to none
		}
	}
	return id
}

// without gives those of want that are not in have.
func without(want, have []string) []string {
	var missing []string
	for _, w := range want {
		if !slices.Contains(have, w) {
			missing = append(missing, w)
		}
	}
	return missing
}

var errNoKeys = errors.New("its keys could not be had yet")
