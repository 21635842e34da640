//go:build unix

package supervisor_test

import (
	"os/exec"
	"syscall"
)

// setSession starts cmd in its own session.
func setSession(cmd *exec.Cmd, session bool) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: session}
}
