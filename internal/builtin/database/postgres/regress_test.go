package postgres_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dragoman-mcp/dragoman/internal/builtin/database/corpus"
	"github.com/dragoman-mcp/dragoman/internal/builtin/database/engine"
	"github.com/dragoman-mcp/dragoman/test/servers"
)

var (
	regress = flag.String("regress", "", "`DIR` with the regression files of PostgreSQL (pganalyze/libpg_query: test/sql/postgres_regress); what share of their SELECTs is accepted is printed")
	corpora = flag.String("corpora", "", "`DIR` with repositories of attacks, or parts of them (see package corpus); without it a small list is run")
	misses  = flag.Bool("misses", false, "print what is refused and should not be")
)

// temporary tables would be seen by the connection that makes them alone.
var temporary = regexp.MustCompile(`(?i)^create\s+(or\s+replace\s+)?((local|global)\s+)?temp(orary)?\s+`)

// statements cuts a file of psql into statements.
func statements(text string) []string {
	var all []string
	var b strings.Builder
	for rest := text; rest != ""; {
		n := 1
		switch c := rest[0]; {
		case strings.HasPrefix(rest, "--"), c == '\\' && strings.TrimSpace(b.String()) == "":
			if n = strings.IndexByte(rest, '\n'); n < 0 {
				n = len(rest)
			}
			rest = rest[n:]
			continue
		case c == '\'' || c == '"':
			escapes := c == '\'' && strings.HasSuffix(strings.ToLower(b.String()), "e")
			for n < len(rest) && rest[n] != c {
				if escapes && rest[n] == '\\' {
					n++
				}
				n++
			}
			n = min(n+1, len(rest))
		case c == '$':
			if end := strings.IndexByte(rest[1:], '$'); end >= 0 && !strings.ContainsAny(rest[1:1+end], " \n(),;") {
				tag := rest[:end+2]
				if close := strings.Index(rest[len(tag):], tag); close >= 0 {
					n = 2*len(tag) + close
				}
			}
		case strings.HasPrefix(rest, "/*"):
			if end := strings.Index(rest, "*/"); end >= 0 {
				n = end + 2
			}
		case c == ';':
			all = append(all, strings.TrimSpace(b.String()))
			b.Reset()
			rest = rest[1:]
			continue
		}
		b.WriteString(rest[:n])
		rest = rest[n:]
	}
	return all
}

// TestHarmlessSelectsAreAccepted runs the files of the regression suite. A SELECT counts when PostgreSQL answers it to
// another connection with the same settings in a read-only transaction, and it calls no function, and no aggregate made
// of functions, that the catalog calls volatile, unless we accept it.
func TestHarmlessSelectsAreAccepted(t *testing.T) {
	if *regress == "" {
		t.Skip("give -regress DIR")
	}
	files, err := filepath.Glob(filepath.Join(*regress, "*.sql"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no files in %s (%v)", *regress, err)
	}
	dsn := servers.Postgres(t)
	base := servers.Database(t, dsn, "regress")
	if text, err := os.ReadFile(filepath.Join(*regress, "test_setup.sql")); err == nil {
		conn := admin(t, base)
		for _, statement := range statements(string(text)) {
			_, _ = conn.Exec(t.Context(), statement)
		}
		_ = conn.Close(t.Context())
	}
	maker := admin(t, dsn) // some files damage what they run in, so each has a copy
	counted, accepted, effects := 0, 0, 0
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".sql") + "_r"
		if _, err := maker.Exec(t.Context(), `CREATE DATABASE "`+name+`" TEMPLATE regress`); err != nil {
			t.Fatal(err)
		}
		c, a, e := regressFile(t, strings.Replace(base, "/regress?", "/"+name+"?", 1), file)
		_, _ = maker.Exec(t.Context(), `DROP DATABASE "`+name+`" WITH (FORCE)`)
		counted, accepted, effects = counted+c, accepted+a, effects+e
	}
	share := 100 * float64(accepted) / float64(max(counted, 1))
	t.Logf("%d files: of %d SELECTs that PostgreSQL answers and that have no effect, %d are accepted: %.2f %%; %d more call what may have effects, and are refused", len(files), counted, accepted, share, effects)
	if share < 99 {
		t.Errorf("%.2f %% are accepted, want 99", share)
	}
}

func regressFile(t *testing.T, base, file string) (counted, accepted, effects int) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	root, err := pgx.Connect(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close(context.Background())
	plain, err := pgx.Connect(t.Context(), base+"&datestyle=ISO,YMD&intervalstyle=iso_8601")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close(context.Background())
	s := open(t, base, 1)
	defer s.Close()
	deadline := time.Now().Add(20 * time.Second)
	for _, statement := range statements(string(text)) {
		if time.Now().After(deadline) || root.IsClosed() {
			return
		}
		lower := strings.ToLower(statement)
		if !slices.ContainsFunc([]string{"select", "with", "values", "table", "("}, func(p string) bool { return strings.HasPrefix(lower, p) }) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			if !strings.HasPrefix(lower, "begin") && !strings.HasPrefix(lower, "start") && !strings.HasPrefix(lower, "set") && !strings.HasPrefix(lower, "copy") {
				_, _ = root.Exec(ctx, temporary.ReplaceAllString(statement, "CREATE "), pgx.QueryExecModeSimpleProtocol)
			}
			cancel()
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, _ = plain.Exec(ctx, "BEGIN READ ONLY")
		_, direct := plain.Exec(ctx, "DECLARE direct CURSOR FOR "+statement)
		if direct == nil {
			_, direct = plain.Exec(ctx, "FETCH 10 FROM direct")
		}
		_, _ = plain.Exec(ctx, "ROLLBACK")
		if direct == nil {
			_, ours := run(ctx, s, statement)
			var refused *engine.Error
			switch {
			case ours == nil:
				counted, accepted = counted+1, accepted+1
			case errors.As(ours, &refused) && volatile(ctx, t, root, refused.Message):
				effects++
			default:
				counted++
				if *misses {
					t.Logf("%s: %v\n%s", filepath.Base(file), ours, statement)
				}
			}
		}
		cancel()
	}
	return counted, accepted, effects
}

// volatile says, apart from our own lists, whether what was refused is a function that the catalog calls volatile.
func volatile(ctx context.Context, t *testing.T, root *pgx.Conn, message string) bool {
	name, is := strings.CutPrefix(message, "the function ")
	name, _, _ = strings.Cut(name, " may do")
	if !is {
		return false
	}
	var n int
	err := root.QueryRow(ctx, `SELECT count(*) FROM pg_proc p LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid WHERE p.proname = $1 AND (p.provolatile = 'v'
 OR EXISTS (SELECT FROM pg_proc f WHERE f.provolatile = 'v' AND f.oid IN (a.aggtransfn, a.aggfinalfn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn, a.aggcombinefn)))`, name).Scan(&n)
	return err == nil && n > 0
}

// TestCorporaChangeNothing runs the corpora of others, whose texts are statements or injections. Those that are known to be
// attacks, or to be harmless, are in attacks and harmless, too.
func TestCorporaChangeNothing(t *testing.T) {
	texts, err := corpus.Texts(*corpora)
	if err != nil {
		t.Fatal(err)
	}
	dsn := servers.Postgres(t)
	root := admin(t, dsn, schemaSQL+"CREATE TABLE t (a int, b int, x int); CREATE TABLE t1 (id int, a int); ALTER TABLE t2 ADD id int")
	s := open(t, dsn, 1)
	state := func() (text string) {
		if err := root.QueryRow(t.Context(), "SELECT (SELECT string_agg(x, ',') FROM t2) || (SELECT count(*) FROM users) || (SELECT count(*) FROM pg_class) || (SELECT count(*) FROM pg_proc) || (SELECT count(*) FROM pg_largeobject_metadata) || (SELECT last_value FROM seq) || txid_snapshot_xmax(txid_current_snapshot())").Scan(&text); err != nil {
			t.Fatal(err)
		}
		return text
	}
	before := state()
	tally := corpus.Run(t.Context(), texts, time.Minute, func(ctx context.Context, sql string) error {
		_, err := run(ctx, s, sql)
		return err
	})
	if after := state(); after != before || len(tally.Late) > 0 {
		t.Errorf("the database has changed from %s to %s, or these took a minute: %q", before, after, tally.Late)
	}
	t.Logf("PostgreSQL: 0 writes over %v", tally)
}
