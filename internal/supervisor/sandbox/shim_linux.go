package sandbox

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// shimName is what ps shows until the program takes its place.
const shimName = "mcp-sandbox"

// shimArg marks the command line of the process that becomes a child.
const shimArg = "__sandbox"

// refusedCode is the exit code of a child that was not started, since its sandbox
// could not be built. 126 is what shells use for a command that cannot be run.
const refusedCode = 126

// lingerTime is how long the rest of a namespace lives on when its program has
// ended: a wrapper such as npx ends a little before the server that it wraps.
const lingerTime = 250 * time.Millisecond

// Argv is the command line that turns this binary into path with the arguments
// argv under the plan. It is started as /proc/self/exe.
func (p *Plan) Argv(path string, argv []string) ([]string, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("write plan of the sandbox: %w", err)
	}
	return append([]string{shimName, shimArg, string(text), path}, argv...), nil
}

// Attributes are what has to be done when the process of Argv is started: the
// namespaces of level 2. It sets Plan.Stage, so it comes before Argv.
func (p *Plan) Attributes(attr *syscall.SysProcAttr) {
	if p.Level < Namespaces {
		return
	}
	p.Stage = 1
	attr.Cloneflags |= syscall.CLONE_NEWUSER | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWNS
	if p.NoNetwork {
		attr.Cloneflags |= syscall.CLONE_NEWNET
	}
	// What the first process needs to furnish its namespaces is lost with exec unless it is ambient, except for root.
	attr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_SETPCAP}
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
}

// ShimMain must be called first in main, with os.Args. It returns at once, except
// in a process that was started with the command line of Plan.Argv: that becomes
// the child, or ends.
func ShimMain(args []string) {
	if len(args) < 4 || args[0] != shimName || args[1] != shimArg {
		return
	}
	runtime.LockOSThread() // what is given up belongs to the thread that becomes the program
	var p Plan
	err := json.Unmarshal([]byte(args[2]), &p)
	if err == nil {
		err = p.become(args[3], args[4:])
	}
	fmt.Fprintf(os.Stderr, "sandbox: %v\n", err)
	syscall.Exit(refusedCode)
}

// become restricts this process and replaces it; it returns only an error.
func (p *Plan) become(path string, argv []string) error {
	if p.Stage == 1 {
		return p.reign(path, argv)
	}
	for _, group := range p.Groups {
		if err := enterGroup(group); err != nil {
			return err
		}
	}
	if err := p.Limits.set(); err != nil {
		return err
	}
	if p.Level >= Clean {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("give up gaining privileges: %w", err)
		}
	}
	if p.Level >= Files {
		if err := dropCapabilities(keptCapabilities(p.Level)); err != nil {
			return err
		}
		if err := p.lock(); err != nil {
			return err
		}
	}
	if p.Level >= Calls {
		if err := filterCalls(); err != nil {
			return err
		}
	}
	if p.Dumb {
		syscall.Exit(0)
	}
	return fmt.Errorf("start %s: %w", path, syscall.Exec(path, argv, os.Environ()))
}

// set sets the limits of this process. syscall.Setrlimit is used since its exec
// would otherwise put the limit of open files back.
func (l Limits) set() error {
	for _, limit := range []struct {
		name     string
		resource int
		value    uint64
	}{
		{"open files", unix.RLIMIT_NOFILE, l.OpenFiles}, {"bytes of a file", unix.RLIMIT_FSIZE, l.FileBytes},
		{"address space", unix.RLIMIT_AS, l.AddressSpace}, {"data", unix.RLIMIT_DATA, l.DataBytes},
		{"processor time", unix.RLIMIT_CPU, l.CPUSeconds},
	} {
		if limit.value == 0 {
			continue
		}
		var now syscall.Rlimit
		if err := syscall.Getrlimit(limit.resource, &now); err != nil {
			return fmt.Errorf("read limit of %s: %w", limit.name, err)
		}
		want := min(limit.value, now.Max)
		if err := syscall.Setrlimit(limit.resource, &syscall.Rlimit{Cur: want, Max: want}); err != nil {
			return fmt.Errorf("set limit of %s to %d: %w", limit.name, want, err)
		}
	}
	return nil
}

// keptCapabilities are those that a child of root keeps at level 1, where it is
// not in a namespace of its own: to deal with files of several owners. Among the
// others are some that pass Landlock by, such as to read the memory of all processes.
func keptCapabilities(l Level) uint32 {
	if l >= Namespaces {
		return 0
	}
	return 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FOWNER | 1<<unix.CAP_FSETID | 1<<unix.CAP_KILL |
		1<<unix.CAP_SETGID | 1<<unix.CAP_SETUID | 1<<unix.CAP_NET_BIND_SERVICE
}

// dropCapabilities gives up the capabilities of this thread that are not in keep.
func dropCapabilities(keep uint32) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var have [2]unix.CapUserData // low and high half
	if err := unix.Capget(&header, &have[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	if have[0].Permitted == 0 && have[1].Permitted == 0 {
		return nil // and there is no way to gain some
	}
	for c := uint(0); c <= unix.CAP_LAST_CAP; c++ {
		if c < 32 && keep&(1<<c) != 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0); err != nil && err != unix.EINVAL && err != unix.EPERM {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	_ = unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) // Linux has them since 4.3
	kept := [2]unix.CapUserData{{Effective: have[0].Effective & keep, Permitted: have[0].Permitted & keep}}
	if err := unix.Capset(&header, &kept[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return nil
}

// reign is process 1 of new namespaces: it prepares them, starts the program's
// own process, and collects what ends until that has.
func (p *Plan) reign(path string, argv []string) error {
	if err := p.furnish(); err != nil {
		return err
	}
	if p.Proxy {
		if err := offerProxy(); err != nil {
			return err
		}
	}
	next := *p
	next.Stage = 2
	args, err := next.Argv(path, argv)
	if err != nil {
		return err
	}
	// Signals are for the program, which gets them too. They are caught and not ignored: that would be inherited.
	signal.Notify(make(chan os.Signal, 1), unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT)
	wd, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("find directory: %w", err)
	}
	pid, err := syscall.ForkExec("/proc/self/exe", args, &syscall.ProcAttr{
		Dir: wd, Env: os.Environ(), Files: []uintptr{0, 1, 2},
		Sys: &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return fmt.Errorf("start %s: %w", path, err)
	}
	for fd := range 3 {
		_ = unix.Close(fd) // the pipes are the child's: their end must be seen
	}
	syscall.Exit(collect(pid))
	return nil
}

// collect waits for pid, then for the rest for a moment, and returns the exit code
// of pid: 128 and the signal's number if a signal ended it, since process 1 cannot
// end by a signal of its own.
func collect(pid int) int {
	code := 0
	var until time.Time
	for {
		var status unix.WaitStatus
		options := 0
		if !until.IsZero() {
			options = unix.WNOHANG
		}
		got, err := unix.Wait4(-1, &status, options, nil)
		switch {
		case err == unix.EINTR:
		case err != nil: // nobody is left
			return code
		case got == pid:
			if code = status.ExitStatus(); status.Signaled() {
				code = 128 + int(status.Signal())
			}
			until = time.Now().Add(lingerTime)
		case got == 0 && time.Now().After(until):
			return code
		case got == 0:
			time.Sleep(lingerTime / 25)
		}
	}
}

// furnish makes what is mounted private, shows the processes of this namespace
// only, and brings up the loopback of an empty network.
func (p *Plan) furnish() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	// A container that hides parts of /proc refuses this; then that /proc stays.
	_ = unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "")
	if p.NoNetwork {
		return loopback()
	}
	return nil
}

// loopback brings up lo, which some servers bind to for their own processes.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil // a kernel without IPv4
	}
	defer func() { _ = unix.Close(fd) }()
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("name the loopback: %w", err)
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("bring up the loopback: %w", err)
	}
	return nil
}

// enterGroup moves this process into a control group.
func enterGroup(dir string) error {
	if err := os.WriteFile(dir+"/cgroup.procs", []byte(strconv.Itoa(os.Getpid())), 0); err != nil {
		return fmt.Errorf("enter control group: %w", err)
	}
	return nil
}
