package database_test

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database"
	"github.com/dragoman-mcp/dragoman/server/servertest"
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
