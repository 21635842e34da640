package credential

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"

	"github.com/dragoman-mcp/dragoman/internal/auth/oauth"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// Transport puts the token of who a connection is for on each request, and looks
// whether the server takes it.
func (s *Server) Transport(p mcp.Principal, next http.RoundTripper) http.RoundTripper {
	return &transport{s: s, who: whoIs(p.ID), next: next}
}

type transport struct {
	s    *Server
	who  string
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper. A request that the server did not take
// with a token is sent once more if there is another one by now: it has done
// nothing (RFC 9110, 15.5.2). Without a token a request goes as it is, for the
// server to say what it thinks of that.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	first, err := t.token(req)
	if err != nil {
		return nil, err
	}
	res, err := t.next.RoundTrip(withToken(req, first, false))
	if err != nil || !t.turned(req, res, first) {
		return res, err
	}
	if req.Body != nil && req.GetBody == nil {
		return res, nil
	}
	second, err := t.token(req)
	if err != nil || second.value == first.value || second.value == "" {
		return res, nil
	}
	again := withToken(req, second, true)
	if req.Body != nil {
		if again.Body, err = req.GetBody(); err != nil {
			return res, nil
		}
	}
	_, _ = io.CopyN(io.Discard, res.Body, 4<<10)
	_ = res.Body.Close()
	if res, err = t.next.RoundTrip(again); err != nil {
		return nil, err
	}
	t.turned(req, res, second)
	return res, nil
}

// token gives what to show; nothing for somebody who has to log in.
func (t *transport) token(req *http.Request) (held, error) {
	h, err := t.s.source.token(req.Context(), t.who)
	if err != nil && isLogin(err) {
		return held{}, nil
	}
	if err != nil && req.Body != nil {
		_ = req.Body.Close() // a RoundTripper closes it even so
	}
	return h, err
}

// withToken is a request with a token, and with no other than that.
func withToken(req *http.Request, h held, again bool) *http.Request {
	if h.value == "" && !again {
		return req
	}
	sent := req.WithContext(req.Context())
	sent.Header = make(http.Header, len(req.Header)+1)
	for name, values := range req.Header {
		sent.Header[name] = values
	}
	sent.Header["Authorization"] = []string{"Bearer " + h.value}
	return sent
}

// turned tells whether the server has not taken a token at all, and notes what it
// says of it.
func (t *transport) turned(req *http.Request, res *http.Response, h held) bool {
	switch res.StatusCode {
	case http.StatusUnauthorized:
		noteTurned(req.Context())
		if h.value != "" {
			t.s.source.refused(t.who, h, nil)
		}
		return true
	case http.StatusForbidden:
		if _, scopes := oauth.Challenge(res.Header); scopes != nil {
			noteTurned(req.Context())
			t.s.source.refused(t.who, h, scopes)
		}
	}
	return false
}

type turnedKey struct{}

// watchTurned returns a context of a call that remembers whether the server turned
// a request of it away for its token.
func watchTurned(ctx context.Context) (context.Context, *atomic.Bool) {
	turned := new(atomic.Bool)
	return context.WithValue(ctx, turnedKey{}, turned), turned
}

func noteTurned(ctx context.Context) {
	if turned, ok := ctx.Value(turnedKey{}).(*atomic.Bool); ok {
		turned.Store(true)
	}
}
