package proc

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of /proc/PID/stat's times, USER_HZ, which is 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// CPU returns the user and system time that pid and all its living descendants have spent, and that of those children of
// theirs that have ended. The kernel's per-process clock counts what utime+stime of /proc/PID/stat count, but in
// nanoseconds instead of ticks of 10 ms; the ended children are there only in ticks.
func CPU(pid int) (time.Duration, error) {
	var sum time.Duration
	for _, p := range tree(pid) {
		var clock unix.Timespec
		const scheduled = 2 // CPUCLOCK_SCHED: the sum over the threads, ended ones too
		if err := unix.ClockGettime(int32(^p)<<3|scheduled, &clock); err != nil {
			if p == pid {
				return 0, fmt.Errorf("read clock of process %d: %w", pid, err)
			}
			continue // a child that has ended since tree was read
		}
		sum += time.Duration(clock.Nano()) + waitedFor(p)
	}
	return sum, nil
}

// waitedFor is cutime+cstime of /proc/PID/stat.
func waitedFor(pid int) time.Duration {
	fields := stat(pid)
	if len(fields) < 15 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[13], 10, 64)
	system, _ := strconv.ParseInt(fields[14], 10, 64)
	return time.Duration(user+system) * tick
}

// RSS returns the resident memory of pid and all its living descendants, in bytes.
func RSS(pid int) (int64, error) {
	var sum int64
	for _, p := range tree(pid) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p))
		if err != nil && p == pid {
			return 0, fmt.Errorf("read memory of process %d: %w", pid, err)
		}
		if fields := strings.Fields(string(text)); len(fields) > 1 {
			pages, _ := strconv.ParseInt(fields[1], 10, 64)
			sum += pages * int64(os.Getpagesize())
		}
	}
	return sum, nil
}

// tree returns pid and its descendants.
func tree(pid int) []int {
	found := []int{pid}
	for i := 0; i < len(found); i++ {
		found = append(found, children(found[i])...)
	}
	return found
}

// children returns what the threads of pid have started and what is still there; of a process that has ended, nothing.
func children(pid int) []int {
	var found []int
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list) // a thread may end at any moment
		for _, child := range strings.Fields(string(text)) {
			if p, err := strconv.Atoi(child); err == nil {
				found = append(found, p)
			}
		}
	}
	return found
}

// stat returns the fields of /proc/PID/stat from the third, the state, on: the second is the name and may hold anything.
func stat(pid int) []string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

// dieWithParent kills the child when the thread that started it ends, so that an interrupted benchmark leaves nothing behind.
// Start must therefore be called from a thread that lives as long as the program: main locks its own.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
