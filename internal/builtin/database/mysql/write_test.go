package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
	"github.com/dragoman-mcp/dragoman/internal/builtin/database/mysql"
)

func openWriter(t *testing.T, url string) *mysql.Writer {
	t.Helper()
	var d net.Dialer
	w, err := mysql.OpenWriter(mysql.Options{DSN: url, Dial: d.DialContext})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func writing(t *testing.T, root *sql.DB, url string) {
	if _, err := root.Exec(`CREATE TABLE w (a INT PRIMARY KEY AUTO_INCREMENT, b VARCHAR(50) NOT NULL) ENGINE=InnoDB; INSERT INTO w (b) VALUES ('one'), ('two');
CREATE TABLE kept (a INT) ENGINE=MyISAM; INSERT INTO kept VALUES (1), (2), (3), (4);`); err != nil {
		t.Fatal(err)
	}
	w := openWriter(t, url)
	for _, tc := range []struct {
		sql  string
		n    int64
		want string
	}{
		{"INSERT INTO w (b) VALUES ('three; x'), ('four') -- and\n;", 2, ""},
		{"UPDATE w SET b = CONCAT(b, '!') WHERE a <= 3", 3, ""},
		{"REPLACE INTO w VALUES (1, 'eins')", 2, ""},
		{"DELETE FROM w WHERE a = 4", 1, ""},
		{"DELETE FROM w WHERE a = 4", 0, ""},
		{"UPDATE w, (SELECT 1 x) y SET b = 'all'", 0, ""}, // 3 rows, which is not too much: see below
		{"INSERT INTO w (b) SELECT seq FROM seq_1_to_9", 0, "would change 9 rows"},
		{"DELETE FROM kept", 0, "the table cannot undo changes"},
		{"INSERT INTO w (b) VALUES (NULL)", 0, "cannot be null"},
		{"INSERT INTO nothing VALUES (1)", 0, "doesn't exist; look at the tables"},
		{"DELETE FROM w; DELETE FROM w", 0, "more than one statement"},
		{"SELECT 1", 0, "does not change rows"}, {"DROP TABLE w", 0, "does not change rows"}, {"TRUNCATE w", 0, "does not change rows"}, {"SET GLOBAL general_log = 1", 0, "does not change rows"},
		{"CALL evil()", 0, "does not change rows"}, {"LOAD DATA INFILE '/etc/passwd' INTO TABLE w", 0, "does not change rows"}, {"COMMIT", 0, "does not change rows"}, {"", 0, "does not change rows"}, {"`delete` FROM w", 0, "does not change rows"},
		{"/*! DROP TABLE w */", 0, "reads as code"}, {"INSERT INTO w (b) VALUES ('x') /*!; DROP TABLE w */", 0, "reads as code"}, {"DELETE FROM w RETURNING a", 0, "RETURNING is not for"},
		{"INSERT INTO w (b) SELECT LOAD_FILE('/etc/passwd')", 0, "LOAD_FILE is not for"}, {"UPDATE w SET b = SLEEP(9)", 0, "SLEEP is not for"}, {"UPDATE w SET b = @x := 1", 0, "variables"},
		{"INSERT INTO w (b) SELECT b FROM w INTO OUTFILE '/tmp/dragoman-x'", 0, "OUTFILE is not for"}, {"WITH x AS (SELECT 1) SELECT 1", 0, ""},
	} {
		if strings.HasPrefix(tc.sql, "UPDATE w, (") || strings.HasPrefix(tc.sql, "WITH x") {
			_, _ = w.Write(t.Context(), engine.Change{SQL: tc.sql}, 3) // how many rows they count is the server's; that nothing else happens is seen below
			continue
		}
		n, err := w.Write(t.Context(), engine.Change{SQL: tc.sql}, 3)
		if n != tc.n || (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %d, %v, want %d, %q", tc.sql, n, err, tc.n, tc.want)
		}
	}
	var rows string
	if err := root.QueryRow("SELECT GROUP_CONCAT(CONCAT(a, b) ORDER BY a) FROM w").Scan(&rows); err != nil || rows != "1all,2all,3all" {
		t.Errorf("the table has %s (%v), want what was let through", rows, err)
	}
	endless(t, root, w)
	grants(t, root, url)
}

// endless holds a row, so that a change waits until it is cancelled.
func endless(t *testing.T, root *sql.DB, w *mysql.Writer) {
	tx, err := root.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("UPDATE w SET b = 'held' WHERE a = 1"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := w.Write(ctx, engine.Change{SQL: "UPDATE w SET b = 'late'"}, 10); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a change that waits: got %v, want that it ends with its context", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	var late int
	if err := root.QueryRow("SELECT COUNT(*) FROM w WHERE b = 'late'").Scan(&late); err != nil || late != 0 {
		t.Errorf("%d rows were changed after the cancel (%v)", late, err)
	}
}

func grants(t *testing.T, root *sql.DB, url string) {
	p, err := openWriter(t, url).Posture(t.Context())
	if err != nil || len(p.Excess) == 0 || p.Excess[0] != "has ALL PRIVILEGES on *.*" || !strings.Contains(p.Remedy, "GRANT SELECT, INSERT, UPDATE, DELETE ON `test`.* TO 'dragoman_writer'@'%'") {
		t.Fatalf("root: got %+v, %v", p, err)
	}
	if _, err := root.Exec(strings.Replace(p.Remedy, " IDENTIFIED BY '...'", "", 1)); err != nil {
		t.Fatal(err)
	}
	other := openWriter(t, strings.Replace(url, "root@", "dragoman_writer@", 1))
	if p, err := other.Posture(t.Context()); err != nil || len(p.Excess) != 0 {
		t.Errorf("the role that is printed: got %+v, %v, want that it is fine", p, err)
	}
	if n, err := other.Write(t.Context(), engine.Change{SQL: "UPDATE w SET b = 'x' WHERE a = 1"}, 1); n != 1 || err != nil {
		t.Errorf("the role that is printed: wrote %d rows, %v, want 1", n, err)
	}
}
