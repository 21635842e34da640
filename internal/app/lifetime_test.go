package app_test

import (
	"context"
	"errors"
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
	text := fmt.Sprintf("listen: 127.0.0.1:0\nstate: {path: %q}\nauth: {passwords: {enabled: true}, tokens: [{name: ann, token: %s, roles: [admin, user]}]}\nservers: {time: {builtin: time}}\nreload: {may_lower_safety: true}\n", path, ann)
	a, gate, gateway := run(t, text)
	reload := func(text string) {
		t.Helper()
		if err := errors.Join(a.Reload(parse(t, text)), gate.Refresh()); err != nil {
			t.Fatal(err)
		}
	}
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
	ways := map[string]func() (token string, revoke, restore func()){
		"is revoked": func() (string, func(), func()) {
			token := login("alice")
			return token, func() { form(t, gateway+"/revoke", url.Values{"token": {token}}) }, func() {}
		},
		"is a disabled user's": func() (string, func(), func()) {
			return login("johndoe"), func() { disable(t, s, "johndoe", true) }, func() { disable(t, s, "johndoe", false) }
		},
		"is not configured any more": func() (string, func(), func()) {
			return ann, func() { reload(strings.Replace(text, ann, bob, 1)) }, func() { reload(text) }
		},
		"has other roles now": func() (string, func(), func()) {
			return ann, func() { reload(strings.Replace(text, "[admin, user]", "[user]", 1)) }, func() { reload(text) }
		},
	}
	kinds := map[string]func(context.Context, string, chan<- struct{}) error{"events": events, "a socket": socket, "the stream of a session": alone}
	for way, begin := range ways {
		t.Run("of a token that "+way, func(t *testing.T) {
			token, revoke, restore := begin()
			defer restore()
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
			defer cancel()
			ended := make(map[string]chan error)
			for kind, stay := range kinds {
				open, over := make(chan struct{}), make(chan error, 1)
				ended[kind] = over
				go func() { over <- stay(ctx, token, open) }()
				select {
				case <-open:
				case err := <-over:
					t.Fatalf("%s did not open: %v", kind, err)
				}
			}
			start := time.Now()
			revoke()
			for kind, over := range ended {
				if err := <-over; err != nil {
					t.Errorf("%s did not end: %v", kind, err)
				}
				if took := time.Since(start); took > time.Minute {
					t.Errorf("%s ended after %v, want 5 s or little more", kind, took)
				}
			}
		})
	}
}
