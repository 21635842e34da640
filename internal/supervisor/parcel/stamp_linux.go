package parcel

import (
	"fmt"
	"io/fs"
	"syscall"
)

// stampOf is what changes when a file does, whoever wants to hide it.
func stampOf(info fs.FileInfo) string {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%d %d %d %o %d.%d", s.Dev, s.Ino, s.Size, s.Mode, s.Ctim.Sec, s.Ctim.Nsec)
}
