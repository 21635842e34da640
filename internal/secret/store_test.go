package secret_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/secret"
	"github.com/dragoman-mcp/dragoman/internal/store/sqlite"
)

// TestWithARealStore goes through a life of a secret with data keys on disk, on
// which neither the secret nor, when it is erased, its key is found.
func TestWithARealStore(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(ctx, filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keys.age")
	if err := secret.CreateQuickKeyFile(path, passphrase); err != nil {
		t.Fatal(err)
	}
	b := secret.NewBox(opened(t, path), s.DataKeys, nil)
	plain := []byte("gho_this-must-not-be-on-disk")
	first, err := b.Seal(ctx, "ada", place, plain)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Rotate(ctx, "ada"); err != nil {
		t.Fatal(err)
	}
	if got, old, err := b.Open(ctx, "ada", place, first); !bytes.Equal(got, plain) || !old || err != nil {
		t.Fatalf("after rotation Open gives %q, %v, %v", got, old, err)
	}
	if err := secret.RotateQuickKeyFile(path, passphrase); err != nil {
		t.Fatal(err)
	}
	b = secret.NewBox(opened(t, path), s.DataKeys, nil)
	if n, err := b.Rewrap(ctx); n != 2 || err != nil {
		t.Fatalf("Rewrap gives %d, %v, want 2", n, err)
	}
	row, err := s.DataKeys.Get(ctx, "ada", secret.KeyOf(first))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Erase(ctx, "ada"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Open(ctx, "ada", place, first); !errors.Is(err, secret.ErrErased) {
		t.Errorf("after the erasure Open gives %v, want ErrErased", err)
	}
	if _, err := b.Index(ctx, "users", "email", []byte("ada@example.org")); err != nil {
		t.Error(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("the store has files %v, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for what, bad := range map[string][]byte{"the secret": plain, "the wrapped key of an erased subject": row.Wrapped} {
			if bytes.Contains(text, bad) {
				t.Errorf("%s is in %s", what, filepath.Base(file))
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
