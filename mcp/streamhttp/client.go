package streamhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
)

// ClientOptions say which endpoint a Client reaches, and how. Zero values mean
// the defaults, where there is one.
type ClientOptions struct {
	// URL of the endpoint, http or https.
	URL string
	// Header is sent with every request. It must not change any more.
	Header http.Header
	// Transport carries the requests; the client dials nothing itself. It must
	// not follow redirects that its owner would not.
	Transport http.RoundTripper
	// MaxMessageBytes bounds one message of the server; 64 MiB by default.
	MaxMessageBytes int
	// Limits bound the depth of messages and the length of batches.
	Limits jsonrpc.Limits
	// MinReconnect and MaxReconnect bound the wait before a stream of a session
	// that was cut is asked for again, where the server does not say how long;
	// 1 s and 30 s by default. A longer wait that the server asks for is cut to
	// the latter.
	MinReconnect, MaxReconnect time.Duration
	// CloseTimeout bounds what is still told to a server when a session is
	// closed; 2 s by default.
	CloseTimeout time.Duration
	// Log takes what the server does wrong; nothing is logged by default.
	Log *slog.Logger
}

func (o ClientOptions) withDefaults() ClientOptions {
	setDefault(&o.MaxMessageBytes, 64<<20)
	setDefault(&o.MinReconnect, time.Second)
	setDefault(&o.MaxReconnect, 30*time.Second)
	setDefault(&o.CloseTimeout, 2*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Client is a remote endpoint: as a handler ([Client.Handle]) of the stateless
// era, as a channel ([Client.Open]) for a session of the older revisions. It
// holds nothing that must be closed; open channels are closed one by one.
type Client struct {
	o     ClientOptions
	base  *http.Request // what all requests have, without headers
	err   error         // why there is no base
	fixed clientHeaders
	ids   atomic.Int64

	// lingers is set when the server keeps streams open behind their last
	// message, so that nobody waits for their end any more.
	lingers atomic.Bool

	mu       sync.RWMutex // guards what follows
	mirrored map[string][]mirror
	usual    map[headerKey]http.Header // of requests that have nothing special; they are shared and not changed
}

// headerKey is what the usual headers of a request depend on.
type headerKey struct{ method, name string }

// Bounds of the headers that are kept: how many, and the longest name.
const (
	maxUsual     = 256
	maxUsualName = 128
)

// clientHeaders are values that many requests have, made once.
type clientHeaders struct{ json, both, events, modern []string }

var _ mcp.Handler = (*Client)(nil)

// NewClient returns a Client of the endpoint. An URL that is none is the error
// of every call.
func NewClient(o ClientOptions) *Client {
	c := &Client{
		o: o.withDefaults(),
		fixed: clientHeaders{
			json: []string{mediaJSON}, both: []string{mediaJSON + ", " + mediaEvents}, events: []string{mediaEvents},
			modern: []string{string(mcp.Revision20260728)},
		},
		mirrored: make(map[string][]mirror), usual: make(map[headerKey]http.Header),
	}
	u, err := url.Parse(o.URL)
	switch {
	case err != nil:
		c.err = err
	case u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		c.err = fmt.Errorf("url %q is not of the form http://host/path or https://host/path", o.URL)
	case o.Transport == nil:
		c.err = errors.New("no transport was given")
	default:
		c.base = &http.Request{URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	}
	return c
}

// payload is the body of a request. The transport may read it after RoundTrip
// has returned, so that its bytes are given to nobody else.
type payload struct {
	text []byte
	rest []byte
	sent *atomic.Bool // something of it was read: the server may have got it
}

func newPayload(text []byte) *payload {
	return &payload{text: text, rest: text, sent: new(atomic.Bool)}
}

func (p *payload) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	p.sent.Store(true)
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (p *payload) Close() error { return nil }

// again is the body for another connection, when the first was found closed
// before anything was written to it.
func (p *payload) again() (io.ReadCloser, error) {
	return &payload{text: p.text, rest: p.text, sent: p.sent}, nil
}

// roundTrip sends a request. sent tells, when there is an error, whether the
// server may have got it.
func (c *Client) roundTrip(ctx context.Context, method string, h http.Header, body []byte) (resp *http.Response, sent bool, err error) {
	if c.err != nil {
		return nil, false, c.err
	}
	req := c.base.WithContext(ctx)
	req.Method, req.Header = method, h
	if body == nil {
		resp, err = c.o.Transport.RoundTrip(req)
		return resp, err != nil, err
	}
	p := newPayload(body)
	req.Body, req.ContentLength, req.GetBody = p, int64(len(body)), p.again
	resp, err = c.o.Transport.RoundTrip(req)
	return resp, p.sent.Load(), err
}

// header begins the headers of a request: those of the options, and room for more.
func (c *Client) header(more int) http.Header {
	h := make(http.Header, len(c.o.Header)+more)
	for name, values := range c.o.Header {
		h[name] = values
	}
	return h
}

// remembered returns the usual headers of a request; nil when they are not kept.
func (c *Client) remembered(key headerKey) http.Header {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.usual[key]
}

// remember keeps the usual headers of a request. Names are whatever callers make
// up, so that all are forgotten when there are too many.
func (c *Client) remember(key headerKey, h http.Header) {
	if len(key.name) > maxUsualName || len(key.method) > maxUsualName {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.usual) >= maxUsual {
		clear(c.usual)
	}
	c.usual[headerKey{strings.Clone(key.method), strings.Clone(key.name)}] = h
}

// unreachable is the error of a request that could not be sent, or whose answer
// did not come. The second kind may have taken effect and is repeated by nobody.
func unreachable(sent bool, err error) error {
	if !sent {
		return fmt.Errorf("%w: %w", mcp.Errorf(mcp.CodeUnavailable, "the server cannot be reached"), err)
	}
	return lost(err, "the connection to the server broke before its answer")
}

// lost is the error of a call whose answer cannot be had any more.
func lost(err error, format string, args ...any) error {
	return fmt.Errorf("%w: %w", mcp.Errorf(mcp.CodeCallLost, format, args...), err)
}

// readBody reads a JSON answer, into memory of the loan if it can, and closes it.
func (c *Client) readBody(resp *http.Response, loan *mcp.Loan) ([]byte, error) {
	defer resp.Body.Close()
	limit := int64(c.o.MaxMessageBytes)
	if loan == nil || resp.ContentLength < mcp.MinLoan || resp.ContentLength > min(limit, mcp.MaxLoan) {
		return readBody(resp.Body, resp.ContentLength, limit)
	}
	first := make([]byte, firstLent)
	n, err := io.ReadAtLeast(resp.Body, first, 1)
	if err != nil {
		return nil, err
	}
	lent := loan.Take(int(resp.ContentLength))
	if lent == nil {
		lent = make([]byte, resp.ContentLength)
	}
	copy(lent, first[:n])
	_, err = io.ReadFull(resp.Body, lent[n:])
	return lent, err
}

// firstLent is what a server must begin to send before memory is taken for what
// it has announced.
const firstLent = 4 << 10

// drainTimeout bounds the wait for the end of a stream whose last message has
// come. Most servers end it at once, and then its connection can be used again.
const drainTimeout = 50 * time.Millisecond

// drain ends a stream after its last message.
func (c *Client) drain(body io.ReadCloser) {
	defer body.Close()
	if c.lingers.Load() {
		return
	}
	timer := time.AfterFunc(drainTimeout, func() { _ = body.Close() })
	n, err := io.CopyN(io.Discard, body, 4<<10)
	if !timer.Stop() || err == nil || n > 512 {
		c.lingers.Store(true)
	}
}
