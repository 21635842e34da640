package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
	"github.com/dragoman-mcp/dragoman/internal/builtin/database/postgres"
	"github.com/dragoman-mcp/dragoman/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type collected struct {
	columns []engine.Column
	rows    []string
	most    int
}

func (c *collected) Columns(columns []engine.Column) { c.columns = columns }
func (c *collected) Row(array []byte) bool {
	if c.most > 0 && len(c.rows) == c.most {
		return false
	}
	c.rows = append(c.rows, string(array))
	return true
}

func run(ctx context.Context, s *postgres.Source, sql string, args ...any) ([]string, error) {
	var c collected
	err := s.Run(ctx, engine.Query{SQL: sql, Args: args, Max: 1000}, &c)
	return c.rows, err
}

func open(t testing.TB, dsn string, most int) *postgres.Source {
	t.Helper()
	var d net.Dialer
	s, err := postgres.Open(postgres.Options{DSN: dsn, Dial: d.DialContext, MaxConns: most})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func admin(t testing.TB, dsn string, statements ...string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	for _, statement := range statements {
		if _, err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	return conn
}

// TestPostgres shares one server among all that needs one.
func TestPostgres(t *testing.T) {
	dsn := servers.Postgres(t)
	root := admin(t, dsn, schemaSQL)
	s := open(t, dsn, 4) // as a superuser, so that only what is here can refuse
	t.Run("nothing is written", func(t *testing.T) { nothingIsWritten(t, root, s) })
	t.Run("reading is let through", func(t *testing.T) { readingIsLetThrough(t, s) })
	t.Run("values keep what they are", func(t *testing.T) { valuesKeep(t, s) })
	t.Run("a cut answer is the prefix of the whole", func(t *testing.T) { prefix(t, s) })
	t.Run("a cancelled statement is gone within a second", func(t *testing.T) { killed(t, root, s) })
	t.Run("many callers share few connections", func(t *testing.T) { shared(t, root, s) })
	t.Run("the role is looked at", func(t *testing.T) { posture(t, dsn, s) })
	t.Run("the schema is told", func(t *testing.T) { schema(t, s) })
}

const schemaSQL = `CREATE TABLE t2 (x text); INSERT INTO t2 VALUES ('one'), ('two');
 CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL, password text, tags text[]); COMMENT ON TABLE users IS 'who may log in';
 INSERT INTO users (name, password, tags) VALUES ('ann', 'secret', '{a,"b c"}'), ('bob', NULL, '{}');
 CREATE SEQUENCE seq; CREATE TABLE big AS SELECT i, 'row ' || i AS note FROM generate_series(1, 2000) i;
 CREATE INDEX idx ON users USING gin (tags); CREATE VIEW v AS SELECT name FROM users;
 CREATE FUNCTION evil() RETURNS int LANGUAGE sql AS 'DELETE FROM t2; SELECT 1';
 CREATE FUNCTION definer() RETURNS int LANGUAGE sql STABLE SECURITY DEFINER AS 'SELECT 1';
 CREATE FUNCTION twice(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT i * 2';
 CREATE FUNCTION secret_of(u users) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT $1.password';
 CREATE FUNCTION step(int, int) RETURNS int LANGUAGE plpgsql VOLATILE AS 'BEGIN PERFORM pg_advisory_lock(1); RETURN 1; END';
 CREATE AGGREGATE bad_sum(int) (SFUNC = step, STYPE = int, INITCOND = '0');
 CREATE SCHEMA cron; CREATE FUNCTION cron.schedule(text, text, text) RETURNS int LANGUAGE sql AS 'SELECT 1';`

func nothingIsWritten(t *testing.T, root *pgx.Conn, s *postgres.Source) {
	state := func() string {
		var text string
		err := root.QueryRow(t.Context(), `SELECT (SELECT string_agg(x, ',') FROM t2) || (SELECT last_value::text || is_called FROM seq)
 || (SELECT count(*) FROM pg_class)::text || (SELECT count(*) FROM pg_proc)::text || (SELECT count(*) FROM pg_largeobject_metadata)::text
 || (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')::text || (SELECT count(*) FROM pg_roles)::text || (SELECT count(*) FROM pg_collation)::text
 || (SELECT count(*) FROM pg_settings WHERE source = 'configuration file')::text || (SELECT txid_snapshot_xmax(txid_current_snapshot()))::text`).Scan(&text)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	before, passed := state(), 0
	for _, attack := range attacks() {
		var refused *engine.Error
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		rows, err := run(ctx, s, attack)
		cancel()
		if !errors.As(err, &refused) {
			t.Errorf("%s: got %v, %v, want that it is refused", attack, rows, err)
			passed++
		}
	}
	if after := state(); after != before {
		t.Errorf("the database has changed from %s to %s", before, after)
	}
	t.Logf("%d of %d attacks refused", len(attacks())-passed, len(attacks()))
}

func readingIsLetThrough(t *testing.T, s *postgres.Source) {
	for _, tc := range harmless() {
		rows, err := run(t.Context(), s, tc.sql)
		if got := strings.Join(rows, " "); err != nil || tc.want != "" && got != tc.want {
			t.Errorf("%s: got %s, %v, want %s", tc.sql, got, err, tc.want)
		}
	}
}

func valuesKeep(t *testing.T, s *postgres.Source) {
	for value, want := range map[string]string{
		"12.30::numeric": `"12.30"`, "9007199254740993::int8": `"9007199254740993"`, "7::int2": "7", "0.1::float4": "0.1",
		"'NaN'::float8": `"NaN"`, "'-infinity'::float8": `"-Infinity"`, "1e-7::float8": "1e-07", "true": "true", "NULL::int": "null", "'\\x00ff'::bytea": `{"base64":"AP8="}`,
		"'{\"a\": 12345678901234567890.10}'::json": `{"a":12345678901234567890.10}`, "'[1, null]'::jsonb": `[1,null]`,
		"ARRAY[1,NULL,3]": "[1,null,3]", "ARRAY[['a','b \"c\"'],['NULL',NULL]]": `[["a","b \"c\""],["NULL",null]]`, "'{}'::text[]": "[]",
		"'[2:3]={1,2}'::int[]": `"[2:3]={1,2}"`, "ARRAY['\\x01'::bytea]": `[{"base64":"AQ=="}]`, "ARRAY[1.50, 2]": `["1.50","2"]`,
		"date '2026-02-03'": `"2026-02-03"`, "timestamp '2026-02-03 04:05:06.123456'": `"2026-02-03 04:05:06.123456"`,
		"timestamptz '2026-02-03 04:05:06+00' at time zone 'UTC'": `"2026-02-03 04:05:06"`, "interval '1 month 2 days 3:04:05'": `"P1M2DT3H4M5S"`,
		"'infinity'::date": `"infinity"`, "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid": `"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"`, "E'tab\\tquote\"\\u20ac'": `"tab\tquote\"€"`,
		"'10.0.0.1/8'::inet": `"10.0.0.1/8"`, "(1, 'x')": `"(1,x)"`, "B'101'": `"101"`, "int4range(1, 5)": `"[1,5)"`,
	} {
		rows, err := run(t.Context(), s, "SELECT "+value)
		if err != nil || len(rows) != 1 || rows[0] != "["+want+"]" {
			t.Errorf("%s: got %v, %v, want [%s]", value, rows, err, want)
		}
	}
	rows, err := run(t.Context(), s, "SELECT name FROM users WHERE id = $1 AND name LIKE $2 AND ($3 OR $4::text IS NULL)", int64(1), "a%", true, nil)
	if err != nil || len(rows) != 1 || rows[0] != `["ann"]` {
		t.Errorf("with arguments: got %v, %v, want ann", rows, err)
	}
}

// prefix has the cases that a cap made by rewriting SQL misses, of dbhub's limiter among them.
func prefix(t *testing.T, s *postgres.Source) {
	for _, sql := range []string{"SELECT * FROM big, (SELECT 1 LIMIT 1) x", "WITH w AS (SELECT * FROM big) SELECT * FROM w", "TABLE big",
		"SELECT * FROM big WHERE note <> 'limit 999' LIMIT 5000", "SELECT i FROM big -- limit 1", "(SELECT i FROM big) UNION ALL (SELECT i FROM big)"} {
		all := collected{}
		if err := s.Run(t.Context(), engine.Query{SQL: sql, Max: 10_000}, &all); err != nil || len(all.rows) < 2000 {
			t.Fatalf("%s: got %d rows, %v", sql, len(all.rows), err)
		}
		for _, most := range []int{1, 199, 200, 201, 777} {
			part, skipped := collected{most: most}, collected{}
			err := s.Run(t.Context(), engine.Query{SQL: sql, Max: 10_000}, &part)
			errSkipped := s.Run(t.Context(), engine.Query{SQL: sql, Skip: most, Max: 3}, &skipped)
			if err != nil || errSkipped != nil || strings.Join(part.rows, "") != strings.Join(all.rows[:most], "") ||
				strings.Join(skipped.rows, "") != strings.Join(all.rows[most:most+3], "") {
				t.Errorf("%s: %d rows are not the prefix of the whole, or what follows is not (%v, %v)", sql, most, err, errSkipped)
			}
		}
	}
}

// patience is what tests wait for what takes a moment, on a machine that does much else. The statement itself would run for
// hours; that it is gone within a second is logged.
const patience = time.Minute

func killed(t *testing.T, root *pgx.Conn, s *postgres.Source) {
	for _, sql := range []string{"SELECT count(*) FROM generate_series(1, 100000000000)", "SELECT count(*) FROM big a, big b, big c, big d"} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		began := time.Now()
		_, err := run(ctx, s, sql)
		cancel()
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > patience {
			t.Errorf("%s: got %v after %v, want that it ends within 1 s of the cancel", sql, err, took)
		}
		for active := 1; active > 0; {
			if err := root.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dragoman' AND state = 'active'").Scan(&active); err != nil || time.Since(began) > patience {
				t.Errorf("%s: %d statements are active after %v (%v)", sql, active, time.Since(began), err)
				break
			}
		}
		t.Logf("%s: gone %v after the cancel", sql, time.Since(began)-300*time.Millisecond)
	}
}

func shared(t *testing.T, root *pgx.Conn, s *postgres.Source) {
	var calls sync.WaitGroup
	for range 100 {
		calls.Go(func() {
			if _, err := run(t.Context(), s, "SELECT count(*) FROM big"); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	var n int
	if err := root.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dragoman'").Scan(&n); err != nil || n > 4 {
		t.Errorf("100 callers have %d connections (%v), want at most 4", n, err)
	}
}

func posture(t *testing.T, dsn string, s *postgres.Source) {
	p, err := s.Posture(t.Context())
	if err != nil || !strings.Contains(strings.Join(p.Excess, " "), "is a superuser") || !strings.Contains(p.Remedy, `GRANT SELECT ON ALL TABLES IN SCHEMA "public"`) {
		t.Fatalf("got %+v, %v, want that postgres is a superuser, and a remedy", p, err)
	}
	admin(t, dsn, strings.ReplaceAll(p.Remedy, "...", "x"))
	reader := open(t, strings.Replace(dsn, "postgres@", "dragoman_reader@", 1), 1)
	if p, err := reader.Posture(t.Context()); err != nil || len(p.Excess) != 0 || p.Role != "dragoman_reader" {
		t.Errorf("what the remedy has made is %+v, %v, want a role without excess", p, err)
	}
	if rows, err := run(t.Context(), reader, "SELECT count(*) FROM big"); err != nil || rows[0] != "[2000]" {
		t.Errorf("the role of the remedy reads %v, %v", rows, err)
	}
	admin(t, dsn, "GRANT INSERT ON t2 TO dragoman_reader")
	if p, err := reader.Posture(t.Context()); err != nil || fmt.Sprint(p.Excess) != "[writes t2]" {
		t.Errorf("got %+v, %v, want that it writes t2", p, err)
	}
}

func schema(t *testing.T, s *postgres.Source) {
	objects, err := s.Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if o.Name != "users" {
			continue
		}
		if o.Schema != "public" || o.Comment != "who may log in" || len(o.Columns) != 4 || o.Columns[1].Type != "text" || !o.Columns[1].Required || len(o.Indexes) != 2 || o.Keys[0] != "PRIMARY KEY (id)" {
			t.Errorf("got %+v", o)
		}
		return
	}
	t.Errorf("got %+v, want users", objects)
}
