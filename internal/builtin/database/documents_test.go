package database_test

import (
	"context"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/server/servertest"
	"github.com/dragoman-mcp/dragoman/test/servers"
)

// documentsOf fills a database with documents.
func documentsOf(t testing.TB, url string, collections map[string][]any) {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(url))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(context.Background()) }()
	for name, documents := range collections {
		if _, err := client.Database("test").Collection(name).InsertMany(t.Context(), documents); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDocuments has a database of documents beside the sample.
func TestDocuments(t *testing.T) {
	url := servers.MongoDB(t)
	documentsOf(t, url, map[string][]any{"orders": {
		bson.D{{Key: "_id", Value: 1}, {Key: "status", Value: "sent"}, {Key: "price", Value: 12.5}, {Key: "to", Value: bson.D{{Key: "city", Value: "Cork"}}}},
		bson.D{{Key: "_id", Value: 2}, {Key: "status", Value: "new"}, {Key: "price", Value: 3.0}},
		bson.D{{Key: "_id", Value: 3}, {Key: "status", Value: "sent"}, {Key: "price", Value: 1.0}, {Key: "to", Value: bson.D{{Key: "city", Value: "Kochi"}}}},
	}})
	env := &server.Env{Settings: []byte(`{"sources": {"shop": {"dsn": "sqlite:"}, "strict": {"dsn": "` + url + `"},
 "docs": {"dsn": "` + url + `", "posture": "warn", "write": true, "write_dsn": "` + url + `", "confirm": false, "max_written": 2}}}`)}
	if n := servertest.Check(t, database.New, env); n > 1500 {
		t.Errorf("all definitions together have %d tokens, want at most 1500", n)
	}
	c := servertest.Open(t, database.New, env)
	for _, tc := range []struct {
		name, tool string
		args       args
		want       string
	}{
		{"documents by filter", "find", args{"collection": "orders", "filter": args{"price": args{"$lt": 10}}, "order": []string{"-_id"}}, `"documents":[{"_id":3,"status":"sent","price":1.0,"to":{"city":"Kochi"}},{"_id":2,"status":"new","price":3.0}]`},
		{"documents by pipeline", "find", args{"collection": "orders", "pipeline": []args{{"$group": args{"_id": "$status", "n": args{"$sum": 1}}}, {"$sort": args{"_id": 1}}}}, `[{"_id":"new","n":1},{"_id":"sent","n":2}]`},
		{"a count", "find", args{"collection": "orders", "count": true}, `[{"count":3}]`},
		{"values", "find", args{"collection": "orders", "distinct": "status"}, `[{"value":"new"},{"value":"sent"}]`},
		{"a stage that writes", "find", args{"collection": "orders", "pipeline": []args{{"$out": "x"}}}, "the stage $out does more than read documents"},
		{"a page", "find", args{"collection": "orders", "order": []string{"_id"}, "limit": 1, "projection": args{"price": 1}}, `[{"_id":1,"price":12.5}],"elapsed_ms"`},
		{"SQL", "query", args{"sql": "select 1"}, "docs has documents, and takes no SQL; call find or select"},
		{"documents where tables are", "find", args{"source": "shop", "collection": "orders"}, "shop has tables, and no documents; call query or select"},
		{"a select", "select", args{"table": "orders", "columns": []string{"_id", "to.city"}, "where": []args{{"column": "status", "op": "=", "value": "sent"}, {"column": "to.city", "op": "like", "value": "K%"}}}, `"rows":[[3,"Kochi"]]`},
		{"a select of everything", "select", args{"table": "orders", "order": []string{"-price"}, "limit": 1}, `{"name":"to"}],"rows":[[1,"sent",12.5,{"city":"Cork"}]]`},
		{"a select of groups", "select", args{"table": "orders", "columns": []string{"status", "count(*)"}, "group": []string{"status"}, "order": []string{"-count(*)"}}, `"rows":[["sent",2],["new",1]]`},
		{"a select of sums", "select", args{"table": "orders", "columns": []string{"sum(price)", "status"}, "group": []string{"status"}, "order": []string{"-sum(price)"}}, `"rows":[[13.5,"sent"],[3.0,"new"]]`},
		{"a select of a number", "select", args{"table": "orders", "columns": []string{"count(*)"}, "where": []args{{"column": "price", "op": ">", "value": 2}}}, `"rows":[[2]]`},
		{"what has no value is not other", "select", args{"table": "orders", "columns": []string{"_id"}, "where": []args{{"column": "to.city", "op": "!=", "value": "Cork"}}}, `"rows":[[3]]`},
		{"null", "select", args{"table": "orders", "columns": []string{"_id"}, "where": []args{{"column": "to.city", "op": "null"}}}, `"rows":[[2]]`},
		{"one of several", "select", args{"table": "orders", "columns": []string{"_id"}, "where": []args{{"column": "_id", "op": "in", "value": []int{1, 7}}}}, `"rows":[[1]]`},
		{"a value is no operator", "select", args{"table": "orders", "columns": []string{"_id"}, "where": []args{{"column": "status", "op": "=", "value": args{"$ne": ""}}}}, `"rows":[]`},
		{"nor is it code", "select", args{"table": "orders", "columns": []string{"_id"}, "where": []args{{"column": "status", "op": "=", "value": args{"$where": "1"}}}}, `the operator $where is not among`},
		{"a column is no operator", "select", args{"table": "orders", "columns": []string{"_id"}, "where": []args{{"column": "$where", "op": "=", "value": "1"}}}, `"$where" is no field`},
		{"a collection that is not there", "select", args{"table": "nothing"}, `there is no collection "nothing"; call schema`},
		{"the schema", "schema", args{"search": "city", "detail": "full"}, `{"name":"to.city","type":"string","comment":"in 2 of 3 documents"}`},
		{"a plan", "explain", args{"find": args{"collection": "orders", "filter": args{"price": 3}}}, "queryPlanner"},
		{"a plan of SQL", "explain", args{"sql": "select 1"}, "give sql where there are tables"},
		{"a plan beside it", "explain", args{"source": "shop", "sql": "select * from orders"}, "SCAN orders"},
		{"a role that may write is refused", "find", args{"source": "strict", "collection": "orders"}, "the role of strict may do more than read (the server asks nobody"},
		{"an insert", "write", args{"collection": "orders", "insert": []args{{"_id": 9, "at": args{"$date": "2026-01-02T03:04:05Z"}}}}, `"rows":1`},
		{"an update", "write", args{"collection": "orders", "filter": args{"_id": 9}, "update": args{"$set": args{"x": 1}}}, `"rows":1`},
		{"too much", "write", args{"collection": "orders", "filter": args{}, "delete": true}, "nothing was changed"},
		{"SQL is not for documents", "write", args{"sql": "delete from orders"}, "give sql where there are tables, and collection where there are documents"},
		{"a delete", "write", args{"collection": "orders", "filter": args{"_id": 9}, "delete": true}, `"rows":1`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.args["source"] == nil {
				tc.args["source"] = "docs"
			}
			r, err := c.Call(t.Context(), tc.tool, tc.args)
			if err != nil {
				t.Fatal(err)
			}
			if got := string(r.Structured) + r.Text(); !strings.Contains(got, tc.want) {
				t.Errorf("%s %v: got %s, want %s", tc.tool, tc.args, got, tc.want)
			}
		})
	}
}
