package websocket

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/dragoman-mcp/dragoman/mcp"
)

// dialTimeout bounds the opening handshake, whatever the caller's context says.
const dialTimeout = 30 * time.Second

// IsUpgrade reports whether r asks for a WebSocket, so that a path can serve
// both this and plain HTTP.
func IsUpgrade(r *http.Request) bool {
	for _, values := range r.Header.Values("Upgrade") {
		for value := range strings.SplitSeq(values, ",") {
			if strings.EqualFold(strings.TrimSpace(value), "websocket") {
				return true
			}
		}
	}
	return false
}

// Upgrade makes a socket of the request. When it returns an error, the request
// has been answered with it. The socket outlives neither Close nor the process;
// it does outlive the handler and the request's context.
//
// A client may offer the subprotocol "mcp", or none. Compression is not
// negotiated: it would let a peer choose how much memory a message takes.
func Upgrade(w http.ResponseWriter, r *http.Request, o Options) (mcp.Conn, error) {
	o = o.withDefaults()
	if o.CheckOrigin != nil && !o.CheckOrigin(r) {
		http.Error(w, "this origin may not open a WebSocket here", http.StatusForbidden)
		return nil, fmt.Errorf("accept websocket: origin %q is refused", r.Header.Get("Origin"))
	}
	h := &hijacked{ResponseWriter: w}
	ws, err := websocket.Accept(h, r, &websocket.AcceptOptions{
		Subprotocols:       []string{Subprotocol},
		InsecureSkipVerify: o.CheckOrigin != nil, // checked above
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		return nil, fmt.Errorf("accept websocket: %w", err)
	}
	return newConn(ws, h.conn, o), nil
}

// hijacked notes the connection that the library takes over.
type hijacked struct {
	http.ResponseWriter
	conn net.Conn
}

func (h *hijacked) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	h.conn = conn
	return conn, rw, err
}

// StatusError is the error of a Dial whose server answered with something else
// than a WebSocket.
type StatusError struct{ Status int }

// Error names the status.
func (e *StatusError) Error() string {
	return fmt.Sprintf("server answered %d %s, want 101", e.Status, http.StatusText(e.Status))
}

// Dial opens a socket to url, whose scheme is ws, wss, http or https. ctx bounds
// the opening only.
func Dial(ctx context.Context, url string, o Options) (mcp.Conn, error) {
	o = o.withDefaults()
	if o.HTTPClient == nil || o.HTTPClient.Transport == nil {
		return nil, errors.New("open websocket: Options.HTTPClient must have a Transport")
	}
	client := *o.HTTPClient
	tap := &tap{RoundTripper: client.Transport}
	client.Transport = tap
	if client.CheckRedirect == nil {
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	ws, resp, err := websocket.Dial(ctx, url, &websocket.DialOptions{
		HTTPClient:      &client,
		HTTPHeader:      o.Header.Clone(),
		Subprotocols:    []string{Subprotocol},
		CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil && resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, fmt.Errorf("open websocket: %w", &StatusError{Status: resp.StatusCode})
	}
	if err != nil {
		return nil, fmt.Errorf("open websocket: %w", err)
	}
	return newConn(ws, tap.body, o), nil
}

// tap notes the body that the library takes over as the socket.
type tap struct {
	http.RoundTripper
	body io.Closer
}

func (t *tap) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(req)
	if err == nil {
		t.body = resp.Body
	}
	return resp, err
}
