package supervisor

import (
	"bytes"
	"fmt"
	"math"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

// guardArg is the one argument of the guard's command line.
const guardArg = "__guard"

// guardName is what ps and pkill see. It does not contain the gateway's name, so that `pkill -9 dragoman` leaves the
// guard alive to clean up.
const guardName = "mcp-guard"

// guardSocket is the descriptor that the gateway leaves for it.
const guardSocket = 3

// farewell is how long children have after SIGTERM when the gateway is gone, before SIGKILL.
const farewell = 500 * time.Millisecond

// endBound is when the guard gives up on processes that do not die even of SIGKILL: they wait in the kernel for a device,
// and die when that ends.
const endBound = 10 * time.Second

// How often the guard reads /proc, which costs a millisecond or so: soon after another time while something is being
// ended, and rarely when it only follows daemons that come and go. The pause doubles while something does not die.
const (
	sweepPause    = 5 * time.Millisecond
	idlePause     = 50 * time.Millisecond
	maxSweepPause = time.Second
)

// ShimMain must be the first call of a program that supervises (main, or TestMain of its tests), with os.Args. It returns
// at once, except in a process that was started to be the guard or to become a child: there it does that and never
// returns.
func ShimMain(args []string) {
	sandbox.ShimMain(args)
	if len(args) == 2 && args[1] == guardArg {
		syscall.Exit(runGuard()) // at once: there is nothing to flush, and the gateway waits
	}
}

// runGuard is the guard. It ends when the gateway closes the socket or is gone. The thread is locked because the parent
// death signal of the children belongs to the thread that started them.
func runGuard() int {
	runtime.LockOSThread()
	file := os.NewFile(guardSocket, "guard")
	c, err := net.FileConn(file) // a copy that is closed on exec: in a child it would hide the end
	_ = file.Close()
	conn, ok := c.(*net.UnixConn)
	if err != nil || !ok {
		fmt.Fprintln(os.Stderr, "this command is started by the gateway itself, to watch its child processes")
		return 2
	}
	// What the gateway itself was started with and never knew of goes no further. Kernels before 5.11 cannot.
	_ = unix.CloseRange(guardSocket+1, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC)
	_ = os.WriteFile("/proc/self/comm", []byte(guardName), 0) // a name in ps is a courtesy
	// Signals for the whole terminal or unit are for the gateway, which then stops the children in order. They are
	// caught and not ignored, since ignored signals stay ignored in children.
	signal.Notify(make(chan os.Signal, 1), unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	err = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	if err == nil {
		_, err = readProcs()
	}
	if err != nil {
		_ = writeFrame(conn, frame{Op: opUnfit, Text: err.Error()}, nil) // if nobody listens, that is the end too
		return 1
	}
	_ = syscall.Setrlimit(unix.RLIMIT_CORE, &syscall.Rlimit{}) // for children: what they hold is not for files
	s := &shim{conn: conn, self: os.Getpid(), tasks: map[uint64]*ward{}, byPID: map[int]*ward{}, humble: newHumble()}
	s.say(frame{Op: opReady})
	s.run(children)
	s.end(children)
	return 0
}

// shim is the guard's state. One goroutine owns it.
type shim struct {
	conn  *net.UnixConn
	self  int
	tasks map[uint64]*ward
	byPID map[int]*ward // those whose command has not ended

	humble chan<- func() // runs what it is given on a thread that cannot gain privileges
}

// ward is one task in the guard's care.
type ward struct {
	id      uint64
	pid     int
	mark    uint64
	exited  bool
	winding bool     // orderWind
	doomed  bool     // orderKill
	groups  []string // control groups that are its own
}

// request is a frame with the descriptors that came with it.
type request struct {
	frame
	files []int
}

// run serves until the gateway is gone.
func (s *shim) run(children <-chan os.Signal) {
	requests := make(chan request)
	var reader sync.WaitGroup
	defer reader.Wait()
	reader.Go(func() {
		defer close(requests)
		for {
			f, files, err := readFrame(s.conn)
			if err != nil {
				return
			}
			requests <- request{f, files}
		}
	})
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	var last time.Time // of the last sweep
	pause := sweepPause
	for {
		dirty := false
		select {
		case r, ok := <-requests:
			if !ok {
				return
			}
			dirty = s.serve(r)
		case <-children:
			dirty, _ = s.reap()
			pause = sweepPause
		case <-timer.C:
			dirty = true
		}
		wait := s.pause() - time.Since(last)
		if dirty && wait <= 0 {
			last, dirty = time.Now(), s.sweep()
			wait, pause = pause, min(2*pause, maxSweepPause)
		}
		if dirty {
			timer.Reset(wait)
		}
	}
}

// pause is the shortest time between two sweeps now.
func (s *shim) pause() time.Duration {
	for _, w := range s.tasks {
		if w.exited || w.doomed {
			return sweepPause
		}
	}
	return idlePause
}

// serve does what the gateway asks and reports whether a sweep is needed.
func (s *shim) serve(r request) bool {
	if r.Op == opStart {
		s.start(r)
		return false
	}
	w := s.tasks[r.ID]
	if w == nil {
		return false // it was gone before the order came
	}
	switch order(r.Op) {
	case orderWind:
		w.winding = true
	case orderTerm:
		w.winding = true
		if v, err := s.look(); err == nil {
			v.send(w, unix.SIGTERM)
			v.send(w, unix.SIGCONT) // so that a stopped process sees it
		}
	case orderKill:
		w.doomed = true
		return true
	}
	return false
}

// start starts a command with the three or four descriptors of r, in its own process group, and answers.
func (s *shim) start(r request) {
	defer func() {
		for _, fd := range r.files {
			_ = unix.Close(fd) // the child has its own
		}
	}()
	if n := len(r.files); n != 3 && n != 4 {
		s.say(frame{Op: opFailed, ID: r.ID, Errno: int(unix.EBADF)})
		return
	}
	mark := nextMark()
	pid, groups, err := s.fork(r)
	if err != nil {
		sandbox.RemoveGroups(groups)
		f := frame{Op: opFailed, ID: r.ID, Text: err.Error()}
		if errno, ok := err.(syscall.Errno); ok {
			f.Errno = int(errno)
		}
		s.say(f)
		return
	}
	w := &ward{id: r.ID, pid: pid, mark: mark, groups: groups}
	s.tasks[w.id], s.byPID[pid] = w, w
	s.say(frame{Op: opStarted, ID: w.id, PID: pid, Mark: mark})
}

// reap takes note of every child that ended. dirty says that one did, none that this process has no children at all: the
// kernel's own word that nothing is left below it.
func (s *shim) reap() (dirty, none bool) {
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return dirty, err == unix.ECHILD
		}
		dirty = true
		if w := s.byPID[pid]; w != nil {
			delete(s.byPID, pid)
			w.exited = true
			s.say(exitFrame(w.id, status))
		}
	}
}

func exitFrame(id uint64, status unix.WaitStatus) frame {
	f := frame{Op: opExited, ID: id, Code: status.ExitStatus()}
	if status.Signaled() {
		f.Code, f.Signal = -1, int(status.Signal())
	}
	return f
}

// sweep ends what has to end, reports tasks of which nothing is left, and says whether it has to come again.
func (s *shim) sweep() (again bool) {
	v, err := s.look()
	if err != nil {
		return true // no descriptor or memory at the moment
	}
	for id, w := range s.tasks {
		if w.exited && len(v.left[w]) == 0 {
			delete(s.tasks, id)
			s.say(frame{Op: opGone, ID: id})
			sandbox.RemoveGroups(w.groups)
			continue
		}
		if w.doomed || w.exited && !w.winding {
			v.send(w, unix.SIGKILL)
			again = true
		}
	}
	for _, pid := range v.strays {
		_ = unix.Kill(pid, unix.SIGKILL) // ended already, or not ours to kill: the next sweep tells
		again = true
	}
	return again
}

// sight is the guard's part of the process table at one moment.
type sight struct {
	procs  map[int]proc
	left   map[*ward][]int // living processes of each ward
	strays []int           // orphans, and what is below them, that belong to no ward that is still known
}

// look reads the process table and finds out whose each process is.
func (s *shim) look() (*sight, error) {
	procs, err := readProcs()
	if err != nil {
		return nil, err
	}
	byMark := make(map[uint64]*ward, len(s.tasks))
	byGroup := make(map[int]*ward, len(s.tasks))
	for _, w := range s.tasks {
		byMark[w.mark] = w
		byGroup[w.pid] = w
	}
	v := &sight{procs: procs, left: make(map[*ward][]int)}
	for root, pids := range (table{procs: procs}).branches(s.self) {
		w := s.byPID[root]
		mark := uint64(0)
		if w == nil {
			if mark = markOf(root); mark != 0 {
				w = byMark[mark]
			} else {
				w = byGroup[procs[root].group]
			}
		}
		switch {
		case w != nil:
			v.left[w] = append(v.left[w], pids...)
		case mark != 0 || len(s.byPID) == 0:
			v.strays = append(v.strays, pids...)
		}
	}
	return v, nil
}

// send signals all that belongs to w, each process once: to many a second SIGTERM means to hurry. The group is signalled
// at once, so that what it forks meanwhile is met too, but only while its leader is not reaped: later its number may be
// another's.
func (v *sight) send(w *ward, sig unix.Signal) {
	if !w.exited {
		_ = unix.Kill(-w.pid, sig) // what has ended needs no signal
	}
	for _, pid := range v.left[w] {
		if w.exited || v.procs[pid].group != w.pid {
			_ = unix.Kill(pid, sig)
		}
	}
}

// say tells the gateway. When it cannot be told it is gone, and the reader notices.
func (s *shim) say(f frame) { _ = writeFrame(s.conn, f, nil) }

// end is for after the gateway: a short farewell, then SIGKILL to every descendant until the kernel says that there is
// none.
func (s *shim) end(children <-chan os.Signal) {
	started := time.Now()
	tick := time.NewTicker(sweepPause)
	defer tick.Stop()
	s.signalAll(unix.SIGTERM)
	s.signalAll(unix.SIGCONT)
	for {
		if _, none := s.reap(); none || time.Since(started) > endBound {
			for _, w := range s.tasks {
				sandbox.RemoveGroups(w.groups)
			}
			return
		}
		if time.Since(started) > farewell {
			s.signalAll(unix.SIGKILL)
		}
		select {
		case <-children:
		case <-tick.C:
		}
	}
}

func (s *shim) signalAll(sig unix.Signal) {
	procs, err := readProcs()
	if err != nil {
		return // the next round tries again
	}
	for _, pids := range (table{procs: procs}).branches(s.self) {
		for _, pid := range pids {
			_ = unix.Kill(pid, sig) // ended already
		}
	}
}

// join and split carry a list of strings; none of them contains NUL (Spec is checked for it).
func join(list []string) []byte { return []byte(strings.Join(list, "\x00")) }

func split(joined []byte) []string {
	if len(joined) == 0 {
		return nil
	}
	parts := bytes.Split(joined, []byte{0})
	list := make([]string, len(parts))
	for i, part := range parts {
		list[i] = string(part)
	}
	return list
}
