package as_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/store"
)

func TestRefreshTokensThatHaveExpiredAreForgotten(t *testing.T) {
	w := newWorld(t, nil)
	now := w.now()
	for id, expires := range map[string]time.Time{"gone": now.Add(-time.Second), "there": now.Add(time.Hour)} {
		if err := w.state.Families.Add(t.Context(), store.Family{ID: id, Subject: "alice", Created: now.Add(-time.Hour), Expires: expires}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.server.Run(ctx) }()
	limit, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := w.state.Families.Get(limit, "gone"); errors.Is(err, store.ErrNotFound) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		<-tick.C
	}
	if _, err := w.state.Families.Get(t.Context(), "there"); err != nil {
		t.Errorf("one that has not expired: %v", err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("it ends with %v", err)
	}
}
