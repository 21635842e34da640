package credential

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth/oauth"
	"github.com/dragoman-mcp/dragoman/internal/store"
)

const (
	// revokeTimeout is how long an authorization server may take to take a login back.
	revokeTimeout = 5 * time.Second
	// logOutTimeout bounds the telling of all authorization servers, of the logins of
	// everybody for one.
	logOutTimeout = time.Minute
	// maxTellers bounds the logins that are being taken back at once.
	maxTellers = 8
)

// Ended is a login that was forgotten.
type Ended struct {
	Principal, Server string
	// Fault is why its authorization server was not told; nil if it was.
	Fault error
}

var errCannotBeTold = errors.New("its authorization server has no address for that (revocation_endpoint)")

// gone is a login that was, or is to be, forgotten.
type gone struct {
	who, server string
	kept
	fault error // why it cannot be read
	aside bool
}

// LogOut forgets the logins of a principal at a server, or with an empty one of all
// principals, and then has their authorization servers take them back (RFC 7009).
// What cannot be taken back is forgotten even so. The error is about those that are
// still there; in Ended are those that are not.
func (b *Broker) LogOut(ctx context.Context, principal, server string) ([]Ended, error) {
	remove := b.keeper.Load().State.Credentials.Remove
	all, err := b.gather(ctx, principal, func(name string) bool { return name == server }, func(c store.Credential) error {
		return remove(ctx, c.Principal, c.Issuer)
	})
	return b.takeAllBack(ctx, all), err
}

// Erase forgets all that is kept for a principal and the keys that it was encrypted
// with, as the function of this name does, and then has authorization servers take
// the logins back. With an error something of it may still be there.
func (b *Broker) Erase(ctx context.Context, principal string) ([]Ended, error) {
	if principal == "" {
		return nil, errors.New("erase: nobody is named")
	}
	all, unread := b.gather(ctx, principal, func(string) bool { return true }, func(store.Credential) error { return nil })
	if err := Erase(ctx, b.keeper.Load().State, principal); err != nil {
		return nil, errors.Join(err, unread)
	}
	return b.takeAllBack(ctx, all), nil // what could not be listed is erased too
}

// gather reads the logins of a principal, or with an empty one of all, at servers by
// their names, and does something with the row of each right after. It ends with the
// first error, and gives what came before.
func (b *Broker) gather(ctx context.Context, principal string, at func(server string) bool, then func(store.Credential) error) ([]gone, error) {
	var all []gone
	for c, err := range b.keeper.Load().State.Credentials.All(ctx, principal) {
		if err != nil {
			return all, err
		}
		name, _, _ := strings.Cut(c.Issuer, " ")
		name, aside := strings.CutPrefix(name, asidePrefix)
		if c.Principal == registrar || !at(name) {
			continue
		}
		k, fault := b.vault.load(ctx, c.Principal, c.Issuer)
		if err := then(c); err != nil && !errors.Is(err, store.ErrNotFound) {
			return all, err
		}
		all = append(all, gone{c.Principal, name, k, fault, aside})
	}
	return all, nil
}

// takeAllBack has authorization servers take logins back, a few at once, and says
// what came of it. It takes logOutTimeout at most.
func (b *Broker) takeAllBack(ctx context.Context, all []gone) []Ended {
	ctx, cancel := context.WithTimeout(ctx, logOutTimeout)
	defer cancel()
	var tellers sync.WaitGroup
	places := make(chan struct{}, maxTellers)
	for i := range all {
		g := &all[i]
		if g.fault != nil {
			g.fault = fmt.Errorf("what was kept of it cannot be read: %w", g.fault)
			continue
		}
		places <- struct{}{} // for as long as the others' time lasts
		tellers.Go(func() {
			defer func() { <-places }()
			g.fault = b.serverNamed(g.server).takeBack(ctx, g.credential)
		})
	}
	tellers.Wait()
	var ended []Ended
	for _, g := range all {
		if !g.aside {
			ended = append(ended, Ended{Principal: g.who, Server: g.server, Fault: g.fault})
		}
	}
	return ended
}

// serverNamed is a server as it is configured, or one of which nothing is known.
func (b *Broker) serverNamed(name string) *Server {
	if s := b.find(name); s != nil {
		return s
	}
	return &Server{broker: b, name: name, log: b.o.Log.With("server", name), client: oauth.New(oauth.Options{Near: b.o.Near, Far: b.o.Far, Now: b.o.Now})}
}

// takeBack has the tokens of a login taken back: the refresh token, with which most
// authorization servers end the whole login, and then the access token, which some do
// not take along.
func (s *Server) takeBack(ctx context.Context, c credential) error {
	if c.Ended != "" || c.Access == "" && c.Refresh == "" {
		return nil // by the word of the authorization server itself
	}
	if c.Revoke == "" {
		return errCannotBeTold
	}
	ctx, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	var faults []error
	for _, t := range []struct{ kind, token string }{{"refresh_token", c.Refresh}, {"access_token", c.Access}} {
		if t.token != "" {
			faults = append(faults, s.client.Revoke(ctx, c.place(), s.clientOf(c), t.kind, t.token))
		}
	}
	return errors.Join(faults...)
}

// takeBackLater does so behind the caller's back, for a login that nobody will use.
func (s *Server) takeBackLater(ctx context.Context, who string, c credential) {
	ctx = context.WithoutCancel(ctx)
	s.broker.work.Go(func() {
		if err := s.takeBack(ctx, c); err != nil {
			s.log.WarnContext(ctx, "login that nobody will use is not taken back", "principal", who, "err", err)
		}
	})
}

// supersede takes back a login of somebody whose place another has taken. now is that
// one; in its record stands that it was done (see credential.Over).
//
// Some authorization servers have one grant for each user and client and end the new
// login with the older one, which RFC 7009, 2.1 leaves to them. Such a one is known
// after the first time: its refresh token did not hold once, and who it belonged to
// has had to log in again. Where there is no refresh token it cannot be found out, and nothing is taken back.
func (s *Server) supersede(ctx context.Context, who string, was, now credential) {
	if !was.revocable() || was.Login == now.Login || was.Issuer == now.Issuer && (now.Refresh == "" || s.broker.oneGrant(ctx, now.Issuer)) {
		return
	}
	s.takeBackLater(ctx, who, was)
}

// orphaned takes back tokens that were given in a refresh and have no place any more:
// their login was removed meanwhile, or there is another.
func (s *Server) orphaned(ctx context.Context, who string, c credential) {
	now, err := s.broker.vault.load(ctx, who, rowOf(s.name, s.url))
	switch {
	case errors.Is(err, store.ErrNotFound):
		s.takeBackLater(ctx, who, c)
	case err == nil: // another login, or the same that another replica has refreshed
		s.supersede(ctx, who, c, now.credential)
	}
}

// revocable says whether there is something to take back, and who to tell.
func (c credential) revocable() bool {
	return c.Revoke != "" && c.Ended == "" && (c.Access != "" || c.Refresh != "")
}

// grantRow is where the gateway remembers of an issuer that it has one grant for each
// user and client.
func grantRow(issuer string) string { return rowOf("one-grant", issuer) }

func (b *Broker) oneGrant(ctx context.Context, issuer string) bool {
	_, err := b.vault.load(ctx, registrar, grantRow(issuer))
	return !errors.Is(err, store.ErrNotFound) // while it cannot be told, nothing is ended
}

// noteGrant remembers it, after a login has ended that took the one before it back.
func (b *Broker) noteGrant(ctx context.Context, issuer string) {
	b.o.Log.InfoContext(ctx, "authorization server ends new logins with older ones, which are not taken back there from now on", "issuer", issuer)
	if _, err := b.vault.replace(ctx, registrar, grantRow(issuer), credential{Issuer: issuer}); err != nil {
		b.o.Log.WarnContext(ctx, "it cannot be remembered of an authorization server that it has one grant for each user", "issuer", issuer, "err", err)
	}
}
