//go:build !linux

package audit

import "os"

// flushing returns a file for writing as it is flushed here.
func flushing(f *os.File) File { return f }
