package mongo_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	driver "go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
	"github.com/dragoman-mcp/dragoman/internal/builtin/database/mongo"
	"github.com/dragoman-mcp/dragoman/test/servers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type collected struct {
	rows []string
	most int
}

func (c *collected) Columns([]engine.Column) {}
func (c *collected) Row(row []byte) bool {
	if c.most > 0 && len(c.rows) == c.most {
		return false
	}
	c.rows = append(c.rows, string(row))
	return true
}

func find(ctx context.Context, s *mongo.Source, f engine.Find) ([]string, error) {
	var c collected
	err := s.Run(ctx, engine.Query{Find: &f, Max: 1000}, &c)
	return c.rows, err
}

func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), time.Minute)
}

func raw(text string) json.RawMessage { return json.RawMessage(text) }

func open(t testing.TB, url string) *mongo.Source {
	t.Helper()
	var d net.Dialer
	s, err := mongo.Open(mongo.Options{DSN: url, Dial: d.DialContext})
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

func admin(t testing.TB, url string) *driver.Database {
	t.Helper()
	client, err := driver.Connect(options.Client().ApplyURI(url))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	return client.Database("test")
}

func fill(t testing.TB, db *driver.Database, name, documents string) {
	t.Helper()
	var holder struct{ V []bson.D }
	if err := bson.UnmarshalExtJSON([]byte(`{"v":`+documents+`}`), false, &holder); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Collection(name).InsertMany(t.Context(), holder.V); err != nil {
		t.Fatal(err)
	}
}

const people = `[{"_id": 1, "name": "ann", "age": 30, "tags": ["a", "b"], "at": {"$date": "2026-02-03T04:05:06Z"}, "home": {"city": "Cork"}},
 {"_id": 2, "name": "bob", "age": 41.5, "home": {"city": "Kochi", "zip": "1"}}, {"_id": 3, "name": "eve", "big": {"$numberLong": "9007199254740993"}}]`

// TestFerretDB shares one server among all that needs one.
func TestFerretDB(t *testing.T) {
	url := servers.MongoDB(t)
	root := admin(t, url)
	fill(t, root, "people", people)
	many := make([]any, 2000)
	for i := range many {
		many[i] = bson.D{{Key: "_id", Value: i}, {Key: "note", Value: "row"}}
	}
	if _, err := root.Collection("big").InsertMany(t.Context(), many); err != nil {
		t.Fatal(err)
	}
	s := open(t, url)
	t.Run("reading is let through", func(t *testing.T) { readingIsLetThrough(t, s) })
	t.Run("nothing is written", func(t *testing.T) { nothingIsWritten(t, root, s) })
	t.Run("a cut answer is the prefix of the whole", func(t *testing.T) { prefix(t, s) })
	t.Run("the schema is told", func(t *testing.T) { schema(t, s) })
	t.Run("changes are bounded", func(t *testing.T) { changes(t, url, root) })
	t.Run("that anybody may write is told", func(t *testing.T) {
		p, err := s.Posture(t.Context())
		if err != nil || len(p.Excess) != 1 || !strings.Contains(p.Excess[0], "everybody may write") || !strings.Contains(p.Remedy, `roles: [{role: "read", db: "test"}]`) {
			t.Errorf("got %+v, %v", p, err)
		}
	})
	t.Run("a plan is shown", func(t *testing.T) {
		plan, err := s.Explain(t.Context(), engine.Query{Find: &engine.Find{Collection: "people", Filter: raw(`{"_id": 1}`)}})
		if err != nil || !strings.Contains(plan, "queryPlanner") || strings.Contains(plan, "serverInfo") {
			t.Errorf("got %s, %v", plan, err)
		}
	})
}

func readingIsLetThrough(t *testing.T, s *mongo.Source) {
	for _, tc := range []struct {
		name string
		find engine.Find
		want string
	}{
		{"everything of a document", engine.Find{Collection: "people", Filter: raw(`{"_id": 1}`)}, `{"_id":1,"name":"ann","age":30,"tags":["a","b"],"at":{"$date":"2026-02-03T04:05:06Z"},"home":{"city":"Cork"}}`},
		{"operators, order and projection", engine.Find{Collection: "people", Filter: raw(`{"age": {"$gt": 18}, "name": {"$regex": "^[ab]"}}`), Projection: raw(`{"age": 1, "_id": 0}`), Order: []string{"-age"}}, `{"age":41.5} {"age":30}`},
		{"a canonical spelling", engine.Find{Collection: "people", Filter: raw(`{"_id": {"$numberInt": "2"}}`), Projection: raw(`{"name": true}`)}, `{"_id":2,"name":"bob"}`},
		{"what a JSON number does not keep", engine.Find{Collection: "people", Filter: raw(`{"big": {"$exists": true}}`), Projection: raw(`{"big": 1, "_id": 0}`)}, `{"big":{"$numberLong":"9007199254740993"}}`},
		{"a count", engine.Find{Collection: "people", Count: true, Filter: raw(`{"age": {"$exists": true}}`)}, `{"count":2}`},
		{"a count of nothing", engine.Find{Collection: "nothing", Count: true}, `{"count":0}`},
		{"distinct values", engine.Find{Collection: "people", Distinct: "home.city"}, `{"value":"Cork"} {"value":"Kochi"}`},
		{"a pipeline", engine.Find{Collection: "people", Pipeline: raw(`[{"$match": {"age": {"$exists": true}}}, {"$group": {"_id": null, "n": {"$sum": 1}}}]`)}, `{"_id":null,"n":2}`},
		{"rows of paths", engine.Find{Collection: "people", Order: []string{"_id"}, Columns: []string{"name", "home.city", "home.zip"}, Names: []string{"a", "b", "c"}}, `["ann","Cork",null] ["bob","Kochi","1"] ["eve",null,null]`},
		{"a value that looks like an operator is a text", engine.Find{Collection: "people", Filter: raw(`{"name": "{ $ne: 1 }"}`)}, ``},
	} {
		rows, err := find(t.Context(), s, tc.find)
		if got := strings.Join(rows, " "); err != nil || got != tc.want {
			t.Errorf("%s: got %s, %v, want %s", tc.name, got, err, tc.want)
		}
	}
	if err := s.Run(t.Context(), engine.Query{SQL: "SELECT 1"}, &collected{}); err == nil || !strings.Contains(err.Error(), "takes no SQL") {
		t.Errorf("SQL: got %v, want that it is refused", err)
	}
}

// state is all that the database has.
func state(t *testing.T, db *driver.Database) string {
	t.Helper()
	names, err := db.ListCollectionNames(t.Context(), bson.D{})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, name := range names {
		cursor, err := db.Collection(name).Find(t.Context(), bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
		if err != nil {
			t.Fatal(err)
		}
		var all []bson.Raw
		if err := cursor.All(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		text.WriteString(name)
		for _, document := range all {
			text.WriteString(document.String())
		}
	}
	return text.String()
}

func nothingIsWritten(t *testing.T, root *driver.Database, s *mongo.Source) {
	before, refused, all := state(t, root), 0, attacks()
	for _, attack := range all {
		var told *engine.Error
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		rows, err := find(ctx, s, attack)
		cancel()
		if !errors.As(err, &told) || !strings.Contains(told.Error(), "let through") && !strings.Contains(told.Error(), "more than read") &&
			!strings.Contains(told.Error(), "no collection") && !strings.Contains(told.Error(), "cannot be read") && !strings.Contains(told.Error(), "one name") &&
			!strings.Contains(told.Error(), "no list of stages") && !strings.Contains(told.Error(), "no field") && !strings.Contains(told.Error(), "is no ") && !strings.Contains(told.Error(), "another database") {
			t.Errorf("%s%s%s: got %v, %v, want that our verdict refuses it", attack.Filter, attack.Projection, attack.Pipeline, rows, err)
			continue
		}
		refused++
	}
	ran, answered := 0, 0
	for _, payload := range payloads() {
		quoted, err := json.Marshal(payload)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []engine.Find{
			{Collection: "people", Filter: raw(payload)}, {Collection: "people", Filter: raw(`{"name": ` + payload + `}`)}, {Collection: "people", Filter: raw(`{"name": ` + string(quoted) + `}`)},
			{Collection: "people", Filter: raw(`{"name": "` + payload + `"}`)}, {Collection: payload}, {Collection: "people", Distinct: payload}, {Collection: "people", Order: []string{payload}},
			{Collection: "people", Pipeline: raw(payload)}, {Collection: "people", Pipeline: raw(`[{"$match": ` + payload + `}]`)}, {Collection: "people", Filter: raw(`{` + string(quoted) + `: 1}`)},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if _, err := find(ctx, s, f); err == nil {
				answered++
			}
			if ctx.Err() != nil {
				t.Errorf("%+v took a minute", f)
			}
			cancel()
			ran++
		}
	}
	if after := state(t, root); after != before {
		t.Errorf("the database has changed from %s to %s", before, after)
	}
	if answered < len(payloads()) {
		t.Errorf("%d of %d questions with payloads were answered, want at least those in which they are texts", answered, ran)
	}
	t.Logf("%d of %d attacks refused; 0 writes over %d questions with payloads, of which %d were answered", refused, len(all), ran, answered)
}

func prefix(t *testing.T, s *mongo.Source) {
	for _, f := range []engine.Find{{Collection: "big", Order: []string{"_id"}}, {Collection: "big", Pipeline: raw(`[{"$sort": {"_id": 1}}]`)}} {
		all, part, skipped := collected{}, collected{most: 777}, collected{}
		err := errors.Join(s.Run(t.Context(), engine.Query{Find: &f, Max: 10_000}, &all), s.Run(t.Context(), engine.Query{Find: &f, Max: 10_000}, &part),
			s.Run(t.Context(), engine.Query{Find: &f, Skip: 777, Max: 3}, &skipped))
		if err != nil || len(all.rows) != 2000 || strings.Join(part.rows, "") != strings.Join(all.rows[:777], "") || strings.Join(skipped.rows, "") != strings.Join(all.rows[777:780], "") {
			t.Errorf("%s: %d rows, %d and %d that are not their parts (%v)", f.Pipeline, len(all.rows), len(part.rows), len(skipped.rows), err)
		}
	}
}

func schema(t *testing.T, s *mongo.Source) {
	objects, err := s.Objects(t.Context())
	if err != nil || len(objects) != 2 || objects[1].Name != "people" || objects[1].Rows != 3 || len(objects[1].Indexes) != 1 || !strings.Contains(objects[1].Indexes[0], `_id_ {"_id":1}`) {
		t.Fatalf("got %+v, %v", objects, err)
	}
	var fields []string
	for _, f := range objects[1].Columns {
		fields = append(fields, f.Name+" "+f.Type+" "+f.Comment)
	}
	want := "_id int ;name string ;age double|int in 2 of 3 documents;tags array<string> in 1 of 3 documents;at date in 1 of 3 documents;home object in 2 of 3 documents;home.city string in 2 of 3 documents;home.zip string in 1 of 3 documents;big long in 1 of 3 documents"
	if got := strings.Join(fields, ";"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func changes(t *testing.T, url string, root *driver.Database) {
	fill(t, root, "things", `[{"_id": 1, "n": 1}, {"_id": 2, "n": 2}, {"_id": 3, "n": 3}, {"_id": 4, "n": 4}]`)
	var d net.Dialer
	w, err := mongo.OpenWriter(mongo.Options{DSN: url, Dial: d.DialContext})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, tc := range []struct {
		name   string
		change engine.Change
		n      int64
		err    string
	}{
		{"insert", engine.Change{Collection: "things", Insert: []json.RawMessage{raw(`{"_id": 5, "n": {"$numberLong": "5"}}`), raw(`{"_id": 6}`)}}, 2, ""},
		{"insert what is there", engine.Change{Collection: "things", Insert: []json.RawMessage{raw(`{"_id": 7}`), raw(`{"_id": 5}`)}}, 0, "1 documents were changed before"},
		{"update", engine.Change{Collection: "things", Filter: raw(`{"n": {"$gte": 4}}`), Update: raw(`{"$set": {"x": "y"}, "$inc": {"n": 1}}`)}, 2, ""},
		{"delete", engine.Change{Collection: "things", Filter: raw(`{"_id": 6}`), Delete: true}, 1, ""},
		{"delete what is not there", engine.Change{Collection: "things", Filter: raw(`{"_id": 66}`), Delete: true}, 0, ""},
		{"delete too much", engine.Change{Collection: "things", Filter: raw(`{}`), Delete: true}, 0, "nothing was changed"},
		{"update too much", engine.Change{Collection: "things", Filter: raw(`{}`), Update: raw(`{"$set": {"x": 1}}`)}, 0, "nothing was changed"},
		{"insert too much", engine.Change{Collection: "things", Insert: []json.RawMessage{raw(`{}`), raw(`{}`), raw(`{}`), raw(`{}`)}}, 0, "nothing was changed"},
		{"an update by pipeline", engine.Change{Collection: "things", Filter: raw(`{"_id": 1}`), Update: raw(`[{"$set": {"x": 1}}]`)}, 0, "update is no object"},
		{"an update that replaces", engine.Change{Collection: "things", Filter: raw(`{"_id": 1}`), Update: raw(`{"x": 1}`)}, 0, "made of operators"},
		{"an update that runs code", engine.Change{Collection: "things", Filter: raw(`{"_id": 1}`), Update: raw(`{"$set": {"x": {"$function": {}}}}`)}, 0, "$function"},
		{"a filter that runs code", engine.Change{Collection: "things", Filter: raw(`{"$where": "1"}`), Delete: true}, 0, "$where"},
		{"no filter", engine.Change{Collection: "things", Delete: true}, 0, "give insert, or filter"},
		{"two at once", engine.Change{Collection: "things", Filter: raw(`{}`), Delete: true, Update: raw(`{"$set": {"x": 1}}`)}, 0, "said twice"},
		{"SQL", engine.Change{SQL: "DELETE FROM things"}, 0, "takes no SQL"},
		{"a collection of the server's own", engine.Change{Collection: "system.users", Filter: raw(`{}`), Delete: true}, 0, "no collection"},
	} {
		n, err := w.Write(t.Context(), tc.change, 3)
		if n != tc.n || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: got %d, %v, want %d, %q", tc.name, n, err, tc.n, tc.err)
		}
	}
	all := state(t, root)
	_, all, _ = strings.Cut(all, "things")
	want := `{"_id": {"$numberInt":"1"},"n": {"$numberInt":"1"}}{"_id": {"$numberInt":"2"},"n": {"$numberInt":"2"}}{"_id": {"$numberInt":"3"},"n": {"$numberInt":"3"}}{"_id": {"$numberInt":"4"},"n": {"$numberInt":"5"},"x": "y"}{"_id": {"$numberInt":"5"},"n": {"$numberLong":"6"},"x": "y"}{"_id": {"$numberInt":"7"}}`
	if all != want {
		t.Errorf("the collection has %s, want %s", all, want)
	}
}
