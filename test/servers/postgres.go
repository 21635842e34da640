package servers

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Postgres starts PostgreSQL and returns the DSN of an empty database, of which
// the user is the superuser. It is stopped when the test ends. Starting takes one
// to three seconds, so tests that can share one call it once and ask Database for
// more.
func Postgres(tb testing.TB) string {
	tb.Helper()
	p := newPlace(tb, "postgres")
	return p.postgres("?sslmode=disable")
}

// PostgresTLS is Postgres that takes nobody without TLS. The DSN says nothing of that.
func PostgresTLS(tb testing.TB) (string, Papers) {
	tb.Helper()
	p := newPlace(tb, "postgres")
	papers := p.papers()
	return strings.TrimSuffix(p.postgres("?sslmode=require", "-c", "ssl=on", "-c", "ssl_ca_file="+papers.CA, "-c", "ssl_cert_file="+papers.Cert, "-c", "ssl_key_file="+papers.Key), "?sslmode=require"), papers
}

// postgres starts it with more arguments, and returns its DSN with more at the end.
func (p *place) postgres(end string, more ...string) string {
	p.Helper()
	folder := "/usr/lib/postgresql/*/bin"
	initdb, postgres := find(p, "initdb", folder), find(p, "postgres", folder)
	p.prepare(initdb, "-D", p.path("data"), "-U", "postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
	if len(more) > 0 {
		if err := os.WriteFile(p.path("data/pg_hba.conf"), []byte("hostssl all all 127.0.0.1/32 trust\n"), 0o600); err != nil {
			p.Fatal(err)
		}
	}
	dsn := func(port int) string {
		return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres%s", port, end)
	}
	p.run(server{
		program: postgres,
		args: func(port int) []string {
			return append([]string{"-D", p.path("data"), "-p", fmt.Sprint(port), "-k", p.dir, "-c", "listen_addresses=127.0.0.1",
				"-c", "fsync=off", "-c", "max_connections=200", "-c", "shared_buffers=32MB",
				"-c", "autovacuum=off"}, more...) // tests see by the transaction id whether anything was written
		},
		probe: func(port int) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			conn, err := pgx.Connect(ctx, dsn(port))
			if err != nil {
				return err
			}
			return conn.Close(ctx)
		},
		stop: syscall.SIGQUIT,
	})
	return dsn(p.port)
}

// Database makes another empty database in the server of a DSN that Postgres
// returned, and returns the DSN of that.
func Database(tb testing.TB, dsn, name string) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startLimit)
	defer cancel()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		tb.Fatal(err)
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil {
		tb.Fatalf("create database %q: %v", name, err)
	}
	return fmt.Sprintf("postgres://%s@%s:%d/%s?sslmode=disable", config.User, config.Host, config.Port, url.PathEscape(name))
}
