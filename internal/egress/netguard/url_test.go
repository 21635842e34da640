package netguard_test

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/egress/netguard"
)

func TestURLsAreReadInOneWayOnly(t *testing.T) {
	for raw, want := range map[string]string{
		"http://example.com":                 "http://example.com example.com:80",
		"HTTPS://Example.COM./a?b#c":         "https://example.com/a?b example.com:443",
		"https://example.com:8443/":          "https://example.com:8443/ example.com:8443",
		"http://bücher.example/":             "http://xn--bcher-kva.example/ xn--bcher-kva.example:80",
		"http://my_service:3000/":            "http://my_service:3000/ my_service:3000",
		"http://192.0.2.1/":                  "http://192.0.2.1/ 192.0.2.1:80",
		"http://[2001:DB8:0:0:0:0:0:1]:8080": "http://[2001:db8::1]:8080 [2001:db8::1]:8080",
		"ws://example.com/":                  "ws://example.com/ example.com:80",
		"https://example.com/%61?x=%0a":      "https://example.com/%61?x=%0a example.com:443",
		"http://127.0.0.1.nip.io/":           "http://127.0.0.1.nip.io/ 127.0.0.1.nip.io:80",
		"http://0x7f.example/":               "http://0x7f.example/ 0x7f.example:80",
	} {
		got, err := netguard.ParseURL(raw)
		if err != nil {
			t.Errorf("ParseURL(%q): %v", raw, err)
			continue
		}
		if text := got.URL.String() + " " + got.Address(); text != want {
			t.Errorf("ParseURL(%q) = %s, want %s", raw, text, want)
		}
	}
}

func TestHostsWithTwoReadingsAreRefused(t *testing.T) {
	for _, host := range []string{"", ".", "..", "a..b", "127.1", "0", "0x7f000001", "2130706433", "0177.0.0.1", "127.0.0.01", "127.0.0.1.",
		"1.2.3.4.5", "256.1.1.1", "1.2.3", "0x7f.0.0.1", "a.0x", "a.1", "00..", "127.0.0.1..", "127.0.0.1。", "127.0.0.1｡", "example.com..", ".example.com", "１２７.０.０.１", "①②⑦.⓪.⓪.①", "127。0。0。1", "fe80::1%eth0",
		"::ffff:1.2.3.4", "::ffff:7f00:1", "[::1]", "exa mple", "a%2eb", "a/b", "a@b", "a:b", "\u00ad", strings.Repeat("a", 64) + ".example",
		"999999999999999999999999", "0x99999999999999999999"} {
		if name, addr, err := netguard.ParseHost(host); err == nil {
			t.Errorf("ParseHost(%q) = %q, %v; want an error", host, name, addr)
		}
	}
}

func TestRulesMeanNamesNamesBelowAndNetworks(t *testing.T) {
	r, err := netguard.ParseRules([]string{"api.example.com", "*.Corp.example", "10.1.0.0/16", "[fd00::1]", "192.0.2.7"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"api.example.com": true, "x.api.example.com": false, "example.com": false,
		"corp.example": false, "a.corp.example": true, "a.b.corp.example": true, "notcorp.example": false} {
		if got := r.Name(name); got != want {
			t.Errorf("Name(%q) = %v, want %v", name, got, want)
		}
	}
	for text, want := range map[string]bool{"10.1.2.3": true, "10.2.0.1": false, "fd00::1": true, "fd00::2": false,
		"192.0.2.7": true, "::ffff:192.0.2.7": true} {
		if got := r.Addr(netip.MustParseAddr(text)); got != want {
			t.Errorf("Addr(%s) = %v, want %v", text, got, want)
		}
	}
	for _, bad := range []string{"", "*", "10.1.2.3/16", "*.10.0.0.1", "http://example.com", "a b", "10.0.0.0/33", "0x7f.1"} {
		if _, err := netguard.ParseRules([]string{bad}); err == nil {
			t.Errorf("ParseRules(%q) was accepted", bad)
		}
	}
}

func TestAURLIsBoundedAsItIsWrittenOut(t *testing.T) {
	for raw, want := range map[string]bool{
		"http://example.com/" + strings.Repeat("|", 2_700): true,
		"http://example.com/" + strings.Repeat("|", 2_800): false, // 8,419 bytes of percent codes
		"http://example.com/" + strings.Repeat("x", 8_100): true,
		"http://example.com/" + strings.Repeat("x", 8_200): false,
	} {
		if _, err := netguard.ParseURL(raw); (err == nil) != want {
			t.Errorf("a URL of %d bytes that begins with %.24s: got %v, want it taken: %v", len(raw), raw, err, want)
		}
	}
}

// FuzzParseURL holds what is accepted to one meaning: reading it again gives the
// same, the standard library sees the same host, and an address is spelled as its
// text.
func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{"http://example.com/", "http://127.1/", "http://[::1]:80/", "http://a@b/", "http://1.1.1.1 &@2.2.2.2# @3.3.3.3/",
		"http://127.1.1.1:80\\@127.2.2.2:80/", "HTTP://EXAMPLE.com.:80/?#", "http://ⓔⓧⓐⓜⓟⓛⓔ.ⓒⓞⓜ/", "http://0x7f.1/", "http:///x", "http://a:0/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := netguard.ParseURL(raw)
		if err != nil {
			return
		}
		text := got.URL.String()
		again, err := netguard.ParseURL(text)
		if err != nil || again.Address() != got.Address() || again.URL.String() != text {
			t.Fatalf("ParseURL(%q) = %s, which reads as %v, %v", raw, text, again, err)
		}
		std, err := url.Parse(text)
		if err != nil || std.Hostname() != got.Host || std.User != nil {
			t.Fatalf("ParseURL(%q) has host %q, net/url says %q, %v", raw, got.Host, std.Hostname(), err)
		}
		addr, err := netip.ParseAddr(got.Host)
		if (err == nil) != got.Addr.IsValid() || err == nil && addr != got.Addr {
			t.Fatalf("ParseURL(%q): host %q is the address %v, and was read as %v", raw, got.Host, addr, got.Addr)
		}
		if strings.ContainsAny(got.Host, "%@/\\ \t\r\n") || got.Host != strings.ToLower(got.Host) {
			t.Fatalf("ParseURL(%q): host is %q", raw, got.Host)
		}
	})
}
