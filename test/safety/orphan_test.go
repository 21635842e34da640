//go:build linux

package safety

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

// linger is a server that leaves two processes behind: one in its own group, and
// one in a session of its own. Both know the word by which they are found.
func linger(args []string) {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	for _, attr := range []*syscall.SysProcAttr{{}, {Setsid: true}} {
		cmd := exec.Command(self, append([]string{"sleeper"}, args...)...)
		cmd.SysProcAttr = attr
		if err := cmd.Start(); err != nil {
			panic(err)
		}
	}
	talk(nil)
}

// sleep does nothing until it is killed.
func sleep([]string) {
	never := make(chan os.Signal, 1)
	signal.Notify(never, syscall.SIGUSR1)
	<-never
}

// withWord are the processes whose command line has a word in it.
func withWord(t *testing.T, word string) (pids []string) {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(names) == 0 {
		t.Fatalf("no processes in /proc: %v", err)
	}
	for _, name := range names {
		if text, err := os.ReadFile(name); err == nil && bytes.Contains(text, []byte(word)) { // it may have ended
			pids = append(pids, filepath.Base(filepath.Dir(name)))
		}
	}
	return pids
}

// TestNothingOutlivesTheGatewayOrAProgramThatCrashes kills programs, at each level,
// again and again while the gateway starts them anew, and then the gateway with
// kill -9. Each program has left processes behind, one of them in a session of its
// own: none is there in the end (promise P06).
func TestNothingOutlivesTheGatewayOrAProgramThatCrashes(t *testing.T) {
	cycles := times(t, "DRAGOMAN_TEST_CRASHES", 3)
	most := sandbox.Probe(t.Context()).Level
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for level := sandbox.Clean; level <= most; level++ {
		t.Run("level "+level.String(), func(t *testing.T) {
			word := fmt.Sprintf("lingering-%d-%s", os.Getpid(), some(12, upperCase))
			g := start(t, home(t), object{
				"servers": object{"program": object{"command": []string{self, "linger", word}, "sandbox": object{"level": int(level), "min_level": int(level)}}},
				"defaults": object{"breaker": object{"failures": 0}, "health": object{"interval": "0s"},
					"restart": object{"crash_count": 1000, "min_backoff": "1ms", "max_backoff": "10ms"}},
			})
			c := g.caller("")
			answers := func() bool {
				got, err := c.call("program__echo", object{"text": "x"})
				return err == nil && got["result"] != nil
			}
			for i := range cycles {
				if !await(answers) {
					t.Fatalf("cycle %d: the program does not answer", i)
				}
				_, _ = c.call("program__die", object{"text": "as it was told"})
			}
			if !await(answers) {
				t.Fatal("the program does not come back")
			}
			// The gateway has up to two of the program, one for callers who can be asked something; each is 3 processes, and
			// up to 2 of its sandbox, which have its command line too. What the crashed ones have left may still be ending.
			if !await(func() bool { n := len(withWord(t, word)); return n >= 3 && n <= 10 }) {
				t.Errorf("%d processes after %d crashes, want those of two programs at most", len(withWord(t, word)), cycles)
			}
			g.kill()
			if !await(func() bool { return len(withWord(t, word)) == 0 }) {
				t.Errorf("processes %v outlive the gateway", withWord(t, word))
			}
		})
	}
}
