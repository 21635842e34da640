package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/web/httpcache"
	"github.com/dragoman-mcp/dragoman/internal/egress"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/backend"
)

const (
	maxRedirects = 5
	maxURL       = 8 << 10 // bytes
	// maxRobots is how long a robots.txt may be, of which robots.MaxBytes are read.
	// It is below what needs large windows to decompress.
	maxRobots = 8 << 20
	accept    = "text/html,application/xhtml+xml,text/markdown;q=0.9,text/plain;q=0.8,*/*;q=0.5"
)

// visitor fetches what callers name, politely.
type visitor struct {
	sends  http.RoundTripper // follows no redirects: each is a visit of its own
	limit  time.Duration     // of one request with the reading of its answer
	cache  *httpcache.Cache
	hosts  *hosts
	header http.Header
	later  func(func(ctx context.Context)) // runs what is to be done after an answer
}

func newVisitor(n *server.Network, cfg *settings, version string, cache *httpcache.Cache, now func() time.Time) *visitor {
	agent := cfg.Agent + "/" + version
	if cfg.Contact != "" {
		agent += " (+" + cfg.Contact + ")"
	}
	header := http.Header{"User-Agent": {agent}, "Accept": {accept}}
	if cfg.Languages != "" {
		header.Set("Accept-Language", cfg.Languages)
	}
	limit := cmp.Or(cfg.Limits.Time, time.Minute)
	return &visitor{
		sends: n.Transport(server.ClientOptions{MaxBodyBytes: int64(cfg.MaxBody)}), limit: limit,
		cache: cache, header: header,
		hosts: newHosts(n.Client(server.ClientOptions{MaxBodyBytes: maxRobots, Timeout: robotsTimeout}), cfg, agent, now),
	}
}

// ask is what to visit, for whom, and how.
type ask struct {
	url       *url.URL
	principal string
	fresh     bool
	obey      bool // robots.txt
}

// visit is what was found.
type visit struct {
	*httpcache.Answer
	url    *url.URL // after redirects
	source httpcache.Source
}

// contentType is the media type without its parameters, told by the body when the answer does not tell it.
func (v *visit) contentType() string {
	kind := v.Header.Get("Content-Type")
	if kind == "" {
		kind = http.DetectContentType(v.Body)
	}
	kind, _, _ = strings.Cut(kind, ";")
	return strings.ToLower(strings.TrimSpace(kind))
}

// parseURL reads a URL of a caller or of a page.
func parseURL(raw string) (*url.URL, error) {
	raw = strings.TrimSpace(raw)
	if len(raw) > maxURL {
		return nil, server.Errorf("use a shorter one", "the URL has more than %d bytes", maxURL)
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, server.Errorf("give a whole URL that begins with https:// or http://", "cannot read the URL %.100q", raw)
	}
	u.Fragment, u.RawFragment = "", ""
	if u.Path == "" {
		u.Path = "/"
	}
	return u, nil
}

// get visits a URL and follows redirects, each of which is judged as if it had been asked for.
func (v *visitor) get(ctx context.Context, a ask) (*visit, error) {
	u := a.url
	for range maxRedirects + 1 {
		answer, source, err := v.once(ctx, a, u)
		if err != nil {
			return nil, explain(err, u)
		}
		next, ok := redirectOf(answer, u)
		if !ok {
			return &visit{Answer: answer, url: u, source: source}, nil
		}
		if u.Scheme == "https" && next.Scheme == "http" {
			return nil, server.Errorf("ask for the http URL if you trust it", "%s redirects from https to http", u.Host)
		}
		u = next
	}
	return nil, server.Errorf("try another URL", "%s redirects more than %d times", a.url, maxRedirects)
}

func redirectOf(answer *httpcache.Answer, u *url.URL) (*url.URL, bool) {
	switch answer.Status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil, false
	}
	next, err := u.Parse(answer.Header.Get("Location"))
	if err != nil || answer.Header.Get("Location") == "" || next.Scheme != "http" && next.Scheme != "https" || len(next.String()) > maxURL {
		return nil, false
	}
	next.Fragment, next.RawFragment = "", ""
	return next, true
}

// once visits one URL, from the cache if that may be.
func (v *visitor) once(ctx context.Context, a ask, u *url.URL) (*httpcache.Answer, httpcache.Source, error) {
	host, err := v.hosts.enter(ctx, u)
	if err != nil {
		return nil, "", err
	}
	if a.obey {
		rules, err := host.rules(ctx)
		if err != nil {
			return nil, "", err
		}
		if !rules.Allowed(u.String()) {
			return nil, "", host.refusal(u)
		}
	}
	r := httpcache.Request{URL: u.String(), Header: v.header, Principal: a.principal, Fresh: a.fresh, Later: v.later}
	return v.cache.Get(ctx, r, func(ctx context.Context, url string, header http.Header) (*httpcache.Answer, error) {
		if err := host.wait(ctx); err != nil {
			return nil, err
		}
		return v.send(ctx, host, url, header)
	})
}

func (v *visitor) send(ctx context.Context, h *host, url string, header http.Header) (*httpcache.Answer, error) {
	ctx, cancel := egress.Within(ctx, v.limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header = header
	res, err := v.sends.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusServiceUnavailable {
		h.pause(backend.RetryAfter(res.Header, h.all.now()))
	}
	body, err := readAll(res.Body)
	if err != nil {
		return nil, err
	}
	return &httpcache.Answer{Status: res.StatusCode, Header: res.Header, Body: body}, nil
}

// pieceBytes is how much of a body is read at once.
const pieceBytes = 64 << 10

// readAll reads a body in pieces, which are put together only at the end: while it is read it takes its own size and not
// twice that.
func readAll(body io.Reader) ([]byte, error) {
	var pieces [][]byte
	piece, size := make([]byte, 0, pieceBytes), 0
	for {
		n, err := body.Read(piece[len(piece):cap(piece)])
		piece, size = piece[:len(piece)+n], size+n
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if err == nil && len(piece) < cap(piece) {
			continue
		}
		if err != nil && pieces == nil && len(piece) > pieceBytes*3/4 {
			return piece, nil // what is kept of it is hardly larger than it
		}
		pieces = append(pieces, piece)
		if err != nil {
			return slices.Concat(pieces...), nil
		}
		piece = make([]byte, 0, pieceBytes)
	}
}

func refused(err error) bool { return errors.Is(err, egress.ErrRefused) }

// explain makes of an error what its caller may read. Which address a name has is not told.
func explain(err error, u *url.URL) error {
	var told *server.Error
	var timeout net.Error
	var wrapped *url.Error
	switch {
	case errors.As(err, &told):
		return err
	case errors.Is(err, egress.ErrRefused):
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return server.Errorf("use a public address; the operator can open others with reach.allow", "%s cannot be fetched: %w", u.Host, err)
	case errors.Is(err, egress.ErrTooLarge):
		return server.Errorf("try a smaller page; the operator can raise max_body", "%s: %w", u, egress.ErrTooLarge)
	case errors.Is(err, egress.ErrCoding):
		return server.Errorf("use another source", "%s: %w", u, err)
	case errors.Is(err, backend.ErrRate):
		return server.Errorf("wait and call again", "%s wants its requests further apart: %w", u.Host, err)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return server.Errorf("try again later, or another source", "%s did not answer in time", u.Host)
	case errors.Is(err, context.Canceled):
		return err
	}
	return &server.Error{Message: fmt.Sprintf("%s could not be reached, or broke off", u.Host), Next: "check the address, or try again later", Err: err}
}
