package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/corpus"
	"github.com/dragoman-mcp/dragoman/internal/builtin/database/sqlite"
)

var corpora = flag.String("corpora", "", "`DIR` with repositories of attacks, or parts of them (see package corpus); without it a small list is run")

func TestCorporaChangeNothing(t *testing.T) {
	texts, err := corpus.Texts(*corpora)
	if err != nil {
		t.Fatal(err)
	}
	path := file(t)
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE t2 (x TEXT); INSERT INTO t2 VALUES ('one'), ('two'); CREATE TABLE users (id INT, name TEXT, password TEXT); INSERT INTO users VALUES (1, 'ann', 'secret')"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir()) // whatever would be written by a relative name would be here
	s := sqlite.Open(sqlite.Options{Path: path, MaxConns: 1})
	defer s.Close()
	tally := corpus.Run(t.Context(), texts, time.Minute, func(ctx context.Context, sql string) error {
		_, err := run(ctx, s, sql)
		return err
	})
	after, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(before, after) || len(tally.Late) > 0 {
		t.Errorf("the file has changed (%v), or these took a minute: %q", err, tally.Late)
	}
	for _, dir := range []string{".", filepath.Dir(path)} {
		if entries, err := os.ReadDir(dir); err != nil || len(entries) > 1 || dir == "." && len(entries) > 0 {
			t.Errorf("there are files in %s: %v (%v)", dir, entries, err)
		}
	}
	t.Logf("SQLite: 0 writes over %v", tally)
}
