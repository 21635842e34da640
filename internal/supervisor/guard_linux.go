package supervisor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

// censusAge is how old the table of processes may be that resource use is read from: many children are asked about at
// the same moment.
const censusAge = 500 * time.Millisecond

// errGuardDied is the reason of all children that ended with their guard.
var errGuardDied = errors.New("the process guard died, and its children with it")

// guard is the gateway's side: a spawner that lets the guard process do it. That process is started with the first child,
// and again if it died.
type guard struct {
	mu     sync.Mutex // guards the rest, and is held while a guard process is being started
	link   *link
	next   uint64 // id of the last task
	closed bool

	readMu sync.Mutex // guards seen and seenAt
	seen   table
	seenAt time.Time
}

// newSpawner is the best way of starting children on this system.
func newSpawner() spawner { return &guard{} }

func (g *guard) spawn(ctx context.Context, l launch) (*task, error) {
	link, id, err := g.connect()
	if err != nil {
		return nil, err
	}
	p, err := newPipes()
	if err != nil {
		return nil, err
	}
	if l.plan != nil && l.plan.Proxy {
		if p.proxy, p.theirs[sandbox.ProxySocket], err = socketPair(); err != nil {
			p.close()
			return nil, err
		}
	}
	t := newTask()
	p.give(t)
	t.order = func(o order) { link.say(frame{Op: string(o), ID: id}) }
	answer, err := link.start(id, l, t, p)
	p.closeTheirs()
	if err != nil {
		p.close()
		return nil, err
	}
	select {
	case err = <-answer:
	case <-ctx.Done():
		link.abandon(id)
		err = fmt.Errorf("start %s: %w", l.path, ctx.Err())
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return t, nil
}

// connect gives a live guard process and a new task id.
func (g *guard) connect() (*link, uint64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil, 0, ErrClosed
	}
	if g.link == nil || g.link.isDead() {
		link, err := startGuard()
		if err != nil {
			return nil, 0, fmt.Errorf("start the process guard: %w", err)
		}
		g.link = link
	}
	g.next++
	return g.link, g.next, nil
}

func (g *guard) census() (table, error) {
	g.mu.Lock()
	link := g.link
	g.mu.Unlock()
	if link == nil {
		return table{}, nil
	}
	g.readMu.Lock()
	defer g.readMu.Unlock()
	if time.Since(g.seenAt) > censusAge {
		procs, err := readProcs()
		if err != nil {
			return table{}, err
		}
		g.seen, g.seenAt = table{procs: procs, guard: link.cmd.Process.Pid, marked: markOf}, time.Now()
	}
	return g.seen, nil
}

// report tries the sandboxes of this system.
func (g *guard) report(ctx context.Context) sandbox.Report { return sandbox.Probe(ctx) }

func (g *guard) close() {
	g.mu.Lock()
	link := g.link
	g.closed = true
	g.mu.Unlock()
	if link != nil {
		link.close()
	}
}

// posted is a task that a guard process knows of.
type posted struct {
	*task
	answer    chan error // gets one: nil when the command runs. Of capacity one, since nobody may wait for it.
	abandoned bool       // nobody wants the task any more
}

// start sends a launch and returns where its answer will come.
func (k *link) start(id uint64, l launch, t *task, p *pipes) (<-chan error, error) {
	var fds []int
	for _, f := range p.theirs {
		if f == nil {
			continue
		}
		fd := int(f.Fd())
		// The child must find a descriptor that blocks, whatever the runtime did to ours.
		if err := syscall.SetNonblock(fd, false); err != nil {
			return nil, fmt.Errorf("prepare pipes: %w", err)
		}
		fds = append(fds, fd)
	}
	answer := make(chan error, 1)
	k.mu.Lock()
	if k.settled {
		k.mu.Unlock()
		return nil, errGuardDied
	}
	k.tasks[id] = &posted{task: t, answer: answer}
	k.mu.Unlock()
	f := frame{Op: opStart, ID: id, Path: l.path, Dir: []byte(l.dir), Argv: join(l.argv), Env: join(l.env), Plan: l.plan, Bounds: l.bounds}
	if err := k.send(f, fds); err != nil {
		k.mu.Lock()
		delete(k.tasks, id)
		k.mu.Unlock()
		return nil, err
	}
	return answer, nil
}

// abandon lets a task be killed as soon as it runs.
func (k *link) abandon(id uint64) {
	k.mu.Lock()
	p := k.tasks[id]
	runs := p != nil && p.pid != 0
	if p != nil {
		p.abandoned = true
	}
	k.mu.Unlock()
	if runs {
		p.order(orderKill)
	}
}

// take does what a frame from the guard says.
func (k *link) take(f frame) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.tasks[f.ID]
	if p == nil {
		return
	}
	switch f.Op {
	case opStarted:
		p.pid, p.mark = f.PID, f.Mark
		if p.abandoned {
			k.wg.Go(func() { p.order(orderKill) }) // the reader must not wait for the guard
		}
		p.answer <- nil
	case opFailed:
		delete(k.tasks, f.ID)
		p.answer <- failure(f)
	case opExited:
		p.end = outcome{code: f.Code}
		if f.Signal != 0 {
			p.end.signal = syscall.Signal(f.Signal).String()
		}
		close(p.exited)
	case opGone:
		delete(k.tasks, f.ID)
		close(p.gone)
	}
}

// orphaned ends the tasks of a guard that died. The kernel has killed its direct children; what these had started is
// found by its mark.
func (k *link) orphaned() {
	k.mu.Lock()
	k.settled = true
	tasks := make([]*posted, 0, len(k.tasks))
	for _, p := range k.tasks {
		tasks = append(tasks, p)
	}
	clear(k.tasks)
	k.mu.Unlock()
	if len(tasks) == 0 {
		return
	}
	killMarked(tasks)
	for _, p := range tasks {
		if p.pid == 0 {
			p.answer <- errGuardDied
			continue
		}
		select {
		case <-p.exited:
		default:
			p.end = outcome{code: -1, err: errGuardDied}
			close(p.exited)
		}
		close(p.gone)
	}
}

// killMarked kills all that carries the mark of one of tasks until nothing does, for at most killWait.
func killMarked(tasks []*posted) {
	marks := make([]uint64, 0, len(tasks))
	for _, p := range tasks {
		if p.mark != 0 {
			marks = append(marks, p.mark)
		}
	}
	tick := time.NewTicker(sweepPause)
	defer tick.Stop()
	for until := time.Now().Add(killWait); time.Now().Before(until); <-tick.C {
		procs, err := readProcs()
		if err != nil {
			continue // no descriptor at the moment
		}
		found := false
		for pid := range procs {
			if slices.Contains(marks, markOf(pid)) {
				found = true
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
			}
		}
		if !found {
			return
		}
	}
}

// failure is why a command did not start.
func failure(f frame) error {
	if f.Errno == 0 {
		return errors.New(f.Text)
	}
	return execError(syscall.Errno(f.Errno))
}

// execError explains why the kernel did not start a program that was found.
func execError(errno syscall.Errno) error {
	switch errno {
	case syscall.ENOEXEC:
		return fmt.Errorf("%w: the file is not a program of this machine, or a script without a #! line", errno)
	case syscall.ENOENT:
		return fmt.Errorf("%w: the program after #! of this script, or the program's loader, is missing", errno)
	case syscall.E2BIG:
		return fmt.Errorf("%w: arguments and environment are too long together", errno)
	}
	return errno
}
