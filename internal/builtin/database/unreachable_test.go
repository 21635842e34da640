package database_test

import (
	"net"
	"strings"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/servertest"
	"github.com/dragoman-mcp/dragoman/test/servers"
)

// TestWhoCannotBeReached says what a caller is told of databases that are not there or let nobody in: which one, what to do, and
// nothing of where they are or of how they are logged into.
func TestWhoCannotBeReached(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// A role that is not there is refused by either server, whatever its password.
	postgres := strings.Replace(servers.Postgres(t), "postgres@", "stranger:canary@", 1)
	mysql := "mysql://stranger:canary@" + strings.NewReplacer("root@tcp(", "", ")", "").Replace(servers.MariaDB(t))
	c := servertest.Open(t, database.New, &server.Env{Dir: t.TempDir(), Settings: []byte(`{"sources": {
 "p": {"dsn": "` + postgres + `"}, "m": {"dsn": "` + mysql + `"}, "pn": {"dsn": "postgres://u:canary@` + nobody + `/x?sslmode=disable"},
 "mn": {"dsn": "mysql://u:canary@` + nobody + `/x"}, "dn": {"dsn": "mongodb://u:canary@` + nobody + `/x"}, "sn": {"dsn": "sqlite:nothing.db"}}}`)})
	for _, tc := range []struct{ source, tool, want string }{
		{"p", "query", "the database of p does not let us in; an administrator corrects"},
		{"m", "query", "the database of m does not let us in; an administrator corrects"},
		{"pn", "query", "the database of pn cannot be reached; try again later"},
		{"mn", "query", "the database of mn cannot be reached; try again later"},
		{"dn", "find", "the database of dn cannot be reached; try again later"},
		{"sn", "query", "the database of sn cannot be reached; try again later"},
	} {
		r, err := c.Call(t.Context(), tc.tool, map[string]args{"query": {"source": tc.source, "sql": "select 1"}, "find": {"source": tc.source, "collection": "x"}}[tc.tool])
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Text(); !r.IsError || !strings.HasPrefix(got, tc.want) || strings.Contains(got, "canary") || strings.Contains(got, "127.0.0.1") {
			t.Errorf("%s: got %s, want %s", tc.source, got, tc.want)
		}
	}
}
