package app

import (
	"bufio"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// letCodeGo takes the program's own code and constants out of the process's
// memory. They stay in the system's cache of the file, from which what is used
// again comes back with a soft fault; what only ran once, at the start, does
// not. Nothing can be lost: the pages cannot be written to.
func letCodeGo() {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		if start, size, ok := constantMapping(lines.Text(), self); ok {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, start, size, unix.MADV_DONTNEED) // without it, it stays as it was
		}
	}
}

// constantMapping reads a line of /proc/self/maps; ok says that it is a part of
// file that the process cannot write to and shares with the file:
//
//	00400000-01773000 r-xp 00000000 fe:00 123 /usr/bin/dragoman
func constantMapping(line, file string) (start, size uintptr, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 6 || fields[5] != file || !strings.HasPrefix(fields[1], "r-") {
		return 0, 0, false
	}
	from, to, _ := strings.Cut(fields[0], "-")
	first, err := strconv.ParseUint(from, 16, 64)
	if err != nil {
		return 0, 0, false
	}
	end, err := strconv.ParseUint(to, 16, 64)
	if err != nil || end <= first {
		return 0, 0, false
	}
	return uintptr(first), uintptr(end - first), true
}
