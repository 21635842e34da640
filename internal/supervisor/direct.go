package supervisor

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

// direct starts children as children of the gateway itself, each in its own process group. It is what systems other than
// Linux have: it ends the group, and not what left the group; and nothing ends the children when the gateway is killed,
// except that they see the end of their input.
type direct struct {
	wg sync.WaitGroup
}

// groupPoll is how often the end of a process group is looked for: nobody tells when its last member ends.
const groupPoll = 10 * time.Millisecond

func (d *direct) spawn(ctx context.Context, l launch) (*task, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p, err := newPipes()
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{Path: l.path, Args: l.argv, Env: l.env, Dir: l.dir,
		Stdin: p.theirs[0], Stdout: p.theirs[1], Stderr: p.theirs[2]}
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		p.close()
		return nil, fmt.Errorf("start %s: %w", l.path, err)
	}
	p.closeTheirs()
	t := newTask()
	t.pid = cmd.Process.Pid
	p.give(t)
	var winding atomic.Bool
	killed := make(chan struct{})
	var once sync.Once
	t.order = func(o order) {
		switch o {
		case orderWind:
			winding.Store(true)
		case orderTerm:
			signalGroup(t.pid, false)
		case orderKill:
			signalGroup(t.pid, true)
			once.Do(func() { close(killed) })
		}
	}
	d.wg.Go(func() {
		t.end = outcomeOf(cmd)
		close(t.exited)
		if !winding.Load() {
			t.order(orderKill)
		}
		awaitGroup(t.pid, killed)
		close(t.gone)
	})
	return t, nil
}

// outcomeOf waits for cmd.
func outcomeOf(cmd *exec.Cmd) outcome {
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return outcome{code: -1, err: err}
	}
	return outcome{code: cmd.ProcessState.ExitCode(), signal: signalName(cmd.ProcessState)}
}

// awaitGroup returns when the group has no members, or some time after it was killed and still has.
func awaitGroup(pid int, killed <-chan struct{}) {
	tick := time.NewTicker(groupPoll)
	defer tick.Stop()
	var giveUp <-chan time.Time
	for groupAlive(pid) {
		select {
		case <-killed:
			killed = nil
			timer := time.NewTimer(killWait)
			defer timer.Stop()
			giveUp = timer.C
		case <-giveUp:
			return
		case <-tick.C:
			if giveUp != nil {
				signalGroup(pid, true)
			}
		}
	}
}

func (d *direct) census() (table, error) {
	procs, err := readProcs()
	if err != nil {
		return table{}, fmt.Errorf("read processes on %s: %w", runtime.GOOS, err)
	}
	return table{procs: procs}, nil
}

// report says that children are started as they are: there is no process between
// that could give up anything.
func (d *direct) report(context.Context) sandbox.Report {
	why := "children that are started without the guard process have no sandbox"
	return sandbox.Report{Missing: why, Groups: why}
}

func (d *direct) close() { d.wg.Wait() }
