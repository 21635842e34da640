package servers_test

import (
	"context"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stopped fails unless nobody listens there.
func stopped(t *testing.T, address string) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err == nil {
		conn.Close()
		t.Errorf("somebody still listens on %s after the test that started it", address)
	}
}

func TestPostgresHasADatabaseForEachThatAsks(t *testing.T) {
	var address string
	t.Run("while the test runs", func(t *testing.T) {
		dsn := servers.Postgres(t)
		other := servers.Database(t, dsn, `an "other" one`)
		for _, d := range []string{dsn, other} {
			conn, err := pgx.Connect(t.Context(), d)
			if err != nil {
				t.Fatalf("connect to %s: %v", d, err)
			}
			address = net.JoinHostPort(conn.Config().Host, strconv.Itoa(int(conn.Config().Port)))
			if _, err := conn.Exec(t.Context(), "CREATE TABLE only_here (a int)"); err != nil {
				t.Errorf("create the same table in %s: %v", d, err)
			}
			if err := conn.Close(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		}
	})
	if address != "" {
		stopped(t, address)
	}
}

func TestMariaDBIsGoneAfterTheTest(t *testing.T) {
	var address string
	t.Run("while the test runs", func(t *testing.T) {
		dsn := servers.MariaDB(t)
		_, rest, found := strings.Cut(dsn, "@tcp(")
		address, _, _ = strings.Cut(rest, ")")
		if !found || !strings.HasSuffix(dsn, ")/test") {
			t.Errorf("got DSN %q, want root@tcp(host:port)/test", dsn)
		}
	})
	if address != "" {
		stopped(t, address)
	}
}

func TestRedisIsGoneAfterTheTest(t *testing.T) {
	var address string
	t.Run("while the test runs", func(t *testing.T) {
		u, err := url.Parse(servers.Redis(t))
		if err != nil || u.Scheme != "redis" {
			t.Fatalf("got %v, %v, want a URL of redis", u, err)
		}
		address = u.Host
	})
	if address != "" {
		stopped(t, address)
	}
}

func TestMongoDBIsGoneAfterTheTest(t *testing.T) {
	var address string
	t.Run("while the test runs", func(t *testing.T) {
		u, err := url.Parse(servers.MongoDB(t))
		if err != nil || u.Scheme != "mongodb" || u.Path != "/test" {
			t.Fatalf("got %v, %v, want a URL of mongodb with the database test", u, err)
		}
		address = u.Host
	})
	if address != "" {
		stopped(t, address)
	}
}
