//go:build unix

package supervisor_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
	"go.uber.org/goleak"
)

// TestMain makes the test binary the guard, and the programs that the tests start.
func TestMain(m *testing.M) {
	supervisor.ShimMain(os.Args)
	if len(os.Args) > 1 {
		if role, ok := strings.CutPrefix(os.Args[1], "role:"); ok {
			syscall.Exit(play(role, os.Args[2:])) // os.Exit takes a second under the race detector
		}
	}
	goleak.VerifyTestMain(m)
}

// program is the command that starts this binary in a role.
func program(role string, args ...string) []string {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return append([]string{self, "role:" + role}, args...)
}

func play(role string, args []string) int {
	switch role {
	case "echo": // what a well-behaved server does: it ends with its input
		_, _ = io.Copy(os.Stdout, os.Stdin)
		return 0
	case "exit": // code, text
		fmt.Fprintln(os.Stderr, args[1])
		code, _ := strconv.Atoi(args[0])
		return code
	case "last-words": // writes a pipe full and exits at once
		_, _ = os.Stdout.WriteString(strings.Repeat("x", 60_000))
		return 0
	case "polite": // ends at SIGTERM, not before
		c := make(chan os.Signal, 2)
		signal.Notify(c, syscall.SIGTERM)
		fmt.Println("ready")
		<-c
		fmt.Fprintln(os.Stderr, "goodbye")
		select {
		case <-c:
			fmt.Fprintln(os.Stderr, "SIGTERM again")
		case <-time.After(100 * time.Millisecond):
		}
		return 0
	case "flood": // endless stderr without a newline
		chunk := []byte(strings.Repeat("x", 1<<16))
		for n := 0; ; n++ {
			if n == 100<<20/len(chunk) {
				fmt.Println("wrote 100 MiB")
			}
			if _, err := os.Stderr.Write(chunk); err != nil {
				return 0
			}
		}
	case "chatter": // endless lines of stderr
		for i := 0; ; i++ {
			if _, err := fmt.Fprintf(os.Stderr, "line %d\n", i); err != nil {
				return 0
			}
		}
	case "timers":
		fmt.Print(lateness())
		return 0
	case "late-timers":
		return lateTimers()
	case "env":
		for _, entry := range os.Environ() {
			fmt.Println(entry)
		}
		return 0
	case "family":
		return family(args[0])
	case "attempt":
		return attempt(args)
	case "npm":
		return fakeNpm(args)
	case "middle": // starts a stubborn daemon and leaves it
		startReady("daemon", program("stubborn", args[0]), true)
		fmt.Println("ready")
		return 0
	case "stubborn":
		return stubborn()
	case "shifty": // a daemon that throws its mark away
		lowerMark()
		return stubborn()
	case "gateway":
		return gateway(args)
	case "gateway-without-marks":
		forbidMarks()
		return gateway(args)
	case "gateway-in-a-storm":
		return storm(args[0])
	}
	if level, ok := strings.CutPrefix(role, "gateway-at-level-"); ok {
		return gatewayAt(level, args)
	}
	fmt.Fprintln(os.Stderr, "no role", role)
	return 2
}

// stubborn ignores all that can be ignored, and its input.
func stubborn() int {
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)
	wake := make(chan os.Signal, 1)
	signal.Notify(wake, syscall.SIGUSR1) // keeps the runtime from calling this a deadlock
	fmt.Println("ready")
	<-wake
	return 0
}

// family is a child that is as hard to end as one can be without privileges: it ignores SIGTERM and the end of its
// input, and so do a child in its group, one in its own session, and a daemon that was forked twice, has its own session
// and no environment. It says ready when all of them are there.
func family(token string) int {
	startReady("group", program("stubborn", token), false)
	startReady("session", program("stubborn", token), true)
	if err := startReady("middle", program("middle", token), true).Wait(); err != nil {
		return 3
	}
	return stubborn()
}

// startReady starts a command and waits for its first line.
func startReady(what string, command []string, session bool) *exec.Cmd {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = []string{}
	setSession(cmd, session)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err == nil {
		_, err = bufio.NewReader(out).ReadString('\n')
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, what, err)
		syscall.Exit(3)
	}
	return cmd
}

// gateway runs a supervisor with children until it is killed: args are a token and the roles of the children.
func gateway(args []string) int { return gatewayAt("0", args) }

// gatewayAt is a gateway whose children are at a level of the sandbox.
func gatewayAt(level string, args []string) int {
	number, err := strconv.Atoi(level)
	if err != nil {
		return 2
	}
	rules := sandbox.Rules{Level: sandbox.Level(number), MinLevel: sandbox.Level(number)}
	sup, err := supervisor.New(supervisor.Options{Environ: os.Environ(),
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for i, role := range args[1:] {
		command := program(role, args[0])
		if role == "gateway" {
			command = program(role, args[0], "family")
		}
		child, err := sup.Add(supervisor.Spec{Name: fmt.Sprint("s", i), Command: command, Sandbox: rules})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		p, err := child.Acquire(context.Background())
		if err == nil {
			_, err = bufio.NewReader(p.Stdout()).ReadString('\n')
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return stubborn()
}

// storm runs a gateway that starts, crashes and stops families all the time, until it is killed.
func storm(token string) int {
	sup, err := supervisor.New(supervisor.Options{Environ: os.Environ()})
	if err != nil {
		return 1
	}
	for i := range 4 {
		child, err := sup.Add(supervisor.Spec{Name: fmt.Sprint("s", i), Command: program("family", token),
			MinBackoff: time.Millisecond, CrashCount: 1 << 30, StopTimeout: time.Millisecond})
		if err != nil {
			return 1
		}
		go func() {
			for n := 0; ; n++ {
				p, err := child.Acquire(context.Background())
				if err != nil {
					continue
				}
				if n%2 == 0 {
					_, _ = p.Stdout().Read(make([]byte, 1))
				}
				if n%3 == 0 {
					_ = child.Stop(context.Background())
				} else {
					p.Kill(nil)
					<-p.Done()
				}
				child.Reset()
			}
		}()
	}
	return stubborn()
}

// newSupervisor is closed at the end of the test.
func newSupervisor(t testing.TB, opts supervisor.Options) *supervisor.Supervisor {
	t.Helper()
	if opts.Environ == nil {
		opts.Environ = os.Environ()
	}
	sup, err := supervisor.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	supervisor.BePatient(sup)
	t.Cleanup(func() {
		if err := sup.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return sup
}

func add(t testing.TB, sup *supervisor.Supervisor, spec supervisor.Spec) *supervisor.Child {
	t.Helper()
	if spec.Name == "" {
		spec.Name = "test"
	}
	child, err := sup.Add(spec)
	if err != nil {
		t.Fatal(err)
	}
	return child
}

// patience bounds every wait of these tests for what must happen. It says nothing of
// how soon: a machine may be ten times slower than another, and busy.
const patience = 4 * time.Minute

// acquire gets a process.
func acquire(t testing.TB, child *supervisor.Child) *supervisor.Process {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	p, err := child.Acquire(ctx)
	if err != nil {
		t.Fatalf("acquire: %v", err)
	}
	return p
}

// line reads the first line of a process's output.
func line(t testing.TB, p *supervisor.Process) string {
	t.Helper()
	text, err := bufio.NewReader(p.Stdout()).ReadString('\n')
	if err != nil {
		t.Fatalf("read output: %v; stderr: %v", err, p.Stderr())
	}
	return strings.TrimSpace(text)
}

// closed fails the test when c is not closed already.
func closed(t testing.TB, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	default:
		t.Fatalf("%s: not yet", what)
	}
}

// wait waits until c is closed.
func wait(t testing.TB, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("%s: not within %s", what, patience)
	}
}

// eventually polls until ok, or fails the test with what is wrong.
func eventually(t testing.TB, ok func() (bool, string)) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for until := time.Now().Add(patience); ; <-tick.C {
		good, why := ok()
		if good {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("after %s: %s", patience, why)
		}
	}
}
