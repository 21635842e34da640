package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
	"github.com/dragoman-mcp/dragoman/internal/builtin/database/mysql"
	"github.com/dragoman-mcp/dragoman/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type collected struct {
	rows []string
	most int
}

func (c *collected) Columns([]engine.Column) {}
func (c *collected) Row(array []byte) bool {
	if c.most > 0 && len(c.rows) == c.most {
		return false
	}
	c.rows = append(c.rows, string(array))
	return true
}

func run(ctx context.Context, s *mysql.Source, sql string, args ...any) ([]string, error) {
	var c collected
	err := s.Run(ctx, engine.Query{SQL: sql, Args: args, Max: 1000}, &c)
	return c.rows, err
}

func open(t *testing.T, url string) *mysql.Source {
	t.Helper()
	var d net.Dialer
	s, err := mysql.Open(mysql.Options{DSN: url, Dial: d.DialContext})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestMariaDB shares one server among all that needs one.
func TestMariaDB(t *testing.T) {
	dsn := servers.MariaDB(t)
	root, err := sql.Open("mysql", dsn+"?multiStatements=true")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	if _, err := root.Exec(`CREATE TABLE t (a INT PRIMARY KEY AUTO_INCREMENT, b VARCHAR(50) COMMENT 'a note') COMMENT 'things'; INSERT INTO t (b) VALUES ('one'), ('two');
CREATE TABLE big AS SELECT seq AS i FROM seq_1_to_2000; CREATE SEQUENCE s; CREATE FUNCTION evil() RETURNS INT RETURN (SELECT COUNT(*) FROM t); CREATE VIEW v AS SELECT a FROM t;
CREATE USER reader@'%'; GRANT SELECT ON test.* TO reader@'%'; CREATE USER writer@'%'; GRANT SELECT, INSERT ON test.* TO writer@'%'; GRANT FILE ON *.* TO writer@'%';`); err != nil {
		t.Fatal(err)
	}
	url := "mysql://" + strings.NewReplacer("tcp(", "", ")", "").Replace(dsn)
	s := open(t, url)
	t.Run("nothing is written", func(t *testing.T) { nothingIsWritten(t, root, s) })
	t.Run("reading is let through", func(t *testing.T) { readingIsLetThrough(t, s) })
	t.Run("a cut answer is the prefix of the whole", func(t *testing.T) { prefix(t, s) })
	t.Run("a cut answer keeps the connection", func(t *testing.T) { cutKeeps(t, open(t, url)) })
	t.Run("a cancelled statement is gone within a second", func(t *testing.T) { killed(t, root, s) })
	t.Run("changes are bounded and one statement", func(t *testing.T) { writing(t, root, url) })
	t.Run("the role is looked at", func(t *testing.T) {
		for user, want := range map[string]string{"root": "has ALL PRIVILEGES on *.*", "writer": "has FILE on *.*;has INSERT on `test`.*", "reader": ""} {
			p, err := open(t, strings.Replace(url, "root@", user+"@", 1)).Posture(t.Context())
			if got := strings.Join(p.Excess, ";"); err != nil || !strings.HasPrefix(got, want) || want == "" && got != "" {
				t.Errorf("%s: got %q, %v, want %q", user, got, err, want)
			}
		}
	})
	t.Run("the schema is told", func(t *testing.T) {
		objects, err := s.Objects(t.Context())
		if err != nil || len(objects) < 3 {
			t.Fatalf("got %+v, %v", objects, err)
		}
		for _, o := range objects {
			if o.Name == "t" && (o.Comment != "things" || len(o.Columns) != 2 || o.Columns[1].Comment != "a note" || o.Keys[0] != "a" || o.Indexes[0] != "unique PRIMARY (a)") {
				t.Errorf("got %+v", o)
			}
		}
	})
}

// attacks are facts from dbhub (#283, #315, #320 and its sql-parser tests), AWS's mysql server (mutable_sql_detector), mysql's manual, and
// PayloadsAllTheThings (MySQL Injection).
func attacks() []string {
	return []string{
		"INSERT INTO t (b) VALUES ('x')", "UPDATE t SET b = 'x'", "DELETE FROM t", "DROP TABLE t", "TRUNCATE t", "REPLACE INTO t VALUES (1, 'x')", "CREATE TABLE u (a INT)", "CREATE TEMPORARY TABLE u (a INT)", "ALTER TABLE t ADD c INT",
		"CALL evil()", "DO SLEEP(5)", "DO RELEASE_ALL_LOCKS()", "SET GLOBAL general_log = 1", "SET @a = 1", "LOCK TABLES t WRITE", "UNLOCK TABLES", "FLUSH TABLES", "KILL 1", "LOAD DATA INFILE '/etc/passwd' INTO TABLE t", "HANDLER t OPEN",
		"GRANT ALL ON *.* TO reader", "COMMIT", "ROLLBACK", "BEGIN", "START TRANSACTION", "SAVEPOINT a", "XA START 'a'", "PREPARE p FROM 'DELETE FROM t'", "EXECUTE p", "EXECUTE IMMEDIATE 'DELETE FROM t'", "USE mysql", "ANALYZE TABLE t", "OPTIMIZE TABLE t",
		"SELECT 1; DELETE FROM t", "SELECT 1;; DELETE FROM t", "SELECT 1;-- \nDELETE FROM t", "SELECT 1;#\nDELETE FROM t", "SELECT \"\\\"; DELETE FROM t\"; DELETE FROM t", "SELECT ';' ; DELETE FROM t", "SELECT `;`; DELETE FROM t",
		"/*!50000 DELETE FROM t */", "SELECT 1 /*!; DELETE FROM t */", "SELECT 1 /*M!100000 , SLEEP(5) */", "SELECT /*!99999 1, */ SLEEP(5)", "SELECT 1 /*! INTO OUTFILE '/tmp/x' */", "SELECT 1--1;DELETE FROM t", "SELECT 1 --1; DROP TABLE t", "SELECT /*+ SET_VAR(max_execution_time=0) */ 1",
		"SELECT /* /*! */ 1, SLEEP(5) */ 1", "SELECT 1 /* */ , SLEEP(5)", "SELECT 1 --\tx\n, SLEEP(5)", "SELECT 1 #x\n, SLEEP(5)",
		"SELECT * FROM t INTO OUTFILE '/tmp/dragoman-x'", "SELECT b INTO DUMPFILE '/tmp/dragoman-x' FROM t", "SELECT a INTO @x FROM t LIMIT 1", "SELECT @x := 5", "SELECT * FROM t FOR UPDATE", "SELECT * FROM t LOCK IN SHARE MODE", "SELECT * FROM t FOR SHARE", "SELECT * FROM t FOR UPDATE SKIP LOCKED",
		"SELECT * FROM t PROCEDURE ANALYSE(10, 2000)", "WITH x AS (SELECT 1) DELETE FROM t", "WITH x AS (SELECT 1) UPDATE t SET b = 'x'", "SELECT NEXTVAL(s)", "SELECT NEXT VALUE FOR s", "SELECT PREVIOUS VALUE FOR s", "SELECT SETVAL(s, 100)", "SELECT LASTVAL(s)",
		"SELECT SLEEP(5)", "SELECT sleep (5)", "SELECT `sleep`(5)", "SELECT SLEEP/**/(5)", "SELECT BENCHMARK(1000000, MD5('x'))", "SELECT LOAD_FILE('/etc/passwd')", "SELECT GET_LOCK('a', 1)", "SELECT RELEASE_LOCK('a')", "SELECT RELEASE_ALL_LOCKS()", "SELECT IS_USED_LOCK('a')", "SELECT MASTER_POS_WAIT('a', 1)",
		"SELECT MASTER_GTID_WAIT('0-1-1', 5)", "SELECT WAIT_FOR_EXECUTED_GTID_SET('x')", "SELECT evil()", "SELECT test.evil()", "SELECT `test`.`evil`()", "SELECT * FROM t WHERE a = evil()", "SELECT sys_exec('id')", "SELECT sys_eval('id')", "SELECT sys.ps_kill(1)", "SELECT LAST_INSERT_ID(99)", "SELECT ENCRYPT('x')", "SELECT DES_ENCRYPT('x')",
		"SELECT 1 UNION SELECT SLEEP(5)", "SELECT IF(1=1, SLEEP(5), 0)", "SELECT * FROM t WHERE b = '' OR SLEEP(5) -- '", "SELECT 1 ORDER BY SLEEP(5)", "SELECT * FROM (SELECT SLEEP(5)) x", "SELECT 1 FROM t GROUP BY (SELECT SLEEP(5))", "SELECT 1 LIMIT 1 PROCEDURE ANALYSE()",
		"EXPLAIN ANALYZE DELETE FROM t", "ANALYZE FORMAT=JSON DELETE FROM t", "SHOW TABLES", "DESCRIBE t", "' OR 1=1 --", "1' AND SLEEP(5)#", "", ";", "-- x", "SELECT 'x", "SELECT `x", "SELECT /* x", "SELECT '\x00'", "TABLE t INTO OUTFILE '/tmp/dragoman-x'", "VALUES (SLEEP(5))", "(SELECT 1) INTO OUTFILE '/tmp/dragoman-x'",
	}
}

func nothingIsWritten(t *testing.T, root *sql.DB, s *mysql.Source) {
	state := func() string {
		var text string
		if err := root.QueryRow("SELECT CONCAT((SELECT GROUP_CONCAT(b) FROM t), (SELECT COUNT(*) FROM information_schema.tables), (SELECT next_not_cached_value FROM s), @@general_log, (SELECT COUNT(*) FROM mysql.global_priv))").Scan(&text); err != nil {
			t.Fatal(err)
		}
		return text
	}
	before, passed := state(), 0
	for _, attack := range attacks() {
		var refused *engine.Error
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if rows, err := run(ctx, s, attack); !errors.As(err, &refused) {
			t.Errorf("%s: got %v, %v, want that it is refused", attack, rows, err)
			passed++
		}
		cancel()
	}
	if after := state(); after != before {
		t.Errorf("the database has changed from %s to %s", before, after)
	}
	if _, err := os.Stat("/tmp/dragoman-x"); err == nil {
		t.Error("a file was written")
	}
	t.Logf("%d of %d attacks refused", len(attacks())-passed, len(attacks()))
}

func readingIsLetThrough(t *testing.T, s *mysql.Source) {
	for statement, want := range map[string]string{
		"SELECT a, b FROM t ORDER BY a;": `[1,"one"] [2,"two"]`, "SELECT 'DROP TABLE t; DELETE', \"it''s\"": `["DROP TABLE t; DELETE","it''s"]`, "SELECT 1 -- ; DELETE": "[1]", "/* DELETE */ SELECT 1 # ;": "[1]", "SELECT 5--1": "[6]", "SELECT '\\'; DELETE FROM t -- '": `["'; DELETE FROM t -- "]`,
		"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT SUM(i) FROM n": `["6"]`, "(SELECT 1) UNION (SELECT 2)": "[1] [2]", "SELECT COUNT(*) FROM v": "[2]", "VALUES (1), (2)": "[1] [2]",
		"SELECT 9007199254740993, 12.30, 1e0, CAST(1 AS UNSIGNED), NULL, x'00ff', 18446744073709551615":                            `["9007199254740993","12.30",1,1,null,{"base64":"AP8="},"18446744073709551615"]`,
		"SELECT DATE '2026-02-03', TIMESTAMP '2026-02-03 04:05:06', b'101', TRUE, JSON_EXTRACT('{\"a\": [1, 2]}', '$.a[1]')":       `["2026-02-03","2026-02-03 04:05:06",{"base64":"BQ=="},1,"2"]`,
		"SELECT CONCAT('a', REPLACE('b', 'b', 'c')), INSERT('abc', 1, 1, 'x'), LEFT('abc', 1), IF(1, 2, 3), MOD(5, 3), 'é€😀'":      `["ac","xbc","a",2,2,"é€😀"]`,
		"SELECT ROW_NUMBER() OVER (PARTITION BY b ORDER BY a), GROUP_CONCAT(b SEPARATOR '|') FROM t GROUP BY a ORDER BY a LIMIT 1": `[1,"one"]`,
		"SELECT `a` AS `delete` FROM t WHERE a IN (1, 5) AND EXISTS (SELECT 1) AND NOT (a = 9)":                                    "[1]", "SELECT DATE_ADD('2026-01-31', INTERVAL 1 MONTH), YEAR(NOW()) > 2000, CAST('5' AS DECIMAL(5,2))": `["2026-02-28",1,"5.00"]`,
		"SELECT COUNT(*) > 0 FROM information_schema.tables WHERE table_schema = 'test'": "[1]", "SELECT @@version_comment <> '' AS x": "[1]", "SELECT CASE WHEN a = 1 THEN 'x' ELSE 'y' END FROM t": `["x"] ["y"]`,
	} {
		rows, err := run(t.Context(), s, statement)
		if got := strings.Join(rows, " "); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", statement, got, err, want)
		}
	}
	rows, err := run(t.Context(), s, "SELECT b FROM t WHERE a = ? AND b LIKE ?", int64(1), "o%")
	if err != nil || len(rows) != 1 || rows[0] != `["one"]` {
		t.Errorf("with arguments: got %v, %v", rows, err)
	}
}

func prefix(t *testing.T, s *mysql.Source) {
	for _, statement := range []string{"SELECT * FROM big, (SELECT 1 LIMIT 1) x ORDER BY i", "WITH w AS (SELECT * FROM big) SELECT * FROM w ORDER BY i", "SELECT * FROM big WHERE i <> 'limit 999' ORDER BY i LIMIT 5000"} {
		all, part, skipped := collected{}, collected{most: 777}, collected{}
		err := errors.Join(s.Run(t.Context(), engine.Query{SQL: statement, Max: 10_000}, &all), s.Run(t.Context(), engine.Query{SQL: statement, Max: 10_000}, &part),
			s.Run(t.Context(), engine.Query{SQL: statement, Skip: 777, Max: 3}, &skipped))
		if err != nil || len(all.rows) != 2000 || strings.Join(part.rows, "") != strings.Join(all.rows[:777], "") || strings.Join(skipped.rows, "") != strings.Join(all.rows[777:780], "") {
			t.Errorf("%s: %d rows, and %d that are not their prefix (%v)", statement, len(all.rows), len(part.rows), err)
		}
	}
}

// cutKeeps says that an answer that is cut does not cost the connection, unless there is much that nobody reads.
func cutKeeps(t *testing.T, s *mysql.Source) {
	before, err := run(t.Context(), s, "SELECT CONNECTION_ID()")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		sql  string
		same bool
	}{{"SELECT * FROM big a, big b", true}, {"SELECT * FROM big LIMIT 1500", true}, {"SELECT * FROM big a, big b LIMIT 1000000", false}} {
		c := collected{most: 5}
		if err := s.Run(t.Context(), engine.Query{SQL: tc.sql, Max: 1001}, &c); err != nil || len(c.rows) != 5 {
			t.Errorf("%s: got %d rows, %v", tc.sql, len(c.rows), err)
		}
		after, err := run(t.Context(), s, "SELECT CONNECTION_ID()")
		if same := err == nil && after[0] == before[0]; same != tc.same {
			t.Errorf("%s: the connection was %v and is %v (%v), want the same: %v", tc.sql, before, after, err, tc.same)
		}
	}
}

// patience is what tests wait for what takes a moment, on a machine that does much else. The statement itself would run for
// hours; that it is gone within a second is logged.
const patience = time.Minute

func killed(t *testing.T, root *sql.DB, s *mysql.Source) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := run(ctx, s, "SELECT COUNT(*) FROM big a, big b, big c, big d")
	if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > patience {
		t.Errorf("got %v after %v, want that it ends soon after the cancel", err, took)
	}
	for active := 1; active > 0; {
		if err := root.QueryRow("SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '%big d' AND command <> 'Killed'").Scan(&active); err != nil || time.Since(began) > patience {
			t.Errorf("%d statements are active after %v (%v)", active, time.Since(began), err)
			break
		}
	}
	t.Logf("gone %v after the cancel", time.Since(began)-300*time.Millisecond)
}
