// Package proc starts the benchmark's processes and reads what they cost: processor time and resident memory of a process and
// its descendants. It does not know what the processes do. Reading costs works on Linux only.
package proc

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Process is one child. Stop must be called once.
type Process struct {
	cmd    *exec.Cmd
	stdout io.ReadCloser
	watch  sync.WaitGroup
	exited chan struct{}
	err    error // of Wait, to be read after exited is closed
}

// Start runs argv; its stderr, and its stdout unless Announced is wanted, go to log.
func Start(argv []string, log *os.File, announces bool) (*Process, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = log
	cmd.SysProcAttr = dieWithParent()
	p := &Process{cmd: cmd, exited: make(chan struct{})}
	if announces {
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			return nil, fmt.Errorf("open pipe: %w", err)
		}
		p.stdout = stdout
	} else {
		cmd.Stdout = log
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	return p, nil
}

// Announced decodes into v the one line of JSON that a process of ours writes to stdout when it is ready, and from then
// on watches for its end. The process has five seconds.
func (p *Process) Announced(ctx context.Context, v any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = p.cmd.Process.Kill() })()
	line, err := bufio.NewReader(p.stdout).ReadBytes('\n')
	p.Watch()
	if err != nil {
		return fmt.Errorf("read what %s announces: %w", p.cmd.Args, err)
	}
	return json.Unmarshal(bytes.TrimSpace(line), v)
}

// Watch begins to wait for the end of a process that announces nothing. The goroutine ends with the process, and Stop waits
// for it.
func (p *Process) Watch() {
	p.watch.Go(func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	})
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exited is closed when the process has ended; Err then says how.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Err is how the process ended. It may be read after Exited is closed.
func (p *Process) Err() error { return p.err }

// Stop asks the process to end, and kills it after grace. It reports whether the kill was needed; with no grace it is killed
// without being asked.
func (p *Process) Stop(grace time.Duration) (killed bool) {
	defer p.watch.Wait()
	if grace > 0 {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		bound := time.NewTimer(grace)
		defer bound.Stop()
		select {
		case <-p.exited:
			return false
		case <-bound.C:
		}
	}
	_ = p.cmd.Process.Kill()
	<-p.exited
	return true
}

// ErrUnsupported says that this system does not tell what a process costs.
var ErrUnsupported = errors.New("read cost of a process: the benchmark needs /proc, run it on Linux")
