package database_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database"
	"github.com/dragoman-mcp/dragoman/mcp"
	"github.com/dragoman-mcp/dragoman/mcp/jsonrpc"
	"github.com/dragoman-mcp/dragoman/server"
	"github.com/dragoman-mcp/dragoman/test/servers"
)

const (
	hundred = "SELECT id, name, mail, price, at FROM hundred ORDER BY id"
	fill    = "CREATE TABLE hundred (id int, name text, mail text, price numeric(10,2), at timestamp);"
)

// through calls query for each round.
func through(b *testing.B, settings string) {
	s, err := server.Open(&server.Env{Settings: []byte(settings)}, database.New)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	h, err := s.Handler()
	if err != nil {
		b.Fatal(err)
	}
	params, _ := jsonrpc.Split([]byte(`{"name":"query","arguments":{"sql":"` + hundred + `"}}`))
	client := mcp.NewClient(mcp.Revision20260728, nil, jsonrpc.Object{})
	for b.Loop() {
		r, err := h.Handle(b.Context(), mcp.ReadRequest("tools/call", params, client))
		if err != nil {
			b.Fatal(err)
		}
		_ = r
	}
}

// BenchmarkHundredRows compares a query of 100 rows through the tool with the bare driver, whose rows are made JSON, too:
// that is what a tool without us would do at least.
func BenchmarkHundredRows(b *testing.B) {
	b.Run("PostgreSQL", func(b *testing.B) {
		dsn := servers.Postgres(b)
		conn, err := pgx.Connect(b.Context(), dsn)
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close(context.Background())
		if _, err := conn.Exec(b.Context(), fill+"INSERT INTO hundred SELECT i, 'Somebody', 'somebody@example.org', i * 1.25, now() FROM generate_series(1, 100) i; ANALYZE hundred"); err != nil {
			b.Fatal(err)
		}
		compare(b, func(b *testing.B) {
			for b.Loop() {
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
			}
		}, `{"sources": {"p": {"dsn": "`+dsn+`", "posture": "warn"}}}`)
	})
	b.Run("SQLite", func(b *testing.B) {
		path := filepath.Join(b.TempDir(), "x.db")
		db, err := sql.Open("sqlite", path)
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec(fill + "INSERT INTO hundred WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) SELECT i, 'Somebody', 'somebody@example.org', i * 1.25, datetime() FROM n"); err != nil {
			b.Fatal(err)
		}
		compare(b, func(b *testing.B) { bare(b, db) }, `{"sources": {"s": {"dsn": "sqlite:`+path+`"}}}`)
	})
	b.Run("MariaDB", func(b *testing.B) {
		dsn := servers.MariaDB(b)
		db, err := sql.Open("mysql", dsn+"?multiStatements=true")
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec(fill + "INSERT INTO hundred SELECT seq, 'Somebody', 'somebody@example.org', seq * 1.25, NOW() FROM seq_1_to_100"); err != nil {
			b.Fatal(err)
		}
		url := "mysql://" + strings.NewReplacer("tcp(", "", ")", "").Replace(dsn)
		compare(b, func(b *testing.B) { bare(b, db) }, `{"sources": {"m": {"dsn": "`+url+`", "posture": "warn"}}}`)
	})
}

func bare(b *testing.B, db *sql.DB) {
	for b.Loop() {
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
}

// compare runs both in turn and reports the ratio.
func compare(b *testing.B, bare func(*testing.B), settings string) {
	var driver, tool testing.BenchmarkResult
	b.Run("driver", func(b *testing.B) { bare(b); driver.N, driver.T = b.N, b.Elapsed() })
	b.Run("tool", func(b *testing.B) {
		through(b, settings)
		tool.N, tool.T = b.N, b.Elapsed()
		b.ReportMetric(float64(tool.NsPerOp())/float64(max(driver.NsPerOp(), 1)), "x-driver")
	})
}
