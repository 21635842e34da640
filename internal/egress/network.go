// Package egress is the only way out to a network. It dials, checks the address
// that it dials, and speaks HTTP/1.1 as a client over connections that it keeps
// between requests.
//
// The client is our own because net/http's Transport starts two goroutines per
// connection and hands every request to them and back, which costs more than
// the rest of a forwarded call together (docs/performance.md). Here the caller's
// goroutine writes and reads:
//
//	RoundTrip ── head and body in one write ──► connection ── strict parse ──► *http.Response
//	    ▲                                                                          │
//	    └── host: idle connections, newest first ◄── body read to its end ─────────┘
//
// The package does not know what travels: not MCP, not retries of calls, not
// credentials, not which server an address belongs to. It follows no redirects,
// keeps no cookies, and never asks for compression.
package egress

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"syscall"
	"time"
)

// ErrNotSent is wrapped by every error of a request of which the peer has seen
// nothing: it may be sent again, whatever it asks for.
var ErrNotSent = errors.New("request was not sent")

// ErrBusy is wrapped, together with ErrNotSent, when Limits.WaitingPerHost is reached.
var ErrBusy = errors.New("too many requests wait for a connection")

// Options say how a Network reaches out. The zero value is ready to use.
type Options struct {
	// Allow is asked for every address that a name was resolved to, right before
	// a connection to it is opened; its error refuses the address. It may be
	// called concurrently. Nil allows every address. Of a request that goes
	// through a proxy it sees the proxy's address only.
	Allow func(netip.AddrPort) error
	// Guard, when set, resolves every name itself and lets through only what its
	// policy allows; see guard.go. Nil allows every destination.
	Guard *Guard
	// Proxy returns the proxy for a request, nil for none, as
	// http.ProxyFromEnvironment does; it is asked once for each scheme and host.
	// A nil Proxy means that there is none.
	Proxy func(*http.Request) (*url.URL, error)
	// TLS is where the settings for https begin; it is cloned. Nil means the
	// system's roots and TLS 1.2 at least.
	TLS *tls.Config
	// UserAgent is sent by requests that bring none. Default "dragoman".
	UserAgent string
	// DialTimeout bounds the lookup, the connect and the TLS handshake together.
	// Default 10 s.
	DialTimeout time.Duration
	// MaxHeadBytes bounds the head of an answer, interim answers included.
	// Default 64 KiB.
	MaxHeadBytes int
	// Limits are those of the pool behind RoundTripper and HTTPClient.
	Limits Limits
}

// Limits bound the connections of a Pool. Zero fields mean the default.
type Limits struct {
	// IdlePerHost is how many connections are kept between requests. Default 256.
	IdlePerHost int
	// ConnsPerHost is how many connections there are at once, streams included;
	// further requests wait for one. Default 16384.
	ConnsPerHost int
	// WaitingPerHost is how many requests may wait for a connection. Default 4096.
	WaitingPerHost int
	// IdleTimeout is how long a connection is kept between requests, less when
	// the peer announces that it keeps it for less. Default 60 s.
	IdleTimeout time.Duration
	// Pins are keys of which one has to be in the chain of each peer's certificate, which has to be valid
	// besides: each is "sha256/" and the base64 of the SHA-256 of a SubjectPublicKeyInfo. Empty means that a valid
	// certificate is enough.
	Pins []string
}

func (l Limits) complete() Limits {
	return Limits{
		Pins:           l.Pins,
		IdlePerHost:    cmp.Or(l.IdlePerHost, 256),
		ConnsPerHost:   cmp.Or(l.ConnsPerHost, 16384),
		WaitingPerHost: cmp.Or(l.WaitingPerHost, 4096),
		IdleTimeout:    cmp.Or(l.IdleTimeout, time.Minute),
	}
}

// Network is a way out. All methods may be called concurrently.
type Network struct {
	o       Options
	pool    *Pool
	cancel  context.CancelFunc
	reaper  sync.WaitGroup
	buffers buffers
	texts   texts

	mu    sync.Mutex // guards pools
	pools map[*Pool]struct{}
}

// New returns a Network. Close releases what it keeps.
func New(o Options) *Network {
	o.UserAgent = cmp.Or(o.UserAgent, "dragoman")
	o.DialTimeout = cmp.Or(o.DialTimeout, 10*time.Second)
	o.MaxHeadBytes = cmp.Or(o.MaxHeadBytes, 64<<10)
	o.Limits = o.Limits.complete()
	if o.TLS == nil {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	o.TLS = o.TLS.Clone()
	if o.TLS.ClientSessionCache == nil {
		o.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(maxTLSSessions)
	}
	if o.Guard != nil {
		o.Proxy = o.Guard.viaProxy(o.Proxy)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n := &Network{o: o, cancel: cancel, pools: make(map[*Pool]struct{})}
	n.pool = n.Pool(o.Limits)
	n.reaper.Go(func() { n.reap(ctx) })
	return n
}

// maxTLSSessions is how many hosts' TLS sessions are kept for a shorter handshake.
const maxTLSSessions = 256

// RoundTripper returns the Network's own pool. The context of a request is the
// bound of its waits, until the body of its answer has been read or closed.
func (n *Network) RoundTripper() http.RoundTripper { return n.pool }

// HTTPClient returns a client over the Network's own pool, for libraries that
// want one: it hands redirects to its caller. The body of an answer 101 is an
// io.ReadWriteCloser, to which the request's context no longer applies.
func (n *Network) HTTPClient() *http.Client {
	return &http.Client{
		Transport:     n.pool,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Pool returns a pool of connections of its own, for who needs other bounds
// than the rest. Its Close, or the Network's, ends it.
func (n *Network) Pool(l Limits) *Pool {
	p := &Pool{network: n, limits: l.complete(), tls: pinned(n.o.TLS, l.Pins), hosts: make(map[hostKey]*host)}
	p.fallback = n.newFallback(p.limits, p.tls)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pools[p] = struct{}{}
	return p
}

// Close ends all pools: connections between requests are closed now, those in
// use when the body of their answer has been read or closed. It waits for the
// Network's own goroutine only.
func (n *Network) Close() error {
	n.cancel()
	n.reaper.Wait()
	for _, p := range n.snapshot() {
		p.Close()
	}
	return nil
}

func (n *Network) snapshot() []*Pool {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]*Pool, 0, len(n.pools))
	for p := range n.pools {
		all = append(all, p)
	}
	return all
}

func (n *Network) forget(p *Pool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.pools, p)
}

// reap closes connections that nobody used for long. Those that are too old
// are not used again either way; this only gives their memory back.
func (n *Network) reap(ctx context.Context) {
	tick := time.NewTicker(max(n.o.Limits.IdleTimeout/2, time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, p := range n.snapshot() {
				p.reap(now)
			}
		}
	}
}

// DialContext opens a connection, for drivers of databases and the like that
// take a function for it. network is tcp, tcp4 or tcp6, address host:port.
func (n *Network) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return n.dialTCP(ctx, network, address)
}

// LookupHost is for drivers that resolve names before they dial: it gives the
// name back, so that DialContext gets it, resolves it and judges it.
func (n *Network) LookupHost(_ context.Context, host string) ([]string, error) {
	return []string{host}, nil
}

// dialTCP opens a connection to one of the addresses of a host, whichever answers first.
func (n *Network) dialTCP(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: n.o.DialTimeout, Control: n.checkAddress}
	if n.o.Guard != nil {
		return n.o.Guard.dial(ctx, &d, network, address)
	}
	return d.DialContext(ctx, network, address)
}

// checkAddress is the one place where it is decided whether an address may be
// reached. The dialer calls it after the name was resolved and before it
// connects, so that the address that was judged is the one that is used.
func (n *Network) checkAddress(_, address string, _ syscall.RawConn) error {
	if n.o.Allow == nil {
		return nil
	}
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("check address %q: %w", address, err)
	}
	return n.o.Allow(netip.AddrPortFrom(at.Addr().Unmap(), at.Port()))
}

// dialTLS adds TLS to a connection, with HTTP/1.1 as the only protocol on offer.
func (n *Network) dialTLS(ctx context.Context, settings *tls.Config, address, serverName string) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, n.o.DialTimeout)
	defer cancel()
	plain, err := n.dialTCP(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	settings = settings.Clone()
	settings.ServerName = cmp.Or(settings.ServerName, serverName)
	settings.NextProtos = []string{"http/1.1"}
	c := tls.Client(plain, settings)
	if err := c.HandshakeContext(ctx); err != nil {
		_ = plain.Close()
		return nil, fmt.Errorf("TLS handshake with %s: %w", address, err)
	}
	return c, nil
}
