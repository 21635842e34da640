package postgres_test

import (
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/egress"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/internal/store/postgres"
	"github.com/dragoman-mcp/dragoman/internal/store/storetest"
	"github.com/dragoman-mcp/dragoman/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func network(t *testing.T) *egress.Network {
	n := egress.New(egress.Options{})
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func open(t *testing.T, dsn string) *store.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), dsn, network(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSuite(t *testing.T) {
	server, n := servers.Postgres(t), 0
	storetest.Run(t, func(t *testing.T) func(t *testing.T) *store.Store {
		n++
		dsn := servers.Database(t, server, fmt.Sprint("suite", n))
		return func(t *testing.T) *store.Store { return open(t, dsn) }
	})
}
