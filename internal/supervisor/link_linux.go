package supervisor

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/slack"
)

// readyBound is how long the guard may take to say that it is ready: it is this binary, started again.
const readyBound = 10 * time.Second

// sayBound is how long a message to the guard may take: the guard reads at once unless it is stuck.
const sayBound = 5 * time.Second

// link is one running guard process. Its reader goroutine ends with the process.
type link struct {
	conn *net.UnixConn
	cmd  *exec.Cmd
	dead chan struct{} // closed when the socket has ended, before the tasks are settled
	wg   sync.WaitGroup

	write sync.Mutex // held for one frame

	mu      sync.Mutex // guards tasks and settled
	tasks   map[uint64]*posted
	settled bool // the process is gone: no more tasks
}

// startGuard starts the guard and waits until it is ready. It has its own session, so that what a terminal sends to its
// foreground group does not reach it, and no environment: what children get is in each start.
func startGuard() (*link, error) {
	if slices.Contains(os.Args, guardArg) {
		return nil, errors.New("this process is itself a guard that was not recognised: " +
			"call supervisor.ShimMain(os.Args) first in main and in TestMain")
	}
	conn, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{
		Path:        "/proc/self/exe", // the running binary, even if its file was replaced
		Args:        []string{guardName, guardArg},
		Env:         []string{"GOMAXPROCS=1"},
		Dir:         "/",
		Stderr:      os.Stderr, // a panic must be seen
		ExtraFiles:  []*os.File{theirs},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	err = slack.Usual(cmd.Start)
	_ = theirs.Close()
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	k := &link{conn: conn, cmd: cmd, dead: make(chan struct{}), tasks: map[uint64]*posted{}}
	if err := k.greet(); err != nil {
		_ = conn.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed: its status says nothing
		return nil, err
	}
	k.wg.Go(k.read)
	return k, nil
}

// socketPair makes the socket; the second side is for the guard.
func socketPair() (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make socket: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "guard"), os.NewFile(uintptr(fds[1]), "guard")
	c, err := net.FileConn(ours)
	_ = ours.Close() // FileConn has its copy
	if err != nil {
		_ = theirs.Close()
		return nil, nil, fmt.Errorf("make socket: %w", err)
	}
	return c.(*net.UnixConn), theirs, nil
}

// greet waits for the guard's first word.
func (k *link) greet() error {
	_ = k.conn.SetReadDeadline(time.Now().Add(readyBound)) // cannot fail on a socket
	f, _, err := readFrame(k.conn)
	switch {
	case err != nil:
		return fmt.Errorf("it did not answer (does main call supervisor.ShimMain first?): %w", err)
	case f.Op == opUnfit:
		return errors.New(f.Text)
	case f.Op != opReady:
		return fmt.Errorf("it said %q instead of %q", f.Op, opReady)
	}
	_ = k.conn.SetReadDeadline(time.Time{})
	return nil
}

// read takes frames until the guard is gone, and then settles what it left.
func (k *link) read() {
	for {
		f, _, err := readFrame(k.conn)
		if err != nil {
			break
		}
		k.take(f)
	}
	close(k.dead)
	_ = k.conn.Close() // a guard that is still there reads this as the end of the gateway, and ends its children
	late := time.AfterFunc(endBound+time.Second, func() { _ = k.cmd.Process.Kill() })
	_ = k.cmd.Wait() // however it ended, its children are next
	late.Stop()
	k.orphaned()
}

func (k *link) isDead() bool {
	select {
	case <-k.dead:
		return true
	default:
		return false
	}
}

// send writes one frame. A guard that does not take it in time is cut off.
func (k *link) send(f frame, fds []int) error {
	k.write.Lock()
	defer k.write.Unlock()
	_ = k.conn.SetWriteDeadline(time.Now().Add(sayBound))
	err := writeFrame(k.conn, f, fds)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		_ = k.cmd.Process.Kill() // half a frame may be written; the reader sees the end
	}
	return err
}

// say sends an order. If the guard is gone, the reader ends the task.
func (k *link) say(f frame) { _ = k.send(f, nil) }

// close ends the guard and what it still has, and waits.
func (k *link) close() {
	_ = k.conn.CloseWrite()
	k.wg.Wait()
}
