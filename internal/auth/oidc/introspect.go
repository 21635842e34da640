package oidc

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/auth/jwt"
)

// Bounds of asking an issuer about tokens.
const (
	maxOpaque  = 4096             // bytes of a token that is asked about
	maxAnswer  = 64 << 10         // bytes
	maxFlights = 64               // tokens that are asked about at once; further callers are told to come again
	rest       = time.Second      // when the issuer could not be reached, before it is asked about the next token
	logEvery   = 10 * time.Second // of troubles
	maxRefusal = 10 * time.Second // for how long a token that was refused is not asked about again, at most
)

var (
	errAway    = errors.New("the issuer could not be asked a moment ago")
	errCrowded = errors.New("the issuer is being asked about as many tokens as it may be")
	errClosed  = errors.New("the issuer is not asked any more")
)

// Introspector knows callers by opaque tokens of an issuer, which it asks about each
// (RFC 7662). What it answers is to be kept by who asks, for no longer than CacheTTL.
// Close it by ending Run, which has to be called.
//
// A token is asked about once, on behalf of all who wait. Tokens of other kinds
// must have been recognized before: the issuer sees what it is asked about.
type Introspector struct {
	*Issuer
	client   *http.Client
	log      *slog.Logger
	lifetime context.Context // of questions; ended by Run
	end      context.CancelFunc

	mu      sync.Mutex // guards what follows
	flights map[[sha256.Size]byte]*question
	away    time.Time // until when nobody is asked
	told    time.Time // when trouble was logged last
	closed  bool
	work    sync.WaitGroup
}

// question is one that is under way, or has been answered.
type question struct {
	done     chan struct{} // closed when the rest is there
	identity auth.Identity
	err      error
}

// NewIntrospector returns an Introspector for an issuer. The client of o must not
// follow redirects, since it sends a secret.
func NewIntrospector(issuer *Issuer, o Options) *Introspector {
	i := &Introspector{Issuer: issuer, client: o.Client, log: o.Log, flights: make(map[[sha256.Size]byte]*question)}
	if i.log == nil {
		i.log = slog.New(slog.DiscardHandler)
	}
	i.lifetime, i.end = context.WithCancel(context.Background())
	return i
}

// Cache is how answers are kept.
func (i *Introspector) Cache() auth.CacheOptions {
	ttl := i.cfg.Introspection.CacheTTL
	return auth.CacheOptions{TTL: ttl, Refusal: min(ttl, maxRefusal), Now: i.now}
}

// Run waits until ctx ends. When it returns, no question is under way and none will
// be asked any more.
func (i *Introspector) Run(ctx context.Context) error {
	<-ctx.Done()
	i.mu.Lock()
	i.closed = true
	i.mu.Unlock()
	i.end()
	i.work.Wait()
	return nil
}

// Holds implements auth.Revoker in place of the Issuer's: there are no keys.
func (i *Introspector) Holds(auth.Identity) bool { return true }

// Identify implements auth.Source for tokens that are no JWT.
func (i *Introspector) Identify(ctx context.Context, credential string) (auth.Identity, error) {
	if !opaque(credential) {
		return auth.Identity{}, auth.ErrForeign
	}
	q, err := i.ask(credential)
	if err != nil {
		return auth.Identity{}, fmt.Errorf("issuer %s: %w", i.cfg.Name, err)
	}
	patience := time.NewTimer(waitMost)
	defer patience.Stop()
	select {
	case <-q.done:
		return q.identity, q.err
	case <-patience.C:
		return auth.Identity{}, fmt.Errorf("issuer %s: no answer about a token within %s", i.cfg.Name, waitMost)
	case <-ctx.Done():
		return auth.Identity{}, ctx.Err()
	}
}

// opaque says whether a credential may be an opaque token (RFC 6750, 2.1) and is
// no JWT.
func opaque(credential string) bool {
	return credential != "" && len(credential) <= maxOpaque && strings.Count(credential, ".") != 2 && !strings.ContainsFunc(credential, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._~+/=:", r))
	})
}

// ask gives the question about a token, which it begins unless it is under way.
func (i *Introspector) ask(token string) (*question, error) {
	key := sha256.Sum256([]byte(token))
	i.mu.Lock()
	defer i.mu.Unlock()
	if q := i.flights[key]; q != nil {
		return q, nil
	}
	switch {
	case i.closed:
		return nil, errClosed
	case i.now().Before(i.away):
		return nil, errAway
	case len(i.flights) >= maxFlights:
		return nil, errCrowded
	}
	q := &question{done: make(chan struct{})}
	i.flights[key] = q
	i.work.Go(func() {
		ctx, cancel := context.WithTimeout(i.lifetime, askTimeout)
		defer cancel()
		claims, err := i.introspect(ctx, token)
		if err == nil {
			q.identity, q.err = i.judge(claims)
		} else {
			q.err = fmt.Errorf("issuer %s: ask about a token: %w", i.cfg.Name, err)
		}
		i.mu.Lock()
		defer i.mu.Unlock()
		delete(i.flights, key)
		close(q.done)
	})
	return q, nil
}

// judge holds an answer to what the configuration asks of tokens.
func (i *Introspector) judge(claims jwt.Claims) (auth.Identity, error) {
	if err := i.rules.CheckAnswer(claims, i.now()); err != nil {
		return auth.Identity{}, auth.Invalid("%w", err)
	}
	if missing := without(i.cfg.Scopes, claims.Scopes()); len(missing) > 0 {
		return auth.Identity{}, &auth.ScopeError{Need: i.cfg.Scopes}
	}
	identity := i.identity(claims, "")
	identity.Principal.Method = "opaque"
	return identity, nil
}

// introspect asks about a token (RFC 7662, 2.1). An error says nothing of the token.
func (i *Introspector) introspect(ctx context.Context, token string) (jwt.Claims, error) {
	in := i.cfg.Introspection
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	if in.Method == "post" {
		form.Set("client_id", in.ClientID)
		form.Set("client_secret", in.ClientSecret.Reveal())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, in.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if in.Method != "post" {
		req.SetBasicAuth(url.QueryEscape(in.ClientID), url.QueryEscape(in.ClientSecret.Reveal())) // RFC 6749, 2.3.1
	}
	res, err := i.client.Do(req)
	if err != nil {
		i.mu.Lock()
		i.away = i.now().Add(rest)
		i.mu.Unlock()
		return nil, i.noted(err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden {
		return nil, i.noted(fmt.Errorf("HTTP %d: the issuer does not take client_id and client_secret of introspection", res.StatusCode))
	}
	if res.StatusCode != http.StatusOK {
		return nil, i.noted(fmt.Errorf("HTTP %d", res.StatusCode))
	}
	if kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, i.noted(fmt.Errorf("the answer is %.60q, not application/json", res.Header.Get("Content-Type")))
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	if err != nil {
		return nil, i.noted(err)
	}
	claims, err := jwt.ParseClaims(body)
	if err != nil {
		return nil, i.noted(fmt.Errorf("read the answer: %w", err))
	}
	return claims, nil
}

// noted logs why there was no answer, now and then: it is the operator who can mend it.
func (i *Introspector) noted(err error) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if now := i.now(); i.lifetime.Err() == nil && now.Sub(i.told) >= logEvery {
		i.told = now
		i.log.Warn("issuer cannot be asked about tokens", "issuer", i.cfg.Name, "err", err)
	}
	return err
}
