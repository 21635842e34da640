package supervisor_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/dragoman-mcp/dragoman/internal/supervisor/slack"
)

// lateness is how late the threads of this process let timers be, if they agree.
func lateness() string {
	all, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err.Error()
	}
	found := map[string]bool{}
	for _, thread := range all {
		text, err := os.ReadFile("/proc/" + thread.Name() + "/timerslack_ns")
		if err == nil { // else it has ended
			found[strings.TrimSpace(string(text))] = true
		}
	}
	var said []string
	for ns := range found {
		said = append(said, ns)
	}
	return strings.Join(said, " and ")
}

// lateTimers is a gateway with late timers that starts a child and tells of both.
func lateTimers() int {
	slack.Late()
	own := lateness()
	sup, err := supervisor.New(supervisor.Options{Environ: os.Environ()})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	child, err := sup.Add(supervisor.Spec{Name: "child", Command: program("timers")})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	p, err := child.Acquire(context.Background())
	if err != nil {
		fmt.Println(err)
		return 1
	}
	text, _ := io.ReadAll(p.Stdout())
	fmt.Printf("%d %s child %s %s\n", os.Getpid(), own, text, os.Getenv("OF_THE_TEST"))
	return 0
}

func TestTheGatewaysTimersMayBeLateAndThoseOfChildrenAreAsUsual(t *testing.T) {
	for set, want := range map[time.Duration]string{
		50 * time.Microsecond: "1000000 child 50000 kept",
		70 * time.Microsecond: "70000 child 70000 kept", // somebody's choice
	} {
		t.Run(set.String(), func(t *testing.T) {
			command := program("late-timers")
			cmd := exec.Command(command[0], command[1:]...)
			cmd.Env = append(os.Environ(), "OF_THE_TEST=kept")
			var out strings.Builder
			cmd.Stdout, cmd.Stderr = &out, &out
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(set), 0, 0, 0); err != nil {
				t.Fatal(err)
			}
			err := cmd.Start()
			if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(50*time.Microsecond), 0, 0, 0); err != nil {
				t.Fatal(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("the gateway ended with %v and said:\n%s", err, out.String())
			}
			if diff := cmp.Diff(fmt.Sprintf("%d %s\n", cmd.Process.Pid, want), out.String()); diff != "" {
				t.Errorf("process and how late timers may be, in ns (-want +got):\n%s", diff)
			}
		})
	}
}
