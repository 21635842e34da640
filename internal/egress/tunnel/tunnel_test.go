package tunnel_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
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

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/egress"
	"github.com/dragoman-mcp/dragoman/internal/egress/tunnel"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// names resolves every name to loopback.
type names struct{}

// LookupNetIP implements egress.Resolver.
func (names) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
}

// page is a log that can be read while it is written.
type page struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write implements io.Writer.
func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

// String is what was written.
func (p *page) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// open serves a proxy with a policy until the test ends, or stop is called.
func open(t *testing.T, policy egress.Policy) (address *url.URL, log *page, stop func()) {
	t.Helper()
	guard, err := egress.NewGuard(policy, names{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	log = &page{}
	n := egress.New(egress.Options{Guard: guard})
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() { tunnel.Serve(ctx, l, n, nil, slog.New(slog.NewTextHandler(log, nil))) })
	stop = sync.OnceFunc(func() {
		cancel()
		served.Wait()
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return &url.URL{Scheme: "http", Host: l.Addr().String()}, log, stop
}

// client uses a proxy for everything, loopback included.
func client(t *testing.T, proxy *url.URL, like *http.Client) *http.Client {
	t.Helper()
	transport := &http.Transport{Proxy: func(*http.Request) (*url.URL, error) { return proxy, nil }}
	if like != nil {
		transport.TLSClientConfig = like.Transport.(*http.Transport).TLSClientConfig
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func answer(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_, _ = fmt.Fprintf(w, "%s %s host=%s auth=%q body=%s", r.Method, r.URL.Path, r.Host, r.Header.Get("Proxy-Authorization"), body)
}

func TestWhatIsAllowedIsReachedAndNothingElse(t *testing.T) {
	plain, secure := httptest.NewServer(http.HandlerFunc(answer)), httptest.NewTLSServer(http.HandlerFunc(answer))
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	port := func(s *httptest.Server) string { return s.URL[strings.LastIndexByte(s.URL, ':'):] }
	proxy, log, _ := open(t, egress.Policy{Name: "sandbox", Only: []string{"example.com", "*.example.com", "10.0.0.0/8"}, Allow: []string{"example.com"}})
	c := client(t, proxy, secure.Client())
	for _, tt := range []struct {
		name, url string
		want      int // 0: the client gets no answer but the proxy's refusal of its tunnel
	}{
		{"a plain address", "http://example.com" + port(plain) + "/a", 200},
		{"a tunnel", "https://example.com" + port(secure) + "/b", 200},
		{"a name that is not there", "http://example.org" + port(plain) + "/", 403},
		{"a tunnel to it", "https://example.org" + port(secure) + "/", 0},
		{"a name of a pattern that leads to a private address", "http://x.example.com" + port(plain) + "/", 403},
		{"an address", "http://127.0.0.1" + port(plain) + "/", 403},
		{"the address in another spelling", "http://2130706433" + port(plain) + "/", 403},
		{"metadata", "http://169.254.169.254/latest/", 403},
		{"a private address of a network that is listed, which opens nothing", "http://10.0.0.1/", 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, err := c.Post(tt.url, "text/plain", strings.NewReader("hello"))
			if err != nil {
				if tt.want != 0 || !strings.Contains(err.Error(), "Forbidden") {
					t.Errorf("post %s: got %v, want status %d", tt.url, err, tt.want)
				}
				return
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != tt.want {
				t.Errorf("post %s: got %s, %s, %v, want %d", tt.url, resp.Status, body, err, tt.want)
			}
			if tt.want == 200 && !strings.Contains(string(body), "POST") || strings.Contains(string(body), "127.0.0.1") && tt.want != 200 && !strings.Contains(tt.url, "127.0.0.1") {
				t.Errorf("post %s: got the body %q", tt.url, body)
			}
		})
	}
	if !strings.Contains(log.String(), "example.org") {
		t.Errorf("the log does not say what was refused:\n%s", log)
	}
}

func TestATunnelCarriesBothWaysUntilBothHaveEnded(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			done <- err.Error()
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "welcome\n") // a server that speaks first
		all, _ := io.ReadAll(c)
		_, _ = fmt.Fprintf(c, "heard %d", len(all))
		done <- ""
	}()
	proxy, _, stop := open(t, egress.Policy{Private: true})
	c, err := net.Dial("tcp", proxy.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// What is sent with the head belongs to the tunnel.
	_, _ = fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: x\r\n\r\nearly", l.Addr())
	r := bufio.NewReader(c)
	for _, want := range []string{"HTTP/1.1 200 Connection established\r\n", "\r\n", "welcome\n"} {
		if got, err := r.ReadString('\n'); got != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
	const more = 1 << 20
	_, _ = c.Write(bytes.Repeat([]byte("x"), more))
	_ = c.(*net.TCPConn).CloseWrite()
	rest, err := io.ReadAll(r)
	if want := fmt.Sprintf("heard %d", len("early")+more); string(rest) != want || err != nil {
		t.Errorf("got %q, %v, want %q", rest, err, want)
	}
	if said := <-done; said != "" {
		t.Error(said)
	}
	stop()
}

func TestServeEndsWithItsContextWhateverIsOpen(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	proxy, _, stop := open(t, egress.Policy{Private: true})
	c, err := net.Dial("tcp", proxy.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: x\r\n\r\n", silent.Addr())
	if got, err := bufio.NewReader(c).ReadString('\n'); !strings.Contains(got, "200") {
		t.Fatalf("got %q, %v, want a tunnel", got, err)
	}
	idle, err := net.Dial("tcp", proxy.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	stop()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the tunnel is open after the end")
	}
	if _, err := net.Dial("tcp", proxy.Host); err == nil {
		t.Error("the listener is open after the end")
	}
}

func TestWhatIsNoRequestToAProxyIsToldWhatIs(t *testing.T) {
	proxy, _, _ := open(t, egress.Policy{Private: true})
	for _, path := range []string{"/", "/metrics"} {
		resp, err := http.Get(proxy.String() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "CONNECT") {
			t.Errorf("get %s: got %s, %q, want 400 and what to do", path, resp.Status, body)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
