package postgres_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/egress"
	"github.com/dragoman-mcp/dragoman/internal/store"
	"github.com/dragoman-mcp/dragoman/internal/store/postgres"
	"github.com/dragoman-mcp/dragoman/internal/store/storetest"
	"github.com/dragoman-mcp/dragoman/test/servers"
)

// childDSN and childRound make the test binary a process that writes until it is
// killed.
const (
	childDSN   = "DRAGOMAN_STORE_CHILD_DSN"
	childRound = "DRAGOMAN_STORE_CHILD_ROUND"
	killCount  = "DRAGOMAN_KILLS" // how many processes are killed; 20 when unset
)

func TestMain(m *testing.M) {
	if dsn := os.Getenv(childDSN); dsn != "" {
		s, err := postgres.Open(context.Background(), dsn, egress.New(egress.Options{}))
		if err == nil {
			err = storetest.Write(context.Background(), s, os.Getenv(childRound), os.Stdout)
		}
		fmt.Println(err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// TestWhatWasAcknowledgedSurvivesKill kills the gateway's side. That the server
// survives its own death is PostgreSQL's promise, if synchronous_commit is on, for
// which Open looks.
func TestWhatWasAcknowledgedSurvivesKill(t *testing.T) {
	kills := 20
	if text := os.Getenv(killCount); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatalf("%s: %v", killCount, err)
		}
	}
	dsn := servers.Postgres(t)
	start := func(t *testing.T, round string) (io.Reader, func()) {
		t.Helper()
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), childDSN+"="+dsn, childRound+"="+round)
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
	storetest.Survives(t, kills, start, func(t *testing.T) *store.Store { return open(t, dsn) }, nil)
}
