package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pageOf gives the names of the tables on one page of a listing, and its cursor.
func pageOf(t *testing.T, more ...string) (names, cursor string) {
	t.Helper()
	args := append([]string{"call", "database.query", "sql=SELECT name FROM sqlite_master ORDER BY name", "limit=2", "-o", "json"}, more...)
	out, code := commanded(args...)
	var result struct {
		StructuredContent struct {
			Rows   [][]string
			Cursor string `json:"next_cursor"`
		}
	}
	if err := json.Unmarshal([]byte(out), &result); err != nil || code != exitOK {
		t.Fatalf("%v prints %q and ends with %d: %v", args, out, code, err)
	}
	return strings.Join(slices.Concat(result.StructuredContent.Rows...), " "), result.StructuredContent.Cursor
}

func TestACursorOfOneCallIsGoodInTheNext(t *testing.T) {
	t.Chdir(t.TempDir())
	state := t.TempDir()
	t.Setenv("XDG_STATE_HOME", state)
	first, cursor := pageOf(t)
	second, _ := pageOf(t, "cursor="+cursor)
	if first == "" || second == "" || first == second {
		t.Errorf("the pages are %q and %q, want two", first, second)
	}
	kept := filepath.Join(state, "dragoman", "state.db.key")
	if info, err := os.Stat(kept); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key is in %v, %v, want it in a file that is its owner's alone", info, err)
	}
	if out, code := commanded("call", "database.query", "sql=SELECT 1", "limit=1", "cursor="+cursor); code == exitOK || !strings.Contains(out, "another query") {
		t.Errorf("for another query: %q, %d, want that it is refused", out, code)
	}
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	if out, code := commanded("call", "database.query", "sql=SELECT name FROM sqlite_master ORDER BY name", "limit=2", "cursor="+cursor); code == exitOK || !strings.Contains(out, "not valid here") {
		t.Errorf("for another user: %q, %d, want that it is refused", out, code)
	}
	if err := os.Chmod(kept, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_STATE_HOME", state)
	if _, again := pageOf(t); again == "" {
		t.Error("with a key that others can read there is no page")
	} else if out, code := commanded("call", "database.query", "sql=SELECT name FROM sqlite_master ORDER BY name", "limit=2", "cursor="+again); code == exitOK {
		t.Errorf("with a key that others can read a cursor of another process is taken: %q", out)
	}
}

func TestCheckingMakesNoKey(t *testing.T) {
	t.Chdir(t.TempDir())
	state := t.TempDir()
	t.Setenv("XDG_STATE_HOME", state)
	if out, code := commanded("check"); code != exitOK {
		t.Errorf("check prints %q and ends with %d", out, code)
	}
	if entries, err := os.ReadDir(state); err != nil || len(entries) != 0 {
		t.Errorf("check has left %v, %v", entries, err)
	}
}
