package credential

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth/oauth"
	"github.com/dragoman-mcp/dragoman/internal/store"
)

const (
	// rememberFor is how long a credential is used before the store is asked again
	// whether it still holds: so long after it was removed elsewhere it may be shown.
	rememberFor = 5 * time.Second
	// maxStandings bounds the callers that are remembered of one server.
	maxStandings = 10_000
	// leaseFor is how long one replica has to refresh a token before another may:
	// longer than a request takes, and the writing of what it gave.
	leaseFor = 30 * time.Second
	// leasePoll is how often a replica looks whether another is done.
	leasePoll = 100 * time.Millisecond
	// blockFor is how long somebody is asked to log in again when the server does
	// not take a token that is new; then it is tried again.
	blockFor = time.Minute
)

// errLogin is somebody who has to log in before a token can be had.
var errLogin = errors.New("the caller has not logged in at the server")

// personal are tokens of callers who have logged in.
type personal struct {
	s      *Server
	row    string
	holder string // of leases
	flights

	mu    sync.Mutex // guards known
	known map[string]*standing
}

// standing is what is remembered of one caller.
type standing struct {
	held
	until   time.Time // when to look again
	stale   string    // a token that the server has not taken
	blocked time.Time // until when somebody is asked to log in for it
	scopes  []string  // what the server wants besides what was granted
	pause   pause
	unsaved *kept // tokens that were given and could not be written yet
}

func newPersonal(s *Server) *personal {
	return &personal{
		s: s, row: rowOf(s.name, s.url), holder: rand.Text(), known: make(map[string]*standing),
		flights: flights{work: &s.broker.work, flying: make(map[string]*flight)},
	}
}

func (p *personal) token(ctx context.Context, who string) (held, error) {
	now := p.s.broker.o.Now()
	p.mu.Lock()
	st := p.known[who]
	if st != nil && st.value != "" && st.value != st.stale && now.Before(st.until) && st.good(now) {
		h := st.held
		p.mu.Unlock()
		return h, nil
	}
	p.mu.Unlock()
	return p.do(ctx, who, p.find)
}

// with does something with what is remembered of somebody.
func (p *personal) with(who string, do func(*standing)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	st := p.known[who]
	if st == nil {
		if len(p.known) >= maxStandings {
			p.makeRoom()
		}
		st = &standing{}
		p.known[who] = st
	}
	do(st)
}

// makeRoom forgets all of whom nothing would be lost. p.mu is held.
func (p *personal) makeRoom() {
	for who, st := range p.known {
		if st.unsaved == nil {
			delete(p.known, who)
		}
	}
}

// find looks for a token in the store, and refreshes it if it is time.
func (p *personal) find(ctx context.Context, who string) (held, error) {
	if err := p.rescue(ctx, who); err != nil {
		return held{}, err
	}
	k, err := p.s.broker.vault.load(ctx, who, p.row)
	if errors.Is(err, store.ErrNotFound) {
		return held{}, errLogin
	}
	if err != nil {
		p.s.log.ErrorContext(ctx, "credential cannot be read", "principal", who, "err", err)
		return held{}, p.s.unavailable("your credential for it cannot be read now; try again later")
	}
	return p.judge(ctx, who, k)
}

// state is what there is to do about a credential.
type state int

const (
	fine  state = iota // it can be shown
	due                // it has to be refreshed
	wait               // it has to be refreshed, which has failed a moment ago
	ended              // its owner has to log in
)

// judge decides about a credential as it is in the store.
func (p *personal) judge(ctx context.Context, who string, k kept) (held, error) {
	switch p.state(who, k) {
	case fine:
		p.with(who, func(st *standing) { st.held, st.until = k.held(), p.s.broker.o.Now().Add(rememberFor) })
		return k.held(), nil
	case due:
		return p.refresh(ctx, who, k)
	case wait:
		return p.meanwhile(who, k)
	}
	return held{}, errLogin
}

func (p *personal) state(who string, k kept) state {
	now, is := p.s.broker.o.Now(), fine
	p.with(who, func(st *standing) {
		stale := st.stale != "" && st.stale == k.Access
		switch {
		case k.Ended != "" || p.s.cfg.Issuer != "" && k.Issuer != p.s.cfg.Issuer: // 2026-07-28: a credential is for one issuer
			is = ended
		case stale && now.Before(st.blocked) && (!k.Over || k.Refresh == ""): // what was ended with an older login is found out by a refresh
			is = ended
		case !stale && k.held().good(now):
		case k.Refresh == "" && !stale && k.held().usable(now):
		case k.Refresh == "":
			is = ended
		case st.pause.lasts(now):
			is = wait
		default:
			is = due
		}
	})
	return is
}

// meanwhile is what is shown while a token cannot be refreshed: the old one for as
// long as it lasts. That its authorization server is away ends no credential.
func (p *personal) meanwhile(who string, k kept) (h held, err error) {
	now := p.s.broker.o.Now()
	p.with(who, func(st *standing) {
		if st.stale != k.Access && k.held().usable(now) {
			h = k.held()
			return
		}
		err = p.s.unavailable("your token for it has to be renewed, and its authorization server does not do that now; try again later")
	})
	return h, err
}

// refresh renews a token: one replica does, and the others take what it was given.
func (p *personal) refresh(ctx context.Context, who string, k kept) (held, error) {
	lease, leases := "refresh "+whoseLease(who, p.row), p.s.broker.keeper.Load().State.Leases
	tick := time.NewTicker(leasePoll)
	defer tick.Stop()
	for {
		now := p.s.broker.o.Now()
		err := leases.Take(ctx, lease, p.holder, now, now.Add(leaseFor))
		if err == nil {
			break
		}
		if !errors.Is(err, store.ErrConflict) {
			return p.failed(ctx, who, k, fmt.Errorf("take the lease: %w", err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return p.failed(ctx, who, k, fmt.Errorf("wait for another replica: %w", ctx.Err()))
		}
		if next, err := p.s.broker.vault.load(ctx, who, p.row); err == nil && next.version != k.version {
			return p.judge(ctx, who, next)
		}
	}
	defer func() {
		giving, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
		defer cancel()
		_ = leases.Release(giving, lease, p.holder) // it ends by itself
	}()
	// Whoever had the lease before may have done it.
	next, err := p.s.broker.vault.load(ctx, who, p.row)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return held{}, errLogin
	case err != nil:
		return p.failed(ctx, who, k, err)
	case next.version != k.version && p.state(who, next) != due:
		return p.judge(ctx, who, next)
	}
	return p.renew(ctx, who, next)
}

// whoseLease names a lease; names have a bound.
func whoseLease(who, row string) string { return rowOf(row, who) }

// renew asks the authorization server; the lease is ours.
func (p *personal) renew(ctx context.Context, who string, k kept) (held, error) {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {k.Refresh}}
	if k.Resource != "" {
		form.Set("resource", k.Resource)
	}
	tokens, err := p.s.client.Ask(ctx, k.place(), p.s.clientOf(k.credential), form)
	var refusal *oauth.Refusal
	if errors.As(err, &refusal) && (refusal.Code == "invalid_grant" || refusal.Code == "invalid_client" && k.Client.ID != p.s.cfg.ClientID) {
		return p.end(ctx, who, k, refusal.Code)
	}
	if err != nil {
		return p.failed(ctx, who, k, err)
	}
	k.Access, k.Expires, k.Obtained, k.Over = tokens.Access, tokens.Expires, p.s.broker.o.Now(), false
	if tokens.Refresh != "" {
		k.Refresh = tokens.Refresh
	}
	if tokens.Scopes != nil {
		k.Scopes = tokens.Scopes
	}
	p.with(who, func(st *standing) { st.unsaved, st.pause = &k, pause{} })
	if err := p.rescue(ctx, who); err != nil {
		return held{}, err
	}
	next, err := p.s.broker.vault.load(ctx, who, p.row)
	if errors.Is(err, store.ErrNotFound) {
		return held{}, errLogin // it was removed meanwhile
	}
	if err != nil {
		return p.failed(ctx, who, k, err)
	}
	return p.judge(ctx, who, next)
}

const (
	saveTimeout = 5 * time.Second
	savePause   = 200 * time.Millisecond
)

// rescue writes tokens that were given and are not written yet: before the first
// use, since they are worth nothing once they are forgotten, and the refresh token
// before them is spent. It tries for a while, and again with the next call.
func (p *personal) rescue(ctx context.Context, who string) error {
	var unsaved *kept
	p.mu.Lock()
	if st := p.known[who]; st != nil {
		unsaved = st.unsaved
	}
	p.mu.Unlock()
	if unsaved == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
	defer cancel()
	tick := time.NewTicker(savePause)
	defer tick.Stop()
	for {
		_, err := p.s.broker.vault.save(ctx, who, p.row, *unsaved)
		if err == nil || errors.Is(err, store.ErrConflict) { // somebody has logged in anew, or it was removed
			p.with(who, func(st *standing) { st.unsaved = nil })
			if err != nil {
				p.s.orphaned(ctx, who, unsaved.credential)
			}
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.s.log.ErrorContext(ctx, "renewed credential cannot be written, it is tried again", "principal", who, "err", err)
			return p.s.unavailable("your renewed token cannot be kept now; try again later")
		}
	}
}

// failed notes that a token could not be refreshed now.
func (p *personal) failed(ctx context.Context, who string, k kept, why error) (held, error) {
	p.s.log.WarnContext(ctx, "token cannot be refreshed now", "principal", who, "err", why)
	p.with(who, func(st *standing) { st.pause.fail(p.s.broker.o.Now(), why) })
	return p.meanwhile(who, k)
}

// end notes that a credential holds no longer, by the word of its authorization
// server. Who has logged in meanwhile has another.
func (p *personal) end(ctx context.Context, who string, k kept, why string) (held, error) {
	p.s.log.WarnContext(ctx, "credential has ended, its owner has to log in again", "principal", who, "reason", why)
	if why == "invalid_client" {
		p.s.broker.forgetRegistration(ctx, k.Issuer)
	}
	if why == "invalid_grant" && k.Over {
		p.s.broker.noteGrant(ctx, k.Issuer)
	}
	k.Ended, k.Access, k.Refresh = why, "", ""
	_, err := p.s.broker.vault.save(ctx, who, p.row, k)
	if errors.Is(err, store.ErrConflict) {
		next, err := p.s.broker.vault.load(ctx, who, p.row)
		if err == nil && next.Ended == "" && next.held().good(p.s.broker.o.Now()) {
			return next.held(), nil
		}
	}
	return held{}, errLogin
}

// refused takes that a server did not take a token.
func (p *personal) refused(who string, h held, scopes []string) {
	now := p.s.broker.o.Now()
	p.with(who, func(st *standing) {
		if st.value != h.value {
			return
		}
		if scopes != nil {
			st.scopes = scopes
			return
		}
		st.stale = h.value
		if now.Before(h.obtained.Add(minAge)) {
			st.blocked = now.Add(blockFor)
		}
	})
}

// wanted are scopes that the server has asked for besides those that were granted:
// a new login asks for both (2026-07-28, basic/authorization, "Step-Up").
func (p *personal) wanted(ctx context.Context, who string) []string {
	var scopes []string
	p.mu.Lock()
	if st := p.known[who]; st != nil {
		scopes = slices.Clone(st.scopes)
	}
	p.mu.Unlock()
	if scopes == nil {
		return nil
	}
	if k, err := p.s.broker.vault.load(ctx, who, p.row); err == nil {
		scopes = append(scopes, k.Scopes...)
	}
	slices.Sort(scopes)
	return slices.Compact(scopes)
}

// forget looks into the store anew the next time, and lets go of what was held
// against an older token.
func (p *personal) forget(who string) {
	p.with(who, func(st *standing) { *st = standing{unsaved: st.unsaved} })
}

// clientOf is who the gateway was when it was given a credential: by its
// configuration, whose secret may have changed since, or by registration.
func (s *Server) clientOf(c credential) oauth.ClientID {
	if s.cfg.ClientID != "" && c.Client.ID == s.cfg.ClientID {
		return s.configured()
	}
	return c.Client
}
