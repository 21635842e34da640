package supervisor_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor"
)

// familySize is how many processes a family is: itself, one in its group, one in its session, and a daemon.
const familySize = 4

// bearers returns the living processes with token in their command line.
func bearers(t testing.TB, token string) (pids []int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file) // empty for a zombie
		if err == nil && bytes.Contains(text, []byte(token)) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// noneLeft fails the test if a process with token is alive after d.
// gone waits until nothing with token is left.
func gone(t testing.TB, token string) {
	t.Helper()
	eventually(t, func() (bool, string) {
		pids := bearers(t, token)
		return len(pids) == 0, fmt.Sprintf("processes %v are left", pids)
	})
}

// noneLeft fails the test when something with token is left.
func noneLeft(t testing.TB, token string) {
	t.Helper()
	if pids := bearers(t, token); len(pids) > 0 {
		t.Fatalf("processes %v are left", pids)
	}
}

func expectFamilies(t testing.TB, token string, families, others int) {
	t.Helper()
	want := families*familySize + others
	if got := bearers(t, token); len(got) != want {
		t.Fatalf("processes before the test begins: got %v, want %d", got, want)
	}
}

// startGateway starts this binary as a gateway with children and waits for them.
func startGateway(t *testing.T, gateway, token string, roles ...string) *exec.Cmd {
	t.Helper()
	command := program(gateway, append([]string{token}, roles...)...)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = os.Environ()
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatal("the gateway did not start: ", err)
	}
	return cmd
}

func TestKillingTheGatewayLeavesNoDescendant(t *testing.T) {
	for _, c := range []struct {
		name     string
		gateway  string
		roles    []string
		families int
		others   int // processes with the token that are no family: gateways
	}{
		{"of one child", "gateway", []string{"family"}, 1, 1},
		{"of three children", "gateway", []string{"family", "family", "family"}, 3, 1},
		{"of a gateway that is a child itself", "gateway", []string{"gateway", "family"}, 2, 2},
		{"where marks are not possible", "gateway-without-marks", []string{"family", "family"}, 2, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			token := rand.Text()
			cmd := startGateway(t, c.gateway, token, c.roles...)
			expectFamilies(t, token, c.families, c.others)
			killed := time.Now()
			if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			gone(t, token)
			t.Logf("%d processes were gone %s after kill -9 of the gateway", c.families*familySize, time.Since(killed))
		})
	}
}

func TestKillingTheGatewayAtAnyMomentLeavesNoDescendant(t *testing.T) {
	for range 8 {
		token := rand.Text()
		cmd := startGateway(t, "gateway-in-a-storm", token)
		<-time.After(time.Duration(mathrand.IntN(300)) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		gone(t, token)
	}
}

func TestSIGTERMToTheGuardDoesNotEndIt(t *testing.T) {
	sup := newSupervisor(t, supervisor.Options{})
	p := acquire(t, add(t, sup, supervisor.Spec{Command: program("echo")}))
	guard := parent(t, p.PID())
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		if err := syscall.Kill(guard, sig); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", guard)); got != "/" {
		t.Errorf("the guard keeps directory %s busy (%v), want /", got, err)
	}
	q := acquire(t, add(t, sup, supervisor.Spec{Command: program("env")}))
	if got := parent(t, q.PID()); got != guard && got != 0 {
		t.Errorf("parent of the next child: got %d, want the same guard %d", got, guard)
	}
	if p.Err() != nil {
		t.Errorf("the first child ended: %v", p.Err())
	}
}

// parent is 0 when pid has ended.
func parent(t *testing.T, pid int) int {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	ppid, err := strconv.Atoi(fields[1])
	if err != nil {
		t.Fatal(err)
	}
	return ppid
}

func TestKillingTheGuardEndsAllThatItStartedAndANewOneFollows(t *testing.T) {
	token := rand.Text()
	sup := newSupervisor(t, supervisor.Options{})
	spec := supervisor.Spec{Command: program("family", token), MinBackoff: time.Millisecond, StopTimeout: 10 * time.Millisecond}
	child := add(t, sup, spec)
	p := acquire(t, child)
	line(t, p)
	expectFamilies(t, token, 1, 0)
	if err := syscall.Kill(parent(t, p.PID()), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wait(t, "end of the child", p.Done())
	if p.Err() == nil || !strings.Contains(p.Err().Error(), "guard died") {
		t.Errorf("error: got %v, want one that names the guard", p.Err())
	}
	old := bearers(t, token)
	q := acquire(t, child)
	line(t, q)
	for _, pid := range bearers(t, token) {
		for _, was := range old {
			if pid == was {
				t.Errorf("process %d outlived the guard", pid)
			}
		}
	}
	expectFamilies(t, token, 1, 0)
	if err := child.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	noneLeft(t, token)
}

func TestStopKillsAFamilyThatIgnoresSIGTERM(t *testing.T) {
	token := rand.Text()
	child := add(t, newSupervisor(t, supervisor.Options{}), supervisor.Spec{Command: program("family", token),
		StopTimeout: 50 * time.Millisecond})
	p := acquire(t, child)
	line(t, p)
	expectFamilies(t, token, 1, 0)
	if err := child.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	noneLeft(t, token)
	if p.Err() != nil {
		t.Errorf("error after a stop: got %v, want nil", p.Err())
	}
}

func TestACrashTakesWhatTheChildLeftAndNothingOfItsNeighbour(t *testing.T) {
	ours, theirs := rand.Text(), rand.Text()
	sup := newSupervisor(t, supervisor.Options{})
	neighbour := acquire(t, add(t, sup, supervisor.Spec{Name: "neighbour", Command: program("family", theirs),
		StopTimeout: 10 * time.Millisecond}))
	line(t, neighbour)
	p := acquire(t, add(t, sup, supervisor.Spec{Command: program("family", ours)}))
	line(t, p)
	expectFamilies(t, ours, 1, 0)
	if err := syscall.Kill(p.PID(), syscall.SIGSEGV); err != nil {
		t.Fatal(err)
	}
	wait(t, "end", p.Done())
	gone(t, ours)
	expectFamilies(t, theirs, 1, 0)
	if neighbour.Err() != nil {
		t.Errorf("the neighbour ended: %v", neighbour.Err())
	}
}

func TestADaemonThatNobodyKnowsIsEnded(t *testing.T) {
	token := rand.Text()
	sup := newSupervisor(t, supervisor.Options{})
	acquire(t, add(t, sup, supervisor.Spec{Name: "neighbour", Command: program("echo")}))
	p := acquire(t, add(t, sup, supervisor.Spec{Command: []string{"sh", "-c", `(setsid "$@" >/dev/null &); echo up; cat`, "sh",
		program("")[0], "role:shifty", token}}))
	line(t, p)
	eventually(t, func() (bool, string) {
		pids := bearers(t, token)
		return len(pids) > 1, fmt.Sprint("processes ", pids)
	})
	p.Kill(nil)
	gone(t, token)
}

func TestWhatOutlivesAStoppedCommandAMomentMayFinish(t *testing.T) {
	file := filepath.Join(t.TempDir(), "flushed")
	eachKind(t, func(t *testing.T, sup *supervisor.Supervisor) {
		_ = os.Remove(file)
		child := add(t, sup, supervisor.Spec{Command: []string{"sh", "-c",
			`(sleep 0.2; echo done >"$1") </dev/null >/dev/null 2>&1 & echo up; cat`, "sh", file}})
		line(t, acquire(t, child))
		if err := child.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(file); string(got) != "done\n" {
			t.Errorf("what the rest of the family wrote after the end of the command: got %q, %v", got, err)
		}
	})
}

func TestADaemonLivesAsLongAsItsServer(t *testing.T) {
	ours, theirs := rand.Text(), rand.Text()
	sup := newSupervisor(t, supervisor.Options{})
	script := func(token string) []string {
		return []string{"sh", "-c", `(setsid env -i "$@" </dev/null >/dev/null 2>&1 &); cat`, "sh", program("stubborn")[0], "role:stubborn", token}
	}
	child := add(t, sup, supervisor.Spec{Command: script(ours), StopTimeout: 50 * time.Millisecond})
	other := add(t, sup, supervisor.Spec{Name: "other", Command: script(theirs), StopTimeout: 50 * time.Millisecond})
	acquire(t, child)
	one := func(token string) func() (bool, string) {
		return func() (bool, string) {
			pids := bearers(t, token)
			daemons := 0
			for _, pid := range pids {
				if exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); exe == program("")[0] {
					daemons++
				}
			}
			return daemons == 1, fmt.Sprintf("got processes %v of which %d daemons, want 1 daemon", pids, daemons)
		}
	}
	for range 3 { // crashes and stops of another server, each of which makes the guard look around
		acquire(t, other)
		eventually(t, one(theirs))
		if err := other.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	noneLeft(t, theirs)
	if ok, why := one(ours)(); !ok {
		t.Error("the daemon of a living server: ", why)
	}
	if err := child.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	noneLeft(t, ours)
}

func TestTwoHundredCrashesLeaveNothingBehind(t *testing.T) {
	token := fmt.Sprintf("86400.%d", time.Now().UnixNano()) // a number, for sleep
	sup := newSupervisor(t, supervisor.Options{LogDir: t.TempDir(), PIDDir: t.TempDir()})
	child := add(t, sup, supervisor.Spec{
		Command:    []string{"sh", "-c", "sleep " + token + " & (setsid env -i /bin/sleep " + token + " &); echo up; exit 3"},
		MinBackoff: time.Microsecond, MaxBackoff: time.Minute, CrashCount: 1000,
	})
	round := func() {
		p := acquire(t, child)
		wait(t, "end", p.Done())
		_, _ = io.Copy(io.Discard, p.Stdout())
		child.Reset() // the wait doubles; it is not what is tested here
	}
	for range 10 {
		round()
	}
	files, goroutines := openFiles(t), runtime.NumGoroutine()
	for range 200 {
		round()
	}
	eventually(t, func() (bool, string) {
		f, g := openFiles(t), runtime.NumGoroutine()
		return f <= files && g <= goroutines, fmt.Sprintf("descriptors %d, were %d; goroutines %d, were %d", f, files, g, goroutines)
	})
	gone(t, token)
	if got := child.Status().Starts; got != 210 {
		t.Errorf("starts: got %d, want 210", got)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestChildrenInheritNoDescriptor(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	// One that the gateway itself was started with, by a shell or systemd, and that is not closed on exec.
	if _, err := syscall.Dup(int(r.Fd())); err != nil {
		t.Fatal(err)
	}
	sup := newSupervisor(t, supervisor.Options{})
	acquire(t, add(t, sup, supervisor.Spec{Name: "first", Command: program("echo")}))
	p := acquire(t, add(t, sup, supervisor.Spec{Command: []string{"sh", "-c", "ls /proc/$$/fd; cat"}}))
	var got []string
	for i, scan := 0, bufio.NewScanner(p.Stdout()); i < 3 && scan.Scan(); i++ {
		got = append(got, scan.Text())
	}
	if strings.Join(got, " ") != "0 1 2" {
		t.Errorf("descriptors of a child: got %q; want 0 1 2", got)
	}
}

func TestUsageCountsTheWholeFamily(t *testing.T) {
	sup := newSupervisor(t, supervisor.Options{})
	p := acquire(t, add(t, sup, supervisor.Spec{Command: program("family", rand.Text()), StopTimeout: 10 * time.Millisecond}))
	line(t, p)
	got, err := p.Usage()
	if err != nil || got.Processes != familySize || got.RSSBytes < familySize<<20 {
		t.Errorf("usage: got %+v, %v; want %d processes of a MiB or more each", got, err, familySize)
	}
	direct := acquire(t, add(t, newSupervisor(t, supervisor.Options{Direct: true}), supervisor.Spec{Command: program("echo")}))
	if got, err := direct.Usage(); err != nil || got.Processes != 1 {
		t.Errorf("usage of a direct child: got %+v, %v; want 1 process", got, err)
	}
}
