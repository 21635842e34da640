//go:build unix

package local

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

// dontWait keeps open from waiting for the writer of a pipe that was put in place of a file.
const dontWait = syscall.O_NONBLOCK

// What the system says when a directory is opened for writing, or removed with something in it.
const (
	errIsDirectory = syscall.EISDIR
	errNotEmpty    = syscall.ENOTEMPTY
)

// version is what changes with every change: device and inode, and the time of its last change, which nobody can set.
func version(info fs.FileInfo) string {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Sprintf("%x-%x", info.Size(), info.ModTime().UnixNano())
	}
	b := make([]byte, 0, 64)
	for i, n := range []uint64{uint64(s.Dev), s.Ino, uint64(info.Size()), uint64(info.ModTime().UnixNano()), uint64(changed(info).UnixNano())} {
		if i > 0 {
			b = append(b, '-')
		}
		b = strconv.AppendUint(b, n, 16)
	}
	return string(b)
}

// links is how many names a file has.
func links(info fs.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Nlink)
	}
	return 1
}

// own gives f the owner and group that like has. It fails where we may not.
func own(f *os.File, like fs.FileInfo) error {
	want, ok := like.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if have, ok := info.Sys().(*syscall.Stat_t); ok && have.Uid == want.Uid && have.Gid == want.Gid {
		return nil
	}
	return f.Chown(int(want.Uid), int(want.Gid))
}
