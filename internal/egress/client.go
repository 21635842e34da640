package egress

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// ClientOptions bound what a Client does for one request. Zero fields mean the default.
type ClientOptions struct {
	// Timeout bounds a request with all its redirects and the reading of the body.
	// Default 30 s.
	Timeout time.Duration
	// MaxBodyBytes bounds a body after it was decompressed. Reading further is
	// ErrTooLarge. What reading takes besides is no more than that, or 64 KiB: zstd
	// is asked for from 10 MiB on and br from 18 MiB on. Default 10 MiB.
	MaxBodyBytes int64
	// MaxRedirects is how many redirects are followed; 5 by default, none if negative.
	MaxRedirects int
}

// ErrTooLarge is the error of a body that is longer than it may be.
var ErrTooLarge = errors.New("answer is too large")

// ErrCoding is wrapped by the errors of answers that are compressed in a way that
// was not asked for. Trying again does not help.
var ErrCoding = errors.New("answer is compressed in a way that was not asked for")

// Client returns a client for content that somebody else names: each URL, that of
// each redirect included, is judged by the Network's Guard before anything is
// sent. A redirect to another origin (scheme, host, port) loses every header that
// is not a publicHeader, and a request with a body is not redirected
// there at all. Bodies arrive decompressed (gzip, and by their bound zstd and br) and
// bounded.
//
// It keeps no cookies. It shares the Network's connections; there is nothing to close.
func (n *Network) Client(o ClientOptions) *http.Client {
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	o.MaxRedirects = cmp.Or(o.MaxRedirects, 5)
	c := n.courier(o)
	return &http.Client{Transport: c, CheckRedirect: c.redirect, Timeout: o.Timeout}
}

// Transport returns what Client sends each request with: it judges the URL, opens
// the body and bounds it. It follows no redirects, and all the time that a request
// takes is bounded by the request's context alone (see Within).
func (n *Network) Transport(o ClientOptions) http.RoundTripper { return n.courier(o) }

// Within returns a context that ends after limit, if ctx does not end sooner; then it
// is ctx itself, which costs nothing. Call the function when the answer has been read.
func Within(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if until, bounded := ctx.Deadline(); bounded && time.Until(until) <= limit {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, limit)
}

func (n *Network) courier(o ClientOptions) *courier {
	o.MaxBodyBytes = cmp.Or(o.MaxBodyBytes, 10<<20)
	return &courier{network: n, options: o, codings: codings(o.MaxBodyBytes)}
}

// courier sends one request and opens its answer.
type courier struct {
	network *Network
	options ClientOptions
	codings string                 // that are asked for, and no others accepted
	judged  atomic.Pointer[origin] // was found open the last time
}

// origin is a scheme with a host and its port, as they stand in a URL.
type origin struct{ scheme, host string }

// RoundTrip implements http.RoundTripper.
func (c *courier) RoundTrip(req *http.Request) (*http.Response, error) {
	at, err := c.judge(req.URL)
	if err != nil {
		closeBody(req) // a RoundTripper does so even then
		return nil, err
	}
	ours := req.Header.Get("Accept-Encoding") == "" && req.Header.Get("Range") == "" && req.Method != http.MethodHead
	sent := *req
	if at != nil {
		sent.URL = at
		sent.Host = "" // the host that was judged, and no other one within it
	}
	if ours {
		sent.Header = make(http.Header, len(req.Header)+1)
		maps.Copy(sent.Header, req.Header)
		sent.Header["Accept-Encoding"] = []string{c.codings}
	}
	res, err := c.network.pool.RoundTrip(&sent)
	if err != nil {
		return nil, err
	}
	res.Request = req
	if err := c.open(res, ours); err != nil {
		_ = res.Body.Close()
		return nil, err
	}
	return res, nil
}

// judge gives the URL as it is to be sent; nil when nobody judges. What a Guard
// says of a URL depends on its origin and on its form, so that one of the origin
// that was open the last time, in the plainest form, is not read again. Addresses
// are judged when a connection is made.
func (c *courier) judge(u *url.URL) (*url.URL, error) {
	g := c.network.o.Guard
	if g == nil {
		return nil, nil
	}
	if o := c.judged.Load(); o != nil && o.scheme == u.Scheme && o.host == u.Host && plainURL(u) {
		return u, nil
	}
	t, err := g.CheckURL(u.String())
	if err != nil {
		return nil, err
	}
	if t.URL.Scheme == u.Scheme && t.URL.Host == u.Host {
		c.judged.Store(&origin{u.Scheme, u.Host})
	}
	return t.URL, nil
}

// plainURL reports whether a URL is its origin, a short path, and perhaps a query,
// of bytes that stand for themselves to every reader.
func plainURL(u *url.URL) bool {
	const most = 1 << 10
	if u.User != nil || u.Opaque != "" || u.Fragment != "" || u.RawFragment != "" || len(u.Path)+len(u.RawPath)+len(u.RawQuery) > most {
		return false
	}
	if u.Path == "" || u.Path[0] != '/' || u.RawPath != "" && u.RawPath[0] != '/' {
		return false
	}
	for _, text := range [...]string{u.Path, u.RawPath, u.RawQuery} {
		for i := range len(text) {
			if c := text[i]; c <= ' ' || c >= 0x7f || c == '\\' {
				return false
			}
		}
	}
	return true
}

// open decompresses and bounds the body of an answer. decode says that it was us
// who asked for compression.
func (c *courier) open(res *http.Response, decode bool) error {
	if res.StatusCode == http.StatusSwitchingProtocols {
		return errors.New("answer changes the protocol, which was not asked for")
	}
	limit := c.options.MaxBodyBytes
	if decode {
		opened, err := decoded(res, limit, c.codings)
		if err != nil {
			return err
		}
		if opened {
			return nil
		}
	}
	if res.ContentLength > limit && res.Request.Method != http.MethodHead {
		return fmt.Errorf("%w: it has %d bytes, more than %d", ErrTooLarge, res.ContentLength, limit)
	}
	res.Body = &bounded{Reader: res.Body, closers: []io.Closer{res.Body}, left: limit, limit: limit}
	return nil
}

// publicHeader tells those headers that go to every origin: they say what is wanted, not
// who asks, from the rest.
func publicHeader(name string) bool {
	switch name {
	case "Accept", "Accept-Language", "Cache-Control", "If-Modified-Since", "If-None-Match", "Range", "User-Agent":
		return true
	}
	return false
}

// redirect decides whether a redirect is followed, and what goes with it.
func (c *courier) redirect(req *http.Request, via []*http.Request) error {
	if len(via) > max(c.options.MaxRedirects, 0) {
		if c.options.MaxRedirects < 0 {
			return http.ErrUseLastResponse
		}
		return fmt.Errorf("%w: more than %d redirects", ErrRefused, c.options.MaxRedirects)
	}
	req.Header.Del("Referer") // it tells one host what was asked of another
	last := via[len(via)-1]
	if last.URL.Scheme == "https" && req.URL.Scheme == "http" {
		return fmt.Errorf("%w: redirect from https to http", ErrRefused)
	}
	away := false
	for _, r := range append(via[1:len(via):len(via)], req) {
		away = away || !sameOrigin(via[0].URL, r.URL)
	}
	if !away {
		return nil
	}
	if req.Body != nil && req.Body != http.NoBody {
		return fmt.Errorf("%w: redirect of a request with a body to another origin", ErrRefused)
	}
	for name := range req.Header {
		if !publicHeader(name) {
			delete(req.Header, name)
		}
	}
	req.Host = ""
	return nil
}

func sameOrigin(a, b *url.URL) bool {
	port := func(u *url.URL) string {
		return cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	}
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}
