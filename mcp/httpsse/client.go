package httpsse

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/sse"
)

// DialOptions are those of a connection to a server. RoundTripper must be set;
// other zero values mean the defaults.
type DialOptions struct {
	RoundTripper http.RoundTripper
	// Header is sent with each request.
	Header http.Header
	// MaxMessageBytes bounds a message of the server; 64 MiB by default.
	MaxMessageBytes int
	// EndpointTimeout bounds how long the server may take to say where to POST;
	// 10 s by default.
	EndpointTimeout time.Duration
	// WriteTimeout bounds a POST, from the first byte sent to the last one
	// received; 30 s by default.
	WriteTimeout time.Duration
}

const (
	// maxEndpoint bounds the URL that a server tells.
	maxEndpoint = 8 << 10
	// eventOverhead is what an event takes beside its message.
	eventOverhead = 1 << 10
	// maxDrained is how much of an answer to a POST is read, so that its
	// connection can be used again.
	maxDrained = 64 << 10
)

// StatusError is the answer of a server that speaks HTTP, but not this
// transport, or not to us.
type StatusError struct {
	Status int
	// ContentType is that of the answer.
	ContentType string
	// Location is where the server wants the client to go instead; it is not followed.
	Location string
}

// Error tells what the server answered.
func (e *StatusError) Error() string {
	text := fmt.Sprintf("server answered %d %s", e.Status, http.StatusText(e.Status))
	if e.Status == http.StatusOK {
		text += fmt.Sprintf(" with content type %q, want text/event-stream", e.ContentType)
	}
	if e.Location != "" {
		text += fmt.Sprintf(", go to %q", e.Location)
	}
	return text
}

func statusError(resp *http.Response) *StatusError {
	return &StatusError{
		Status:      resp.StatusCode,
		ContentType: resp.Header.Get("Content-Type"),
		Location:    resp.Header.Get("Location"),
	}
}

// conn is the client's end. When the context of a Read ends, it is closed.
type conn struct {
	client   *http.Client
	o        DialOptions
	endpoint string
	events   *sse.Reader
	body     io.Closer
	cancel   context.CancelFunc // of the stream's request

	endOnce sync.Once
	done    chan struct{}
	err     error // why it has ended; set before done is closed

	mu    sync.Mutex // guards posts
	posts map[*http.Request]context.CancelFunc
}

// Dial opens a session with the server whose stream is at address. ctx bounds
// the opening only. An answer that is no event stream is a *StatusError.
func Dial(ctx context.Context, address string, o DialOptions) (mcp.Conn, error) {
	if o.RoundTripper == nil {
		return nil, errors.New("open event stream: DialOptions.RoundTripper must be set")
	}
	if o.MaxMessageBytes == 0 {
		o.MaxMessageBytes = 64 << 20
	}
	setDefault(&o.EndpointTimeout, 10*time.Second)
	setDefault(&o.WriteTimeout, 30*time.Second)
	base, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("open event stream: %w", err)
	}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ctx, settled := context.WithTimeout(ctx, o.EndpointTimeout)
	defer settled()
	stop := context.AfterFunc(ctx, cancel)
	c, err := open(life, base, o)
	if !stop() && err == nil { // it was opened too late
		_ = c.body.Close()
		err = ctx.Err()
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("open event stream: %w", cause(ctx, err))
	}
	c.cancel = cancel
	return c, nil
}

// cause returns why waiting was given up rather than what followed from it.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// withoutURL returns an error of http.Client without the URL, which holds the session.
func withoutURL(err error) error {
	var ofURL *url.Error
	if errors.As(err, &ofURL) {
		return ofURL.Err
	}
	return err
}

func open(ctx context.Context, base *url.URL, o DialOptions) (*conn, error) {
	c := &conn{
		// Redirects are not followed: the headers are for this server.
		client: &http.Client{
			Transport:     o.RoundTripper,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		o:     o,
		done:  make(chan struct{}),
		posts: make(map[*http.Request]context.CancelFunc),
	}
	req, err := c.request(ctx, http.MethodGet, base.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Accept-Encoding", "identity") // compression delays events, and unpacks to any size
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, withoutURL(err)
	}
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if resp.StatusCode != http.StatusOK || kind != "text/event-stream" {
		_ = resp.Body.Close()
		return nil, statusError(resp)
	}
	c.body = resp.Body
	c.events = sse.NewReader(resp.Body, o.MaxMessageBytes+eventOverhead)
	if c.endpoint, err = c.readEndpoint(base); err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	return c, nil
}

func (c *conn) request(ctx context.Context, method, address string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	for name, values := range c.o.Header {
		req.Header[name] = append([]string(nil), values...)
	}
	return req, nil
}

// readEndpoint waits for the endpoint event, which must come before messages,
// and must name the server that the stream comes from: what is sent there may
// carry its credentials.
func (c *conn) readEndpoint(base *url.URL) (string, error) {
	for {
		event, err := c.events.Next()
		if err != nil {
			return "", fmt.Errorf("wait for the endpoint event: %w", err)
		}
		switch event.Name {
		case "endpoint":
			return resolve(base, event.Data)
		case "message", "":
			return "", errors.New("a message came before the endpoint event")
		}
	}
}

func resolve(base *url.URL, data []byte) (string, error) {
	if len(data) == 0 || len(data) > maxEndpoint {
		return "", fmt.Errorf("the endpoint event has %d bytes, want 1 to %d", len(data), maxEndpoint)
	}
	ref, err := url.Parse(string(data))
	if err != nil {
		return "", fmt.Errorf("read the endpoint event: %w", err)
	}
	endpoint := base.ResolveReference(ref)
	if ref.User != nil || !sameOrigin(base, endpoint) {
		return "", fmt.Errorf("the endpoint is at %s://%s, want the stream's own origin, %s://%s", endpoint.Scheme, endpoint.Host, base.Scheme, base.Host)
	}
	endpoint.User = base.User
	endpoint.Fragment = ""
	return endpoint.String(), nil
}

func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// Read implements mcp.Conn.
func (c *conn) Read(ctx context.Context) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, c.end(err)
	}
	stop := context.AfterFunc(ctx, func() { c.end(ctx.Err()) })
	defer stop()
	for {
		event, err := c.events.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil, c.end(io.EOF)
		case err != nil:
			return nil, c.end(fmt.Errorf("read message: %w", err))
		case c.ended():
			return nil, c.err
		case len(event.Data) > c.o.MaxMessageBytes:
			return nil, c.end(fmt.Errorf("read message: longer than the bound of %d bytes", c.o.MaxMessageBytes))
		case len(event.Data) > 0 && (event.Name == "message" || event.Name == ""):
			return event.Data, nil
		}
	}
}

// Write implements mcp.Conn: it returns when the server has taken the message.
func (c *conn) Write(ctx context.Context, message []byte) error {
	ctx, cancel := context.WithTimeout(ctx, c.o.WriteTimeout)
	defer cancel()
	req, err := c.request(ctx, http.MethodPost, c.endpoint, bytes.NewReader(message))
	if err != nil {
		return fmt.Errorf("post message: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if !c.begin(req, cancel) {
		return c.err
	}
	defer c.finish(req)
	resp, err := c.client.Do(req)
	if err != nil {
		if c.ended() {
			return c.err
		}
		return fmt.Errorf("post message: %w", cause(ctx, withoutURL(err)))
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, maxDrained)
	switch {
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
		return nil
	case resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone:
		return fmt.Errorf("post message: %w: %w", mcp.ErrSessionLost, statusError(resp))
	}
	return fmt.Errorf("post message: %w", statusError(resp))
}

// begin notes a POST that the end of the connection cancels; false after the end.
func (c *conn) begin(req *http.Request, cancel context.CancelFunc) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended() {
		return false
	}
	c.posts[req] = cancel
	return true
}

func (c *conn) finish(req *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.posts, req)
}

// end ends the connection. The first reason is kept, and returned.
func (c *conn) end(reason error) error {
	c.endOnce.Do(func() {
		c.mu.Lock()
		c.err = reason
		close(c.done)
		for _, cancel := range c.posts {
			cancel()
		}
		c.mu.Unlock()
		c.cancel()
		_ = c.body.Close()
	})
	return c.err
}

func (c *conn) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// Close implements mcp.Conn. Read and Write then return io.ErrClosedPipe.
func (c *conn) Close() error {
	c.end(io.ErrClosedPipe)
	return nil
}
