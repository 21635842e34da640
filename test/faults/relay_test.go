//go:build linux

package faults

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// relay is what a process before one of the test's servers does. As a pipe it
// joins its standard input and output to a connection to the test, on which it
// says its name and pid first; "family" is a pipe with a child of its own, which
// leads another session and holds a connection; as a port it joins each
// connection that it accepts to one of its own.
func relay(kind, target string, rest []string) error {
	switch kind {
	case "family":
		child := exec.Command(os.Args[0], "relay", "hold", target, rest[0]+"/child")
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := child.Start(); err != nil {
			return err
		}
		return relayPipe(target, rest[0])
	case "pipe":
		return relayPipe(target, rest[0])
	case "hold":
		conn, err := introduce(target, rest[0])
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, conn)
		return err
	case "port":
		return relayPort(target, rest[0])
	}
	return fmt.Errorf("there is no relay %q", kind)
}

func introduce(target, name string) (net.Conn, error) {
	conn, err := net.Dial("tcp", target)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(conn, "%s %d\n", name, os.Getpid())
	return conn, err
}

func relayPipe(target, name string) error {
	conn, err := introduce(target, name)
	if err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(conn, os.Stdin)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(os.Stdout, conn)
	return err
}

func relayPort(target, listen string) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	for {
		in, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer in.Close()
			out, err := net.Dial("tcp", target)
			if err != nil {
				return
			}
			defer out.Close()
			go func() {
				_, _ = io.Copy(out, in)
				_ = out.(*net.TCPConn).CloseWrite()
			}()
			_, _ = io.Copy(in, out)
		}()
	}
}

// portRelay is a process that stands before a server reached by its port.
type portRelay struct {
	t      testing.TB
	target string
	addr   string
	cmd    *exec.Cmd
}

func newPortRelay(t testing.TB, target string) *portRelay {
	r := &portRelay{t: t, target: target, addr: "127.0.0.1:0"}
	r.start()
	t.Cleanup(r.kill)
	return r
}

// start begins the process, on the address that it had before if there was one.
func (r *portRelay) start() {
	r.t.Helper()
	r.cmd = exec.Command(os.Args[0], "relay", "port", r.target, r.addr)
	r.cmd.Stderr = os.Stderr
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	line := make([]byte, 64)
	n, err := out.Read(line)
	if err != nil || n < 2 {
		r.t.Fatalf("the relay to %s does not start: %v", r.target, err)
	}
	r.addr = string(line[:n-1])
}

func (r *portRelay) kill() {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	r.cmd = nil
}

func (r *portRelay) signal(s syscall.Signal) { _ = r.cmd.Process.Signal(s) }

// alive reports whether the process is there and not a zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	for i := len(stat) - 1; i > 1; i-- {
		if stat[i] == ')' { // the name may hold anything
			return stat[i+2] != 'Z' && stat[i+2] != 'X'
		}
	}
	return false
}

// gone waits until none of the processes is there.
func gone(limit time.Duration, pids ...int) (left []int) {
	await(limit, func() bool {
		left = left[:0]
		for _, pid := range pids {
			if alive(pid) {
				left = append(left, pid)
			}
		}
		return len(left) == 0
	})
	return left
}
