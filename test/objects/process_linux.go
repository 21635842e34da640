package objects

import "syscall"

// attributes let a store die with the test's process.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
