package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/egress/netguard"
)

// ErrRefused is wrapped by the errors of destinations that a policy does not
// allow. Trying again does not help.
var ErrRefused = errors.New("destination is not allowed")

// RefusedError says what was refused and why. Its text names no address that a
// name was resolved to: who asks must not learn what names mean in our network.
type RefusedError struct {
	Policy string
	Host   string
	Reason string
	Addr   netip.Addr // what the host was resolved to, for logs; may be invalid
}

// Error implements error.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("host %q is refused by the egress policy %q: %s", e.Host, e.Policy, e.Reason)
}

// Is makes errors.Is(err, ErrRefused) true.
func (e *RefusedError) Is(target error) bool { return target == ErrRefused }

// Policy says which destinations are open. The zero value is that for whatever
// callers may choose: public addresses only.
type Policy struct {
	// Name is in errors and logs. Default "public".
	Name string
	// Schemes of URLs. Default http and https.
	Schemes []string
	// Ports that are open. Default: all but those of other protocols that a
	// request could be made to speak, as browsers have them (Fetch, "bad port").
	Ports []uint16
	// Private opens loopback, private, link-local, shared and other special
	// addresses: for destinations that the operator wrote. Metadata services of
	// clouds and multicast stay closed.
	Private bool
	// Allow opens destinations (netguard.ParseRules) whatever their address is,
	// and whatever their port. A name opens no metadata service: for that the
	// address itself must be here.
	Allow []string
	// Only, when not empty, closes everything that is not in it. It opens nothing
	// that is closed otherwise.
	Only []string
	// Deny closes destinations, whatever the other lists say.
	Deny []string
	// TrustProxy leaves the judgement of addresses to the Network's proxy, which
	// alone resolves the names of requests that go through it. Names, ports and
	// literal addresses are still judged here; where Only is set, such a name must
	// be in it by itself. Without it a request that would go
	// through a proxy is refused.
	TrustProxy bool
}

// Resolver finds the addresses of a name. *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Guard applies a Policy to destinations. All methods may be called concurrently.
type Guard struct {
	policy            Policy
	allow, only, deny netguard.Rules
	resolver          Resolver

	mu      sync.Mutex          // guards proxies
	proxies map[string]struct{} // host:port of the operator's proxies; few
}

// NewGuard returns a Guard. It reports every fault of the lists. A nil resolver
// is the system's.
func NewGuard(p Policy, r Resolver) (*Guard, error) {
	if p.Name == "" {
		p.Name = "public"
	}
	if len(p.Schemes) == 0 {
		p.Schemes = []string{"http", "https"}
	}
	g := &Guard{policy: p, resolver: r, proxies: map[string]struct{}{}}
	if r == nil {
		g.resolver = &net.Resolver{}
	}
	var errs [3]error
	g.allow, errs[0] = netguard.ParseRules(p.Allow)
	g.only, errs[1] = netguard.ParseRules(p.Only)
	g.deny, errs[2] = netguard.ParseRules(p.Deny)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("read egress policy %q: %w", p.Name, err)
	}
	return g, nil
}

func (g *Guard) refuse(host, format string, args ...any) error {
	return &RefusedError{Policy: g.policy.Name, Host: host, Reason: fmt.Sprintf(format, args...)}
}

// CheckURL reads a URL and judges all that can be told without asking for
// addresses: form, scheme, port, name, and an address that is written in it.
func (g *Guard) CheckURL(raw string) (*netguard.Target, error) {
	t, err := netguard.ParseURL(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if !slices.Contains(g.policy.Schemes, t.Scheme) {
		return nil, g.refuse(t.Host, "scheme %q is not one of %s", t.Scheme, strings.Join(g.policy.Schemes, ", "))
	}
	return t, g.checkName(t.Host, t.Addr, t.Port)
}

// checkName judges host and port. addr is valid when the host is an address.
func (g *Guard) checkName(host string, addr netip.Addr, port uint16) error {
	if addr.IsValid() {
		return g.checkAddr(host, addr, port, false)
	}
	switch {
	case g.deny.Name(host):
		return g.refuse(host, "it is on the list of denied destinations")
	case !g.only.Empty() && !g.only.Name(host) && !g.only.HasAddrs():
		return g.refuse(host, "it is not on the list of destinations")
	case g.allow.Name(host):
		return nil
	}
	return g.checkPort(host, port)
}

func (g *Guard) checkPort(host string, port uint16) error {
	if len(g.policy.Ports) > 0 && !slices.Contains(g.policy.Ports, port) {
		return g.refuse(host, "port %d is not one of %v", port, g.policy.Ports)
	}
	if len(g.policy.Ports) == 0 && !g.policy.Private && slices.Contains(badPorts(), port) {
		return g.refuse(host, "port %d belongs to another protocol", port)
	}
	return nil
}

// checkAddr judges one address. named says that host is a name which the lists
// have; then its address may be of any class but metadata.
func (g *Guard) checkAddr(host string, addr netip.Addr, port uint16, named bool) error {
	v := netguard.Classify(addr)
	denied := g.deny.Addr(addr) || v.Inner.IsValid() && g.deny.Addr(v.Inner)
	refused := func(reason string) error {
		return &RefusedError{Policy: g.policy.Name, Host: host, Addr: addr, Reason: reason}
	}
	switch {
	case denied:
		return refused("it is on the list of denied destinations")
	case !g.only.Empty() && !g.only.Name(host) && !g.only.Addr(addr):
		return refused("it is not on the list of destinations")
	case g.allow.Addr(addr):
		return nil
	case v.Class == netguard.Metadata || v.Class == netguard.Multicast:
		return refused(article(v.Class) + " address is never open, unless the policy's allow list has it")
	case named:
		return nil
	case v.Class != netguard.Public && !g.policy.Private:
		return refused(article(v.Class) + " address is not open")
	}
	return g.checkPort(host, port)
}

func article(c netguard.Class) string { return "a " + string(c) }

// badPorts are those on which browsers send no requests (Fetch, "port blocking").
func badPorts() []uint16 {
	return []uint16{1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103,
		104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526,
		530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045,
		4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080}
}

// maxAnswers is how many addresses of a name are judged and tried; a name with
// more is refused, since it could not be judged whole.
const maxAnswers = 64

// Resolve returns the addresses of a host, all of which are open. One that is
// not closes the host: a name that means a public and a private address at once
// is how guards are passed by.
func (g *Guard) Resolve(ctx context.Context, host string, port uint16) ([]netip.Addr, error) {
	name, addr, err := netguard.ParseHost(host)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if err := g.checkName(name, addr, port); err != nil {
		return nil, err
	}
	if addr.IsValid() {
		return []netip.Addr{addr}, nil
	}
	found, err := g.resolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", name, err)
	}
	if len(found) == 0 || len(found) > maxAnswers {
		return nil, g.refuse(name, "it has %d addresses; from 1 to %d are tried", len(found), maxAnswers)
	}
	named := g.allow.Name(name)
	for i, a := range found {
		found[i] = a.Unmap() // resolvers give IPv4 in IPv6 form
		if err := g.checkAddr(name, found[i], port, named); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// dialStagger is how long an address is tried before the next one is tried as
// well (RFC 8305 §5).
const dialStagger = 250 * time.Millisecond

// dial connects to a host: it resolves the name once, judges all answers, and
// connects to those very addresses.
func (g *Guard) dial(ctx context.Context, d *net.Dialer, network, address string) (net.Conn, error) {
	if network != "tcp" && network != "tcp4" && network != "tcp6" {
		return nil, g.refuse(address, "network %q is not open", network)
	}
	if g.isProxy(address) {
		return d.DialContext(ctx, network, address)
	}
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%w: read address %q: %w", ErrRefused, address, err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return nil, g.refuse(host, "port %q is no number from 1 to 65535", text)
	}
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	if zoned, err := netip.ParseAddr(host); err == nil && zoned.Zone() != "" && g.policy.Private {
		if err := g.checkAddr(host, zoned, uint16(port), false); err != nil {
			return nil, err
		}
		return d.DialContext(ctx, network, address) // an operator may name the link, a caller may not
	}
	found, err := g.Resolve(ctx, host, uint16(port))
	if err != nil {
		return nil, err
	}
	found = slices.DeleteFunc(found, func(a netip.Addr) bool {
		return network == "tcp4" && !a.Is4() || network == "tcp6" && !a.Is6()
	})
	return race(ctx, found, func(ctx context.Context, a netip.Addr) (net.Conn, error) {
		return d.DialContext(ctx, "tcp", netip.AddrPortFrom(a, uint16(port)).String())
	})
}

// race tries addresses in order, each a little after the one before, and returns
// the first connection. It has no dial under way when it returns.
func race(ctx context.Context, addrs []netip.Addr, dial func(context.Context, netip.Addr) (net.Conn, error)) (net.Conn, error) {
	if len(addrs) == 0 {
		return nil, errors.New("the host has no address of this kind")
	}
	if len(addrs) == 1 {
		return dial(ctx, addrs[0])
	}
	ctx, cancel := context.WithCancel(ctx)
	type outcome struct {
		conn net.Conn
		err  error
	}
	results := make(chan outcome, len(addrs)) // each dial sends one
	var dials sync.WaitGroup
	started, failed := 0, 0
	start := func() {
		a := addrs[started]
		started++
		dials.Go(func() {
			c, err := dial(ctx, a)
			results <- outcome{c, err}
		})
	}
	defer func() { // those that lost
		cancel()
		dials.Wait()
		close(results)
		for r := range results {
			if r.conn != nil {
				_ = r.conn.Close()
			}
		}
	}()
	start()
	stagger := time.NewTicker(dialStagger)
	defer stagger.Stop()
	for {
		select {
		case r := <-results:
			if r.err == nil {
				return r.conn, nil
			}
			if failed++; failed == len(addrs) {
				return nil, r.err
			}
			if started < len(addrs) {
				start()
			}
		case <-stagger.C:
			if started < len(addrs) {
				start()
			}
		}
	}
}

// viaProxy applies the policy to a Network's choice of proxy.
func (g *Guard) viaProxy(choose func(*http.Request) (*url.URL, error)) func(*http.Request) (*url.URL, error) {
	if choose == nil {
		return nil
	}
	return func(req *http.Request) (*url.URL, error) {
		proxy, err := choose(req)
		if proxy == nil || err != nil {
			return nil, err
		}
		if !g.policy.TrustProxy {
			return nil, g.refuse(req.URL.Hostname(), "the way to it is a proxy, which alone would judge its address; "+
				"let the policy trust the proxy, or except the host from it")
		}
		t, err := g.CheckURL(req.URL.String())
		if err != nil {
			return nil, err
		}
		if !t.Addr.IsValid() && !g.only.Empty() && !g.only.Name(t.Host) {
			return nil, g.refuse(t.Host, "its name is not on the list of destinations, and the proxy alone would learn its address")
		}
		port := proxy.Port()
		if port == "" {
			port = map[string]string{"https": "443", "socks5": "1080", "socks5h": "1080"}[proxy.Scheme]
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		g.proxies[net.JoinHostPort(proxy.Hostname(), orDefault(port, "80"))] = struct{}{}
		return proxy, nil
	}
}

func (g *Guard) isProxy(address string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.proxies[address]
	return ok
}
