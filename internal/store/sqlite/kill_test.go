//go:build unix

package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/internal/store/sqlite"
	"github.com/dragoman-mcp/dragoman/internal/store/storetest"
)

// childFile and childRound make the test binary a process that writes until it is
// killed.
const (
	childFile  = "DRAGOMAN_STORE_CHILD_FILE"
	childRound = "DRAGOMAN_STORE_CHILD_ROUND"
	killCount  = "DRAGOMAN_KILLS" // how many processes are killed; 50 when unset
)

func TestMain(m *testing.M) {
	if path := os.Getenv(childFile); path != "" {
		s, err := sqlite.Open(context.Background(), path)
		if err == nil {
			err = storetest.Write(context.Background(), s, os.Getenv(childRound), os.Stdout)
		}
		fmt.Println(err)
		os.Exit(1)
	}
	if path := os.Getenv(childFull); path != "" {
		if err := fill(path); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func kills(t *testing.T) int {
	t.Helper()
	if text := os.Getenv(killCount); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("%s: %v", killCount, err)
		}
		return n
	}
	return 50
}

func TestWhatWasAcknowledgedSurvivesKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	start := func(t *testing.T, round string) (io.Reader, func()) {
		t.Helper()
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), childFile+"="+path, childRound+"="+round)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Wait() }) // it was killed
		return out, func() { _ = cmd.Process.Kill() }
	}
	storetest.Survives(t, kills(t), start, func(t *testing.T) *store.Store { return open(t, path) }, func(t *testing.T) { intact(t, path) })
}

// intact asks SQLite whether the file is sound (promise P03).
func intact(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var said string
	if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&said); err != nil || said != "ok" {
		t.Errorf("integrity check says %q, %v", said, err)
	}
}
