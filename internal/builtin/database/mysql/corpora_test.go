package mysql_test

import (
	"context"
	"database/sql"
	"flag"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/corpus"
	"github.com/dragoman-mcp/dragoman/test/servers"
)

var corpora = flag.String("corpora", "", "`DIR` with repositories of attacks, or parts of them (see package corpus); without it a small list is run")

func TestCorporaChangeNothing(t *testing.T) {
	texts, err := corpus.Texts(*corpora)
	if err != nil {
		t.Fatal(err)
	}
	dsn := servers.MariaDB(t)
	root, err := sql.Open("mysql", dsn+"?multiStatements=true")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if _, err := root.Exec("CREATE TABLE t2 (x TEXT); INSERT INTO t2 VALUES ('one'), ('two'); CREATE TABLE users (id INT, name TEXT, password TEXT); INSERT INTO users VALUES (1, 'ann', 'secret'); CREATE TABLE t (a INT, b INT, x INT)"); err != nil {
		t.Fatal(err)
	}
	s := open(t, "mysql://"+strings.NewReplacer("tcp(", "", ")", "").Replace(dsn))
	state := func() (text string) {
		err := root.QueryRow("SELECT CONCAT((SELECT GROUP_CONCAT(x) FROM t2), (SELECT GROUP_CONCAT(name) FROM users), (SELECT COUNT(*) FROM information_schema.tables), (SELECT COUNT(*) FROM information_schema.routines), @@general_log, (SELECT COUNT(*) FROM mysql.global_priv))").Scan(&text)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	before := state()
	tally := corpus.Run(t.Context(), texts, time.Minute, func(ctx context.Context, sql string) error {
		_, err := run(ctx, s, sql)
		return err
	})
	if after := state(); after != before || len(tally.Late) > 0 {
		t.Errorf("the database has changed from %s to %s, or these took a minute: %q", before, after, tally.Late)
	}
	t.Logf("MariaDB: 0 writes over %v", tally)
}
