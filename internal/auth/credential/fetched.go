package credential

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth/oauth"
	"github.com/dragoman-mcp/dragoman/mcp"
)

const (
	// maxFetched bounds the tokens in memory of one server.
	maxFetched = 10_000
	// fetchedTTL is how long a token is used that does not say when it ends.
	fetchedTTL = 5 * time.Minute
	// placeTTL is how long the endpoints of an authorization server are remembered.
	placeTTL = 10 * time.Minute
)

// fetched are tokens that can be had whenever they are wanted, and so are in
// memory only.
type fetched struct {
	s     *Server
	fetch func(ctx context.Context, who string) (held, error)
	flights

	mu    sync.Mutex // guards known
	known map[string]*entry
}

// entry is what is remembered of one caller's token.
type entry struct {
	held
	pause   pause
	refused string // a token that the server did not take
}

func newFetched(s *Server, fetch func(context.Context, string) (held, error)) *fetched {
	return &fetched{
		s: s, fetch: fetch, known: make(map[string]*entry),
		flights: flights{work: &s.broker.work, flying: make(map[string]*flight)},
	}
}

func (f *fetched) token(ctx context.Context, who string) (held, error) {
	if f.s.cfg.Type == "client_credentials" {
		who = "" // everybody's
	}
	if h, why, ok := f.remembered(who); ok {
		return h, why
	}
	return f.do(ctx, who, f.again)
}

// remembered gives what is known of a token that need not be fetched now, and why
// there is none while the authorization server is left in peace.
func (f *fetched) remembered(who string) (h held, why error, ok bool) {
	now := f.s.broker.o.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.known[who]
	if e == nil {
		return held{}, nil, false
	}
	usable := e.value != "" && e.value != e.refused && e.usable(now)
	switch {
	case usable && e.good(now):
		return e.held, nil, true
	case !e.pause.lasts(now):
		return held{}, nil, false
	case usable:
		return e.held, nil, true
	}
	return held{}, e.pause.why, true
}

// again fetches a token and remembers it, unless that has been done since somebody
// looked.
func (f *fetched) again(ctx context.Context, who string) (held, error) {
	if h, why, ok := f.remembered(who); ok {
		return h, why
	}
	h, err := f.fetch(ctx, who)
	now := f.s.broker.o.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.known[who]
	if e == nil {
		if len(f.known) >= maxFetched {
			clear(f.known)
		}
		e = &entry{}
		f.known[who] = e
	}
	if err != nil {
		e.pause.fail(now, err)
		if e.value != "" && e.value != e.refused && e.usable(now) {
			return e.held, nil // it was to be renewed early
		}
		return held{}, err
	}
	if h.expires.IsZero() {
		h.expires = now.Add(fetchedTTL)
	}
	e.held, e.pause = h, pause{}
	return h, nil
}

// refused has the token fetched anew, unless it was just fetched: then another
// would not be taken either.
func (f *fetched) refused(who string, h held, _ []string) {
	if f.s.cfg.Type == "client_credentials" {
		who = ""
	}
	now := f.s.broker.o.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.known[who]
	if e == nil || e.value != h.value {
		return
	}
	e.refused = h.value
	if now.Before(h.obtained.Add(minAge)) {
		e.pause.fail(now, f.s.unavailable("it does not take the token that was just fetched for it; check auth.resource and auth.scopes"))
	}
}

// minAge is how old a token has to be for another to be worth a try when the
// server does not take it.
const minAge = 10 * time.Second

// endpoint finds the token endpoint: the configured one, or the issuer's.
func (s *Server) endpoint(ctx context.Context) (oauth.Place, error) {
	if s.cfg.TokenURL != "" {
		return oauth.Place{Token: s.cfg.TokenURL, Resource: s.cfg.Resource, Issuer: s.cfg.Issuer}, nil
	}
	now := s.broker.o.Now()
	if known := s.known.Load(); known != nil && now.Before(known.until) {
		return known.Place, nil
	}
	place, err := s.client.Metadata(ctx, s.cfg.Issuer)
	if err != nil {
		return oauth.Place{}, err
	}
	place.Resource = s.cfg.Resource
	s.known.Store(&knownPlace{place, now.Add(placeTTL)})
	return place, nil
}

// knownPlace is where tokens are had, as it was found a while ago.
type knownPlace struct {
	oauth.Place
	until time.Time
}

// own gets a token of the gateway's own (RFC 6749, 4.4).
func (s *Server) own(ctx context.Context, _ string) (held, error) {
	form := url.Values{"grant_type": {"client_credentials"}}
	return s.request(ctx, form)
}

const (
	grantExchange   = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"
)

// exchange gets a token for the one that a caller has shown (RFC 8693, 2.1).
func (s *Server) exchange(ctx context.Context, who string) (held, error) {
	token, ok := s.broker.inbound.last(who)
	if !ok {
		return held{}, mcp.ErrorData(mcp.CodeUnauthenticated,
			"server "+s.name+" takes a token that yours is exchanged for, and you have shown none that can be: log in with an access token (JWT) of auth.issuers",
			map[string]any{"server": s.name})
	}
	form := url.Values{
		"grant_type": {grantExchange}, "subject_token": {string(token.Reveal())}, "subject_token_type": {typeAccessToken},
		"requested_token_type": {typeAccessToken},
	}
	if s.cfg.Audience != "" {
		form.Set("audience", s.cfg.Audience)
	}
	return s.request(ctx, form)
}

// request asks the token endpoint with what both have in common.
func (s *Server) request(ctx context.Context, form url.Values) (held, error) {
	place, err := s.endpoint(ctx)
	if err != nil {
		s.log.WarnContext(ctx, "authorization server cannot be asked", "err", err)
		return held{}, s.unavailable("its authorization server cannot be reached; try again later")
	}
	resource := place.Resource
	if resource == "" && s.cfg.Audience == "" {
		resource = s.url // 2026-07-28, basic/authorization: always named, where no other name is wanted
	}
	if resource != "" {
		form.Set("resource", resource)
	}
	if len(s.cfg.Scopes) > 0 {
		form.Set("scope", strings.Join(s.cfg.Scopes, " "))
	}
	tokens, err := s.client.Ask(ctx, place, s.configured(), form)
	var refusal *oauth.Refusal
	switch {
	case errors.As(err, &refusal):
		s.log.WarnContext(ctx, "authorization server gives no token", "err", err)
		if s.cfg.Type == "exchange" {
			return held{}, mcp.ErrorData(mcp.CodeUnauthenticated, "server "+s.name+" takes a token that yours is exchanged for, and the exchange was refused ("+refusal.Code+")",
				map[string]any{"server": s.name, "error": refusal.Code})
		}
		return held{}, s.unavailable("the gateway gets no token for it (%s); check auth", refusal.Code)
	case err != nil:
		s.log.WarnContext(ctx, "authorization server gives no token", "err", err)
		return held{}, s.unavailable("its authorization server gives no token now; try again later")
	}
	return held{value: tokens.Access, obtained: s.broker.o.Now(), expires: tokens.Expires}, nil
}

// configured is who the gateway is by its configuration.
func (s *Server) configured() oauth.ClientID {
	return oauth.ClientID{ID: s.cfg.ClientID, Secret: s.cfg.ClientSecret.Reveal(), Method: s.cfg.ClientAuth}
}
