package streamhttp_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/mcp/streamhttp"
)

// forgetful is a server of the older revisions that keeps no events: what happens
// before it has answered for the standalone stream is lost.
type forgetful struct {
	t      *testing.T
	status int           // of that answer
	takes  time.Duration // until then

	begun      time.Time
	subscribed time.Duration // after begun
}

func (f *forgetful) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := func(status int, media, body string) (*http.Response, error) {
		h := http.Header{"Content-Type": {media}, "Mcp-Session-Id": {"s-1"}}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r}, nil
	}
	if r.Method == http.MethodGet {
		select {
		case <-time.After(f.takes):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		got, err := answer(f.status, "text/event-stream", "")
		if f.status == 200 {
			body, pipe := io.Pipe()
			go func() { <-r.Context().Done(); _ = pipe.Close() }()
			got.Body, got.ContentLength = body, -1
		}
		return got, err
	}
	if r.Body == nil {
		return answer(204, "", "")
	}
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		f.t.Error(err)
	}
	msg, err := jsonrpc.Parse(raw, jsonrpc.Limits{})
	if err != nil {
		f.t.Error(err)
	}
	switch {
	case msg.Method == "notifications/initialized":
		f.begun = time.Now()
		return answer(202, "", "")
	case msg.Method == "resources/subscribe":
		f.subscribed = time.Since(f.begun)
	}
	return answer(200, "application/json", fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{}}}`, msg.ID))
}

func TestASubscriptionWaitsForTheStreamOnWhichItIsHeard(t *testing.T) {
	for _, tt := range []struct {
		name        string
		server      forgetful
		least, most time.Duration
	}{
		{"that takes a moment", forgetful{status: 200, takes: 300 * time.Millisecond}, 300 * time.Millisecond, 300 * time.Millisecond},
		{"that is not given", forgetful{status: 405, takes: 10 * time.Millisecond}, 10 * time.Millisecond, 10 * time.Millisecond},
		{"but not for long", forgetful{status: 200, takes: time.Hour}, time.Second, time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := tt.server
				server.t = t
				ch := streamhttp.NewClient(streamhttp.ClientOptions{URL: "http://server.invalid/mcp", Transport: &server}).Open()
				if _, err := run(t, ch, "initialize"); err != nil {
					t.Fatal(err)
				}
				if err := ch.Send(t.Context(), jsonrpc.Message{Method: "notifications/initialized"}); err != nil {
					t.Fatal(err)
				}
				for _, least := range []time.Duration{tt.least, 0} { // only the first waits
					server.begun = time.Now()
					if _, err := run(t, ch, "resources/subscribe"); err != nil {
						t.Fatal(err)
					}
					if least > 0 && (server.subscribed < tt.least || server.subscribed > tt.most) || least == 0 && server.subscribed > 0 {
						t.Errorf("the server was asked after %s, want %s", server.subscribed, least)
					}
				}
				if err := ch.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
