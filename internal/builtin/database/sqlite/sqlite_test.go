package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
	"github.com/dragoman-mcp/dragoman/internal/builtin/database/sqlite"
	"github.com/dragoman-mcp/dragoman/internal/selftest/corpus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type collected struct{ rows []string }

func (c *collected) Columns([]engine.Column) {}
func (c *collected) Row(array []byte) bool   { c.rows = append(c.rows, string(array)); return true }

func run(ctx context.Context, s *sqlite.Source, sql string) ([]string, error) {
	var c collected
	err := s.Run(ctx, engine.Query{SQL: sql, Max: 1000}, &c)
	return c.rows, err
}

// file makes a database with a table, a full text index and a trigger.
func file(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range []string{"CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)", "INSERT INTO t (b) VALUES ('one'), ('two')",
		"CREATE VIRTUAL TABLE f USING fts5 (b)", "INSERT INTO f VALUES ('some words here')", "CREATE VIEW v AS SELECT a FROM t"} {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(statement, err)
		}
	}
	return path
}

func attacks(t *testing.T) []string {
	t.Helper()
	all, err := corpus.Statements()
	if err != nil || len(all) < 50 {
		t.Fatalf("got %d statements and error %v, want at least 50", len(all), err)
	}
	return all
}

func TestNothingIsWritten(t *testing.T) {
	path := file(t)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := sqlite.Open(sqlite.Options{Path: path, MaxConns: 1})
	defer s.Close()
	for _, attack := range attacks(t) {
		attack = strings.ReplaceAll(attack, "{DIR}", filepath.Dir(path))
		var refused *engine.Error
		rows, err := run(t.Context(), s, attack)
		if !errors.As(err, &refused) {
			t.Errorf("%s: got %v, %v, want that it is refused", attack, rows, err)
		}
	}
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file has changed (%v)", err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("there are files beside the database: %v", entries)
	}
}

func TestReadingIsLetThrough(t *testing.T) {
	s := sqlite.Open(sqlite.Options{Path: file(t)})
	defer s.Close()
	for statement, want := range map[string]string{
		"SELECT a, b FROM t ORDER BY 1;":                                                                  `[1,"one"] [2,"two"]`,
		"select b from t where b = 'DROP TABLE; -- x' or a = 2 -- DELETE":                                 `["two"]`,
		"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 3) SELECT sum(i) FROM n": `[6]`,
		"SELECT snippet(f, 0, '<', '>', '', 3), bm25(f) < 0 FROM f WHERE f MATCH 'words'":                 `["some <words> here",1]`,
		"SELECT count(*) OVER (), row_number() OVER (ORDER BY a DESC) FROM t LIMIT 1":                     `[2,1]`,
		"SELECT name, type FROM pragma_table_info('t')":                                                   `["a","INTEGER"] ["b","TEXT"]`,
		"PRAGMA table_info(t)": `[0,"a","INTEGER",0,null,1] [1,"b","TEXT",0,null,0]`,
		"PRAGMA user_version":  `[0]`,
		"SELECT json_extract('{\"a\":[1,2]}', '$.a[1]'), '{\"a\":5}' ->> 'a', upper('ä'), date('2026-02-30')": `[2,5,"ä","2026-03-02"]`,
		"VALUES (1, 'x'), (2, x'ff')":                                       `[1,"x"] [2,{"base64":"/w=="}]`,
		"SELECT * FROM v UNION SELECT 9":                                    `[1] [2] [9]`,
		"SELECT CAST(x'ff41' AS TEXT), -9007199254740993, 1.5e300, 0.1+0.2": `[{"base64":"/0E="},"-9007199254740993",1.5e+300,0.30000000000000004]`,
	} {
		rows, err := run(t.Context(), s, statement)
		if got := strings.Join(rows, " "); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", statement, got, err, want)
		}
	}
}

func TestARunawayStatementEndsWithItsContext(t *testing.T) {
	s := sqlite.Open(sqlite.Options{MaxConns: 1})
	defer s.Close()
	for _, statement := range []string{
		"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT count(*) FROM n",
		"SELECT count(*) FROM orders a, orders b, orders c, orders d",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		began := time.Now()
		_, err := run(ctx, s, statement)
		cancel()
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > time.Minute {
			t.Errorf("%s: got %v after %v, want that it ends soon after", statement, err, took)
		}
	}
	if rows, err := run(t.Context(), s, "SELECT count(*) FROM orders"); err != nil || len(rows) != 1 || rows[0] != "[240]" {
		t.Errorf("afterwards: got %v, %v, want 240 orders", rows, err)
	}
}

func TestAFileThatIsNotThereIsNotMade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.db")
	s := sqlite.Open(sqlite.Options{Path: path})
	defer s.Close()
	if _, err := run(t.Context(), s, "SELECT 1"); err == nil {
		t.Error("a file that is not there was opened")
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a file that was not there was made")
	}
}
