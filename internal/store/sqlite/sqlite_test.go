package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/internal/store/sqlite"
	"github.com/dragoman-mcp/dragoman/internal/store/storetest"
)

func open(t *testing.T, path string) *store.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSuite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) func(t *testing.T) *store.Store {
		path := filepath.Join(t.TempDir(), "deep er", "state%20#?.db")
		return func(t *testing.T) *store.Store { return open(t, path) }
	})
}

// raw opens the file past the store.
func raw(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestADatabaseOfANewerVersionIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := raw(t, path).ExecContext(t.Context(), "INSERT INTO schema_version (version_id, is_applied) VALUES (999, 1)"); err != nil {
		t.Fatal(err)
	}
	_, err := sqlite.Open(t.Context(), path)
	if !errors.Is(err, store.ErrNewer) || !strings.Contains(err.Error(), "version is 999") || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want ErrNewer with the version and the file", err)
	}
}

func TestManyWhoOpenAnEmptyFileAtOnceAllSucceed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			s, err := sqlite.Open(t.Context(), path)
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

func TestNobodyElseMayReadTheFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	path := filepath.Join(dir, "state.db")
	s := open(t, path)
	if err := s.Users.Add(t.Context(), store.User{Name: "ann"}); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) < 3 {
		t.Fatalf("got %v, %v, want the file, its log and its index", entries, err)
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v, want 0600", entry.Name(), info.Mode(), err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o604); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that others may read: got %v, want a refusal that says what to do", err)
	}
	if _, err := sqlite.Open(t.Context(), dir); err == nil {
		t.Error("a directory was opened as a store")
	}
}

// TestAWriteIsOnDiskBeforeItIsAcknowledged looks at the settings by which SQLite
// promises that; that they hold against the death of a machine cannot be tried here.
func TestAWriteIsOnDiskBeforeItIsAcknowledged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	db, err := sqlite.Writer(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "secure_delete": "1", "busy_timeout": "10000"} {
		var got string
		if err := db.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, %v, want %s", pragma, got, err, want)
		}
	}
}

func TestWhatIsErasedIsGoneFromTheFiles(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "state.db"))
	defer s.Close()
	ctx := t.Context()
	found := func(secret string) bool {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(data, []byte(secret)) {
				return true
			}
		}
		return false
	}
	const key, credential = "canary-of-a-data-key", "canary-of-a-credential"
	put := func(subject string) error {
		return errors.Join(s.DataKeys.Put(ctx, store.DataKey{Subject: subject, ID: "1", Wrapped: []byte(key + subject)}),
			s.Credentials.Put(ctx, store.Credential{Principal: subject, Issuer: "i", Ciphertext: []byte(credential + subject)}))
	}
	if err := errors.Join(put("ann"), put("bob")); err != nil {
		t.Fatal(err)
	}
	if !found(key+"ann") || !found(credential+"ann") {
		t.Fatal("what was written is not found in the files, so that this test cannot tell")
	}
	_, errKeys := s.DataKeys.Remove(ctx, "ann")
	_, errCredentials := s.Credentials.RemoveAll(ctx, "ann")
	if err := errors.Join(errKeys, errCredentials); err != nil {
		t.Fatal(err)
	}
	if found(key+"ann") || found(credential+"ann") {
		t.Error("what was erased is still in the files")
	}
	if !found(key + "bob") {
		t.Error("another's key is gone too")
	}
}

func TestAChangeThatRingsNoBellIsHeardNevertheless(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	s := open(t, path)
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	db, begun := raw(t, path), time.Time{}
	for change, err := range s.Feed.Changes(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if change == (store.Change{Domain: "keys", Key: "k"}) {
			break
		}
		begun = time.Now()
		if _, err := db.ExecContext(ctx, "INSERT INTO changes VALUES (1, 'keys', 'k')"); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(begun); took > time.Minute { // 5 s are promised, to a machine that has time
		t.Errorf("the change was heard after %v", took)
	}
}
