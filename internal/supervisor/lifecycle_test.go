//go:build unix

package supervisor_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor"
	"github.com/google/go-cmp/cmp"
)

// kinds are the two ways of starting children; what a test here says holds for both.
var kinds = map[string]supervisor.Options{
	"the guard":    {},
	"direct start": {Direct: true},
}

func eachKind(t *testing.T, test func(t *testing.T, sup *supervisor.Supervisor)) {
	for name, opts := range kinds {
		t.Run("with "+name, func(t *testing.T) { test(t, newSupervisor(t, opts)) })
	}
}

func TestPipesReachTheChild(t *testing.T) {
	eachKind(t, func(t *testing.T, sup *supervisor.Supervisor) {
		p := acquire(t, add(t, sup, supervisor.Spec{Command: program("echo")}))
		r := bufio.NewReader(p.Stdout())
		for i := range 100 {
			want := fmt.Sprintf("message %d\n", i)
			if _, err := io.WriteString(p.Stdin(), want); err != nil {
				t.Fatal(err)
			}
			if got, err := r.ReadString('\n'); got != want || err != nil {
				t.Fatalf("echo of %q: got %q, %v", want, got, err)
			}
		}
	})
}

func TestClosingStdinEndsTheChildAndItIsRestartedOnDemand(t *testing.T) {
	eachKind(t, func(t *testing.T, sup *supervisor.Supervisor) {
		child := add(t, sup, supervisor.Spec{Command: program("echo"), MinBackoff: time.Millisecond})
		first := acquire(t, child)
		if err := first.Stdin().Close(); err != nil {
			t.Fatal(err)
		}
		wait(t, "end of the child", first.Done())
		var exit *supervisor.ExitError
		if !errors.As(first.Err(), &exit) || exit.Code != 0 || exit.PID != first.PID() {
			t.Errorf("end of a process that nobody stopped: got %v, want an ExitError with code 0", first.Err())
		}
		second := acquire(t, child)
		if second.PID() == first.PID() {
			t.Errorf("got process %d again", first.PID())
		}
		if got := child.Status(); got.Starts != 2 || got.PID != second.PID() || got.State != supervisor.StateRunning {
			t.Errorf("status: got %+v, want 2 starts and process %d running", got, second.PID())
		}
	})
}

func TestStopIsGracefulFirstAndGoesThroughItsStates(t *testing.T) {
	eachKind(t, func(t *testing.T, sup *supervisor.Supervisor) {
		var mu sync.Mutex
		var states []string
		child := add(t, sup, supervisor.Spec{Command: program("echo"), StopTimeout: patience, OnChange: func(c supervisor.Change) {
			mu.Lock()
			defer mu.Unlock()
			states = append(states, c.State.String())
		}})
		p := acquire(t, child)
		started := time.Now()
		if err := child.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(started); took > patience/2 {
			t.Errorf("stop of a child that ends with its input took %s", took)
		}
		closed(t, "end", p.Done())
		if p.Err() != nil {
			t.Errorf("error after a stop: got %v, want nil", p.Err())
		}
		acquire(t, child)
		mu.Lock()
		defer mu.Unlock()
		want := []string{"starting", "running", "stopping", "stopped", "starting", "running"}
		if diff := cmp.Diff(want, states); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
	})
}

func TestStopSendsSIGTERMToAChildThatIgnoresItsInput(t *testing.T) {
	eachKind(t, func(t *testing.T, sup *supervisor.Supervisor) {
		child := add(t, sup, supervisor.Spec{Command: program("polite"), StopTimeout: 2 * time.Second})
		p := acquire(t, child)
		line(t, p)
		started := time.Now()
		if err := child.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(started); took < 2*time.Second {
			t.Errorf("took %s, less than the grace of 2s", took)
		}
		if diff := cmp.Diff([]string{"goodbye"}, p.Stderr()); diff != "" {
			t.Errorf("last words of a child that saw SIGTERM (-want +got):\n%s", diff)
		}
	})
}

func TestAStopWhoseContextEndsKillsAtOnce(t *testing.T) {
	eachKind(t, func(t *testing.T, sup *supervisor.Supervisor) {
		child := add(t, sup, supervisor.Spec{Command: program("stubborn"), StopTimeout: time.Minute})
		p := acquire(t, child)
		line(t, p)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := child.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		closed(t, "end", p.Done())
		if got := child.Status().State; got != supervisor.StateStopped {
			t.Errorf("state: got %s, want stopped", got)
		}
	})
}

func TestManyCallersShareOneStart(t *testing.T) {
	eachKind(t, func(t *testing.T, sup *supervisor.Supervisor) {
		child := add(t, sup, supervisor.Spec{Command: program("echo")})
		pids := make([]int, 30)
		var wg sync.WaitGroup
		for i := range pids {
			wg.Go(func() {
				if p, err := child.Acquire(context.Background()); err == nil {
					pids[i] = p.PID()
				}
			})
		}
		wg.Wait()
		for _, pid := range pids {
			if pid == 0 || pid != pids[0] {
				t.Fatalf("pids: got %v, want one for all", pids)
			}
		}
		if got := child.Status().Starts; got != 1 {
			t.Errorf("starts: got %d, want 1", got)
		}
	})
}

func TestOutputWrittenBeforeTheEndIsNotLost(t *testing.T) {
	eachKind(t, func(t *testing.T, sup *supervisor.Supervisor) {
		child := add(t, sup, supervisor.Spec{Command: program("last-words")})
		p := acquire(t, child)
		wait(t, "end", p.Done())
		got, err := io.ReadAll(p.Stdout())
		if len(got) != 60_000 || err != nil {
			t.Errorf("read after the end: got %d bytes, %v; want 60000", len(got), err)
		}
	})
}

func TestAnExitIsReportedWithCodeAndLastWords(t *testing.T) {
	eachKind(t, func(t *testing.T, sup *supervisor.Supervisor) {
		p := acquire(t, add(t, sup, supervisor.Spec{Name: "files", Command: program("exit", "7", "no such database")}))
		wait(t, "end", p.Done())
		for _, want := range []string{`server "files"`, "code 7", "no such database"} {
			if !strings.Contains(p.Err().Error(), want) {
				t.Errorf("error %q does not contain %q", p.Err(), want)
			}
		}
	})
}

func TestKillCountsAsACrashWithItsReason(t *testing.T) {
	eachKind(t, func(t *testing.T, sup *supervisor.Supervisor) {
		child := add(t, sup, supervisor.Spec{Command: program("stubborn"), MinBackoff: time.Hour,
			MaxBackoff: time.Hour, StopTimeout: 10 * time.Millisecond})
		p := acquire(t, child)
		line(t, p)
		reason := errors.New("it answered nonsense")
		p.Kill(reason)
		wait(t, "end", p.Done())
		if !errors.Is(p.Err(), reason) || !strings.Contains(p.Err().Error(), "signal: killed (it answered nonsense)") {
			t.Errorf("error: got %v, want the signal and %v", p.Err(), reason)
		}
		eventually(t, func() (bool, string) {
			s := child.Status()
			return s.State == supervisor.StateBackoff && errors.Is(s.Err, reason), fmt.Sprintf("status %+v", s)
		})
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		_, err := child.Acquire(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, reason) {
			t.Errorf("acquire in backoff: got %v, want the deadline and %v", err, reason)
		}
		child.Reset()
		acquire(t, child)
	})
}

func TestCloseWakesWhoWaitsForABackoff(t *testing.T) {
	eachKind(t, func(t *testing.T, sup *supervisor.Supervisor) {
		child := add(t, sup, supervisor.Spec{Command: program("exit", "1", "x"), MinBackoff: time.Hour, MaxBackoff: time.Hour})
		wait(t, "end", acquire(t, child).Done())
		got := make(chan error)
		go func() {
			_, err := child.Acquire(context.Background())
			got <- err
		}()
		if err := child.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-got; !errors.Is(err, supervisor.ErrClosed) {
			t.Errorf("acquire: got %v, want %v", err, supervisor.ErrClosed)
		}
	})
}

func TestACommandThatCannotStartSaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("plain.sh", "echo hello\n", 0o755)
	for _, c := range []struct {
		name  string
		spec  supervisor.Spec
		words []string
	}{
		{"a name that is not in PATH", supervisor.Spec{Command: []string{"no-such-mcp-server"}, Env: map[string]string{"PATH": "/usr/bin:/bin"}},
			[]string{`"no-such-mcp-server"`, "not in PATH (/usr/bin:/bin)", "install it"}},
		{"a path that is not there", supervisor.Spec{Command: []string{"./server"}, Dir: dir},
			[]string{`"./server"`, "no such program", dir}},
		{"a file that is not executable", supervisor.Spec{Command: []string{write("data", "x", 0o644)}},
			[]string{"data", "executable"}},
		{"a directory that is not there", supervisor.Spec{Command: []string{"sh"}, Dir: filepath.Join(dir, "gone")},
			[]string{"open directory", "gone", "no such file"}},
		{"a directory that is a file", supervisor.Spec{Command: []string{"sh"}, Dir: filepath.Join(dir, "data")},
			[]string{"open directory", "it is a file"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachKind(t, func(t *testing.T, sup *supervisor.Supervisor) {
				c.spec.Name = "files"
				_, err := add(t, sup, c.spec).Acquire(context.Background())
				if err == nil {
					t.Fatal("got no error")
				}
				for _, want := range append(c.words, `server "files"`) {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("error %q does not contain %q", err, want)
					}
				}
			})
		})
	}
}

func TestAWrongSpecIsRefusedWithAllItsFaults(t *testing.T) {
	sup := newSupervisor(t, supervisor.Options{})
	_, err := sup.Add(supervisor.Spec{Name: "../x", Command: []string{"a", "b\x00c"}, Dir: "\x00",
		Env: map[string]string{"A=B": "1", "C": "\x00"}})
	if err == nil {
		t.Fatal("got no error")
	}
	for _, want := range []string{"without slashes", "argument 1 contains a NUL", `"A=B"`, "value of C", "dir"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not contain %q", err, want)
		}
	}
	if _, err := sup.Add(supervisor.Spec{Name: "x"}); err == nil || !strings.Contains(err.Error(), "command is empty") {
		t.Errorf("empty command: got %v", err)
	}
}

func TestArgumentsReachTheProgramUnchanged(t *testing.T) {
	eachKind(t, func(t *testing.T, sup *supervisor.Supervisor) {
		args := []string{"-c", "--upload-pack=x", "@file", "a\nb", "", "$(id)", "\xff\xfe", "*"}
		p := acquire(t, add(t, sup, supervisor.Spec{Command: append([]string{"printf", "%s|"}, args...)}))
		got, err := io.ReadAll(p.Stdout())
		if want := strings.Join(args, "|") + "|"; string(got) != want || err != nil {
			t.Errorf("arguments: got %q, %v; want %q", got, err, want)
		}
	})
}

func TestAChildOfAPIDFileIsInItWhileItRuns(t *testing.T) {
	dir := t.TempDir()
	sup := newSupervisor(t, supervisor.Options{PIDDir: dir})
	one := add(t, sup, supervisor.Spec{Name: "files", Command: program("echo")})
	two := add(t, sup, supervisor.Spec{Name: "files", Command: program("echo")})
	file := filepath.Join(dir, "files.pid")
	p, q := acquire(t, one), acquire(t, two)
	eventually(t, func() (bool, string) {
		got, err := os.ReadFile(file)
		want := fmt.Sprintf("%d\n%d\n", p.PID(), q.PID())
		reverse := fmt.Sprintf("%d\n%d\n", q.PID(), p.PID())
		return string(got) == want || string(got) == reverse, fmt.Sprintf("pid file: got %q, %v; want %q", got, err, want)
	})
	for _, c := range []*supervisor.Child{one, two} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("pid file after the end: got %v, want none", err)
	}
}
