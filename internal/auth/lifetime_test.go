package auth_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/auth"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// holders lets in whoever sends a token that was not withdrawn.
type holders struct {
	withdrawn sync.Map // by token
	asked     atomic.Int64
}

func (h *holders) Identify(_ context.Context, credential string) (auth.Identity, error) {
	h.asked.Add(1)
	if _, ok := h.withdrawn.Load(credential); ok {
		return auth.Identity{}, auth.Invalid("%s was withdrawn", credential)
	}
	return auth.Identity{Principal: mcp.Principal{ID: credential, Method: "jwt"}}, nil
}

// Requests that are answered for long end soon after their credential does, each by itself, whenever they began; and the others stay.
func TestEachRequestIsWatchedForAsLongAsItIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := &holders{}
		guard := auth.NewGuard(&config.Config{Listen: "127.0.0.1:8000", Auth: config.Auth{Keys: config.APIKeys{Enabled: true}}}, auth.Options{Sources: []auth.Source{source}})
		const n = 40
		begun := time.Now()
		ended := make([]time.Duration, n) // after the beginning
		answer := make([]chan struct{}, n)
		h := guard.Private(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			var i int
			if _, err := fmt.Sscanf(mcp.PrincipalOf(r.Context()).ID, "t%d", &i); err != nil {
				t.Error(err)
			}
			select {
			case <-r.Context().Done():
				ended[i] = time.Since(begun)
			case <-answer[i]:
			}
		}))
		var work sync.WaitGroup
		for i := range n {
			answer[i] = make(chan struct{})
			work.Go(func() {
				r := httptest.NewRequest("POST", "/mcp", nil)
				r.Host = "localhost"
				r.Header.Set("Authorization", fmt.Sprintf("Bearer t%d", i))
				h.ServeHTTP(httptest.NewRecorder(), r)
			})
			<-time.After(100 * time.Millisecond)
		}
		for i := 0; i < n; i += 4 {
			close(answer[i]) // is answered
			source.withdrawn.Store(fmt.Sprintf("t%d", i+1), true)
		}
		withdrawn := time.Since(begun)
		<-time.After(10 * time.Second)
		for i := range n {
			took := ended[i] - withdrawn
			if gone := i%4 == 1; gone != (ended[i] > 0) || gone && took > 2*time.Second {
				t.Errorf("request %d: ended %v after others were withdrawn, want it to end at once: %v", i, took, gone)
			}
		}
		source.asked.Store(0)
		<-time.After(20 * time.Second)
		if got := source.asked.Load(); got < 9*n/2 || got > 11*n/2 {
			t.Errorf("in 20 s %d looks at the credentials of %d requests, want one each every 2 s", got, n/2)
		}
		for i := 2; i < n; i += 4 {
			close(answer[i])
			close(answer[i+1])
		}
		work.Wait()
		source.asked.Store(0)
		<-time.After(10 * time.Second)
		if got := source.asked.Load(); got != 0 {
			t.Errorf("%d looks at credentials after all was answered, want none", got)
		}
	})
}
