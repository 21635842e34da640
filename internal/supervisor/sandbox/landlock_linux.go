package sandbox

import (
	"fmt"
	"os"
	"slices"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
)

// landlockVersion asks the kernel for the version of its interface; 0 when there
// is none.
func landlockVersion() int {
	const version = 1 // LANDLOCK_CREATE_RULESET_VERSION
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, version)
	if errno != 0 {
		return 0
	}
	return int(v)
}

// leastLandlock is the first version under which files can be moved between
// directories, without which package managers do not work.
const leastLandlock = 2

// lock gives up all files but those of the plan, signals to processes outside,
// and TCP if the plan has no network. What a kernel of an older version cannot
// give up it keeps, except for files, without which there is no level 1.
func (p *Plan) lock() error {
	if v := landlockVersion(); v < leastLandlock {
		return fmt.Errorf("give up files: Landlock of version %d is needed (Linux 5.19) and this kernel has %d", leastLandlock, v)
	}
	rules := []landlock.Rule{
		landlock.RWFiles("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx").WithIoctlDev().IgnoreIfMissing(),
		landlock.RWDirs("/dev/pts").WithIoctlDev().IgnoreIfMissing(),
	}
	for _, path := range slices.DeleteFunc(p.Read, hidden) {
		rules = append(rules, readRule(path))
	}
	for _, path := range slices.DeleteFunc(p.Write, hidden) {
		if isFile(path) {
			rules = append(rules, landlock.RWFiles(path))
		} else {
			rules = append(rules, landlock.RWDirs(path).WithRefer().IgnoreIfMissing())
		}
	}
	// One set of rules for all of it: a second one would forbid to move files between directories, whatever it is about.
	config := landlock.V7
	config.HandledAccessNet = 0
	if p.NoNetwork && !p.Proxy {
		config.HandledAccessNet = landlock.V9.HandledAccessNet // TCP, and UDP on kernels that have come to it
	}
	if err := config.BestEffort().Restrict(rules...); err != nil {
		return fmt.Errorf("give up files: %w", err)
	}
	return nil
}

// hidden reports whether a path is not there for this user: then it needs no rule,
// and cannot have one.
func hidden(path string) bool {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return true
	}
	_ = unix.Close(fd)
	return false
}

func readRule(path string) landlock.Rule {
	if isFile(path) {
		return landlock.ROFiles(path)
	}
	return landlock.RODirs(path).IgnoreIfMissing()
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}
