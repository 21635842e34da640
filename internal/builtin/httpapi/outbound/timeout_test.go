package outbound_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/httpapi/outbound"
	"github.com/dragoman-mcp/dragoman/server/backend"
)

// silent is an API that does not answer, or begins to and does not go on.
type silent struct{ begins bool }

func (s silent) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.begins {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: quiet{r.Context()}, Request: r}, nil
	}
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// quiet is a body that does not come.
type quiet struct{ ctx context.Context }

func (q quiet) Read([]byte) (int, error) {
	<-q.ctx.Done()
	return 0, q.ctx.Err()
}

func (quiet) Close() error { return nil }

var _ io.ReadCloser = quiet{}

// A request ends at its own bound or at that of the call, whichever is sooner.
func TestARequestIsBoundedWithItsAnswer(t *testing.T) {
	for name, tc := range map[string]struct {
		api     silent
		timeout time.Duration // of the settings
		call    time.Duration // 0 for no bound
		want    time.Duration
	}{
		"no answer, by default":          {silent{}, 0, 0, 30 * time.Second},
		"no answer":                      {silent{}, 5 * time.Second, 0, 5 * time.Second},
		"no body":                        {silent{true}, 5 * time.Second, 0, 5 * time.Second},
		"no answer in a longer call":     {silent{}, 5 * time.Second, time.Minute, 5 * time.Second},
		"no answer in a shorter call":    {silent{}, 5 * time.Second, 2 * time.Second, 2 * time.Second},
		"no body of one in a short call": {silent{true}, 5 * time.Second, 2 * time.Second, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := outbound.New(outbound.Options{Transport: tc.api, Timeout: tc.timeout, Now: time.Now, Retry: backend.Retry{Attempts: 1}})
				defer func() { _ = s.Close() }()
				ctx := t.Context()
				if tc.call > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.call)
					defer cancel()
				}
				began := time.Now()
				_, err := s.Send(ctx, outbound.Message{Method: http.MethodGet, URL: &url.URL{Scheme: "http", Host: "api.example", Path: "/"}})
				if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != tc.want {
					t.Errorf("got %v after %s, want a timeout after %s", err, took, tc.want)
				}
			})
		})
	}
}
