package postgres_test

import (
	"net"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
	"github.com/dragoman-mcp/dragoman/internal/builtin/database/postgres"
	"github.com/dragoman-mcp/dragoman/test/servers"
)

func TestWritesAreBoundedAndOneStatement(t *testing.T) {
	dsn := servers.Postgres(t)
	root := admin(t, dsn, schemaSQL)
	var d net.Dialer
	w, err := postgres.OpenWriter(postgres.Options{DSN: dsn, Dial: d.DialContext})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if n, err := w.Write(t.Context(), engine.Change{SQL: "INSERT INTO t2 VALUES ('three'), ('four')"}, 2); n != 2 || err != nil {
		t.Errorf("got %d, %v, want 2 rows", n, err)
	}
	for sql, want := range map[string]string{
		"DELETE FROM t2": "would change 4 rows",
		"WITH d AS (DELETE FROM t2 RETURNING *) SELECT count(*) FROM d":                             "would change 4 rows",
		"WITH d AS (DELETE FROM t2 RETURNING *) INSERT INTO users (name) SELECT 'x' FROM d LIMIT 1": "would change 5 rows",
		"DELETE FROM t2; DELETE FROM users":                                                         "cannot insert multiple commands",
		"DROP TABLE t2":                                                                             "does not change rows",
		"INSERT INTO users (name) VALUES (NULL)":                                                    "null value in column",
	} {
		if _, err := w.Write(t.Context(), engine.Change{SQL: sql}, 3); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", sql, err, want)
		}
	}
	var n int
	if err := root.QueryRow(t.Context(), "SELECT count(*) FROM t2").Scan(&n); err != nil || n != 4 {
		t.Errorf("there are %d rows (%v), want 4", n, err)
	}
	p, err := w.Posture(t.Context())
	if err != nil || len(p.Excess) == 0 || p.Excess[0] != "is a superuser" || !strings.Contains(p.Remedy, "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA \"public\" TO dragoman_writer;") {
		t.Fatalf("a superuser: got %+v, %v", p, err)
	}
	for _, tc := range []struct{ name, sql, want string }{
		{"the role that is printed is fine", p.Remedy, ""},
		{"an owner is not", "ALTER TABLE t2 OWNER TO dragoman_writer", "owns t2"},
	} {
		if _, err := root.Exec(t.Context(), tc.sql); err != nil {
			t.Fatalf("%s: %v", tc.sql, err)
		}
		other, err := postgres.OpenWriter(postgres.Options{DSN: strings.Replace(dsn, "postgres@", "dragoman_writer@", 1), Dial: d.DialContext})
		if err != nil {
			t.Fatal(err)
		}
		p, err := other.Posture(t.Context())
		if got := strings.Join(p.Excess, ";"); err != nil || got != tc.want {
			t.Errorf("%s: got %q, %v, want %q", tc.name, got, err, tc.want)
		}
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	}
}
