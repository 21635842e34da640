// Package servers starts real database servers for one test: PostgreSQL, MariaDB
// and Redis, as test/servers/setup installs them from the distribution, and
// FerretDB, which it builds. Each has a directory and a port of its own, listens on loopback only, and is gone when
// the test ends.
//
// It does not know what is stored in them, and it makes nothing durable beyond
// the test: what survives the death of a machine cannot be tried with it.
package servers

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	required = "DRAGOMAN_NEED_PEERS" // when set, a missing server fails the test instead of skipping it
	// startLimit is long because the machines of CI are small and do other work.
	startLimit = 90 * time.Second
	stopLimit  = 10 * time.Second
	probeEvery = 50 * time.Millisecond
)

// account is who a server runs as. PostgreSQL and MariaDB refuse to run as root,
// so for root it is the user that the distribution made for them.
type account struct {
	uid, gid int
	switches bool // from root to another
}

func accountOf(name string) (account, error) {
	if os.Geteuid() != 0 {
		return account{uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return account{}, fmt.Errorf("look up the user that the server would run as: %w", err)
	}
	uid, errUID := strconv.Atoi(u.Uid)
	gid, errGID := strconv.Atoi(u.Gid)
	return account{uid: uid, gid: gid, switches: true}, errors.Join(errUID, errGID)
}

// place is where one server lives for one test.
type place struct {
	testing.TB
	account account
	dir     string
	port    int
}

// newPlace makes a directory that belongs to the server's user. It is not
// tb.TempDir(), which only the user of the test can enter, and whose name may be
// too long for a UNIX socket.
func newPlace(tb testing.TB, owner string) *place {
	tb.Helper()
	who, err := accountOf(owner)
	if err != nil {
		missing(tb, err)
	}
	dir, err := os.MkdirTemp("", "dragoman-"+owner+"-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Errorf("remove the directory of the server: %v", err)
		}
	})
	if who.switches {
		if err := os.Chown(dir, who.uid, who.gid); err != nil {
			tb.Fatal(err)
		}
	}
	return &place{TB: tb, account: who, dir: dir}
}

func (p *place) path(name string) string { return filepath.Join(p.dir, name) }

func (p *place) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = p.dir
	// A server must not see what the machine's own servers are configured with.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "TMPDIR=" + p.dir, "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = attributes(p.account)
	return cmd
}

// prepare runs a program to its end, at most startLimit.
func (p *place) prepare(program string, args ...string) {
	p.Helper()
	var out strings.Builder
	cmd := p.command(program, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		p.Fatalf("start %s: %v", program, err)
	}
	late := time.AfterFunc(startLimit, func() { signalGroup(cmd, syscall.SIGKILL) })
	defer late.Stop()
	if err := cmd.Wait(); err != nil {
		p.Fatalf("%s: %v\n%s", program, err, out.String())
	}
}

// server is what a test starts: a program, and how to see that it answers.
type server struct {
	program string
	args    func(port int) []string
	probe   func(port int) error
	stop    syscall.Signal // asks it to end at once, with nothing to save
}

// run starts a server on a free port and returns when it answers. Between
// finding a port and using it another process may take it; then there is
// another try.
func (p *place) run(s server) {
	p.Helper()
	var err error
	for range 3 {
		if p.port, err = freePort(); err != nil {
			p.Fatal(err)
		}
		if err = p.start(s); err == nil {
			return
		}
	}
	log, _ := os.ReadFile(p.path("log"))
	p.Fatalf("start %s: %v\n%s", s.program, err, log)
}

func (p *place) start(s server) error {
	log, err := os.Create(p.path("log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := p.command(s.program, s.args(p.port)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1) // its only value is how the process ended
	go func() {
		ended <- cmd.Wait()
		close(ended)
	}()
	stop := func() {
		signalGroup(cmd, s.stop)
		select {
		case <-ended:
		case <-time.After(stopLimit):
			p.Logf("%s did not end within %v and is killed", s.program, stopLimit)
		}
		signalGroup(cmd, syscall.SIGKILL)
		for range ended { // until the process is gone
		}
	}
	if err := p.await(s, ended); err != nil {
		stop()
		return err
	}
	p.Cleanup(stop)
	return nil
}

func (p *place) await(s server, ended <-chan error) error {
	deadline := time.After(startLimit)
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for {
		err := s.probe(p.port)
		if err == nil {
			return nil
		}
		select {
		case how := <-ended:
			return fmt.Errorf("ended before it answered: %v", how)
		case <-deadline:
			return fmt.Errorf("does not answer within %v: %w", startLimit, err)
		case <-tick.C:
		}
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// find gives the path of a program, in the folders that are listed (patterns,
// the greatest version first) or in PATH; otherwise the test ends here.
func find(tb testing.TB, program string, folders ...string) string {
	tb.Helper()
	for _, folder := range folders {
		found, _ := filepath.Glob(filepath.Join(folder, program))
		slices.SortFunc(found, func(a, b string) int { return versionIn(b) - versionIn(a) })
		if len(found) > 0 {
			return found[0]
		}
	}
	path, err := exec.LookPath(program)
	if err != nil {
		missing(tb, err)
	}
	return path
}

// versionIn is the number that a folder is called by, as in /usr/lib/postgresql/15/bin.
func versionIn(path string) int {
	for part := range strings.SplitSeq(path, "/") {
		if n, err := strconv.Atoi(part); err == nil {
			return n
		}
	}
	return 0
}

// missing skips the test for want of a server, or fails it where servers have to be there.
func missing(tb testing.TB, err error) {
	tb.Helper()
	if os.Getenv(required) != "" {
		tb.Fatalf("%v: run test/servers/setup", err)
	}
	tb.Skipf("%v: run test/servers/setup", err)
}
