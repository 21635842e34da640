package database_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/servertest"
	"github.com/dragoman-mcp/dragoman/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type args = map[string]any

type answer struct {
	Columns   []struct{ Name, Type string }
	Rows      [][]any
	Truncated bool
	Next      string `json:"next_cursor"`
}

func TestDefinitions(t *testing.T) {
	t.Logf("%d tokens", servertest.Check(t, database.New, nil))
}

func TestTheSampleNeedsNothing(t *testing.T) {
	c := servertest.Open(t, database.New, nil)
	for _, tc := range []struct {
		name, tool string
		args       args
		want       string
		fails      bool
	}{
		{"a query", "query", args{"sql": "select name, price from products order by price desc limit 2"}, `[["Brass compass",59.9],["Fountain pen",48]]`, false},
		{"values keep what they are", "query", args{"sql": "select 9007199254740993, 1e400, null, x'00ff', 'a\"b\n', 0.1"}, `[["9007199254740993","Infinity",null,{"base64":"AP8="},"a\"b\n",0.1]]`, false},
		{"a query without SQL", "select", args{"table": "orders", "columns": []string{"status", "count(*)"}, "group": []string{"status"}, "order": []string{"-count(*)"}}, `"sent"`, false},
		{"a join with conditions", "select", args{"table": "orders", "joins": []args{{"table": "customers", "left": "customer_id", "right": "id"}},
			"columns": []string{"customers.name", "orders.id"}, "where": []args{{"column": "city", "op": "in", "value": []string{"Cork", "Kochi"}}, {"column": "orders.id", "op": "<", "value": 60}}, "order": []string{"orders.id"}}, `"Liam Murphy"`, false},
		{"the schema by words", "schema", args{"search": "customer", "detail": "full"}, `"references":"customers.id"`, false},
		{"the names of the schema", "schema", args{}, `{"name":"order_totals","kind":"view"}`, false},
		{"a plan", "explain", args{"sql": "select * from orders where customer_id = 3"}, `orders_of_customer`, false},
		{"a name that is none is not pasted", "select", args{"table": "orders; drop table orders"}, `there is no table`, true},
		{"a column that is none is not pasted", "select", args{"table": "orders", "columns": []string{"id from orders; --"}}, `has a column`, true},
		{"a column beside a count of all rows", "select", args{"table": "orders", "columns": []string{"status", "count(*)"}}, `"status" has a value for each row, and count(*) one for all of them; add it to group`, true},
		{"a value is no SQL", "select", args{"table": "customers", "where": []args{{"column": "name", "op": "=", "value": "' or 1=1 --"}}}, `"rows":[]`, false},
		{"a table that is not there", "query", args{"sql": "select * from ordrs"}, `no such table: ordrs; look at the tables`, true},
		{"a source that is not there", "query", args{"sql": "select 1", "source": "x"}, `take one of: sample`, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := c.Call(t.Context(), tc.tool, tc.args)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(r.Structured) + r.Text(); r.IsError != tc.fails || !strings.Contains(got, tc.want) {
				t.Errorf("%s %v: error %v, got %s, want %s", tc.tool, tc.args, r.IsError, got, tc.want)
			}
		})
	}
}

func TestPagesAreThePrefixOfTheWhole(t *testing.T) {
	c := servertest.Open(t, database.New, nil)
	sql := "with o as (select id from orders where 'limit 9' <> 'x') select o.id from o, (select 1 limit 1) order by 1"
	next, seen := "", 0
	for page := 0; page == 0 || next != ""; page++ {
		in := args{"sql": sql, "limit": 50}
		if next != "" {
			in["cursor"] = next
		}
		var a answer
		c.Must(t, "query", in, &a)
		for _, row := range a.Rows {
			if seen++; row[0] != float64(seen) {
				t.Fatalf("row %d is %v", seen, row)
			}
		}
		if next = a.Next; a.Truncated != (next != "") || page > 5 {
			t.Fatalf("page %d: truncated %v, next %q", page, a.Truncated, next)
		}
	}
	if seen != 240 {
		t.Errorf("got %d rows in pages, want 240", seen)
	}
}

func TestWritingIsAnotherToolThatAsks(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "w.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT); INSERT INTO t (b) VALUES ('one'), ('two'), ('three'), ('four')"); err != nil {
		t.Fatal(err)
	}
	env := func(confirm string) *server.Env {
		return &server.Env{Dir: dir, Settings: []byte(`{"sources": {"w": {"dsn": "sqlite:w.db", "write": true, "write_dsn": "sqlite:w.db", "confirm": ` + confirm + `, "max_written": 3}}}`)}
	}
	silent := servertest.Open(t, database.New, env("true"))
	if r, err := silent.Call(t.Context(), "write", args{"sql": "DELETE FROM t"}); err != nil || !r.IsError {
		t.Errorf("a client that cannot ask got %v, %v, want a refusal", r, err)
	}
	c := servertest.Open(t, database.New, env("false"))
	var out struct{ Rows int64 }
	if c.Must(t, "write", args{"sql": "UPDATE t SET b = 'x' WHERE a < 3"}, &out); out.Rows != 2 {
		t.Errorf("got %d rows, want 2", out.Rows)
	}
	for sql, want := range map[string]string{
		"UPDATE t SET b = 'y'":               "would change 4 rows",
		"SELECT 1":                           "does not change rows",
		"DROP TABLE t":                       "a change of the schema does more than change rows; send one INSERT",
		"DELETE FROM t; DELETE FROM t":       "more than one statement",
		"ATTACH DATABASE 'x.db' AS x":        "ATTACH",
		"UPDATE sqlite_schema SET sql = 'x'": "may not be modified",
		"INSERT INTO t VALUES (1, 'x')":      "UNIQUE constraint failed",
		"PRAGMA journal_mode = WAL":          "PRAGMA journal_mode",
		"COMMIT":                             "a transaction",
	} {
		r, err := c.Call(t.Context(), "write", args{"sql": sql})
		if err != nil || !r.IsError || !strings.Contains(r.Text(), want) {
			t.Errorf("%s: got %s, %v, want %q", sql, r.Text(), err, want)
		}
	}
	if r, err := c.Call(t.Context(), "query", args{"sql": "DELETE FROM t"}); err != nil || !r.IsError {
		t.Errorf("query got %s, %v, want a refusal", r.Text(), err)
	}
	var rows string
	if err := db.QueryRow("SELECT group_concat(b) FROM t").Scan(&rows); err != nil || rows != "x,x,three,four" {
		t.Errorf("the table has %s, %v, want the one change", rows, err)
	}
	if r, err := servertest.Open(t, database.New, nil).Call(t.Context(), "write", args{"sql": "DELETE FROM orders"}); err == nil && !r.IsError {
		t.Error("the sample can be written")
	}
}

func TestWire(t *testing.T) {
	servertest.Script(t, database.New, func(*testing.T) *server.Env { return &server.Env{} }, "testdata/wire.txt")
}

// TestSeveralSources has a database of PostgreSQL, whose role may write, beside the sample.
func TestSeveralSources(t *testing.T) {
	dsn := servers.Postgres(t)
	env := &server.Env{Settings: []byte(`{"sources": {"shop": {"dsn": "sqlite:"}, "strict": {"dsn": "` + dsn + `"}, "lenient": {"dsn": "` + dsn + `", "posture": "warn", "write": true, "write_dsn": "` + dsn + `", "confirm": false}}}`)}
	c := servertest.Open(t, database.New, env)
	for _, tc := range []struct {
		name, tool string
		args       args
		want       string
	}{
		{"which one must be said", "query", args{"sql": "select 1"}, "there are several sources; say which in source: lenient, shop, strict"},
		{"a role that may write is refused", "query", args{"source": "strict", "sql": "select 1"}, "the role of strict may do more than read (is a superuser"},
		{"or warned of", "query", args{"source": "lenient", "sql": "select 12.50::numeric as n"}, `[["12.50"]]`},
		{"one is not written", "write", args{"source": "shop", "sql": "delete from orders"}, "shop is only read"},
		{"statements that make tables are not for write", "write", args{"source": "lenient", "sql": "create table t (a int)"}, "does not change rows"},
		{"an error tells what to do", "select", args{"source": "lenient", "table": "nothing"}, "call schema to see the tables"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, err := c.Call(t.Context(), tc.tool, tc.args)
			if got := string(r.Structured) + r.Text(); err != nil || !strings.Contains(got, tc.want) {
				t.Errorf("%s %v: got %s, %v, want %s", tc.tool, tc.args, got, err, tc.want)
			}
		})
	}
}
