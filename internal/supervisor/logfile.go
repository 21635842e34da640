package supervisor

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// logFile is NAME.log in the log directory: what the processes of one server wrote to standard error, with the time in
// front. When the file is full it becomes NAME.log.1, the old .1 becomes .2, and so on up to keep files.
type logFile struct {
	path  string
	limit int64 // bytes per file
	keep  int   // rotated files

	mu   sync.Mutex // guards the rest
	file *os.File
	size int64
	uses int // children that write to it
}

// openLog appends to an existing file.
func openLog(path string, limit int64, keep int) (*logFile, error) {
	l := &logFile{path: path, limit: limit, keep: keep}
	if err := l.open(); err != nil {
		return nil, err
	}
	return l, nil
}

// open leaves l without a file when it fails. Called with mu held, or before l is shared.
func (l *logFile) open() error {
	l.file, l.size = nil, 0
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		_ = file.Close()
		return fmt.Errorf("open log: %w", err)
	}
	l.file, l.size = file, info.Size()
	return nil
}

// write adds one line. After an error the next line tries again, so that a full disk does not end the log for good.
func (l *logFile) write(now time.Time, pid int, line string) error {
	text := now.UTC().Format("2006-01-02T15:04:05.000Z ") + strconv.Itoa(pid) + " " + line + "\n"
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil || l.size > 0 && l.size+int64(len(text)) > l.limit {
		if err := l.rotate(); err != nil {
			return err
		}
	}
	n, err := l.file.WriteString(text)
	l.size += int64(n)
	if err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	return nil
}

// rotate moves the files up by one and opens a new one. Called with mu held.
func (l *logFile) rotate() error {
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
		for i := l.keep; i > 0; i-- {
			_ = os.Rename(l.rotated(i-1), l.rotated(i)) // those that are not there yet
		}
		if l.keep == 0 {
			_ = os.Remove(l.path)
		}
	}
	return l.open()
}

func (l *logFile) rotated(i int) string {
	if i == 0 {
		return l.path
	}
	return l.path + "." + strconv.Itoa(i)
}

func (l *logFile) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
}

// traces are the files that the children of a supervisor leave: logs and pid files. Children of one name share them.
type traces struct {
	logDir, pidDir string // empty for none
	logBytes       int64
	logFiles       int

	mu   sync.Mutex // guards the maps
	logs map[string]*logFile
	pids map[string][]int
}

// acquire gives the log of a server, nil when there is no log directory. release gives it back.
func (t *traces) acquire(name string) (*logFile, error) {
	if t.logDir == "" {
		return nil, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.logs[name]
	if l == nil {
		var err error
		if l, err = openLog(filepath.Join(t.logDir, name+".log"), t.logBytes, t.logFiles); err != nil {
			return nil, err
		}
		t.logs[name] = l
	}
	l.uses++
	return l, nil
}

func (t *traces) release(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.logs[name]; l != nil {
		if l.uses--; l.uses == 0 {
			l.close()
			delete(t.logs, name)
		}
	}
}

// running writes pid into NAME.pid, one line per process of that name.
func (t *traces) running(name string, pid int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pids[name] = append(t.pids[name], pid)
	return t.writePIDs(name)
}

// ended takes pid out of NAME.pid and removes the file with the last one.
func (t *traces) ended(name string, pid int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	pids := t.pids[name]
	for i, p := range pids {
		if p == pid {
			pids = append(pids[:i:i], pids[i+1:]...)
			break
		}
	}
	t.pids[name] = pids
	if len(pids) == 0 {
		delete(t.pids, name)
	}
	return t.writePIDs(name)
}

// writePIDs is called with mu held. The file is replaced whole, so that a reader never sees half of it.
func (t *traces) writePIDs(name string) error {
	if t.pidDir == "" {
		return nil
	}
	path := filepath.Join(t.pidDir, name+".pid")
	pids := t.pids[name]
	if len(pids) == 0 {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("remove pid file: %w", err)
		}
		return nil
	}
	var text []byte
	for _, pid := range pids {
		text = append(strconv.AppendInt(text, int64(pid), 10), '\n')
	}
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return fmt.Errorf("write pid file: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("write pid file: %w", err)
	}
	return nil
}
