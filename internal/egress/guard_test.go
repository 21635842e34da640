package egress_test

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/egress"
)

func newGuard(t testing.TB, p egress.Policy, r egress.Resolver) *egress.Guard {
	t.Helper()
	g, err := egress.NewGuard(p, r)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// turning is a resolver that gives another answer each time.
type turning struct {
	answers []string
	asked   int
}

func (r *turning) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	r.asked++
	return []netip.Addr{netip.MustParseAddr(r.answers[(r.asked-1)%len(r.answers)])}, nil
}

func TestPoliciesOpenAndCloseDestinations(t *testing.T) {
	lookup := names{"public.example": {"93.184.216.34"}, "db.corp.example": {"10.1.2.3"}, "rebound.corp.example": {"169.254.169.254"},
		"localhost": {"127.0.0.1"}, "other.example": {"10.9.9.9"}}
	private := egress.Policy{Name: "servers", Private: true}
	allow := egress.Policy{Allow: []string{"*.corp.example", "10.9.0.0/16"}}
	for _, c := range []struct {
		name   string
		policy egress.Policy
		url    string
		open   bool
	}{
		{"public is open by default", egress.Policy{}, "https://public.example/", true},
		{"private is closed by default", egress.Policy{}, "https://db.corp.example/", false},
		{"an operator's server may be on this machine", private, "http://localhost:3000/mcp", true},
		{"an operator's server may have any port", private, "http://localhost:22/", true},
		{"an operator's server is no metadata service", private, "http://rebound.corp.example/", false},
		{"an allowed name opens a private address and any port", allow, "http://db.corp.example:22/", true},
		{"an allowed name opens no metadata service", allow, "http://rebound.corp.example/", false},
		{"a metadata service can be allowed by its address", egress.Policy{Allow: []string{"169.254.169.254"}}, "http://169.254.169.254/", true},
		{"an allowed network opens names in it", allow, "http://other.example/", true},
		{"denied wins over allowed", egress.Policy{Allow: []string{"10.9.0.0/16"}, Deny: []string{"10.9.9.9"}}, "http://other.example/", false},
		{"a denied name is closed", egress.Policy{Deny: []string{"public.example"}}, "http://public.example/", false},
		{"a denied network closes what a translator carries", egress.Policy{Deny: []string{"8.8.0.0/16"}}, "http://[64:ff9b::808:808]/", false},
		{"only closes the rest", egress.Policy{Only: []string{"api.example"}}, "http://public.example/", false},
		{"only lets its own through", egress.Policy{Only: []string{"public.example"}}, "http://public.example/", true},
		{"only with a network judges the address", egress.Policy{Only: []string{"93.184.216.0/24"}}, "http://public.example/", true},
		{"only opens nothing private", egress.Policy{Only: []string{"db.corp.example"}}, "http://db.corp.example/", false},
		{"a port that is not listed is closed", egress.Policy{Ports: []uint16{443}}, "http://public.example/", false},
		{"a scheme that is not listed is closed", egress.Policy{Schemes: []string{"https"}}, "http://public.example/", false},
		{"web sockets need to be listed", egress.Policy{}, "wss://public.example/", false},
		{"a port of another protocol is closed", egress.Policy{}, "http://public.example:25/", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGuard(t, c.policy, lookup)
			target, err := g.CheckURL(c.url)
			if err == nil {
				_, err = g.Resolve(t.Context(), target.Host, target.Port)
			}
			if (err == nil) != c.open || err != nil && !errors.Is(err, egress.ErrRefused) {
				t.Errorf("%s: got %v, want open = %v", c.url, err, c.open)
			}
			if err != nil && strings.Contains(err.Error(), "10.") {
				t.Errorf("error %q tells an address that the name was resolved to", err)
			}
		})
	}
}

func TestFaultsOfPoliciesAreReportedTogether(t *testing.T) {
	_, err := egress.NewGuard(egress.Policy{Allow: []string{"10.0.0.1/8"}, Deny: []string{"0x7f.1"}}, nil)
	if err == nil || !strings.Contains(err.Error(), "10.0.0.0/8") || !strings.Contains(err.Error(), "0x7f.1") {
		t.Errorf("got %v, want both faults", err)
	}
}

func TestTheAddressThatWasJudgedIsTheOneThatIsDialled(t *testing.T) {
	s, conns := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("inside")) })
	_, port, _ := strings.Cut(strings.TrimPrefix(s.URL, "http://"), ":")
	r := &turning{answers: []string{"93.184.216.34", "127.0.0.1"}}
	n := newNetwork(t, egress.Options{Guard: newGuard(t, egress.Policy{}, r), DialTimeout: 200_000_000})
	_, err := n.Client(egress.ClientOptions{}).Get("http://rebind.example:" + port + "/")
	if err == nil || r.asked != 1 || conns.Load() != 0 {
		t.Errorf("got %v after %d lookups and %d connections, want an error after one lookup and none", err, r.asked, conns.Load())
	}
	_, err = n.Client(egress.ClientOptions{}).Get("http://rebind.example:" + port + "/")
	if !errors.Is(err, egress.ErrRefused) || conns.Load() != 0 {
		t.Errorf("second answer: got %v and %d connections, want ErrRefused and none", err, conns.Load())
	}
}

func TestDriversDialThroughTheGuard(t *testing.T) {
	s, _ := server(t, func(http.ResponseWriter, *http.Request) {})
	address := strings.TrimPrefix(s.URL, "http://")
	closed := newNetwork(t, egress.Options{Guard: newGuard(t, egress.Policy{}, nil)})
	if c, err := closed.DialContext(t.Context(), "tcp", address); !errors.Is(err, egress.ErrRefused) {
		t.Errorf("DialContext(%s) = %v, %v; want ErrRefused", address, c, err)
	}
	for _, network := range []string{"udp", "unix", "ip4:1"} {
		if c, err := closed.DialContext(t.Context(), network, address); !errors.Is(err, egress.ErrRefused) {
			t.Errorf("DialContext(%s) = %v, %v; want ErrRefused", network, c, err)
		}
	}
	_, port, _ := strings.Cut(address, ":")
	// The first address of the name does not answer; the second does.
	lookup := names{"db.example": {"127.0.0.77", "::1", "127.0.0.1"}}
	open := newNetwork(t, egress.Options{Guard: newGuard(t, egress.Policy{Private: true}, lookup)})
	host, err := open.LookupHost(t.Context(), "db.example")
	if err != nil || len(host) != 1 || host[0] != "db.example" {
		t.Fatalf("LookupHost = %v, %v; want the name itself", host, err)
	}
	c, err := open.DialContext(t.Context(), "tcp", host[0]+":"+port)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.RemoteAddr().String(); got != address {
		t.Errorf("connected to %s, want %s", got, address)
	}
	_ = c.Close()
	if _, err := open.DialContext(t.Context(), "tcp4", "nowhere.example:80"); err == nil {
		t.Error("a name without an address was connected to")
	}
}

func TestProxiesMustBeTrusted(t *testing.T) {
	proxy, conns := server(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("by proxy: " + r.URL.String())) })
	at, _ := url.Parse(proxy.URL)
	choose := func(*http.Request) (*url.URL, error) { return at, nil }
	for _, c := range []struct {
		name, url string
		trust     bool
		only      []string
		open      bool
	}{
		{"a proxy that is not trusted gets no request", "http://public.example/", false, nil, false},
		{"a trusted proxy resolves names itself", "http://public.example/", true, nil, true},
		{"an address in the URL is judged even so", "http://169.254.169.254/", true, nil, false},
		{"an odd spelling is refused even so", "http://0x7f.1/", true, nil, false},
		{"a name of the list is asked for", "http://public.example/", true, []string{"public.example", "192.0.2.0/24"}, true},
		{"a name may not hide behind addresses of the list", "http://public.example/", true, []string{"other.example", "192.0.2.0/24"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := conns.Load()
			n := newNetwork(t, egress.Options{Proxy: choose, Guard: newGuard(t, egress.Policy{TrustProxy: c.trust, Only: c.only}, names{})})
			res, err := n.Client(egress.ClientOptions{}).Get(c.url)
			if err == nil {
				_ = res.Body.Close()
			}
			if (err == nil) != c.open || (conns.Load() > before) != c.open {
				t.Errorf("got %v and %d connections, want open = %v", err, conns.Load()-before, c.open)
			}
		})
	}
}

func TestAZoneIsForOperatorsOnly(t *testing.T) {
	for policy, want := range map[bool]bool{true: false, false: true} {
		n := newNetwork(t, egress.Options{DialTimeout: 300_000_000, Guard: newGuard(t, egress.Policy{Private: policy}, names{})})
		c, err := n.DialContext(t.Context(), "tcp", "[::1%lo]:1")
		if err == nil {
			_ = c.Close()
		}
		if refused := errors.Is(err, egress.ErrRefused); refused != want {
			t.Errorf("private %v: got %v, want refused = %v", policy, err, want)
		}
	}
	n := newNetwork(t, egress.Options{Guard: newGuard(t, egress.Policy{Private: true}, names{})})
	if _, err := n.DialContext(t.Context(), "tcp", "[fd00:ec2::254%lo]:80"); !errors.Is(err, egress.ErrRefused) {
		t.Errorf("a metadata service behind a zone: got %v, want ErrRefused", err)
	}
}
