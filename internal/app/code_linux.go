package app

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// letCodeGo takes the program's own code and constants out of the process's
// memory. They stay in the system's cache of the file, from which what is used
// again comes back with a soft fault; what only ran once, at the start, does
// not. Only pages go that are as they are in the file: a loader that has put
// addresses into some has made them the process's own.
func letCodeGo() {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer maps.Close()
	for _, m := range constants(maps, self) {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.start, m.size, unix.MADV_DONTNEED) // without it, it stays as it was
	}
}

// mapping is a range of addresses.
type mapping struct{ start, size uintptr }

// constants reads /proc/self/smaps and returns what of file the process cannot
// write to and has nothing of its own in:
//
//	00400000-01773000 r-xp 00000000 fe:00 123 /usr/bin/dragoman
//	Anonymous:             0 kB
//	Swap:                  0 kB
func constants(smaps io.Reader, file string) []mapping {
	var out []mapping
	var at mapping
	candidate, untouched := false, 0
	for lines := bufio.NewScanner(smaps); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) >= 5 && strings.Contains(fields[0], "-"):
			at, candidate = constant(fields, file)
			untouched = 0
		case len(fields) == 3 && (fields[0] == "Anonymous:" || fields[0] == "Swap:") && fields[1] == "0":
			if untouched++; candidate && untouched == 2 {
				out = append(out, at)
			}
		}
	}
	return out
}

// constant reads the head of a mapping.
func constant(fields []string, file string) (mapping, bool) {
	if len(fields) < 6 || fields[5] != file || !strings.HasPrefix(fields[1], "r-") {
		return mapping{}, false
	}
	from, to, _ := strings.Cut(fields[0], "-")
	first, err := strconv.ParseUint(from, 16, 64)
	if err != nil {
		return mapping{}, false
	}
	end, err := strconv.ParseUint(to, 16, 64)
	if err != nil || end <= first {
		return mapping{}, false
	}
	return mapping{uintptr(first), uintptr(end - first)}, true
}
