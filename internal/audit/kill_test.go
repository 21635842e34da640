package audit_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/audit"
	"github.com/dragoman-mcp/dragoman/internal/config"
	"github.com/dragoman-mcp/dragoman/internal/secret/scan"
	"github.com/dragoman-mcp/dragoman/mcp"
)

const (
	childDir = "DRAGOMAN_TEST_AUDIT_DIR"
	// envKills is how often the child is killed; 50 times unless it is set.
	envKills = "DRAGOMAN_TEST_AUDIT_KILLS"
	// envMutations is how many changes to a log have to be found; 500 unless it is set.
	envMutations = "DRAGOMAN_TEST_AUDIT_MUTATIONS"
)

func times(t testing.TB, name string, usual int) int {
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s is %q, which is no number", name, text)
	}
	return n
}

// writeUntilKilled is the child: 8 callers make calls and tell on standard output
// which of them were answered, until the process is killed.
func writeUntilKilled(dir string) {
	c := settings(dir)
	c.SegmentSize, c.CheckpointRecords, c.CheckpointInterval = 256<<10, 200, 100*time.Millisecond
	l, err := audit.Open(audit.Options{Config: c, Redactor: scan.New(nil), Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	h := l.Record("files")(mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) { return mcp.EmptyResult(), nil }))
	fmt.Println("open")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				id := fmt.Sprintf("call%d", rand.Uint64())
				if _, err := h.Handle(context.Background(), call("write", `{"id":"`+id+`"}`)); err != nil {
					fmt.Println("error", err)
					return
				}
				fmt.Println(id) // one write: it is whole, or it is not there
			}
		})
	}
	wg.Wait()
}

func TestNothingAcknowledgedIsLostWhenTheProcessIsKilled(t *testing.T) {
	dir := t.TempDir()
	c := settings(dir)
	var acknowledged []string
	kills := times(t, envKills, 50)
	for i := range kills {
		said := killed(t, dir, time.Duration(20+rand.IntN(130))*time.Millisecond)
		for _, line := range said {
			if strings.HasPrefix(line, "error") {
				t.Fatalf("kill %d: the child said %q", i, line)
			}
			if strings.HasPrefix(line, "call") {
				acknowledged = append(acknowledged, line)
			}
		}
	}
	closeLog(t, open(t, audit.Options{Config: c}))
	r := whole(t, c)
	have, lost := outcomes(t, c), 0
	for _, id := range acknowledged {
		if !have[id] {
			lost++
		}
	}
	if lost > 0 || len(acknowledged) < kills {
		t.Errorf("%d of %d acknowledged calls are lost", lost, len(acknowledged))
	}
	t.Logf("%d kills, %d calls acknowledged, %d lost; %d records in %d segments, %d tails cut off, %d calls cut short",
		kills, len(acknowledged), lost, r.Records, r.Segments, r.Recoveries, r.Unfinished)
}

// outcomes are the ids of the calls that a log has with intent and outcome.
func outcomes(t *testing.T, c config.Audit) map[string]bool {
	t.Helper()
	have, intents := make(map[string]bool), make(map[float64]string)
	for _, rec := range records(t, c) {
		switch rec["kind"] {
		case "intent":
			intents[rec["seq"].(float64)] = rec["arguments"].(map[string]any)["id"].(string)
		case "outcome":
			have[intents[rec["of"].(float64)]] = true
		}
	}
	return have
}

// killed runs the child for a while after it has opened the log, kills it, and
// gives what it had said.
func killed(t *testing.T, dir string, after time.Duration) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	first, err := lines.ReadString('\n')
	if err != nil || first != "open\n" {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		t.Fatalf("the child said %q, %v", first, err)
	}
	kill := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	rest, err := io.ReadAll(lines)
	if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	text := string(rest)
	return strings.Split(text[:strings.LastIndexByte(text, '\n')+1], "\n")
}
