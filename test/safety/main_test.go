//go:build linux

package safety

import (
	"os"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
	"github.com/dragoman-mcp/dragoman/test/program"
)

// patience is how long anything may take that has to happen at all. It is long
// because tests run beside much else, and nothing is measured by it.
const patience = 2 * time.Minute

// TestMain makes the test binary also the programs that the gateway starts.
func TestMain(m *testing.M) {
	sandbox.ShimMain(os.Args) // for Probe
	if len(os.Args) > 1 {
		if role, ok := roles()[os.Args[1]]; ok {
			role(os.Args[2:])
			os.Exit(0)
		}
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		built.Remove()
		os.Exit(code)
	}))
}

// built is the program of all tests.
var built program.Once

// dragoman returns cmd/dragoman; DRAGOMAN_SAFETY_BINARY names one that is there.
func dragoman(t testing.TB) string {
	t.Helper()
	return built.Path(t, "DRAGOMAN_SAFETY_BINARY")
}

// times is how often something is tried: usual, unless the variable says otherwise.
func times(t testing.TB, variable string, usual int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q, want a number above 0", variable, text)
	}
	return n
}

// await waits until done says so; false when patience is over.
func await(done func() bool) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !done(); <-tick.C {
		if time.Now().After(deadline) {
			return done()
		}
	}
	return true
}
