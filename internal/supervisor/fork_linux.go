package supervisor

import (
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
)

// fork starts the command of a request in its own process group and in its
// sandbox, and returns the control groups that were made for it, also with an
// error.
func (s *shim) fork(r request) (pid int, groups []string, err error) {
	path, argv := r.Path, split(r.Argv)
	sys := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if plan := r.Plan; plan != nil {
		if r.Bounds != nil {
			if plan.Groups, err = sandbox.MakeGroups(*r.Bounds, r.ID); err != nil {
				return 0, nil, err
			}
		}
		if !plan.Direct() {
			plan.Attributes(sys)
			if argv, err = plan.Argv(path, argv); err != nil {
				return 0, plan.Groups, err
			}
			path = "/proc/self/exe"
		}
		groups = plan.Groups
	}
	files := make([]uintptr, len(r.files)) // the fourth is sandbox.ProxySocket
	for i, fd := range r.files {
		files[i] = uintptr(fd)
	}
	start := func() {
		pid, err = syscall.ForkExec(path, argv, &syscall.ProcAttr{
			Dir:   string(r.Dir),
			Env:   split(r.Env),
			Files: files,
			Sys:   sys,
		})
	}
	if r.Plan == nil || r.Plan.Level < sandbox.Clean {
		start()
		return pid, groups, err
	}
	done := make(chan struct{})
	s.humble <- func() { start(); close(done) }
	<-done
	return pid, groups, err
}

// newHumble starts the thread that starts all children of level 0 and above:
// what it has given up they never have. It lives as long as the guard, as it has
// to: the parent death signal of its children belongs to it.
func newHumble() chan<- func() {
	jobs := make(chan func()) // unbuffered: the guard waits for each
	go func() {
		runtime.LockOSThread()
		_ = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) // Linux has it since 3.5
		for job := range jobs {
			job()
		}
	}()
	return jobs
}
