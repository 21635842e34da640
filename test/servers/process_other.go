//go:build unix && !linux

package servers

import (
	"os/exec"
	"syscall"
)

// attributes make a server the leader of a group of its own.
func attributes(who account) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true}
	if who.switches {
		a.Credential = &syscall.Credential{Uid: uint32(who.uid), Gid: uint32(who.gid)}
	}
	return a
}

// signalGroup signals a server and its children. That they are gone is no error.
func signalGroup(cmd *exec.Cmd, s syscall.Signal) { _ = syscall.Kill(-cmd.Process.Pid, s) }
