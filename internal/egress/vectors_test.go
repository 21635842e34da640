package egress_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/egress"
	"github.com/dragoman-mcp/dragoman/internal/egress/netguard"
)

// names is a resolver with fixed answers.
type names map[string][]string

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	texts, ok := n[host]
	if !ok {
		return nil, fmt.Errorf("no such host: %s", host)
	}
	var addrs []netip.Addr
	for _, text := range texts {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	return addrs, nil
}

// vector is a destination that somebody's tests, or a list of attacks, say must
// be closed. They are transcribed as facts: destination, and what its name means.
type vector struct {
	url     string
	answers []string // of the host, if it is a name
}

func urls(list ...string) []vector {
	var v []vector
	for _, u := range list {
		v = append(v, vector{url: u})
	}
	return v
}

func resolved(list ...string) []vector {
	var v []vector
	for i, a := range list {
		v = append(v, vector{url: fmt.Sprintf("http://name%d.example/", i), answers: []string{a}})
	}
	return v
}

func literals(list ...string) []vector {
	var v []vector
	for _, a := range list {
		if netip.MustParseAddr(a).Is6() {
			a = "[" + a + "]"
		}
		v = append(v, vector{url: "http://" + a + "/"})
	}
	return v
}

func join(parts ...[]vector) []vector {
	var all []vector
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

// closed lists, by source, what must not be reached.
func closed() map[string][]vector {
	crawl4ai := []string{"127.0.0.1", "169.254.169.254", "10.0.0.5", "192.168.1.1", "172.16.0.1", "100.64.0.1", "0.0.0.0", "::1", "::",
		"fc00::1", "fe80::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1"}
	daenney := []string{"127.0.0.1", "::1", "::", "ff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::ffff:0:0", "::ffff:ffff:ffff", "64:ff9b::",
		"64:ff9b::ffff:ffff", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "100::", "100::ffff:ffff:ffff:ffff", "f000::",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001::1"}
	measured := []string{"64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "::127.0.0.1", "fec0::1", "100.64.0.1", "168.63.129.16", "fd00:ec2::254",
		"100.100.100.200", "192.0.0.1", "192.0.0.192", "198.18.0.1", "192.0.2.1", "198.51.100.1", "203.0.113.1", "240.0.0.1", "255.255.255.255",
		"64:ff9b:1::1", "2001::1", "2001:db8::1", "100::1", "3fff::1", "5f00::1", "ff02::1", "224.0.0.1", "0.1.2.3", "2001:0:808:808::80ff:fffe"}
	return map[string][]vector{
		"crawl4ai, deploy/docker/tests/test_security_ssrf_egress.py": join(literals(crawl4ai...), resolved(crawl4ai...), []vector{
			{"http://meta.example/latest/meta-data/", []string{"169.254.169.254"}}, {"http://nat64.example/", []string{"64:ff9b::a9fe:a9fe"}},
			{"http://localhost/", []string{"127.0.0.1"}}, {"http://mixed.example/", []string{"93.184.216.34", "127.0.0.1"}},
			{"file:///etc/passwd", nil}, {"gopher://x/", nil}, {"http://hook.example/cb", []string{"10.0.0.9"}}}),
		"crawl4ai, deploy/docker/tests/test_security_ssrf_crawl.py": join(urls("http://127.0.0.1:8080/admin", "http://10.0.0.1/internal",
			"http://172.16.0.1/dashboard", "http://192.168.1.1/router", "http://169.254.169.254/latest/meta-data/", "http://[::ffff:127.0.0.1]/admin",
			"http://[::ffff:10.0.0.1]/", "http://[::ffff:169.254.169.254]/latest/meta-data/", "http://[::ffff:192.168.1.1]/", "http://[::127.0.0.1]/",
			"http://[::1]:8080/", "raw:<html></html>", "raw://<html></html>"), []vector{
			{"http://localhost:8080/secret", []string{"::1", "127.0.0.1"}}, {"http://host.docker.internal:3000/api", []string{"192.168.65.2"}},
			{"http://metadata.google.internal/computeMetadata/v1/", []string{"169.254.169.254"}},
			{"http://kubernetes.default/api/v1/secrets", []string{"10.96.0.1"}}}),
		"AWS, awslabs/mcp src/openapi-mcp-server/tests/test_ssrf_protection.py": join([]vector{
			{"https://internal.example.com/spec.json", []string{"10.0.0.1"}}, {"https://metadata.internal/latest/meta-data", []string{"169.254.169.254"}},
			{"https://localhost/spec.json", []string{"127.0.0.1"}}, {"https://internal-primary.example.com/openapi.json", []string{"10.0.0.5"}},
			{"https://unreachable.example.com/spec.json", nil}}, urls("https://\x00invalid/spec.json", "https://", "ftp://spec.example.com/openapi.json",
			"http://169.254.169.254/latest/meta-data/", "file:///etc/passwd", "schemas.yaml#/Pet")),
		"safeurl, doyensec/safeurl client_test.go": urls("http://127.0.0.1", "http://[::1]", "http://2130706433", "http://3232235777",
			"http://017700000001:80/", "http://0x7f000001", "http://0xc0a80014", "http://0x0000007f.0x00000000.0x00000000.0x00000001",
			"http://0x7f.0x0.0x00000000.0x01", "http://[::]:80", "http://0/", "http://127.1", "http://0177.0x0.0x0.0x1", "http://0.0.0.0",
			"http://127.127.127.127", "http://[::ffff:192.0.2.1]", "http://[0000::1]:80", "http://[::1]/server-status", "http://192.168.0.0",
			"http://192.168.0.15", "http://user:pass@service.test:8080", "http://u:pass@service.test:8080", "http://user:p@service.test:8080"),
		"daenney/ssrf, ssrf_test.go": join(literals(daenney...), resolved(daenney...), urls("http://127.0.0.1:53", "http://[::1]:53",
			"http://[::ffff:129.144.52.38]:80", "http://8.8.8.8:22/", "invalid address", "http://invalid network/")),
		"PayloadsAllTheThings, Server Side Request Forgery": join(urls("http://127.0.0.1:443", "http://0.0.0.0:22", "http://[::]:25/",
			"http://0000::1:80/", "http://127.0.1.3", "http://127.0.0.0", "http://3232235521/", "http://2852039166/", "http://0177.0.0.1/",
			"http://[0:0:0:0:0:ffff:127.0.0.1]", "localhost:+11211aaa", "localhost:00011211aaaa", "http://127.0.1", "http://127.0.0.1/%61dmin",
			"http://1.1.1.1 &@2.2.2.2# @3.3.3.3/", "0://evil.com:80;http://google.com:80/", "http://127.1.1.1:80\\@127.2.2.2:80/",
			"http://127.1.1.1:80\\@@127.2.2.2:80/", "http://127.1.1.1:80:\\@@127.2.2.2:80/", "http://127.1.1.1:80#\\@127.2.2.2:80/",
			"jar:http://127.0.0.1!/", "dict://attacker:11111/", "sftp://evil.com:11111/", "tftp://evil.com:12346/TESTUDPPACKET",
			"ldap://localhost:11211/%0astats%0aquit", "netdoc:///etc/passwd", "gopher://127.0.0.1:25/xHELO", "http://①②⑦.⓪.⓪.①/",
			"http://１６９.２５４.１６９.２５４/", "http://169。254。169。254/", "http://๑๒๗.๐.๐.๑/"), []vector{
			{"http://o177.0.0.1/", []string{"127.0.0.1"}}, {"http://0o177.0.0.1/", []string{"127.0.0.1"}}, {"http://localtest.me", []string{"127.0.0.1"}},
			{"http://customer1.app.localhost.my.company.127.0.0.1.nip.io", []string{"127.0.0.1"}},
			{"http://make-1.2.3.4-rebind-169.254-169.254-rr.1u.ms", []string{"1.2.3.4", "169.254.169.254"}}}),
		"security.md §0.6, measured table":            join(literals(measured...), resolved(measured...)),
		"CVE-2026-49857, CVE-2026-44430 and ToolHive": urls("http://[::ffff:7f00:1]/", "http://[64:ff9b::7f00:1]/", "http://[2002:7f00:1::]/", "http://[fe80::1%25eth0]/"),
	}
}

// open lists what the same sources say must be reached.
func open() map[string][]vector {
	return map[string][]vector{
		"crawl4ai": join(literals("8.8.8.8", "1.1.1.1", "2606:4700:4700::1111"), []vector{{"https://good.example/path", []string{"93.184.216.34"}},
			{"https://example.com", []string{"93.184.216.34"}}, {"https://www.google.com", []string{"142.250.0.1", "2a00:1450:4001:80b::200e"}}}),
		"AWS":     {{"https://example.com/spec.json", []string{"93.184.216.34"}}, {"http://example.com/spec.json", []string{"::ffff:93.184.216.34"}}},
		"safeurl": join(urls("http://172.217.14.195", "http://34.210.62.107"), []vector{{"https://expired.badssl.com/", []string{"104.154.89.105"}}}),
		"daenney": join(literals("8.8.8.8", "2001:4860:4860::8888"), urls("http://8.8.8.8:443/", "http://8.8.8.8:8080/", "http://[2001:4860:4860::8888]:443/")),
		"ours": {{"https://bücher.example/a b", []string{"93.184.216.34"}}, {"https://bücher.example/", []string{"93.184.216.34"}},
			{"https://example.com./", []string{"93.184.216.34"}}, {"http://example.com:3000/", []string{"93.184.216.34"}},
			{"http://ⓔⓧⓐⓜⓟⓛⓔ.ⓒⓞⓜ/", []string{"93.184.216.34"}}, {"http://dns64.example/", []string{"64:ff9b::5db8:d822"}}},
	}
}

func verdict(t *testing.T, v vector) error {
	t.Helper()
	lookup := names{}
	g, err := egress.NewGuard(egress.Policy{}, lookup)
	if err != nil {
		t.Fatal(err)
	}
	target, err := g.CheckURL(v.url)
	if err != nil {
		return err
	}
	lookup[target.Host] = v.answers
	if v.answers == nil {
		delete(lookup, target.Host)
	}
	_, err = g.Resolve(t.Context(), target.Host, target.Port)
	return err
}

func TestNoDestinationOfTheCorporaIsLetThrough(t *testing.T) {
	let, total := 0, 0
	for source, vectors := range closed() {
		for _, v := range vectors {
			total++
			if err := verdict(t, v); err == nil {
				let++
				t.Errorf("%s: %s %v was let through", source, v.url, v.answers)
			}
		}
		t.Logf("%3d closed: %s", len(vectors), source)
	}
	t.Logf("%d destinations that must be closed, %d let through", total, let)
}

func TestDestinationsThatAreFineAreReached(t *testing.T) {
	const spaced = "https://bücher.example/a b" // the one that is refused on purpose: clients write %20
	wrong, total := 0, 0
	for source, vectors := range open() {
		for _, v := range vectors {
			total++
			err := verdict(t, v)
			if err == nil {
				continue
			}
			wrong++
			t.Logf("refused by mistake or on purpose: %s: %s: %v", source, v.url, err)
			if v.url != spaced {
				t.Errorf("%s: %s %v: %v", source, v.url, v.answers, err)
			}
			if !errors.Is(err, egress.ErrRefused) {
				t.Errorf("%s: error %v is not ErrRefused", v.url, err)
			}
		}
	}
	t.Logf("%d destinations that must be open, %d refused", total, wrong)
}

// TestNoConnectionIsTriedForTheCorpora goes the whole way, from the client to the
// moment before a connection is opened.
func TestNoConnectionIsTriedForTheCorpora(t *testing.T) {
	var tried []netip.AddrPort
	last := func(a netip.AddrPort) error {
		tried = append(tried, a)
		return errors.New("not in a test")
	}
	lookup := names{}
	n := newNetwork(t, egress.Options{Guard: newGuard(t, egress.Policy{}, lookup), Allow: last})
	get := func(v vector) error {
		if target, err := netguard.ParseURL(v.url); err == nil && v.answers != nil {
			lookup[target.Host] = v.answers
			defer delete(lookup, target.Host)
		}
		res, err := n.Client(egress.ClientOptions{}).Get(v.url)
		if err == nil {
			_ = res.Body.Close()
		}
		return err
	}
	for source, vectors := range closed() {
		for _, v := range vectors {
			if err := get(v); err == nil || len(tried) > 0 {
				t.Errorf("%s: %s %v: got %v, and connections to %v", source, v.url, v.answers, err, tried)
				tried = nil
			}
		}
	}
	if err := get(vector{"http://public.example/", []string{"93.184.216.34"}}); err == nil || len(tried) != 1 {
		t.Errorf("a public address: got %v and %d tries, want one", err, len(tried))
	}
}
