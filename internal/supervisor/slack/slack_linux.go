package slack

import (
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// usual is how late Linux lets timers be unless it is told otherwise.
	usual = 50 * time.Microsecond
	// late is how late the gateway lets them be. Go's runtime asks for a timer of 20 µs again and again while
	// there is something to do, which is a twentieth of the gateway's work and more with a log that is flushed.
	late = time.Millisecond
)

// Late starts this program anew, as the same process, with timers that may be late by a millisecond, and does not
// return. It returns, and all is as before, in the program that was started so, where the system cannot, and where
// somebody else has set how late timers may be. Nothing may have been opened and no signal be waited for before it.
// Children are started with what is usual.
func Late() {
	runtime.LockOSThread() // it is the thread's
	defer runtime.UnlockOSThread()
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err != nil || time.Duration(slack) != usual {
		return
	}
	path, err := os.Executable() // /proc/self/exe would be the name that ps shows
	if err == nil && unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(late), 0, 0, 0) == nil {
		_ = syscall.Exec(path, os.Args, os.Environ()) // without it the gateway runs as well, and works a little more
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(usual), 0, 0, 0)
	}
}

// Usual calls start, which starts a process with timers as they usually are.
func Usual(start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err == nil && time.Duration(slack) == late {
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(usual), 0, 0, 0)
		defer func() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(late), 0, 0, 0) }()
	}
	return start()
}
