package database_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/test/servers"
)

const (
	hundred  = "SELECT id, name, mail, price, at FROM hundred ORDER BY id"
	fill     = "CREATE TABLE hundred (id int, name text, mail text, price numeric(10,2), at timestamp);"
	callSQL  = `{"name":"query","arguments":{"sql":"` + hundred + `"}}`
	callFind = `{"name":"find","arguments":{"collection":"hundred","order":["_id"]}}`
)

// toolOf makes a function that calls a tool once.
func toolOf(b *testing.B, settings, call string) func() {
	b.Helper()
	s, err := server.Open(&server.Env{Settings: []byte(settings)}, database.New)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	h, err := s.Handler()
	if err != nil {
		b.Fatal(err)
	}
	params, _ := jsonrpc.Split([]byte(call))
	client := mcp.NewClient(mcp.Revision20260728, nil, jsonrpc.Object{})
	return func() {
		r, err := h.Handle(b.Context(), mcp.ReadRequest("tools/call", params, client))
		if err != nil || !bytes.Contains(r.Raw(), []byte("Somebody")) {
			b.Fatal(string(r.Raw()), err)
		}
	}
}

// compare runs both by turns and reports the ratio of the medians of the time
// that they take. Turn by turn, what else the machine does is the same for both.
func compare(b *testing.B, bare, tool func()) {
	b.Helper()
	for range 20 {
		bare()
		tool()
	}
	var times [2][]time.Duration
	for b.Loop() {
		for i, f := range []func(){bare, tool} {
			began := time.Now()
			f()
			times[i] = append(times[i], time.Since(began))
		}
	}
	for i := range times {
		slices.Sort(times[i])
	}
	middle := len(times[0]) / 2
	b.ReportMetric(float64(times[0][middle].Microseconds()), "driver-µs")
	b.ReportMetric(float64(times[1][middle].Microseconds()), "tool-µs")
	b.ReportMetric(float64(times[1][middle])/float64(times[0][middle]), "ratio")
}

// BenchmarkHundredRows compares a query of 100 rows through the tool with the bare driver, whose rows are made JSON, too:
// that is what a tool without us would do at least.
func BenchmarkHundredRows(b *testing.B) {
	b.Run("PostgreSQL", hundredOfPostgres)
	b.Run("SQLite", func(b *testing.B) {
		path := filepath.Join(b.TempDir(), "x.db")
		db := opened(b, "sqlite", path, fill+"INSERT INTO hundred WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) SELECT i, 'Somebody', 'somebody@example.org', i * 1.25, datetime() FROM n")
		compare(b, func() { bare(b, db) }, toolOf(b, `{"sources": {"s": {"dsn": "sqlite:`+path+`"}}}`, callSQL))
	})
	b.Run("MariaDB", func(b *testing.B) {
		dsn := servers.MariaDB(b)
		db := opened(b, "mysql", dsn+"?multiStatements=true", fill+"INSERT INTO hundred SELECT seq, 'Somebody', 'somebody@example.org', seq * 1.25, NOW() FROM seq_1_to_100")
		url := "mysql://" + strings.NewReplacer("tcp(", "", ")", "").Replace(dsn)
		compare(b, func() { bare(b, db) }, toolOf(b, `{"sources": {"m": {"dsn": "`+url+`", "posture": "warn"}}}`, callSQL))
	})
	b.Run("MongoDB", hundredOfMongo)
}

func opened(b *testing.B, driver, dsn, statements string) *sql.DB {
	b.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	if _, err := db.Exec(statements); err != nil {
		b.Fatal(err)
	}
	return db
}

func hundredOfPostgres(b *testing.B) {
	dsn := servers.Postgres(b)
	conn, err := pgx.Connect(b.Context(), dsn)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(b.Context(), fill+"INSERT INTO hundred SELECT i, 'Somebody', 'somebody@example.org', i * 1.25, now() FROM generate_series(1, 100) i; ANALYZE hundred"); err != nil {
		b.Fatal(err)
	}
	compare(b, func() {
		rows, err := conn.Query(b.Context(), hundred)
		if err != nil {
			b.Fatal(err)
		}
		all, err := pgx.CollectRows(rows, pgx.RowToMap)
		if err != nil || len(all) != 100 {
			b.Fatal(len(all), err)
		}
		if _, err := json.Marshal(all); err != nil {
			b.Fatal(err)
		}
	}, toolOf(b, `{"sources": {"p": {"dsn": "`+dsn+`", "posture": "warn"}}}`, callSQL))
}

func hundredOfMongo(b *testing.B) {
	url := servers.MongoDB(b)
	documents := make([]any, 100)
	for i := range documents {
		documents[i] = bson.D{{Key: "_id", Value: i}, {Key: "name", Value: "Somebody"}, {Key: "mail", Value: "somebody@example.org"}, {Key: "price", Value: 1.25 * float64(i)}, {Key: "at", Value: time.Now()}}
	}
	documentsOf(b, url, map[string][]any{"hundred": documents})
	client, err := mongo.Connect(options.Client().ApplyURI(url))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = client.Disconnect(context.Background()) }()
	compare(b, func() {
		cursor, err := client.Database("test").Collection("hundred").Find(b.Context(), bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}))
		if err != nil {
			b.Fatal(err)
		}
		var all []bson.M
		if err := cursor.All(b.Context(), &all); err != nil || len(all) != 100 {
			b.Fatal(len(all), err)
		}
		if _, err := json.Marshal(all); err != nil {
			b.Fatal(err)
		}
	}, toolOf(b, `{"sources": {"d": {"dsn": "`+url+`", "posture": "warn"}}}`, callFind))
}

func bare(b *testing.B, db *sql.DB) {
	rows, err := db.QueryContext(b.Context(), hundred)
	if err != nil {
		b.Fatal(err)
	}
	var all [][]any
	for rows.Next() {
		row := make([]any, 5)
		if err := rows.Scan(&row[0], &row[1], &row[2], &row[3], &row[4]); err != nil {
			b.Fatal(err)
		}
		all = append(all, row)
	}
	if _, err := json.Marshal(all); err != nil || len(all) != 100 || rows.Close() != nil {
		b.Fatal(len(all), err)
	}
}
