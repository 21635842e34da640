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

// Statements that did more than read, or reached outside the file, in other servers of this kind.
func attacks() []string {
	return []string{
		// cli-printing-press#2799: every statement after the first runs; mode=ro holds for the first file only
		"SELECT 1; DROP TABLE t", "ATTACH DATABASE '{DIR}/other.db' AS x", "VACUUM INTO '{DIR}/copy.db'", "VACUUM",
		"SELECT 1; ATTACH DATABASE '{DIR}/other.db' AS x; CREATE TABLE x.y (a)",
		// awslabs/mcp#4497, reflect-open#136
		"DETACH DATABASE main", "PRAGMA journal_mode = DELETE", "PRAGMA query_only = 0", "PRAGMA writable_schema = 1", "PRAGMA user_version = 7",
		"PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA optimize", "PRAGMA incremental_vacuum", "PRAGMA temp_store_directory = '{DIR}'",
		"SELECT * FROM pragma_user_version(7)", "SELECT * FROM pragma_application_id(7)", "SELECT * FROM pragma_wal_checkpoint", "SELECT * FROM pragma_optimize",
		// sqlite-explorer#12, #14, executeautomation GHSA-65hm-pwj5-73pw, mcp-dbutils#116: what a statement begins with says little
		"WITH x AS (SELECT 1) INSERT INTO t (b) SELECT 'x' FROM x", "WITH x AS (SELECT 1) UPDATE t SET b = 'x'", "WITH x AS (SELECT 1) DELETE FROM t",
		"INSERT INTO t (b) VALUES ('x') RETURNING a", "REPLACE INTO t VALUES (1, 'x')", "/* SELECT */ DELETE FROM t", "-- SELECT\nDELETE FROM t",
		"EXPLAIN DELETE FROM t; DELETE FROM t",
		// PayloadsAllTheThings, SQLite Injection: code, files, extensions
		"SELECT load_extension('{DIR}/evil.so')", "SELECT LOAD_EXTENSION('x', 'y')", "SELECT writefile('{DIR}/w', 'x')", "SELECT readfile('/etc/passwd')",
		"SELECT edit('x')", "SELECT fts3_tokenizer('simple')", "SELECT fts3_tokenizer('simple', x'4141414141414141')",
		"CREATE TABLE u (a)", "CREATE TEMP TABLE u (a)", "CREATE TEMP VIEW u AS SELECT 1", "CREATE TEMP TRIGGER g AFTER INSERT ON t BEGIN SELECT 1; END",
		"CREATE INDEX i ON t (b)", "ALTER TABLE t RENAME TO u", "DROP TABLE t", "DROP VIEW v", "REINDEX", "ANALYZE",
		"CREATE VIRTUAL TABLE g USING fts5 (b)", "INSERT INTO f (f) VALUES ('optimize')", "INSERT INTO f (f) VALUES ('rebuild')",
		"BEGIN", "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK", "END", "SAVEPOINT a", "RELEASE a",
		"UPDATE sqlite_schema SET sql = 'x'", "DELETE FROM sqlite_sequence", "SELECT sqlite_dbpage.data FROM sqlite_dbpage WHERE sqlite_dbpage MATCH writefile('x', 'y')",
		"SELECT eval('DELETE FROM t')", "SELECT fts5(x'00')", "SELECT sqlite_offset(a) FROM t, (SELECT load_extension('x'))",
		"SELECT 1;;;SELECT 2", "SELECT 1; --\nDROP TABLE t", "SELECT 1 /* ; */; DROP TABLE t", "SELECT '\x00'; DROP TABLE t", "", ";", "-- nothing",
	}
}

func TestNothingIsWritten(t *testing.T) {
	path := file(t)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := sqlite.Open(sqlite.Options{Path: path, MaxConns: 1})
	defer s.Close()
	for _, attack := range attacks() {
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
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > time.Second {
			t.Errorf("%s: got %v after %v, want that it ends within 1 s", statement, err, took)
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
