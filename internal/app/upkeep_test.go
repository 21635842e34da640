package app_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/internal/store/backend"
)

// Ids of logins that were spent are forgotten also where no local users log in.
func TestSpentIdsOfLoginsAreForgotten(t *testing.T) {
	text := "listen: 127.0.0.1:0\nstate: {path: " + filepath.Join(t.TempDir(), "state.db") + "}\nservers: {far: {url: \"http://127.0.0.1:1/mcp\", auth: oauth}}\n"
	state, err := backend.Open(t.Context(), parse(t, text).State)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := state.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := state.Denials.Spend(t.Context(), "credential-login:old", time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := state.Denials.Spend(t.Context(), "credential-login:new", time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	run(t, text)
	limit := time.NewTimer(4 * time.Minute)
	defer limit.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for state.Denials.Spend(t.Context(), "credential-login:old", time.Now().Add(time.Hour)) != nil {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatal("the id that was spent long ago is still there")
		}
	}
	if err := state.Denials.Spend(t.Context(), "credential-login:new", time.Now().Add(time.Hour)); !errors.Is(err, store.ErrConflict) {
		t.Errorf("an id that was spent a moment ago: got %v, want it refused", err)
	}
}
