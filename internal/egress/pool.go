package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"
)

// maxHosts bounds the hosts that a pool remembers at once. Those without a
// connection are forgotten first.
const maxHosts = 4096

// Pool keeps connections between requests. It implements http.RoundTripper;
// all methods may be called concurrently.
//
// A request goes out on a new connection, or on one that has answered before
// and is seen to be open and silent. If such a connection breaks before the
// first byte of an answer, the request is sent again on a new connection only
// when the peer cannot have acted on it: nothing of it was written, or it has
// no body and its method is safe (RFC 9110 §9.2.1).
type Pool struct {
	network  *Network
	limits   Limits
	tls      *tls.Config // with the pins
	fallback *fallback

	mu     sync.RWMutex // guards hosts and closed
	hosts  map[hostKey]*host
	closed bool
}

var _ http.RoundTripper = (*Pool)(nil)

// hostKey is a host as a URL spells it. Two spellings of one host do not share
// connections.
type hostKey struct{ scheme, host string }

// host is where a pool's connections lead.
type host struct {
	pool       *Pool
	address    string // host:port to dial
	header     string // value of the Host header
	serverName string // for TLS; empty for plain http
	indirect   atomic.Bool

	mu      sync.Mutex // guards what follows
	idle    []*conn    // newest last
	open    int        // connections that exist or are being dialled
	waiting []*waiter  // first come, first served
	gone    bool       // the pool has forgotten this host: nothing is kept any more
}

// waiter is a request that waits for a connection. The channel has room for
// the one value that it gets: a connection, or nil for the leave to dial.
type waiter struct{ turn chan *conn }

// hostOf finds or makes the host of a request.
func (p *Pool) hostOf(req *http.Request) (*host, error) {
	key := hostKey{req.URL.Scheme, req.URL.Host}
	p.mu.RLock()
	h, closed := p.hosts[key], p.closed
	p.mu.RUnlock()
	if h != nil || closed {
		return h, closedError(closed)
	}
	h, err := p.newHost(req)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if was := p.hosts[key]; was != nil || p.closed {
		return was, closedError(p.closed)
	}
	if len(p.hosts) >= maxHosts {
		p.sweep(time.Now())
		maps.DeleteFunc(p.hosts, func(_ hostKey, h *host) bool { return h.indirect.Load() })
	}
	if len(p.hosts) >= maxHosts {
		return nil, fmt.Errorf("%d hosts have connections: %w", maxHosts, ErrBusy)
	}
	p.hosts[key] = h
	return h, nil
}

func closedError(closed bool) error {
	if closed {
		return net.ErrClosed
	}
	return nil
}

func (p *Pool) newHost(req *http.Request) (*host, error) {
	name, err := httpguts.PunycodeHostPort(req.URL.Host)
	if err != nil || !httpguts.ValidHostHeader(name) || req.URL.Hostname() == "" {
		return nil, fmt.Errorf("URL has no valid host: %q", req.URL.Host)
	}
	port := req.URL.Port()
	h := &host{pool: p, header: withoutZone(name)}
	bare := strings.TrimSuffix(name, ":"+port)
	switch req.URL.Scheme {
	case "http":
		port = orDefault(port, "80")
	case "https":
		port = orDefault(port, "443")
		h.serverName = strings.Trim(withoutZone(bare), "[]")
	default:
		return nil, fmt.Errorf("URL scheme is %q; it must be http or https", req.URL.Scheme)
	}
	h.address = net.JoinHostPort(strings.Trim(bare, "[]"), port)
	if p.network.o.Proxy == nil {
		return h, nil
	}
	proxy, err := p.network.o.Proxy(req)
	if err != nil {
		return nil, fmt.Errorf("find proxy for %s: %w", h.address, err)
	}
	h.indirect.Store(proxy != nil)
	return h, nil
}

func orDefault(port, standard string) string {
	if port == "" {
		return standard
	}
	return port
}

// withoutZone cuts the zone of an IPv6 address, which means nothing to a peer
// (RFC 6874 §4).
func withoutZone(host string) string {
	from := strings.IndexByte(host, '%')
	to := strings.IndexByte(host, ']')
	if from < 0 || to < from {
		return host
	}
	return host[:from] + host[to:]
}

// Close closes the connections between requests now, and those in use when
// they are given back. Requests fail from now on.
func (p *Pool) Close() {
	p.network.forget(p)
	p.mu.Lock()
	p.closed = true
	hosts := p.hosts
	p.hosts = nil
	p.mu.Unlock()
	for _, h := range hosts {
		h.expire(time.Time{}, true)
	}
	p.fallback.close()
}

func (p *Pool) reap(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweep(now)
}

// sweep closes what is too old and forgets hosts without a connection. The
// caller holds p.mu.
func (p *Pool) sweep(now time.Time) {
	for key, h := range p.hosts {
		if h.expire(now, false) {
			delete(p.hosts, key)
		}
	}
}

// expire closes the connections that are too old, or all. It reports whether
// the host may be forgotten, and then keeps nothing from now on.
func (h *host) expire(now time.Time, all bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	kept := h.idle[:0]
	for _, c := range h.idle {
		if all || now.After(c.expires) {
			_ = c.net.Close()
			h.open--
			continue
		}
		kept = append(kept, c)
	}
	clear(h.idle[len(kept):])
	h.idle = kept
	if all || h.open == 0 && len(h.waiting) == 0 && !h.indirect.Load() {
		h.gone = true
	}
	return h.gone
}

// acquire returns a connection: one that was kept, unless fresh is set, or a new one.
func (h *host) acquire(ctx context.Context, fresh bool) (*conn, error) {
	for {
		c, w, err := h.take(fresh)
		if err != nil {
			return nil, err
		}
		if w != nil {
			if c, err = h.await(ctx, w); err != nil {
				return nil, err
			}
		}
		if c == nil {
			return h.dial(ctx)
		}
		if !fresh && time.Now().Before(c.expires) && c.quiet() {
			return c, nil
		}
		h.discard(c)
	}
}

// take returns a kept connection, or a place in the queue, or neither: then
// the caller has leave to dial.
func (h *host) take(fresh bool) (*conn, *waiter, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	full := h.open >= h.pool.limits.ConnsPerHost
	if last := len(h.idle) - 1; last >= 0 && (!fresh || full) {
		c := h.idle[last]
		h.idle[last] = nil
		h.idle = h.idle[:last]
		return c, nil, nil
	}
	if !full {
		h.open++
		return nil, nil, nil
	}
	if len(h.waiting) >= h.pool.limits.WaitingPerHost {
		return nil, nil, ErrBusy
	}
	w := &waiter{turn: make(chan *conn, 1)}
	h.waiting = append(h.waiting, w)
	return nil, w, nil
}

func (h *host) await(ctx context.Context, w *waiter) (*conn, error) {
	select {
	case c := <-w.turn:
		return c, nil
	case <-ctx.Done():
	}
	h.mu.Lock()
	at := slices.Index(h.waiting, w)
	if at >= 0 {
		h.waiting = slices.Delete(h.waiting, at, at+1)
	}
	h.mu.Unlock()
	if at < 0 { // its turn came in the same moment
		if c := <-w.turn; c != nil {
			h.release(c)
		} else {
			h.vacate()
		}
	}
	return nil, ctx.Err()
}

// next returns who waits longest; nil if nobody does. The caller holds h.mu.
func (h *host) next() *waiter {
	if len(h.waiting) == 0 {
		return nil
	}
	w := h.waiting[0]
	h.waiting[0] = nil
	h.waiting = h.waiting[1:]
	return w
}

// release takes back a connection on which the next request may go out.
func (h *host) release(c *conn) {
	h.mu.Lock()
	if w := h.next(); w != nil {
		h.mu.Unlock()
		w.turn <- c
		return
	}
	if h.gone || len(h.idle) >= h.pool.limits.IdlePerHost {
		h.mu.Unlock()
		h.discard(c)
		return
	}
	h.idle = append(h.idle, c)
	h.mu.Unlock()
}

// discard closes a connection that was taken from the host.
func (h *host) discard(c *conn) {
	c.close()
	h.vacate()
}

// vacate gives the place of a closed connection to who waits longest.
func (h *host) vacate() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w := h.next(); w != nil {
		w.turn <- nil
		return
	}
	h.open--
}

// errOnlyHTTP2 is the error of a peer that does not speak HTTP/1.1 over TLS.
var errOnlyHTTP2 = errors.New("peer refuses HTTP/1.1")

func (h *host) dial(ctx context.Context) (*conn, error) {
	n := h.pool.network
	if h.serverName == "" {
		plain, err := n.dialTCP(ctx, "tcp", h.address)
		if err != nil {
			h.vacate()
			return nil, contextError(ctx, err)
		}
		return newConn(h, plain), nil
	}
	secure, err := n.dialTLS(ctx, h.pool.tls, h.address, h.serverName)
	if err != nil {
		h.vacate()
		if refusesProtocol(err) {
			return nil, errOnlyHTTP2
		}
		return nil, contextError(ctx, err)
	}
	return newConn(h, secure), nil
}

// refusesProtocol recognises the TLS alert no_application_protocol (RFC 7301
// §3.2), which crypto/tls has no type for.
func refusesProtocol(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error" && strings.Contains(op.Err.Error(), "no application protocol")
}

// contextError says that a wait ended because the caller's context did, if so.
func contextError(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	return err
}
