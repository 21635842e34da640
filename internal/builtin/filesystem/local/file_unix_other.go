//go:build unix && !linux

package local

import (
	"io/fs"
	"os"
	"time"
)

// changed is the time of the last change of the content: that of the inode has another name on each system.
func changed(info fs.FileInfo) time.Time { return info.ModTime() }

// extended says that a file may have extended attributes, so that it is written in place.
func extended(*os.File) bool { return true }
