package database

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
)

// TestSelectsBecomeQuestions has what the server of the other tests cannot do: joins, and several values of a group.
func TestSelectsBecomeQuestions(t *testing.T) {
	objects := []engine.Object{{Name: "orders", Columns: []engine.Field{{Name: "_id"}, {Name: "to"}, {Name: "to.city"}}}, {Name: "people"}}
	for _, tc := range []struct {
		name, in string
		columns  string
		pipeline string
		err      string
	}{
		{"a join", `{"table": "orders", "columns": ["_id", "orders.price", "people.name"], "joins": [{"table": "people", "left": "orders.who", "right": "_id"}], "where": [{"column": "people.age", "op": ">", "value": 30}], "order": ["-people.name", "price"]}`, "_id price joined0.name",
			`[{"$lookup": {"from": "people", "localField": "who", "foreignField": "_id", "as": "joined0"}}, {"$unwind": {"path": "$joined0", "preserveNullAndEmptyArrays": false}}, {"$match": {"$and": [{"joined0.age": {"$gt": 30}}]}}, {"$sort": {"joined0.name": -1, "price": 1}}]`, ""},
		{"an outer join", `{"table": "orders", "columns": ["_id"], "joins": [{"table": "people", "left": "who", "right": "people._id", "outer": true}]}`, "_id",
			`[{"$lookup": {"from": "people", "localField": "who", "foreignField": "_id", "as": "joined0"}}, {"$unwind": {"path": "$joined0", "preserveNullAndEmptyArrays": true}}, {"$match": {}}]`, ""},
		{"a group of two with all values", `{"table": "orders", "columns": ["to.city", "count(price)", "avg(price)", "count(distinct who)"], "group": ["to.city", "year"], "order": ["year", "-max(price)"]}`, "_id.key0 value1 value2 value3",
			`[{"$match": {}}, {"$group": {"_id": {"key0": "$to.city", "key1": "$year"}, "value1": {"$sum": {"$cond": [{"$gt": ["$price", null]}, 1, 0]}}, "value2": {"$avg": "$price"}, "value3": {"$addToSet": "$who"}, "value4": {"$max": "$price"}}},
 {"$set": {"value3": {"$size": {"$setDifference": ["$value3", [null]]}}}}, {"$sort": {"_id.key1": 1, "value4": -1}}]`, ""},
		{"everything has the fields at the top", `{"table": "orders"}`, "_id to", ``, ""},
		{"nothing was seen", `{"table": "people"}`, "_id", ``, ""},
		{"a join with what is not there", `{"table": "orders", "joins": [{"table": "x", "left": "a", "right": "b"}]}`, "", "", `there is no collection "x"`},
		{"an operator as a column", `{"table": "orders", "columns": ["$$ROOT"]}`, "", "", "is no field"},
		{"an operator as a key", `{"table": "orders", "columns": ["count(*)"], "group": ["a.$b"]}`, "", "", "is no field"},
		{"an operator as an order", `{"table": "orders", "columns": ["_id"], "order": ["-$where"]}`, "", "", "is no field"},
		{"an operator to join by", `{"table": "orders", "joins": [{"table": "people", "left": "$a", "right": "b"}]}`, "", "", "is no field"},
		{"an operator to sum", `{"table": "orders", "columns": ["sum($function)"]}`, "", "", "is no field"},
		{"a column beside a group", `{"table": "orders", "columns": ["a", "count(*)"]}`, "", "", "is not one of a group"},
		{"a function that is none", `{"table": "orders", "columns": ["load(a)"]}`, "", "", "is not for select"},
		{"a list of too many", `{"table": "orders", "order": [` + strings.Repeat(`"a",`, 100) + `"a"]}`, "", "", "more than 100"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var in selectInput
			if err := json.Unmarshal([]byte(tc.in), &in); err != nil {
				t.Fatal(err)
			}
			got, err := translate(in, objects)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("got %+v, %v, want %q", got, err, tc.err)
				}
				return
			}
			if err != nil || strings.Join(got.Columns, " ") != tc.columns {
				t.Fatalf("got %+v, %v, want the columns %s", got, err, tc.columns)
			}
			var pipeline, want any
			if tc.pipeline != "" {
				if err := json.Unmarshal([]byte(tc.pipeline), &want); err != nil {
					t.Fatal(err)
				}
				if err := json.Unmarshal(got.Pipeline, &pipeline); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(want, pipeline); diff != "" {
				t.Errorf("the pipeline is not what it should be (-want +got):\n%s", diff)
			}
		})
	}
}
