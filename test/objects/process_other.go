//go:build !linux

package objects

import "syscall"

func attributes() *syscall.SysProcAttr { return nil }
