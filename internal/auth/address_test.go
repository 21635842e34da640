package auth_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/config"
)

func TestWhereACallerIsIsWhatCanBeKnown(t *testing.T) {
	const unknown = "invalid IP"
	for _, c := range []struct {
		name, remote string
		forwarded    []string
		want         string
	}{
		{"the other end of the connection", "203.0.113.7:4711", nil, "203.0.113.7"},
		{"the other end, of IPv6", "[2001:db8::7]:4711", nil, "2001:db8::7"},
		{"the other end, of IPv4 in IPv6", "[::ffff:203.0.113.7]:4711", nil, "203.0.113.7"},
		{"the other end, with the name of an interface", "[fe80::7%eth0]:4711", nil, "fe80::7"},
		{"what a stranger says counts for nothing", "203.0.113.7:4711", []string{"10.1.1.1"}, "203.0.113.7"},
		{"a proxy that is believed", "10.0.0.5:80", []string{"203.0.113.7"}, "203.0.113.7"},
		{"a proxy that is believed, over IPv4 in IPv6", "[::ffff:10.0.0.5]:80", []string{"203.0.113.7"}, "203.0.113.7"},
		{"a network that is believed", "[fd00:12::9]:80", []string{"203.0.113.7"}, "203.0.113.7"},
		{"what the caller wrote before the proxy did counts for nothing", "10.0.0.5:80", []string{"192.0.2.1, 203.0.113.7"}, "203.0.113.7"},
		{"the same in two headers", "10.0.0.5:80", []string{"192.0.2.1", "203.0.113.7"}, "203.0.113.7"},
		{"a believed address that the caller wrote changes nothing", "10.0.0.5:80", []string{"192.0.2.1, 10.0.0.5, 203.0.113.7"}, "203.0.113.7"},
		{"two proxies, one behind the other", "10.0.0.5:80", []string{"203.0.113.7, 10.9.0.1"}, "203.0.113.7"},
		{"two proxies, with a header each", "10.0.0.5:80", []string{"203.0.113.7", "10.9.0.1"}, "203.0.113.7"},
		{"with a port", "10.0.0.5:80", []string{"203.0.113.7:5000"}, "203.0.113.7"},
		{"of IPv6 with a port", "10.0.0.5:80", []string{"[2001:db8::7]:5000"}, "2001:db8::7"},
		{"of IPv6 in brackets", "10.0.0.5:80", []string{"[2001:db8::7]"}, "2001:db8::7"},
		{"no address", "10.0.0.5:80", []string{"203.0.113.7, unknown"}, unknown},
		{"nothing behind a comma", "10.0.0.5:80", []string{"203.0.113.7,"}, unknown},
		{"an empty header", "10.0.0.5:80", []string{""}, unknown},
		{"no address behind two proxies", "10.0.0.5:80", []string{"_hidden, 10.9.0.1"}, unknown},
		{"a proxy that asks for itself", "10.0.0.5:80", nil, "10.0.0.5"},
		{"proxies among themselves", "10.0.0.5:80", []string{"10.9.0.2, 10.9.0.1"}, "10.9.0.2"},
		{"a connection without an address", "@", nil, unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := &config.Config{Listen: "127.0.0.1:8000", TrustedProxies: []string{"10.0.0.5", "10.9.0.0/16", "fd00:12::/64"}}
			cfg.Access.Policies = []config.PolicySource{{Name: "x", Text: "permit(principal, action, resource);"}}
			var got netip.Addr
			h := auth.NewGuard(cfg, auth.Options{}).Private(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = auth.Address(r.Context()) }))
			r := httptest.NewRequest("POST", "/mcp", nil)
			r.Host, r.RemoteAddr = "localhost", c.remote
			for _, line := range c.forwarded {
				r.Header.Add("X-Forwarded-For", line)
			}
			h.ServeHTTP(httptest.NewRecorder(), r)
			if got.String() != c.want {
				t.Errorf("from %s, X-Forwarded-For %q: got %v, want %s", c.remote, c.forwarded, got, c.want)
			}
		})
	}
}

func TestWithoutBelievedProxiesNobodySaysForWhomTheyAsk(t *testing.T) {
	cfg := &config.Config{Listen: "127.0.0.1:8000"}
	cfg.Access.Policies = []config.PolicySource{{Name: "x", Text: "permit(principal, action, resource);"}}
	for _, remote := range []string{"127.0.0.1:1", "[::1]:1", "10.0.0.5:1"} {
		var got netip.Addr
		h := auth.NewGuard(cfg, auth.Options{}).Private(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = auth.Address(r.Context()) }))
		r := httptest.NewRequest("POST", "/mcp", nil)
		r.Host, r.RemoteAddr = "localhost", remote
		r.Header.Set("X-Forwarded-For", "203.0.113.7")
		r.Header.Set("Forwarded", "for=203.0.113.7")
		r.Header.Set("X-Real-Ip", "203.0.113.7")
		h.ServeHTTP(httptest.NewRecorder(), r)
		if want := netip.MustParseAddrPort(remote).Addr(); got != want {
			t.Errorf("from %s: got %v, want %v", remote, got, want)
		}
	}
}
