package supervisor_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/dragoman-mcp/dragoman/internal/supervisor/sandbox"
	"golang.org/x/sys/unix"
)

// attempt tries what its arguments name and prints a line for each: "ok" or why not.
func attempt(args []string) int {
	for _, arg := range args {
		what, on, _ := strings.Cut(arg, "=")
		text := "ok"
		if err := try(what, on); err != nil {
			text = err.Error()
		}
		fmt.Printf("%s\t%s\n", arg, strings.ReplaceAll(text, "\n", " "))
	}
	fmt.Println("end")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

func try(what, on string) error {
	number, _ := strconv.Atoi(on)
	switch what {
	case "read":
		_, err := os.ReadFile(on)
		return err
	case "write":
		return os.WriteFile(on, []byte("x"), 0o600)
	case "move": // from one directory to another
		from, to, _ := strings.Cut(on, ":")
		return os.Rename(from, to)
	case "signal":
		return syscall.Kill(number, 0)
	case "see":
		_, err := os.Stat("/proc/" + on)
		return err
	case "environ": // of another process; some kernels refuse by an empty file
		text, err := os.ReadFile("/proc/" + on + "/environ")
		if err == nil && len(text) == 0 {
			err = errors.New("it is empty")
		}
		return err
	case "tcp", "udp": // and have an answer
		c, err := net.DialTimeout(what, on, 3*time.Second)
		if err != nil {
			return err
		}
		_ = c.SetDeadline(time.Now().Add(3 * time.Second))
		_, err = c.Write([]byte("x"))
		if err == nil {
			_, err = c.Read(make([]byte, 1))
		}
		return errors.Join(err, c.Close())
	case "mount":
		if err := unix.Mount("none", on, "no-such-file-system", 0, ""); err != unix.ENODEV { // comes after the checks of rights
			return err
		}
		return nil
	case "unshare":
		return unix.Unshare(0) // changes nothing where it is allowed
	case "packet-socket":
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
		_ = unix.Close(fd)
		return err
	case "trace":
		return unix.PtraceAttach(number)
	case "privileges":
		n, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
		return errors.Join(err, fmt.Errorf("no_new_privs is %d", n))
	case "limit":
		var l syscall.Rlimit
		err := syscall.Getrlimit(number, &l)
		return errors.Join(err, fmt.Errorf("limit is %d", l.Cur))
	case "eat": // so many MiB
		b := make([]byte, number<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		return nil
	case "burn": // until the processor has worked for so many ms; says how long that took
		began := time.Now()
		var used unix.Rusage
		for unix.Getrusage(unix.RUSAGE_SELF, &used) == nil && used.Utime.Nano()+used.Stime.Nano() < int64(number)*1e6 {
		}
		return fmt.Errorf("%d ms", time.Since(began).Milliseconds())
	}
	return errors.New("no such attempt")
}

// tried starts a child under rules that makes attempts, and returns what came of each.
func tried(t *testing.T, sup *supervisor.Supervisor, rules sandbox.Rules, attempts ...string) (map[string]string, *supervisor.Child) {
	t.Helper()
	self, _ := os.Executable()
	rules.Read = append(rules.Read, self)
	child := add(t, sup, supervisor.Spec{Command: program("attempt", attempts...), Sandbox: rules, StopTimeout: time.Second})
	p := acquire(t, child)
	results := map[string]string{}
	lines := bufio.NewScanner(p.Stdout())
	for lines.Scan() && lines.Text() != "end" {
		what, result, _ := strings.Cut(lines.Text(), "\t")
		results[what] = result
	}
	if len(results) != len(attempts) {
		t.Fatalf("the child answered %v; stderr: %v", results, p.Stderr())
	}
	return results, child
}

// answering are a TCP and a UDP server that answer everything, as attempts.
func answering(t *testing.T) (tcp, udp string) {
	t.Helper()
	stream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := stream.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("y"))
			_ = c.Close()
		}
	})
	wg.Go(func() {
		for {
			_, from, err := packets.ReadFrom(make([]byte, 1))
			if err != nil {
				return
			}
			_, _ = packets.WriteTo([]byte("y"), from)
		}
	})
	t.Cleanup(func() {
		_ = stream.Close()
		_ = packets.Close()
		wg.Wait()
	})
	return "tcp=" + stream.Addr().String(), "udp=" + packets.LocalAddr().String()
}

// atLeast skips a test on systems without a level, unless REQUIRE_SANDBOX in the environment says that it is there.
func atLeast(t *testing.T, sup *supervisor.Supervisor, level sandbox.Level) {
	t.Helper()
	if r := sup.Sandboxes(t.Context()); r.Level < level {
		if required, _ := strconv.Atoi(os.Getenv("REQUIRE_SANDBOX")); sandbox.Level(required) >= level {
			t.Fatalf("level %s is missing here: %s", level, r.Missing)
		}
		t.Skipf("level %s is missing here: %s", level, r.Missing)
	}
}

func TestEachLevelKeepsAChildFromMore(t *testing.T) {
	sup := newSupervisor(t, supervisor.Options{})
	secret, readable, writable := away(t), away(t), away(t)
	for _, dir := range []string{secret, readable} {
		if err := os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(writable, "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	tcp, udp := answering(t)
	self := strconv.Itoa(os.Getpid())
	environ := "environ=" + self
	hidden, open := "read="+filepath.Join(secret, "file"), "read="+filepath.Join(readable, "file")
	denied, allowed := "write="+filepath.Join(readable, "new"), "write="+filepath.Join(writable, "new")
	move := "move=" + filepath.Join(writable, "new") + ":" + filepath.Join(writable, "below", "moved")
	attempts := []string{hidden, open, denied, allowed, move, environ, "see=" + self, "signal=" + self, tcp, udp, "privileges", "mount=" + writable,
		"packet-socket", "unshare", "read=/etc/hosts", "write=/dev/null"}
	// What is refused from a level on; 9 is never.
	from := map[string]sandbox.Level{hidden: 1, open: 9, denied: 1, allowed: 9, move: 9, environ: 1, "see=" + self: 2, "signal=" + self: 1,
		tcp: 1, udp: 2, "mount=" + writable: 1, "packet-socket": 1, "unshare": 3, "read=/etc/hosts": 9, "write=/dev/null": 9}
	if os.Getuid() != 0 {
		from["mount="+writable], from["packet-socket"] = 0, 0
	}
	rules := sandbox.Rules{Read: []string{readable}, Write: []string{writable}, NoNetwork: true}
	t.Setenv("HOME", t.TempDir())
	for level := sandbox.Clean; level <= sandbox.Calls; level++ {
		t.Run("level "+level.String(), func(t *testing.T) {
			atLeast(t, sup, level)
			rules := rules
			rules.Level, rules.MinLevel = level, level
			_ = os.Remove(filepath.Join(writable, "below", "moved"))
			got, child := tried(t, sup, rules, attempts...)
			for what, first := range from {
				if refused := got[what] != "ok"; refused != (level >= first) {
					t.Errorf("%s: got %q, want refused = %v", what, got[what], level >= first)
				}
			}
			if got["privileges"] != "no_new_privs is 1" {
				t.Errorf("privileges: got %q", got["privileges"])
			}
			if s := child.Status(); s.Sandbox.Level != level || s.Sandbox.Wanted != level {
				t.Errorf("status says %+v, want level %s", s.Sandbox, level)
			}
			if err := child.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	got, _ := tried(t, sup, sandbox.Rules{Level: sandbox.Off, MinLevel: sandbox.Off}, "privileges", hidden)
	if got["privileges"] != "no_new_privs is 0" || got[hidden] != "ok" {
		t.Errorf("a child without sandbox: got %v", got)
	}
}

func TestLimitsAreSetBeforeTheProgramStarts(t *testing.T) {
	sup := newSupervisor(t, supervisor.Options{})
	limits := sandbox.Limits{OpenFiles: 77, FileBytes: 1 << 20, CPUSeconds: 1000, AddressSpace: 64 << 30, DataBytes: 8 << 30}
	names := map[int]uint64{unix.RLIMIT_NOFILE: 77, unix.RLIMIT_FSIZE: 1 << 20, unix.RLIMIT_CPU: 1000, unix.RLIMIT_AS: 64 << 30,
		unix.RLIMIT_DATA: 8 << 30, unix.RLIMIT_CORE: 0}
	var attempts []string
	for limit := range names {
		attempts = append(attempts, fmt.Sprint("limit=", limit))
	}
	for level := sandbox.Clean; level <= sandbox.Calls; level++ {
		if sup.Sandboxes(t.Context()).Level < level {
			break
		}
		got, child := tried(t, sup, sandbox.Rules{Level: level, Limits: limits}, attempts...)
		for limit, want := range names {
			// Go raises its soft limit of open files to the hard one, which we set.
			if text := got[fmt.Sprint("limit=", limit)]; text != fmt.Sprintf("limit is %d", want) {
				t.Errorf("level %s: limit %d: got %q, want %d", level, limit, text, want)
			}
		}
		_ = child.Stop(t.Context())
	}
}

func TestAChildThatUsesTooMuchMemoryIsKilledAndTheReasonIsTold(t *testing.T) {
	for _, groups := range []bool{true, false} {
		t.Run(fmt.Sprintf("with control groups %v", groups), func(t *testing.T) {
			sup := newSupervisor(t, supervisor.Options{})
			r := sup.Sandboxes(t.Context())
			if groups && !r.Bounded {
				t.Skip(r.Groups)
			}
			if !groups {
				supervisor.WithoutGroups(sup)
			}
			child := add(t, sup, supervisor.Spec{Command: program("attempt", "eat=100", "eat=400"),
				Sandbox: sandbox.Rules{Bounds: sandbox.Bounds{Memory: 200 << 20},
					Limits: sandbox.Limits{DataBytes: 1 << 40}}}) // the race detector takes much more than it uses
			p := acquire(t, child)
			wait(t, "the end of the child", p.Done())
			var exit *supervisor.ExitError
			if !errors.As(p.Err(), &exit) || exit.Signal != "killed" || !strings.Contains(exit.Error(), "memory_limit") {
				t.Errorf("got %v, want a kill that names memory_limit", p.Err())
			}
			noGroups(t, r)
		})
	}
}

func TestProcessorTimeIsShared(t *testing.T) {
	sup := newSupervisor(t, supervisor.Options{})
	r := sup.Sandboxes(t.Context())
	if !r.Bounded {
		t.Skip(r.Groups)
	}
	got, child := tried(t, sup, sandbox.Rules{Bounds: sandbox.Bounds{CPU: 0.2}}, "burn=300")
	var took int
	if _, err := fmt.Sscanf(got["burn=300"], "%d ms", &took); err != nil || took < 900 {
		t.Errorf("300 ms of a processor at 20 %% took %q, want 1500 ms or so", got["burn=300"])
	}
	_ = child.Stop(t.Context())
	supervisor.WithoutGroups(sup)
	_, child = tried(t, sup, sandbox.Rules{Bounds: sandbox.Bounds{CPU: 0.2}}, "privileges")
	if s := child.Status().Sandbox; len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "cpu_quota is not enforced") {
		t.Errorf("without groups the status says %+v", s)
	}
}

// noGroups fails the test when a control group of this program is left.
func noGroups(t *testing.T, r sandbox.Report) {
	t.Helper()
	if !r.Bounded {
		return
	}
	eventually(t, func() (bool, string) {
		var left []string
		_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), "dragoman-") {
				left = append(left, path)
			}
			return nil
		})
		return len(left) == 0, fmt.Sprintf("groups %v are left", left)
	})
}

func TestASystemBelowMinLevelDoesNotStartTheChild(t *testing.T) {
	sup := newSupervisor(t, supervisor.Options{Direct: true})
	child := add(t, sup, supervisor.Spec{Command: program("echo"), Sandbox: sandbox.Rules{Level: 2, MinLevel: 1}})
	_, err := child.Acquire(t.Context())
	var refused *sandbox.UnmetError
	if !errors.As(err, &refused) || refused.Want != 1 || refused.Have != 0 || !strings.Contains(err.Error(), "min_level") {
		t.Errorf("got %v, want an UnmetError", err)
	}
	willing := add(t, sup, supervisor.Spec{Name: "willing", Command: program("echo"), Sandbox: sandbox.Rules{Level: 2}})
	_ = acquire(t, willing)
	if s := willing.Status().Sandbox; s.Level != 0 || s.Wanted != 2 || len(s.Notes) == 0 {
		t.Errorf("status says %+v, want level 0 of 2 and why", s)
	}
	for _, wrong := range []sandbox.Rules{{Level: 4}, {Level: -2}, {Level: 1, MinLevel: 2}, {Level: 1, Read: []string{"relative"}}} {
		if _, err := sup.Add(supervisor.Spec{Name: "wrong", Command: program("echo"), Sandbox: wrong}); err == nil {
			t.Errorf("rules %+v were accepted", wrong)
		}
	}
}

func TestNothingOutlivesAKilledGatewayAtAnyLevel(t *testing.T) {
	for level := 0; level <= 3; level++ {
		t.Run(fmt.Sprint("level ", level), func(t *testing.T) {
			sup := newSupervisor(t, supervisor.Options{})
			atLeast(t, sup, sandbox.Level(level))
			token := fmt.Sprintf("token-%d-%d", os.Getpid(), level)
			cmd := startGateway(t, fmt.Sprint("gateway-at-level-", level), token, "family", "family")
			if n := len(bearers(t, token)); n < 2*familySize {
				t.Fatalf("%d processes run, want %d at least", n, 2*familySize)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			gone(t, token)
		})
	}
}

func TestAChildHasThreeDescriptorsAndItsOwnEnvironmentAtAnyLevel(t *testing.T) {
	sup := newSupervisor(t, supervisor.Options{Environ: []string{"PATH=" + os.Getenv("PATH"), "SECRET=x"}})
	for level := sandbox.Clean; level <= sup.Sandboxes(t.Context()).Level; level++ {
		child := add(t, sup, supervisor.Spec{Name: "level" + level.String(), Sandbox: sandbox.Rules{Level: level}, Env: map[string]string{"OWN": "y"},
			Command: []string{"sh", "-c", `ls /proc/$$/fd; echo "$OWN$SECRET" "$1"; readlink /proc/$$/exe; echo end; exec cat`, "sh", "with\ta tab"}})
		var got []string
		for lines := bufio.NewScanner(acquire(t, child).Stdout()); lines.Scan() && lines.Text() != "end"; {
			got = append(got, lines.Text())
		}
		text := strings.Join(got, " ")
		if !strings.HasPrefix(text, "0 1 2 y with\ta tab /") || strings.Contains(text, "sandbox") {
			t.Errorf("level %s: got %q, want descriptors 0 1 2, OWN, the argument and the shell", level, text)
		}
	}
}

func TestTheEndOfAChildsOutputIsSeenAtAnyLevel(t *testing.T) {
	sup := newSupervisor(t, supervisor.Options{})
	for level := sandbox.Clean; level <= sup.Sandboxes(t.Context()).Level; level++ {
		child := add(t, sup, supervisor.Spec{Name: "level" + level.String(), Command: []string{"sh", "-c", "echo x; exec sleep 60 >&-"},
			Sandbox: sandbox.Rules{Level: level}, StopTimeout: 100 * time.Millisecond})
		p := acquire(t, child)
		ended := make(chan struct{})
		go func() {
			_, _ = io.Copy(io.Discard, p.Stdout())
			close(ended)
		}()
		wait(t, "the end of the output at level "+level.String(), ended)
		select {
		case <-p.Done():
			t.Errorf("level %s: the child has ended: %v", level, p.Err())
		default:
		}
		if err := child.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestAStoppedChildIsAskedFirstAtAnyLevel(t *testing.T) {
	sup := newSupervisor(t, supervisor.Options{})
	for level := sandbox.Clean; level <= sup.Sandboxes(t.Context()).Level; level++ {
		child := add(t, sup, supervisor.Spec{Name: "polite" + level.String(), Command: program("polite"), StopTimeout: 1500 * time.Millisecond,
			Sandbox: sandbox.Rules{Level: level}})
		p := acquire(t, child)
		if got := line(t, p); got != "ready" {
			t.Fatalf("level %s: child said %q: %v", level, got, p.Stderr())
		}
		began := time.Now()
		if err := child.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if words := strings.Join(p.Stderr(), " "); words != "goodbye" {
			t.Errorf("level %s: last words are %q after %s, want goodbye", level, words, time.Since(began))
		}
		if took := time.Since(began); took < 1595*time.Millisecond { // it works on for 100 ms after it was asked
			t.Errorf("level %s: the child was gone after %s, want it to end by itself", level, took)
		}
		crash := add(t, sup, supervisor.Spec{Name: "crash" + level.String(), Command: program("exit", "7", "oh"), Sandbox: sandbox.Rules{Level: level}})
		p = acquire(t, crash)
		wait(t, "the end of the child", p.Done())
		var exit *supervisor.ExitError
		if !errors.As(p.Err(), &exit) || exit.Code != 7 || strings.Join(exit.Stderr, "") != "oh" {
			t.Errorf("level %s: got %v, want exit code 7", level, p.Err())
		}
	}
}
