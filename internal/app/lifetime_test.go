package app_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

func TestStreamsEndWithTheCredential(t *testing.T) {
	path, s := people(t)
	_, _, gateway := run(t, fmt.Sprintf("listen: 127.0.0.1:0\nstate: {path: %q}\nauth: {passwords: {enabled: true}}\nservers: {time: {builtin: time}}\n", path))
	login := func(name string) string {
		_, body := form(t, gateway+"/token", url.Values{"username": {name}, "password": {goodPassword}})
		token, _ := body["access_token"].(string)
		return token
	}
	// Each way to stay open, as a function that returns when the gateway has ended it.
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	events := func(ctx context.Context, token string, open chan<- struct{}) error {
		req, err := http.NewRequestWithContext(ctx, "GET", gateway+"/sse", nil)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := (&http.Client{Transport: transport}).Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		close(open)
		_, _ = io.Copy(io.Discard, res.Body) // until the gateway ends it, however
		return nil
	}
	alone := func(ctx context.Context, token string, open chan<- struct{}) error {
		send := func(method, body, id string) (*http.Response, error) {
			req, err := http.NewRequestWithContext(ctx, method, gateway+"/mcp", strings.NewReader(body))
			if err != nil {
				return nil, err
			}
			req.Header = http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
			if id != "" {
				req.Header.Set("Mcp-Session-Id", id)
			}
			res, err := (&http.Client{Transport: transport}).Do(req)
			if err == nil && res.StatusCode != http.StatusOK {
				res.Body.Close()
				return nil, fmt.Errorf("%s: HTTP %d", method, res.StatusCode)
			}
			return res, err
		}
		res, err := send("POST", initialize, "")
		if err != nil {
			return err
		}
		res.Body.Close()
		if res, err = send("GET", "", res.Header.Get("Mcp-Session-Id")); err != nil {
			return err
		}
		defer res.Body.Close()
		close(open)
		_, _ = io.Copy(io.Discard, res.Body) // until the gateway ends it, however
		return ctx.Err()
	}
	socket := func(ctx context.Context, token string, open chan<- struct{}) error {
		c, _, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(gateway, "http")+"/mcp", &websocket.DialOptions{
			HTTPClient: &http.Client{Transport: transport}, Subprotocols: []string{"mcp"}, HTTPHeader: http.Header{"Authorization": {"Bearer " + token}}})
		if err != nil {
			return err
		}
		defer c.CloseNow()
		if err := c.Write(ctx, websocket.MessageText, []byte(initialize)); err != nil {
			return err
		}
		if _, _, err := c.Read(ctx); err != nil {
			return err
		}
		close(open)
		for err == nil {
			_, _, err = c.Read(ctx)
		}
		return ctx.Err() // nil unless we gave up
	}
	for name, stay := range map[string]func(context.Context, string, chan<- struct{}) error{"events": events, "socket": socket, "the stream of a session": alone} {
		for _, way := range []string{"is revoked", "is a disabled user's"} {
			t.Run(name+" of a token that "+way, func(t *testing.T) {
				user := map[string]string{"is revoked": "alice", "is a disabled user's": "johndoe"}[way]
				token := login(user)
				ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
				defer cancel()
				open, ended := make(chan struct{}), make(chan error, 1)
				go func() { ended <- stay(ctx, token, open) }()
				select {
				case <-open:
				case err := <-ended:
					t.Fatalf("it did not open: %v", err)
				}
				start := time.Now()
				if way == "is revoked" {
					form(t, gateway+"/revoke", url.Values{"token": {token}})
				} else {
					disable(t, s, user, true)
					defer disable(t, s, user, false)
				}
				if err := <-ended; err != nil {
					t.Errorf("it did not end: %v", err)
				}
				if took := time.Since(start); took > time.Minute {
					t.Errorf("it ended after %v, want 5 s or little more", took)
				}
			})
		}
	}
}
