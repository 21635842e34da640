//go:build !unix

package supervisor

import (
	"os"
	"os/exec"
)

// ownGroup does nothing: only the child itself can be ended here, not what it started.
func ownGroup(*exec.Cmd) {}

// signalGroup kills the process. There is no request to end but the end of its input.
func signalGroup(pid int, kill bool) {
	if !kill {
		return
	}
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill() // it may have ended
		_ = p.Release()
	}
}

func groupAlive(int) bool { return false }

func signalName(*os.ProcessState) string { return "" }
