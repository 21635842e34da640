package supervisor

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// userHZ is the unit of processor time in /proc: the kernel's interface fixes it at 100 per second on every
// architecture that Go supports, whatever the kernel's own clock.
const userHZ = 100

// readProcs reads every living process. Zombies are left out: they hold nothing and cannot be killed. It costs some 10 µs
// per process of the machine.
func readProcs() (map[int]proc, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, fmt.Errorf("read processes: %w", err)
	}
	names, err := dir.Readdirnames(-1)
	_ = dir.Close()
	if err != nil {
		return nil, fmt.Errorf("read processes: %w", err)
	}
	procs := make(map[int]proc, len(names))
	buf := make([]byte, 1024)
	page := int64(os.Getpagesize())
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue // not a process
		}
		if p, ok := parseStat(readSmall("/proc/"+name+"/stat", buf), page); ok {
			p.pid = pid
			procs[pid] = p
		}
	}
	if _, ok := procs[os.Getpid()]; !ok {
		return nil, fmt.Errorf("read processes: this process is not in /proc; is it mounted for another namespace?")
	}
	return procs, nil
}

// readSmall reads a file that fits into buf in one read; nil when it is gone.
func readSmall(path string, buf []byte) []byte {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	n, err := unix.Read(fd, buf)
	_ = unix.Close(fd)
	if err != nil {
		return nil
	}
	return buf[:n]
}

// parseStat reads what we need of /proc/PID/stat (proc_pid_stat(5)). The name in parentheses may contain anything, so the
// fields are counted after the last parenthesis, the state being number 0. ok is false for the dead; a leader that ended
// while other threads run is shown as a zombie too, but is alive.
func parseStat(stat []byte, page int64) (p proc, ok bool) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return proc{}, false
	}
	fields := bytes.Fields(stat[end+1:])
	if len(fields) < 22 {
		return proc{}, false
	}
	number := func(i int) int64 {
		n, _ := strconv.ParseInt(string(fields[i]), 10, 64)
		return n
	}
	switch fields[0][0] {
	case 'X', 'x':
		return proc{}, false
	case 'Z':
		if number(17) <= 1 {
			return proc{}, false
		}
	}
	ticks := number(11) + number(12) + number(13) + number(14)
	return proc{
		parent: int(number(1)),
		group:  int(number(2)),
		rss:    number(21) * page,
		cpu:    time.Duration(ticks) * (time.Second / userHZ),
	}, true
}
