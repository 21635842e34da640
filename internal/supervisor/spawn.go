package supervisor

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

// A spawner starts commands and ends all that they started. There are two: guard (Linux) and direct.
type spawner interface {
	// spawn starts l, and gives up when ctx ends; a command that starts too late is then killed.
	spawn(ctx context.Context, l launch) (*task, error)
	// census is the processes of this machine and the one that adopts orphans, for tasks' resource use.
	census() (table, error)
	// report is which sandboxes commands can be started in.
	report(ctx context.Context) sandbox.Report
	// close ends what is left and waits for it.
	close()
}

// launch is a command as the kernel wants it.
type launch struct {
	path      string // absolute
	argv, env []string
	dir       string
	plan      *sandbox.Plan   // nil starts it as it is
	bounds    *sandbox.Bounds // nil when there are none, or this system has no groups
}

// task is a started command as its spawner sees it.
type task struct {
	pid  int
	mark uint64 // what its descendants are recognised by; 0 when there is none

	stdin          io.WriteCloser
	stdout, stderr io.ReadCloser
	proxy          *net.UnixConn // brings the listener of its proxy; nil when it has none

	exited chan struct{} // closed when the command itself has ended
	gone   chan struct{} // closed after exited, when nothing that it started is left
	end    outcome       // set before exited is closed

	// order asks the spawner for one of the orders below and does not wait for the effect. An order for a task that is
	// gone does nothing.
	order func(order)
}

// order is what a spawner can be asked to do with a task.
type order string

const (
	orderWind order = "wind" // it is being stopped: let what it leaves behind finish in peace, until orderKill
	orderTerm order = "term" // SIGTERM to all of it
	orderKill order = "kill" // SIGKILL to all of it, again until nothing is left
)

// outcome is how a command ended.
type outcome struct {
	code   int // -1 when a signal ended it or it is not known
	signal string
	err    error // why it is not known, or why it was ended from outside
}

func newTask() *task {
	return &task{exited: make(chan struct{}), gone: make(chan struct{})}
}

// pipes are the three pipes of a child, and the socket for its proxy if there is one, and their two sides.
type pipes struct {
	stdin          *os.File      // ours
	stdout, stderr *os.File      // ours
	proxy          *net.UnixConn // ours; nil without a proxy
	theirs         [4]*os.File
}

func newPipes() (*pipes, error) {
	var p pipes
	var err error
	open := func(read, write **os.File) {
		if err == nil {
			*read, *write, err = os.Pipe()
		}
	}
	open(&p.theirs[0], &p.stdin)
	open(&p.stdout, &p.theirs[1])
	open(&p.stderr, &p.theirs[2])
	if err != nil {
		p.close()
		return nil, fmt.Errorf("make pipes: %w", err)
	}
	widen(p.stdout)
	return &p, nil
}

// give hands our side to t.
func (p *pipes) give(t *task) {
	t.stdin, t.stdout, t.stderr, t.proxy = p.stdin, p.stdout, p.stderr, p.proxy
}

// closeTheirs is called when the child has its side.
func (p *pipes) closeTheirs() {
	for _, f := range p.theirs {
		closeFile(f)
	}
}

func (p *pipes) close() {
	p.closeTheirs()
	closeFile(p.stdin)
	closeFile(p.stdout)
	closeFile(p.stderr)
	if p.proxy != nil {
		_ = p.proxy.Close()
	}
}

// closeFile closes a pipe end that may never have been opened; a pipe has nothing left to say on close.
func closeFile(f *os.File) {
	if f != nil {
		_ = f.Close()
	}
}

// await waits for c for at most d and reports whether it was closed; it gives up when ctx ends.
func await(ctx context.Context, c <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-c:
		return true
	case <-timer.C:
		return false
	case <-ctx.Done():
		return false
	}
}
