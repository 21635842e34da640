package backend_test

import (
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/internal/store/backend"
	"github.com/dragoman-mcp/dragoman/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWhatTheConfigurationNamesIsOpened(t *testing.T) {
	for name, state := range map[string]func(t *testing.T) config.State{
		"sqlite": func(t *testing.T) config.State {
			return config.State{Driver: "sqlite", Path: filepath.Join(t.TempDir(), "state.db")}
		},
		"postgres": func(t *testing.T) config.State {
			return config.State{Driver: "postgres", DSN: config.Secret(servers.Postgres(t))}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := backend.Open(t.Context(), state(t))
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Users.Add(t.Context(), store.User{Name: "ann"}); err != nil {
				t.Errorf("add a user: %v", err)
			}
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
}

func TestWhatCannotBeOpenedSaysWhatToDoAndNoSecret(t *testing.T) {
	for name, c := range map[string]struct {
		state config.State
		want  string
	}{
		"no driver":        {config.State{}, "use sqlite or postgres"},
		"no file":          {config.State{Driver: "sqlite"}, "set state.path"},
		"a DSN that is no": {config.State{Driver: "postgres", DSN: "postgres://ann:hunter2@127.0.0.1:port/x"}, "neither a URL"},
		"nobody listens":   {config.State{Driver: "postgres", DSN: "postgres://ann:hunter2@127.0.0.1:1/x?connect_timeout=2"}, "PostgreSQL"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := backend.Open(t.Context(), c.state)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want an error with %q and without the password", err, c.want)
			}
		})
	}
}
