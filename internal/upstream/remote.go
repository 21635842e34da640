package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/dragoman-mcp/dragoman/internal/egress"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/httpsse"
	"github.com/dragoman-mcp/dragoman/mcp/streamhttp"
	"github.com/dragoman-mcp/dragoman/mcp/websocket"
)

// dialect is how a server at a URL turned out to be spoken to.
type dialect string

const (
	unknown    dialect = ""
	modernHTTP dialect = "modern"
	legacyHTTP dialect = "legacy"
	oldSSE     dialect = "sse"
)

// remote is a server at a URL.
type remote struct {
	u      *Upstream
	url    string
	weight int

	mu      sync.Mutex // guards dialect
	dialect dialect
}

func (r *remote) address() string { return r.url }
func (r *remote) share() int      { return r.weight }
func (r *remote) close() error    { return nil }

func (r *remote) known() dialect {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.dialect
}

func (r *remote) learn(d dialect) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dialect = d
}

func (r *remote) header() http.Header {
	h := make(http.Header, len(r.u.cfg.Headers))
	for name, value := range r.u.cfg.Headers {
		h.Set(name, value.Reveal())
	}
	return h
}

func (r *remote) open(ctx context.Context, client *mcp.Client) (*opened, error) {
	ctx, cancel := context.WithTimeout(ctx, r.u.cfg.ConnectTimeout)
	defer cancel()
	if strings.HasPrefix(r.url, "ws") {
		return r.openSocket(ctx, client)
	}
	d := r.known()
	if d == unknown {
		d = r.demanded()
	}
	if d != unknown {
		o, err := r.openAs(ctx, d, client)
		if err == nil || !isForeign(err) || r.demanded() != unknown {
			return o, err
		}
	}
	return r.detect(ctx, client)
}

// demanded is the dialect that the configuration leaves no doubt about.
func (r *remote) demanded() dialect {
	pinned := mcp.Revision(r.u.cfg.Protocol)
	switch {
	case r.u.cfg.Transport == "sse":
		return oldSSE
	case r.u.cfg.Protocol == "modern" || pinned == mcp.Revision20260728:
		return modernHTTP
	case r.u.cfg.Transport == "streamable-http" && (r.u.cfg.Protocol == "legacy" || pinned.Known()):
		return legacyHTTP
	}
	return unknown
}

// detect tries the stateless era, then a session, then HTTP+SSE, as far as the
// configuration leaves open and the answers point further (2026-07-28,
// basic/transports/streamable-http, "Backward compatibility").
func (r *remote) detect(ctx context.Context, client *mcp.Client) (*opened, error) {
	pinned := mcp.Revision(r.u.cfg.Protocol)
	candidates := []dialect{modernHTTP, legacyHTTP, oldSSE}
	if r.u.cfg.Protocol == "legacy" || pinned.Known() {
		candidates = candidates[1:]
	}
	if r.u.cfg.Transport == "streamable-http" {
		candidates = candidates[:len(candidates)-1]
	}
	var errs []error
	for _, d := range candidates {
		o, err := r.openAs(ctx, d, client)
		if err == nil {
			r.learn(d)
			return o, nil
		}
		errs = append(errs, err)
		if !isForeign(err) {
			break
		}
	}
	return nil, errors.Join(errs...)
}

func (r *remote) openAs(ctx context.Context, d dialect, client *mcp.Client) (*opened, error) {
	switch d {
	case modernHTTP:
		return r.openModern(ctx)
	case legacyHTTP:
		o, err := r.u.agree(ctx, r.streamable().Open(), client, false)
		if err != nil {
			return nil, fmt.Errorf("open a session: %w", err)
		}
		o.how = "streamable-http"
		return o, nil
	default:
		return r.openSSE(ctx, client)
	}
}

func (r *remote) streamable() *streamhttp.Client {
	return streamhttp.NewClient(streamhttp.ClientOptions{
		URL: r.url, Header: r.header(), Transport: r.u.around.HTTP.Transport,
		MaxMessageBytes: int(r.u.around.MaxMessage), Limits: r.u.around.Limits, Log: r.u.log,
	})
}

func (r *remote) openModern(ctx context.Context) (*opened, error) {
	c := r.streamable()
	result, err := c.Handle(ctx, &mcp.Request{Method: "server/discover", Client: anonymous()})
	switch {
	case err == nil && supportsModern(mcp.ReadServer(result)):
	case err == nil:
		return nil, &foreignError{errors.New("server/discover: the server does not list " + string(mcp.Revision20260728))}
	case modernAnswer(err):
	case answered(err):
		return nil, &foreignError{fmt.Errorf("server/discover: %w", err)}
	default:
		return nil, fmt.Errorf("server/discover: %w", err)
	}
	return &opened{
		handler: c, revision: mcp.Revision20260728, how: "streamable-http", ping: discoverOf(c),
		close: func(context.Context) error { return nil },
	}, nil
}

func (r *remote) openSSE(ctx context.Context, client *mcp.Client) (*opened, error) {
	conn, err := httpsse.Dial(ctx, r.url, httpsse.DialOptions{
		RoundTripper: r.u.around.HTTP.Transport, Header: r.header(), MaxMessageBytes: int(r.u.around.MaxMessage),
	})
	if err != nil {
		return nil, fmt.Errorf("open an event stream: %w", err)
	}
	o, err := r.u.agree(ctx, mcp.NewMux(conn, r.u.around.Limits), client, false)
	if err != nil {
		return nil, err
	}
	o.how = "sse"
	return o, nil
}

func (r *remote) openSocket(ctx context.Context, client *mcp.Client) (*opened, error) {
	conn, err := websocket.Dial(ctx, r.url, websocket.Options{
		HTTPClient: r.u.around.HTTP, Header: r.header(), MaxMessageBytes: int(r.u.around.MaxMessage),
	})
	if err != nil {
		return nil, err
	}
	o, err := r.u.agree(ctx, mcp.NewMux(conn, r.u.around.Limits), client, true)
	if err != nil {
		return nil, err
	}
	o.how = "websocket"
	return o, nil
}

// foreignError is the answer of a server that speaks something else.
type foreignError struct{ err error }

func (e *foreignError) Error() string { return e.err.Error() }
func (e *foreignError) Unwrap() error { return e.err }

// isForeign reports whether err is the answer of a server that speaks another
// dialect than it was spoken to in. The statuses are those that SDKs give.
func isForeign(err error) bool {
	var foreign *foreignError
	return errors.As(err, &foreign) || answered(err)
}

// answered reports whether the server was there and refused: with a status
// other than one that says "not now" or "not you", or with a JSON-RPC error.
func answered(err error) bool {
	var http1 *streamhttp.StatusError
	var sse *httpsse.StatusError
	var wire *mcp.Error
	status := 0
	switch {
	case errors.As(err, &http1):
		status = http1.Status
	case errors.As(err, &sse):
		status = sse.Status
	case errors.As(err, &wire):
		return true
	}
	return slices.Contains([]int{400, 404, 405, 406, 415, 422, 426, 501}, status)
}

// modernAnswer reports whether an error can only come of a stateless server.
func modernAnswer(err error) bool {
	var wire *mcp.Error
	return errors.As(err, &wire) && speaksModern(wire)
}

// speaksModern reports whether a wire error shows that the server is of the
// stateless era. A server that names the revisions which it supports, and no
// stateless one among them, is not (research: the official Go SDK with sessions).
func speaksModern(err *mcp.Error) bool {
	switch err.Code {
	case mcp.CodeHeaderMismatch, mcp.CodeMissingCapability:
		return true
	case mcp.CodeUnsupportedVersion:
		var data struct {
			Supported []mcp.Revision `json:"supported"`
		}
		if json.Unmarshal(err.Data, &data) != nil {
			return false
		}
		return slices.Contains(data.Supported, mcp.Revision20260728)
	}
	return false
}

// unsentError marks a failure of which the server has seen nothing.
type unsentError struct{ err error }

func (e *unsentError) Error() string { return e.err.Error() }
func (e *unsentError) Unwrap() error { return e.err }

// isUnsent reports whether the server cannot have seen the request.
func isUnsent(err error) bool {
	var unsent *unsentError
	return errors.As(err, &unsent) || errors.Is(err, egress.ErrNotSent)
}
