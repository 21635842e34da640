//go:build linux

package faults

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// gateway is the program, running.
type gateway struct {
	t      testing.TB
	cmd    *exec.Cmd
	file   string // its configuration
	addr   string
	base   string // http://addr
	log    journal
	http   *http.Client // for /ready and the like
	exited chan struct{}
	err    error // how it ended; set before exited is closed
}

// journal is what the gateway wrote to its log.
type journal struct {
	mu     sync.Mutex // guards what follows
	recent []string   // the last lines
	total  map[string]int
}

// keptLines is how many lines of the log a failing test shows at most.
const keptLines = 400

func (j *journal) add(line string) {
	var record struct{ Msg string }
	_ = json.Unmarshal([]byte(line), &record) // a panic is no JSON
	if record.Msg == "" {
		record.Msg = "not JSON"
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.total == nil {
		j.total = map[string]int{}
	}
	j.total[record.Msg]++
	if len(j.recent) >= keptLines {
		j.recent = j.recent[1:]
	}
	j.recent = append(j.recent, line)
}

// count is how often something was said.
func (j *journal) count(message string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.total[message]
}

func (j *journal) tail(n int) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.recent[max(0, len(j.recent)-n):], "\n")
}

// start runs the program with a configuration, which need not say where it
// listens, and waits until it does.
func start(t testing.TB, config string) *gateway {
	t.Helper()
	g := &gateway{t: t, file: filepath.Join(t.TempDir(), "dragoman.yaml"), exited: make(chan struct{})}
	g.http = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	if !strings.HasPrefix(config, "listen:") {
		config = "listen: 127.0.0.1:0\n" + config
	}
	g.rewrite(config)
	g.cmd = exec.Command(dragoman(t), "serve", "-c", g.file)
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := g.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := g.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said sync.WaitGroup
	said.Go(func() {
		lines := bufio.NewReaderSize(stderr, 1<<20)
		for {
			line, err := lines.ReadString('\n')
			if line != "" {
				g.log.add(strings.TrimSpace(line))
			}
			if err != nil {
				return
			}
		}
	})
	addr := make(chan string, 1)
	said.Go(func() {
		where := regexp.MustCompile(`http://(\S+)/mcp`)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if m := where.FindStringSubmatch(lines.Text()); m != nil {
				select {
				case addr <- m[1]:
				default:
				}
			}
		}
	})
	go func() {
		said.Wait()
		g.err = g.cmd.Wait()
		close(g.exited)
	}()
	t.Cleanup(g.end)
	select {
	case g.addr = <-addr:
	case <-g.exited:
		t.Fatalf("the gateway ends at once: %v\n%s", g.err, g.log.tail(20))
	case <-time.After(patience):
		t.Fatalf("the gateway does not say where it listens\n%s", g.log.tail(20))
	}
	g.base = "http://" + g.addr
	return g
}

// end stops the gateway whatever its state, and shows its log if the test failed.
func (g *gateway) end() {
	g.http.CloseIdleConnections()
	_ = g.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-g.exited:
	case <-time.After(patience):
		g.t.Errorf("the gateway did not end within %s of SIGTERM", patience)
		_ = g.cmd.Process.Kill()
		<-g.exited
	}
	if n := g.log.count("request failed with a fault of ours") + g.log.count("handler panicked"); n > 0 {
		g.t.Errorf("the gateway had %d panics", n)
	}
	if n := g.log.count("not JSON"); n > 0 {
		g.t.Errorf("%d lines of the gateway's log are no JSON (a panic, or a race)", n)
	}
	if g.t.Failed() {
		g.t.Logf("the end of the gateway's log:\n%s", g.log.tail(either(60, 30)))
	}
}

// rewrite replaces the configuration at once, as editors and config managers do.
func (g *gateway) rewrite(config string) {
	g.t.Helper()
	next := g.file + ".next"
	if err := os.WriteFile(next, []byte(config), 0o600); err != nil {
		g.t.Fatal(err)
	}
	if err := os.Rename(next, g.file); err != nil {
		g.t.Fatal(err)
	}
}

// reload asks for it by POST /reload; it returns status and body.
func (g *gateway) reload() (int, string) {
	resp, err := g.http.Post(g.base+"/reload", "application/json", nil)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, string(body)
}

// readiness is what /ready says.
type readiness struct {
	Status   string
	Sessions int
	Servers  map[string]struct{ Status, Reason string }
}

func (g *gateway) ready() (readiness, error) {
	var r readiness
	resp, err := g.http.Get(g.base + "/ready")
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(body, &r)
}

// awaitReady waits until the gateway counts all of its servers as well.
func (g *gateway) awaitReady(limit time.Duration) {
	g.t.Helper()
	var last readiness
	ok := await(limit, func() bool {
		r, err := g.ready()
		last = r
		if err != nil || r.Status != "ready" {
			return false
		}
		for _, s := range r.Servers {
			if s.Status != "healthy" {
				return false
			}
		}
		return true
	})
	if !ok {
		g.t.Fatalf("the gateway is not ready within %s: %+v\n%s", limit, last, g.log.tail(30))
	}
}

// rss is what the gateway's process holds in memory, in bytes.
func (g *gateway) rss() int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kB, _ := strconv.Atoi(strings.Fields(value)[0])
			return kB << 10
		}
	}
	return 0
}

// watchRSS returns the most that the gateway held until stop is called.
func (g *gateway) watchRSS() (stop func() int) {
	ctx, cancel := context.WithCancel(context.Background())
	most := make(chan int, 1)
	go func() {
		top := 0
		for pause(ctx, 20*time.Millisecond) {
			top = max(top, g.rss())
		}
		most <- top
	}()
	return func() int {
		cancel()
		return <-most
	}
}

// exit waits for the end of the process and returns its code, or -1 with the
// signal that ended it.
func (g *gateway) exit(limit time.Duration) (int, syscall.Signal, bool) {
	select {
	case <-g.exited:
	case <-time.After(limit):
		return 0, 0, false
	}
	var exit *exec.ExitError
	if errors.As(g.err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return -1, status.Signal(), true
		}
		return exit.ExitCode(), 0, true
	}
	return 0, 0, true
}

// mb is bytes in MiB, for people.
func mb(bytes int) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }
