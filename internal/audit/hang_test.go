package audit_test

import (
	"io/fs"
	"os"
	"sync/atomic"

	"github.com/dragoman-mcp/dragoman/internal/audit"
)

// hanging opens files whose flushing does not return until release is closed.
type hanging struct {
	on      atomic.Bool
	release chan struct{}
	entered chan struct{}
}

func (h *hanging) open(path string, flag int, perm fs.FileMode) (audit.File, error) {
	f, err := os.OpenFile(path, flag, perm)
	return &hangingFile{f, h}, err
}

type hangingFile struct {
	*os.File
	h *hanging
}

func (f *hangingFile) Sync() error {
	if f.h.on.Load() {
		<-f.h.release
	}
	return f.File.Sync()
}
