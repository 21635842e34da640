package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dragoman-mcp/dragoman/internal/egress"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/internal/store/postgres"
	"github.com/dragoman-mcp/dragoman/internal/store/storetest"
	"github.com/dragoman-mcp/dragoman/test/servers"
)

func network(t *testing.T) *egress.Network {
	n := egress.New(egress.Options{})
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func open(t *testing.T, dsn string) *store.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), dsn, network(t))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSuite(t *testing.T) {
	server, n := servers.Postgres(t), 0
	storetest.Run(t, func(t *testing.T) func(t *testing.T) *store.Store {
		n++
		dsn := servers.Database(t, server, fmt.Sprint("suite", n))
		return func(t *testing.T) *store.Store { return open(t, dsn) }
	})
}

// sqlOf runs a statement past the store.
func sqlOf(t *testing.T, dsn, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func TestWhatCannotBeTrustedIsNotOpened(t *testing.T) {
	server := servers.Postgres(t)
	t.Run("a database of a newer version", func(t *testing.T) {
		dsn := servers.Database(t, server, "newer")
		if err := open(t, dsn).Close(); err != nil {
			t.Fatal(err)
		}
		sqlOf(t, dsn, "INSERT INTO schema_version (version_id, is_applied) VALUES (999, true)")
		if _, err := postgres.Open(t.Context(), dsn, network(t)); !errors.Is(err, store.ErrNewer) {
			t.Errorf("got %v, want ErrNewer", err)
		}
	})
	t.Run("a server that acknowledges what it has not written", func(t *testing.T) {
		dsn := servers.Database(t, server, "lossy")
		sqlOf(t, dsn, "ALTER DATABASE lossy SET synchronous_commit = off")
		_, err := postgres.Open(t.Context(), dsn, network(t))
		if err == nil || !strings.Contains(err.Error(), "synchronous_commit is off") {
			t.Errorf("got %v, want a refusal because of synchronous_commit", err)
		}
	})
}

func TestManyWhoOpenAnEmptyDatabaseAtOnceAllSucceed(t *testing.T) {
	dsn := servers.Postgres(t)
	way := network(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			s, err := postgres.Open(t.Context(), dsn, way)
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// TestTheFeedGoesOn cuts every connection; what happened meanwhile is heard, and
// what is not notified of too.
func TestTheFeedGoesOn(t *testing.T) {
	const promised = 5*time.Second + time.Minute // what a busy machine may add
	dsn := servers.Postgres(t)
	s := open(t, dsn)
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cut := func() {
		sqlOf(t, dsn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dragoman'")
		sqlOf(t, dsn, "INSERT INTO changes VALUES (1, 'keys', 'while cut off')")
	}
	silent := func() { sqlOf(t, dsn, "INSERT INTO changes VALUES (2, 'keys', 'without notification')") }
	steps := []struct {
		do   func()
		want string
	}{{cut, "while cut off"}, {silent, "without notification"}}
	faults, begun := 0, time.Now()
	for change, err := range s.Feed.Changes(ctx) {
		switch {
		case err != nil:
			faults++
			continue
		case change == (store.Change{}):
		case change.Key != steps[0].want:
			t.Fatalf("heard %+v, want %q", change, steps[0].want)
		default:
			if took := time.Since(begun); took > promised {
				t.Errorf("%q was heard after %v, want within %v", change.Key, took, promised)
			}
			steps = steps[1:]
		}
		if len(steps) == 0 {
			break
		}
		begun = time.Now()
		steps[0].do()
	}
	if faults == 0 || ctx.Err() != nil {
		t.Errorf("the feed told of %d faults, ended with %v; want at least one, and that it goes on", faults, ctx.Err())
	}
}

func TestOtherMachinesAreReachedEncryptedUnlessTheDSNSaysOtherwise(t *testing.T) {
	for dsn, open := range map[string]bool{
		"postgres://ann@db.internal/x":                           false,
		"host=10.0.0.1 user=ann":                                 false,
		"postgres://ann@db1.internal,127.0.0.1/x":                true, // the second
		"postgres://ann@127.0.0.1/x":                             true,
		"postgres://ann@[::1]/x":                                 true,
		"host=localhost user=ann":                                true,
		"postgres://ann@db.internal/x?sslmode=disable":           true,
		"postgres://ann@db.internal/x?sslmode=prefer":            true,
		"postgres://ann@db.internal/x?sslmode=require":           false,
		"postgres://ann@127.0.0.1.example.org/x":                 false,
		"postgres://ann@localhost.example.org/x?sslmode=require": false,
		// The word alone says nothing: it has to be the name of a setting.
		"postgres://ann:sslmode@db.internal/x":                             false,
		"postgres://ann:a?sslmode=prefer@db.internal/x":                    false,
		"postgres://ann@db.internal/sslmode":                               false,
		"postgres://ann@db.internal/x?search_path=sslmode":                 false,
		"host=db.internal user=ann password='it is sslmode=prefer'":        false,
		`host=db.internal user=ann password='it\'s sslmode=prefer'`:        false,
		`host=db.internal user=ann password=it\ is\ sslmode=prefer`:        false,
		"host=db.internal user=ann application_name='sslmode = prefer'":    false,
		"postgres://ann@db.internal/x?application_name=a&ssl%6Dode=prefer": true,
		"postgres://ann:sslmode@db.internal,db2.internal/x?sslmode=allow":  true,
		"postgres://ann@db.internal?sslmode=prefer":                        true,
		"host=db.internal sslmode = 'prefer' user=ann":                     true,
		"host = db.internal password='' sslmode=prefer":                    true,
	} {
		config, err := postgres.Configure(dsn, network(t))
		if err != nil {
			t.Fatalf("%s: %v", dsn, err)
		}
		plain := config.TLSConfig == nil
		for _, way := range config.Fallbacks {
			plain = plain || way.TLSConfig == nil
		}
		if plain != open {
			t.Errorf("%s: may go without encryption: %v, want %v", dsn, plain, open)
		}
	}
}
