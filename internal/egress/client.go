package egress

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
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
	o.MaxBodyBytes = cmp.Or(o.MaxBodyBytes, 10<<20)
	o.MaxRedirects = cmp.Or(o.MaxRedirects, 5)
	c := &courier{network: n, options: o, codings: codings(o.MaxBodyBytes)}
	return &http.Client{Transport: c, CheckRedirect: c.redirect, Timeout: o.Timeout}
}

// courier sends one request and opens its answer.
type courier struct {
	network *Network
	options ClientOptions
	codings string // that are asked for, and no others accepted
}

// RoundTrip implements http.RoundTripper.
func (c *courier) RoundTrip(req *http.Request) (*http.Response, error) {
	sent := req.Clone(req.Context())
	if g := c.network.o.Guard; g != nil {
		t, err := g.CheckURL(req.URL.String())
		if err != nil {
			if req.Body != nil {
				_ = req.Body.Close() // a RoundTripper closes it even so
			}
			return nil, err
		}
		sent.URL = t.URL
		sent.Host = "" // the host that was judged, and no other one within it
	}
	if sent.Header == nil {
		sent.Header = make(http.Header, 1)
	}
	ours := sent.Header.Get("Accept-Encoding") == "" && sent.Header.Get("Range") == "" && sent.Method != http.MethodHead
	if ours {
		sent.Header.Set("Accept-Encoding", c.codings)
	}
	res, err := c.network.pool.RoundTrip(sent)
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
