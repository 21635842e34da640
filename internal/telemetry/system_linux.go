package telemetry

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// readProcess reads what Linux tells of this process.
func (f *Facts) readProcess() {
	if fields := fieldsOf("/proc/self/statm"); len(fields) > 1 {
		if pages, err := strconv.ParseUint(fields[1], 10, 64); err == nil {
			rss := pages * uint64(os.Getpagesize())
			f.RSSBytes = &rss
		}
	}
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) == nil {
		seconds := float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
		f.ProcessCPU = &seconds
	}
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		n := len(files) - 1 // one of them is the directory
		f.OpenFiles = &n
	}
}

// readMachine reads what Linux tells of the machine, a container's host
// included.
func (f *Facts) readMachine() {
	if fields := fieldsOf("/proc/loadavg"); len(fields) > 0 {
		if load, err := strconv.ParseFloat(fields[0], 64); err == nil {
			f.Load1 = &load
		}
	}
	total, available := memory()
	if total > 0 && available <= total {
		f.MemoryTotal, f.MemoryPercent = &total, percent(total-available, total)
	}
	var fs syscall.Statfs_t
	if syscall.Statfs(".", &fs) == nil && fs.Bavail <= fs.Blocks {
		// As df counts: what only root may use is neither used nor free.
		used := fs.Blocks - fs.Bfree
		f.DiskPercent = percent(used, used+fs.Bavail)
	}
}

// memory returns what there is and what may still be had, in bytes.
func memory() (total, available uint64) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kib, err := strconv.ParseUint(fields[1], 10, 54)
		if err != nil {
			continue
		}
		switch fields[0] {
		case "MemTotal:":
			total = kib << 10
		case "MemAvailable:":
			available = kib << 10
		}
	}
	return total, available
}

// readTicks reads the first line of /proc/stat: user, nice, system, idle,
// iowait, irq, softirq, steal; what follows is contained in user and nice.
func readTicks() (ticks, bool) {
	fields := fieldsOf("/proc/stat")
	if len(fields) < 9 || fields[0] != "cpu" {
		return ticks{}, false
	}
	var t ticks
	for i, text := range fields[1:9] {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return ticks{}, false
		}
		t.all += n
		if i != 3 && i != 4 {
			t.busy += n
		}
	}
	return t, true
}

// fieldsOf returns the words of a file's first line.
func fieldsOf(path string) []string {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.Fields(line)
}
