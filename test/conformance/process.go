package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	startWait = 30 * time.Second // a program that does not listen by then has failed
	stopWait  = 10 * time.Second // from the request to end until it is killed
)

// A process is a program that runs until it is stopped, with everything that it started.
type process struct {
	name string
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{} // closed when it has ended
}

// start runs a program; what it writes goes to NAME.log in dir.
func start(dir, name, program string, args ...string) (*process, error) {
	log, err := os.Create(filepath.Join(dir, name+".log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), log.Close())
	}
	p := &process{name: name, cmd: cmd, log: log, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // how it ended is in its log, and whoever needs it alive notices
	}()
	return p, nil
}

// stop asks the program to end and kills what is left of its group after stopWait.
func (p *process) stop() {
	group := -p.cmd.Process.Pid
	_ = syscall.Kill(group, syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopWait):
	}
	_ = syscall.Kill(group, syscall.SIGKILL)
	<-p.done
	_ = p.log.Close()
}

// listening waits until something accepts connections at address.
func (p *process) listening(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s has ended; its log is %s", p.name, p.log.Name())
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen on %s; its log is %s: %w", p.name, address, p.log.Name(), err)
		case <-tick.C:
		}
	}
}

// freeAddress is a loopback address that nobody listens on at the moment.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
