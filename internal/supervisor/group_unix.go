//go:build unix

package supervisor

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup makes cmd the leader of a new session, and so of a new process group: its descendants can be signalled
// together, and none of them can stop to ask for a password on the gateway's terminal.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
}

// signalGroup asks the group to end, or kills it. SIGCONT lets a stopped process see the request.
func signalGroup(pid int, kill bool) {
	if kill {
		_ = syscall.Kill(-pid, syscall.SIGKILL) // an empty group is what we want
		return
	}
	_ = syscall.Kill(-pid, syscall.SIGTERM)
	_ = syscall.Kill(-pid, syscall.SIGCONT)
}

func groupAlive(pid int) bool {
	return syscall.Kill(-pid, 0) == nil
}

func signalName(state *os.ProcessState) string {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return status.Signal().String()
	}
	return ""
}
