package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/httpsse"
	"github.com/dragoman-mcp/dragoman/mcp/streamhttp"
	"github.com/dragoman-mcp/dragoman/mcp/websocket"
)

// dialect is how a server at a URL turned out to be spoken to.
type dialect string

const (
	undecided  dialect = ""
	modernHTTP dialect = "modern"
	legacyHTTP dialect = "legacy"
	oldSSE     dialect = "sse"
)

// remote is a server at a URL.
type remote struct {
	u        *Upstream
	url      string
	share    int
	dialogue dialogue // for sockets

	mu      sync.Mutex // guards dialect
	dialect dialect
}

func newRemote(u *Upstream, url string, weight int) *remote {
	return &remote{u: u, url: url, share: max(weight, 1), dialogue: dialogue{u: u}}
}

// address is the URL without what may be secret of it.
func (r *remote) address() string {
	u, err := url.Parse(r.url)
	if err != nil {
		return "url"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

func (r *remote) weight() int  { return r.share }
func (r *remote) close() error { return nil }

// reset forgets what the server was found to speak.
func (r *remote) reset() {
	r.learn(undecided)
	r.dialogue.learn(probing)
}

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

// transport carries the requests of a link that is opened with ctx.
func (r *remote) transport(ctx context.Context) http.RoundTripper {
	if r.u.around.Authorize == nil {
		return r.u.pool
	}
	return r.u.around.Authorize(mcp.PrincipalOf(ctx), r.u.pool)
}

func (r *remote) open(ctx context.Context, client *mcp.Client) (*opened, error) {
	ctx, cancel := context.WithTimeout(ctx, r.u.cfg.ConnectTimeout)
	defer cancel()
	if strings.HasPrefix(r.url, "ws") {
		return r.openSocket(ctx, client)
	}
	d := r.demanded()
	if d != undecided {
		return r.openAs(ctx, d, client)
	}
	if d = r.known(); d != undecided {
		o, err := r.openAs(ctx, d, client)
		if err == nil || !isForeign(err) {
			return o, err
		}
	}
	return r.detect(ctx, client, d)
}

// demanded is the dialect that the configuration leaves no doubt about.
func (r *remote) demanded() dialect {
	switch {
	case r.u.cfg.Transport == "sse":
		return oldSSE
	case r.u.mustBeModern():
		return modernHTTP
	case r.u.cfg.Transport == "streamable-http" && r.u.cfg.Protocol != auto:
		return legacyHTTP
	}
	return undecided
}

// detect tries the stateless era, then a session, then HTTP+SSE, as far as the
// configuration leaves open and the answers point further (2026-07-28,
// basic/transports/streamable-http, "Backward compatibility"). except has been
// tried already.
func (r *remote) detect(ctx context.Context, client *mcp.Client, except dialect) (*opened, error) {
	candidates := []dialect{modernHTTP, legacyHTTP, oldSSE}
	if r.u.cfg.Protocol != auto {
		candidates = candidates[1:]
	}
	if r.u.cfg.Transport == "streamable-http" {
		candidates = candidates[:len(candidates)-1]
	}
	var errs []error
	for _, d := range candidates {
		if d == except {
			continue
		}
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
		o, err := r.u.shake(ctx, r.streamable(ctx).Open(), client)
		if err != nil {
			return nil, fmt.Errorf("open a session: %w", err)
		}
		o.how = "streamable-http"
		return o, nil
	default:
		return r.openSSE(ctx, client)
	}
}

func (r *remote) streamable(ctx context.Context) *streamhttp.Client {
	return streamhttp.NewClient(streamhttp.ClientOptions{
		URL: r.url, Header: r.header(), Transport: r.transport(ctx),
		MaxMessageBytes: int(r.u.around.MaxMessage), Limits: r.u.around.Limits, Log: r.u.log,
	})
}

func (r *remote) openModern(ctx context.Context) (*opened, error) {
	c := r.streamable(ctx)
	ask := func(ctx context.Context) error { return r.u.askModern(ctx, c) }
	if err := ask(ctx); err != nil {
		return nil, err
	}
	return &opened{
		handler: c, revision: mcp.Revision20260728, how: "streamable-http", ping: ask,
		close: func(context.Context) error { return nil },
	}, nil
}

// askModern asks whether a server is there and of the stateless era.
func (u *Upstream) askModern(ctx context.Context, h mcp.Handler) error {
	result, err := h.Handle(ctx, &mcp.Request{Method: "server/discover", Client: u.itself()})
	if err != nil && fateOf(err) != answered && !isForeign(err) {
		return fmt.Errorf("server/discover: %w", err)
	}
	if eraOf(result, err) == stateless {
		return nil
	}
	if err == nil {
		err = errors.New("the server does not list " + string(mcp.Revision20260728))
	}
	return &foreignError{fmt.Errorf("server/discover: %w", err)}
}

func (r *remote) openSSE(ctx context.Context, client *mcp.Client) (*opened, error) {
	conn, err := httpsse.Dial(ctx, r.url, httpsse.DialOptions{
		RoundTripper: r.transport(ctx), Header: r.header(), MaxMessageBytes: int(r.u.around.MaxMessage),
	})
	if err != nil {
		return nil, fmt.Errorf("open an event stream: %w", err)
	}
	o, err := r.u.shake(ctx, mcp.NewMux(conn, r.u.around.Limits), client)
	if err != nil {
		return nil, err
	}
	o.how = "sse"
	return o, nil
}

func (r *remote) openSocket(ctx context.Context, client *mcp.Client) (*opened, error) {
	var messages *atomic.Int64
	o, err := r.dialogue.open(ctx, client, func(ctx context.Context) (mcp.Channel, error) {
		conn, err := websocket.Dial(ctx, r.url, websocket.Options{
			HTTPClient: &http.Client{Transport: r.transport(ctx), CheckRedirect: handBack},
			Header:     r.header(), MaxMessageBytes: int(r.u.around.MaxMessage),
		})
		if err != nil {
			return nil, withoutURL(err)
		}
		messages = new(atomic.Int64)
		return mcp.NewMux(counted{conn, messages}, r.u.around.Limits), nil
	})
	if err != nil {
		return nil, err
	}
	o.how, o.heard = "websocket", messages.Load
	return o, nil
}

// handBack keeps an http.Client from following a redirect: our headers are for
// the server that is configured.
func handBack(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// withoutURL returns what an http.Client says without the URL, which may hold a
// secret.
func withoutURL(err error) error {
	var ofURL *url.Error
	if errors.As(err, &ofURL) {
		return fmt.Errorf("open websocket: %w", ofURL.Err)
	}
	return err
}

// foreignError is the answer of a server that speaks something else.
type foreignError struct{ err error }

func (e *foreignError) Error() string { return e.err.Error() }
func (e *foreignError) Unwrap() error { return e.err }

// foreignStatuses are those that SDKs answer with to what they do not speak.
func foreignStatuses() []int {
	return []int{
		http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotAcceptable,
		http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusUpgradeRequired, http.StatusNotImplemented,
	}
}

// isForeign reports whether err is the answer of a server that speaks another
// dialect than it was spoken to in. That nobody answered, or that the server
// cannot now or does not want to, says nothing about its dialect.
func isForeign(err error) bool {
	var foreign *foreignError
	var misfit *misfitError
	st, hasStatus := statusOf(err)
	switch {
	case errors.As(err, &foreign):
		return true
	case errors.As(err, &misfit):
		return false
	case hasStatus:
		return slices.Contains(foreignStatuses(), st.code)
	}
	return errors.Is(err, errRefused)
}

// speaksModern reports whether a wire error shows that the server is of the
// stateless era. A server that names the revisions which it supports, and no
// stateless one among them, is not: the official Go SDK with sessions does so.
func speaksModern(err *mcp.Error) bool {
	switch err.Code {
	case mcp.CodeHeaderMismatch, mcp.CodeMissingCapability:
		return true
	case mcp.CodeUnsupportedVersion:
		var data struct {
			Supported []mcp.Revision `json:"supported"`
		}
		return json.Unmarshal(err.Data, &data) == nil && slices.Contains(data.Supported, mcp.Revision20260728)
	}
	return false
}
