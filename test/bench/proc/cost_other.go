//go:build !linux

package proc

import (
	"syscall"
	"time"
)

// CPU fails: see ErrUnsupported.
func CPU(int) (time.Duration, error) { return 0, ErrUnsupported }

// RSS fails: see ErrUnsupported.
func RSS(int) (int64, error) { return 0, ErrUnsupported }

func dieWithParent() *syscall.SysProcAttr { return nil }
