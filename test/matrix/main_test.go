package matrix

import (
	"flag"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/supervisor"
)

// patience is how long a client waits for anything before the test has failed.
var patience = flag.Duration("patience", 2*time.Minute, "how long to wait for anything")

// update makes the run write docs/compatibility.md instead of comparing it.
var update = flag.Bool("update", false, "write docs/compatibility.md")

// TestMain makes the test binary also the guard of its child processes, and the
// scripted servers that the gateway starts.
func TestMain(m *testing.M) {
	supervisor.ShimMain(os.Args)
	if len(os.Args) > 1 {
		if role, ok := strings.CutPrefix(os.Args[1], "serve:"); ok {
			serveStdio(newScript(role, revisionOf(role)), os.Stdin, os.Stdout)
			syscall.Exit(0) // os.Exit takes a second under the race detector
		}
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil { // they mostly wait for each other
		panic(err)
	}
	goleak.VerifyTestMain(m)
}
