package tunnel

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/egress"
)

// Beyond is a proxy that the gateway itself has to go through to reach the rest of the world. A nil one is none.
type Beyond struct {
	// Proxy returns that proxy for a request, nil for none, as http.ProxyFromEnvironment does. Its user and password go
	// to it and to nobody else.
	Proxy func(*http.Request) (*url.URL, error)
	// Direct reaches the proxy, wherever it is. The caller closes it.
	Direct *egress.Network
	// Plain goes through the proxy for http without TLS. The caller closes it.
	Plain *egress.Network
	// TLS is for proxies that are spoken to over https; nil means the system's roots.
	TLS *tls.Config
	// Guard judges destinations.
	Guard *egress.Guard
	// ByName says that the proxy may be asked for a host by its name, and alone judges its addresses: because the operator
	// wrote the host out, or trusts the proxy with it. Other names are resolved and judged here, and the proxy is asked
	// for the address that was judged.
	ByName func(host string) bool
}

// way returns the proxy for a destination; nil without an error leads there without.
func (b *Beyond) way(scheme, address string) (*url.URL, error) {
	if b == nil || b.Proxy == nil {
		return nil, nil
	}
	return b.Proxy(&http.Request{Method: http.MethodGet, Header: http.Header{}, Host: address, URL: &url.URL{Scheme: scheme, Host: address}})
}

// judge returns what the proxy is asked for instead of a destination: that itself, or one of its addresses.
func (b *Beyond) judge(ctx context.Context, address string) (string, error) {
	t, err := b.Guard.CheckURL("https://" + address + "/") // form, name, port, and an address that is written out
	if err != nil {
		return "", err
	}
	asked := net.JoinHostPort(t.Host, strconv.Itoa(int(t.Port)))
	if t.Addr.IsValid() || b.ByName(t.Host) {
		return asked, nil
	}
	found, err := b.Guard.Resolve(ctx, t.Host, t.Port)
	switch {
	case errors.Is(err, egress.ErrRefused):
		return "", err
	case err != nil:
		return "", b.unjudged(t.Host, "its name cannot be resolved here")
	}
	return netip.AddrPortFrom(found[0], t.Port).String(), nil
}

func (b *Beyond) unjudged(host, why string) error {
	return &egress.RefusedError{Policy: "sandbox", Host: host, Reason: "the way to it is a proxy, and " + why +
		": write the host out in sandbox.hosts, or set sandbox.trust_proxy if that proxy refuses private addresses"}
}

// dial opens a tunnel through a proxy (RFC 9110, section 9.3.6). The caller closes it.
func (b *Beyond) dial(ctx context.Context, proxy *url.URL, address string) (net.Conn, error) {
	asked, err := b.judge(ctx, address)
	if err != nil {
		return nil, err
	}
	port := map[string]string{"http": "80", "https": "443"}[proxy.Scheme]
	if port == "" {
		return nil, fmt.Errorf("go through the proxy %s: scheme %q is not supported, only http and https are", proxy.Host, proxy.Scheme)
	}
	if proxy.Port() != "" {
		port = proxy.Port()
	}
	conn, err := b.Direct.DialContext(ctx, "tcp", net.JoinHostPort(proxy.Hostname(), port))
	if err != nil {
		return nil, fmt.Errorf("reach the proxy %s: %w", proxy.Host, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	tunnel, err := b.ask(ctx, conn, proxy, asked)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("go through the proxy %s: %w", proxy.Host, err)
	}
	_ = conn.SetDeadline(time.Time{})
	return tunnel, nil
}

// ask has the proxy at the other end of conn open a tunnel.
func (b *Beyond) ask(ctx context.Context, conn net.Conn, proxy *url.URL, address string) (net.Conn, error) {
	if proxy.Scheme == "https" {
		settings := &tls.Config{MinVersion: tls.VersionTLS12}
		if b.TLS != nil {
			settings = b.TLS.Clone()
		}
		settings.ServerName, settings.NextProtos = proxy.Hostname(), nil
		secure := tls.Client(conn, settings)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("TLS handshake: %w", err)
		}
		conn = secure
	}
	request := "CONNECT " + address + " HTTP/1.1\r\nHost: " + address + "\r\n"
	if user := proxy.User; user != nil {
		password, _ := user.Password()
		request += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)) + "\r\n"
	}
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		return nil, err
	}
	head := &io.LimitedReader{R: conn, N: maxHead}
	r := bufio.NewReader(head)
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return nil, fmt.Errorf("read its answer: %w", err)
	}
	switch {
	case resp.StatusCode == http.StatusProxyAuthRequired:
		return nil, errors.New("it wants a user and a password: write them into the gateway's HTTPS_PROXY")
	case resp.StatusCode/100 != 2:
		return nil, fmt.Errorf("it answered %d; if it only takes names, write the host out in sandbox.hosts", resp.StatusCode)
	}
	head.N = math.MaxInt64
	return &beyond{Conn: conn, r: r}, nil
}

// beyond is a connection of which some may have been read with the proxy's answer.
type beyond struct {
	net.Conn
	r io.Reader
}

// Read implements net.Conn.
func (c *beyond) Read(b []byte) (int, error) { return c.r.Read(b) }

// CloseWrite ends one direction.
func (c *beyond) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

// reach opens a connection to a destination of a tunnel.
func (p *proxy) reach(ctx context.Context, address string) (net.Conn, error) {
	way, err := p.beyond.way("https", address)
	switch {
	case err != nil:
		return nil, fmt.Errorf("find the proxy for %s: %w", address, err)
	case way == nil:
		return p.network.DialContext(ctx, "tcp", address)
	}
	return p.beyond.dial(ctx, way, address)
}

// send sends a plain request to its destination. Through another proxy only what is asked for by its name can be sent:
// with an address in the place of the name the server would not know whom it is asked for.
func (p *proxy) send(out *http.Request) (*http.Response, error) {
	way, err := p.beyond.way("http", out.URL.Host)
	host := out.URL.Hostname()
	_, named := netip.ParseAddr(host) // what is an address Plain judges
	switch {
	case err != nil:
		return nil, fmt.Errorf("find the proxy for %s: %w", out.URL.Host, err)
	case way == nil:
		return p.network.RoundTripper().RoundTrip(out)
	case named != nil && !p.beyond.ByName(host):
		return nil, p.beyond.unjudged(host, "it is asked for over http, where the proxy alone would judge its address")
	}
	return p.beyond.Plain.RoundTripper().RoundTrip(out)
}
