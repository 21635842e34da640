// Package credential is what the gateway shows to servers: a token of its own
// (OAuth client credentials), one of each caller's, who logs in at the server's
// authorization server in a browser, or one that the caller's own token is
// exchanged for (RFC 8693).
//
//	call ──► Server.Handler ── a token? ──no──► the caller is asked to log in ──► Pages ──► store
//	              └──yes──► upstream ──► Server.Transport: puts it on each request
//
// A token is found in memory, else in the store, else it is fetched or refreshed,
// by one of all who wait for it, on one of all replicas. What a caller showed to
// the gateway goes to no server: to exchange it is the one use that it has.
//
// It does not know how callers show who they are, how servers are reached, nor how
// what it keeps is encrypted.
package credential

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth/oauth"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/secret"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// Keeper is what a Broker keeps credentials with.
type Keeper struct {
	// State keeps credentials, leases, and what was spent.
	State *store.Store
	// Box encrypts credentials.
	Box *secret.Box
	// Sealer encrypts what travels through the browser.
	Sealer Sealer
}

// Options are what a Broker works with. Near and Far are needed.
type Options struct {
	// Base is the gateway's address for browsers, without a slash at the end; empty
	// while it has none.
	Base func() string
	// Near reaches what the operator has named, Far what others name; see oauth.Options.
	Near, Far *http.Client
	// Passwords gives who knows the passwords of local users; nil where they let
	// nobody in.
	Passwords func() Passwords
	// Changed is told that what a server shows to somebody may be something else now.
	Changed func(server string)
	// Log takes what goes on; nil discards it.
	Log *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Sealer encrypts small things bound to what they are called.
type Sealer interface {
	Seal(ctx context.Context, name string, plain []byte) ([]byte, error)
	Open(ctx context.Context, name string, sealed []byte) ([]byte, error)
}

// Passwords says whether a local user's password is right.
type Passwords interface {
	Verify(ctx context.Context, name, password string) (store.User, error)
}

// Broker has the credentials of all servers. It may be used concurrently. Close it.
type Broker struct {
	o       Options
	keeper  atomic.Pointer[Keeper] // nil: no server is of the type oauth
	vault   vault
	inbound inbound
	work    sync.WaitGroup // fetches under way
	trades  atomic.Bool    // some server's tokens are exchanged for those of callers

	mu      sync.Mutex // guards what follows
	servers map[string]*Server
	news    chan struct{} // closed, and replaced, when somebody has logged in
	waiting int           // calls that wait for that
}

// New returns a Broker.
func New(o Options) *Broker {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Base == nil {
		o.Base = func() string { return "" }
	}
	if o.Passwords == nil {
		o.Passwords = func() Passwords { return nil }
	}
	if o.Changed == nil {
		o.Changed = func(string) {}
	}
	b := &Broker{o: o, servers: make(map[string]*Server), news: make(chan struct{})}
	b.vault = vault{b: b}
	b.inbound = inbound{now: o.Now, known: make(map[string]shown)}
	return b
}

// Keep gives it what to keep credentials with: before the first server of the type
// oauth, and once.
func (b *Broker) Keep(k Keeper) { b.keeper.CompareAndSwap(nil, &k) }

// Keeps says whether it has that.
func (b *Broker) Keeps() bool { return b.keeper.Load() != nil }

// Close waits for what is under way: a token that was refreshed is lost if it is
// not kept. That takes flightTimeout at most.
func (b *Broker) Close() { b.work.Wait() }

// Trades says whether what callers show is wanted.
func (b *Broker) Trades() bool { return b.trades.Load() }

// Shown notes what a caller has shown, for servers whose tokens it is exchanged
// for. expires may be zero. It is kept in memory only, and only the last one.
func (b *Broker) Shown(principal string, token secret.Value, expires time.Time) {
	b.inbound.note(whoIs(principal), token, expires)
}

// whoIs is whom a credential belongs to: a principal, or whoever calls where
// nobody is asked.
func whoIs(principal string) string {
	if principal == "" {
		return nobody
	}
	return principal
}

// nobody stands for all who call a gateway that asks nobody who they are.
const nobody = "anyone"

// source has the tokens of one server.
type source interface {
	// token gives what to show for somebody. The error is errLogin if they have to
	// log in first, and a *mcp.Error for what they may be told otherwise.
	token(ctx context.Context, who string) (held, error)
	// refused says that the server did not take a token, or not for this: then it
	// has named scopes.
	refused(who string, h held, scopes []string)
}

// held is a token in memory.
type held struct {
	value    string
	obtained time.Time
	expires  time.Time // zero: not known
}

// good says whether a token can be shown for a while, and usable whether it can be
// shown at all: it is renewed a little before it ends.
func (h held) good(now time.Time) bool {
	if h.expires.IsZero() {
		return true
	}
	early := min(early, h.expires.Sub(h.obtained)/5)
	return now.Before(h.expires.Add(-early))
}

func (h held) usable(now time.Time) bool { return h.expires.IsZero() || now.Before(h.expires) }

// early is how long before its end a token is renewed, of those that last long.
const early = time.Minute

// Server is one server, with whatever is shown to it. It lasts for one
// configuration of the server.
type Server struct {
	broker *Broker
	name   string
	url    string
	cfg    config.Credential
	client *oauth.Client
	log    *slog.Logger
	source source
	known  atomic.Pointer[knownPlace]
}

// Server returns what is shown to a server; nil if that is nothing, or only what is
// in its headers.
func (b *Broker) Server(cfg config.Server) *Server {
	replicas := cfg.Replicas()
	if cfg.Auth.Type == "" || cfg.Auth.Type == "none" || len(replicas) == 0 {
		return nil
	}
	s := &Server{broker: b, name: cfg.Name, url: replicas[0].URL, cfg: cfg.Auth, log: b.o.Log.With("server", cfg.Name)}
	hosts := []string{hostOf(cfg.Auth.Issuer), hostOf(cfg.Auth.TokenURL)}
	for _, r := range replicas {
		hosts = append(hosts, hostOf(r.URL))
	}
	s.client = oauth.New(oauth.Options{Near: b.o.Near, Far: b.o.Far, Hosts: hosts, Now: b.o.Now})
	switch cfg.Auth.Type {
	case "oauth":
		s.source = newPersonal(s)
	case "exchange":
		s.source = newFetched(s, s.exchange)
	default:
		s.source = newFetched(s, s.own)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.servers[cfg.Name] = s
	b.trades.Store(b.trades.Load() || cfg.Auth.Type == "exchange")
	return s
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}

// find returns a server as it was configured last; nil if it never was.
func (b *Broker) find(name string) *Server {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.servers[name]
}

// listen returns what is closed when somebody has logged in.
func (b *Broker) listen() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.news
}

// tell lets those look again who wait for somebody to log in.
func (b *Broker) tell(server string) {
	b.wake()
	b.o.Changed(server)
}

// wake lets those look again who wait.
func (b *Broker) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.news)
	b.news = make(chan struct{})
}

// unavailable is what a caller is told when a token cannot be had now.
func (s *Server) unavailable(format string, args ...any) *mcp.Error {
	wire := mcp.Errorf(mcp.CodeUnavailable, "server "+s.name+" cannot be called now: "+format, args...)
	return mcp.ErrorData(wire.Code, wire.Message, map[string]any{"server": s.name, "reason": "credential"})
}
