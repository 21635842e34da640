package credential

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
)

// Ended is a login that was forgotten.
type Ended struct {
	Principal, Server string
	// Fault is why its authorization server was not told; nil if it was.
	Fault error
}

var errCannotBeTold = errors.New("its authorization server has no address for that (revocation_endpoint)")

// LogOut forgets the logins of a principal at a server, or with an empty one of all
// principals, and then has their authorization servers take them back (RFC 7009).
// What cannot be taken back is forgotten even so. The error is about those that are
// still there; in Ended are those that are not.
func (b *Broker) LogOut(ctx context.Context, principal, server string) ([]Ended, error) {
	type gone struct {
		who string
		kept
		fault error
		aside bool
	}
	var all []gone
	state := b.keeper.Load().State
	var err error
	for c, each := range state.Credentials.All(ctx, principal) {
		if err = each; err != nil {
			break
		}
		name, _, _ := strings.Cut(c.Issuer, " ")
		name, aside := strings.CutPrefix(name, asidePrefix)
		if c.Principal == registrar || name != server {
			continue
		}
		k, fault := b.vault.load(ctx, c.Principal, c.Issuer)
		if err = state.Credentials.Remove(ctx, c.Principal, c.Issuer); err != nil && !errors.Is(err, store.ErrNotFound) {
			break
		}
		err = nil
		all = append(all, gone{c.Principal, k, fault, aside})
	}
	telling, cancel := context.WithTimeout(ctx, logOutTimeout)
	defer cancel()
	var ended []Ended
	for _, g := range all {
		fault := g.fault
		if fault == nil {
			fault = b.serverNamed(server).takeBack(telling, g.credential)
		} else {
			fault = fmt.Errorf("what was kept of it cannot be read: %w", fault)
		}
		if !g.aside {
			ended = append(ended, Ended{Principal: g.who, Server: server, Fault: fault})
		}
	}
	return ended, err
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
			s.log.WarnContext(ctx, "login whose code was not given is not taken back", "principal", who, "err", err)
		}
	})
}
