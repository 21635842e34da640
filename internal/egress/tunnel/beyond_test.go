package tunnel_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/egress"
	"github.com/dragoman-mcp/dragoman/internal/egress/tunnel"
)

// zone resolves names below public.test to a public address, those below private.test to loopback, and no others.
type zone struct{}

func (zone) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	switch {
	case strings.HasSuffix(host, ".public.test"):
		return []netip.Addr{netip.MustParseAddr("93.184.215.14")}, nil
	case strings.HasSuffix(host, ".private.test"):
		return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
	}
	return nil, errors.New("there is no such name")
}

// company is a proxy of a company: it takes one user, and leads everything to one server.
type company struct {
	secure string // host:port

	mu    sync.Mutex // guards asked
	asked []string
}

func (c *company) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte("gateway:top secret")) {
		http.Error(w, "who are you?", http.StatusProxyAuthRequired)
		return
	}
	c.mu.Lock()
	c.asked = append(c.asked, r.Method+" "+r.Host)
	c.mu.Unlock()
	if r.Method != http.MethodConnect {
		_, _ = io.WriteString(w, "plain answer")
		return
	}
	there, err := net.Dial("tcp", c.secure)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer there.Close()
	here, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer here.Close()
	_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(here, there)
		_ = here.Close()
	})
	_, _ = io.Copy(there, here)
	_ = there.Close()
	back.Wait()
}

// last is what it was asked for last, and forgets it.
func (c *company) last() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := strings.Join(c.asked, ", ")
	c.asked = nil
	return text
}

// openBeyond serves a proxy of a sandbox that goes through another.
func openBeyond(t *testing.T, other *url.URL, trust bool) (*url.URL, *page) {
	t.Helper()
	policy := egress.Policy{Name: "sandbox", Only: []string{"named.test", "*.public.test", "*.private.test", "*.nowhere.test", "near.test", "169.254.169.254"}, Allow: []string{"named.test", "near.test"}}
	guard, err := egress.NewGuard(policy, zone{})
	if err != nil {
		t.Fatal(err)
	}
	policy.TrustProxy = true
	trusting, err := egress.NewGuard(policy, zone{})
	if err != nil {
		t.Fatal(err)
	}
	choose := func(r *http.Request) (*url.URL, error) {
		if r.URL.Hostname() == "near.test" {
			return nil, nil // as NO_PROXY says
		}
		return other, nil
	}
	direct, plain, own := egress.New(egress.Options{}), egress.New(egress.Options{Guard: trusting, Proxy: choose}), egress.New(egress.Options{Guard: guard})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log := &page{}
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() {
		tunnel.Serve(ctx, l, own, &tunnel.Beyond{Proxy: choose, Direct: direct, Plain: plain, Guard: guard,
			ByName: func(host string) bool {
				return host == "named.test" || host == "near.test" || trust && strings.HasSuffix(host, ".nowhere.test")
			}},
			slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	})
	t.Cleanup(func() {
		cancel()
		served.Wait()
		for _, n := range []*egress.Network{direct, plain, own} {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return &url.URL{Scheme: "http", Host: l.Addr().String()}, log
}

func TestThroughACompanysProxyDestinationsAreStillJudgedHere(t *testing.T) {
	secure := httptest.NewTLSServer(http.HandlerFunc(answer))
	t.Cleanup(secure.Close)
	c := &company{secure: secure.Listener.Addr().String()}
	served := httptest.NewServer(c)
	t.Cleanup(served.Close)
	other, _ := url.Parse(served.URL)
	other.User = url.UserPassword("gateway", "top secret")
	for _, tt := range []struct {
		name, url     string
		trust         bool
		asked, answer string // of the company's proxy; of whoever answers
	}{
		{"a host that is written out, by its name", "https://named.test:8443/", false, "CONNECT named.test:8443", `auth=""`},
		{"another name, by the address that was judged", "https://a.public.test:8443/", false, "CONNECT 93.184.215.14:8443", "host=a.public.test"},
		{"a name of a private address", "https://a.private.test:8443/", false, "", "Forbidden"},
		{"a name that is not known here", "https://a.nowhere.test:8443/", false, "", "Forbidden"},
		{"the same if the proxy is trusted", "https://a.nowhere.test:8443/", true, "CONNECT a.nowhere.test:8443", "host=a.nowhere.test"},
		{"what is not on the list, which has addresses too", "https://example.com/", true, "", "Forbidden"},
		{"metadata of a cloud", "https://169.254.169.254/", true, "", "Forbidden"},
		{"an address in an odd spelling", "https://2852039166/", true, "", "Forbidden"},
		{"plain http to a host that is written out", "http://named.test/x", false, "GET named.test", "plain answer"},
		{"plain http to another", "http://a.public.test/x", false, "", "sandbox.trust_proxy"},
		{"plain http to metadata", "http://169.254.169.254/x", true, "", "metadata"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			proxy, log := openBeyond(t, other, tt.trust)
			client := client(t, proxy, secure.Client())
			client.Transport.(*http.Transport).TLSClientConfig.InsecureSkipVerify = true // it is about the way, and not about who is there
			resp, err := client.Get(tt.url)
			var said string
			if err != nil {
				said = err.Error()
			} else {
				body, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				said = string(body)
			}
			if asked := c.last(); asked != tt.asked || !strings.Contains(said, tt.answer) {
				t.Errorf("get %s: the proxy was asked %q and the answer is %q, want %q and %q in it", tt.url, asked, said, tt.asked, tt.answer)
			}
			for _, hidden := range []string{"top secret", "93.184.215.14", base64.StdEncoding.EncodeToString([]byte("gateway:top secret"))} {
				if strings.Contains(said, hidden) || strings.Contains(log.String(), "secret") {
					t.Errorf("get %s: %q is in the answer %q or the log %s", tt.url, hidden, said, log)
				}
			}
		})
	}
}

func TestAProxyThatRefusesTheGatewaySaysSoWithoutItsCredentials(t *testing.T) {
	served := httptest.NewServer(&company{})
	t.Cleanup(served.Close)
	other, _ := url.Parse(served.URL)
	other.User = url.UserPassword("gateway", "wrong secret")
	proxy, _ := openBeyond(t, other, false)
	conn, err := net.Dial("tcp", proxy.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "CONNECT named.test:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	said, _ := io.ReadAll(conn)
	if text := string(said); !strings.Contains(text, " 502 ") || !strings.Contains(text, "HTTPS_PROXY") || strings.Contains(text, "secret") {
		t.Errorf("got %q, want 502 and what to do, and no password", text)
	}
}

func TestWhatNeedsNoProxyIsReachedWithoutIt(t *testing.T) {
	c := &company{}
	served := httptest.NewServer(c)
	t.Cleanup(served.Close)
	other, _ := url.Parse(served.URL)
	proxy, _ := openBeyond(t, other, false)
	resp, err := client(t, proxy, nil).Get("http://near.test/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if c.last() != "" || resp.StatusCode != http.StatusBadGateway { // nothing resolves it here, which only the direct way finds out
		t.Errorf("got %s, %s, want that it was looked for without the proxy", resp.Status, body)
	}
}
