package postgres_test

import (
	"net"
	"strings"
	"testing"

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
	if n, err := w.Write(t.Context(), "INSERT INTO t2 VALUES ('three'), ('four')", 2); n != 2 || err != nil {
		t.Errorf("got %d, %v, want 2 rows", n, err)
	}
	for sql, want := range map[string]string{
		"DELETE FROM t2":                         "would change 4 rows",
		"DELETE FROM t2; DELETE FROM users":      "cannot insert multiple commands",
		"DROP TABLE t2":                          "does not change rows",
		"INSERT INTO users (name) VALUES (NULL)": "null value in column",
	} {
		if _, err := w.Write(t.Context(), sql, 3); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", sql, err, want)
		}
	}
	var n int
	if err := root.QueryRow(t.Context(), "SELECT count(*) FROM t2").Scan(&n); err != nil || n != 4 {
		t.Errorf("there are %d rows (%v), want 4", n, err)
	}
}
