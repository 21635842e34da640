package proc_test

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/test/bench/proc"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCostCountsDescendantsAndEndedChildren(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc")
	}
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("needs a shell")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const busy = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done"
	const rest = "; echo '{}'; kill -STOP $$" // until it is killed
	tests := map[string]string{
		"work of its own":                busy + rest,
		"work of a child that has ended": "sh -c '" + busy + "'" + rest,
		"work of a living child":         "sh -c '" + busy + "; echo {}; while kill -0 $PPID; do sleep 0.05; done' 2>&-; true",
	}
	for name, script := range tests {
		t.Run(name, func(t *testing.T) {
			p, err := proc.Start([]string{"sh", "-c", script}, os.Stderr, true)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Stop(0)
			var ready struct{}
			if err := p.Announced(t.Context(), &ready); err != nil {
				t.Fatal(err)
			}
			cpu, err := proc.CPU(p.PID())
			if err != nil || cpu < 10*time.Millisecond {
				t.Errorf("CPU = %v, %v, want at least 10ms after 60,000 turns of a shell loop", cpu, err)
			}
			if rss, err := proc.RSS(p.PID()); err != nil || rss < 100<<10 {
				t.Errorf("RSS = %d, %v, want at least 100 KiB", rss, err)
			}
		})
	}
}
