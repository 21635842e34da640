//go:build unix

package supervisor_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor"
)

// bubble runs test with a child over fake commands, in fake time.
func bubble(t *testing.T, spec supervisor.Spec, run func(n int) supervisor.FakeRun, test func(*testing.T, *supervisor.Child, *supervisor.Fake)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fake := &supervisor.Fake{Run: run}
		sup := supervisor.NewFake(fake)
		spec.Name, spec.Command = "files", []string{"sh"}
		spec.Env = map[string]string{"PATH": "/usr/bin:/bin"}
		child := add(t, sup, spec)
		test(t, child, fake)
		if err := sup.Close(); err != nil {
			t.Error(err)
		}
	})
}

func crash(int) supervisor.FakeRun {
	return supervisor.FakeRun{Uptime: time.Millisecond, Code: 1, Stderr: "cannot open /data\n"}
}

// next acquires, with a bound that no test reaches in fake time, and waits for the end.
func next(t *testing.T, child *supervisor.Child) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 24*time.Hour)
	defer cancel()
	p, err := child.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	synctest.Wait()
}

func TestTheWaitBetweenRestartsDoublesUpToItsBound(t *testing.T) {
	spec := supervisor.Spec{MinBackoff: time.Second, MaxBackoff: 10 * time.Second, CrashCount: 1000}
	bubble(t, spec, crash, func(t *testing.T, child *supervisor.Child, fake *supervisor.Fake) {
		for range 8 {
			next(t, child)
		}
		for i, want := range []time.Duration{1, 2, 4, 8, 10, 10, 10} {
			want *= time.Second
			got := fake.At[i+1].Sub(fake.At[i]) - time.Millisecond
			if got < want/2 || got > want+time.Millisecond {
				t.Errorf("wait %d: got %s, want between %s and %s", i+1, got, want/2, want)
			}
		}
	})
}

func TestWaitsDifferFromChildToChild(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 10 {
		bubble(t, supervisor.Spec{}, crash, func(t *testing.T, child *supervisor.Child, fake *supervisor.Fake) {
			next(t, child)
			next(t, child)
			seen[fake.At[1].Sub(fake.At[0])] = true
		})
	}
	if len(seen) < 5 {
		t.Errorf("10 children waited for only %d different times", len(seen))
	}
}

func TestAProcessThatRanLongEnoughClearsTheRecord(t *testing.T) {
	spec := supervisor.Spec{MinBackoff: time.Second, MaxBackoff: 20 * time.Second, CrashCount: 4, CrashWindow: time.Hour}
	long := func(n int) supervisor.FakeRun {
		if n == 2 {
			return supervisor.FakeRun{Uptime: 20 * time.Second, Code: 1}
		}
		return crash(n)
	}
	bubble(t, spec, long, func(t *testing.T, child *supervisor.Child, fake *supervisor.Fake) {
		for range 4 {
			next(t, child)
		}
		if got := fake.At[3].Sub(fake.At[2]) - 20*time.Second; got > time.Second+time.Millisecond {
			t.Errorf("wait after a healthy process: got %s, want at most the first wait of 1s", got)
		}
		if got := child.Status(); got.Exits != 2 || got.State != supervisor.StateBackoff {
			t.Errorf("status: got %+v, want 2 exits in backoff", got)
		}
	})
}

func TestACrashLoopRefusesUntilItsPauseIsOverAndRecovers(t *testing.T) {
	spec := supervisor.Spec{MinBackoff: time.Second, MaxBackoff: time.Minute, CrashCount: 3, CrashWindow: time.Hour}
	healed := func(n int) supervisor.FakeRun {
		if n < 4 {
			return crash(n)
		}
		return supervisor.FakeRun{}
	}
	bubble(t, spec, healed, func(t *testing.T, child *supervisor.Child, fake *supervisor.Fake) {
		for range 3 {
			next(t, child)
		}
		if got := child.Status().State; got != supervisor.StateCrashLoop {
			t.Fatalf("state after 3 exits: got %s, want crash-loop", got)
		}
		_, err := child.Acquire(context.Background())
		var loop *supervisor.CrashLoopError
		var exit *supervisor.ExitError
		if !errors.As(err, &loop) || loop.Exits != 3 || loop.Wait < 30*time.Second-time.Millisecond || loop.Wait > time.Minute || !errors.As(err, &exit) {
			t.Fatalf("acquire: got %#v, want a CrashLoopError of 3 exits, half a minute to a minute, with an ExitError", err)
		}
		for _, want := range []string{`server "files" is in a crash loop`, "3 exits", "code 1", "cannot open /data", "next try in"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error %q does not contain %q", err, want)
			}
		}
		if len(fake.At) != 3 {
			t.Fatalf("starts: got %d, want 3", len(fake.At))
		}
		<-time.After(loop.Wait + time.Millisecond)
		synctest.Wait()
		if got := child.Status().State; got != supervisor.StateStopped {
			t.Fatalf("state after the pause: got %s, want stopped", got)
		}
		next(t, child) // one try, which fails: back in the loop at once
		if got := child.Status().State; got != supervisor.StateCrashLoop {
			t.Fatalf("state after a failed try: got %s, want crash-loop", got)
		}
		<-time.After(time.Minute + time.Millisecond)
		if _, err := child.Acquire(context.Background()); err != nil {
			t.Fatalf("acquire of a child that is well again: %v", err)
		}
	})
}

func TestExitsThatAreFarApartAreNoCrashLoop(t *testing.T) {
	spec := supervisor.Spec{MinBackoff: 10 * time.Second, MaxBackoff: 10 * time.Second, CrashCount: 3, CrashWindow: 9 * time.Second}
	bubble(t, spec, crash, func(t *testing.T, child *supervisor.Child, _ *supervisor.Fake) {
		for range 10 {
			next(t, child)
			if got := child.Status().State; got != supervisor.StateBackoff {
				t.Fatalf("state: got %s, want backoff", got)
			}
		}
	})
}

func TestAStartThatFailsCountsAsAnExitAndIsAnErrorAtOnce(t *testing.T) {
	fails := func(int) supervisor.FakeRun { return supervisor.FakeRun{Err: errors.New("exec format error")} }
	bubble(t, supervisor.Spec{CrashCount: 2}, fails, func(t *testing.T, child *supervisor.Child, _ *supervisor.Fake) {
		for range 2 {
			_, err := child.Acquire(context.Background())
			if err == nil || !strings.Contains(err.Error(), `start server "files"`) {
				t.Fatalf("acquire: got %v, want the error of the start", err)
			}
		}
		_, err := child.Acquire(context.Background())
		var loop *supervisor.CrashLoopError
		if !errors.As(err, &loop) || !strings.Contains(err.Error(), "exec format error") {
			t.Fatalf("acquire: got %v, want a crash loop with its cause", err)
		}
	})
}

func TestAcquireKeepsTheCallersDeadline(t *testing.T) {
	spec := supervisor.Spec{MinBackoff: time.Hour, MaxBackoff: time.Hour}
	bubble(t, spec, crash, func(t *testing.T, child *supervisor.Child, _ *supervisor.Fake) {
		next(t, child)
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		started := time.Now()
		_, err := child.Acquire(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "state backoff") || !strings.Contains(err.Error(), "cannot open /data") {
			t.Errorf("acquire: got %v, want the deadline, the state, and the last words", err)
		}
		if took := time.Since(started); took != 3*time.Second {
			t.Errorf("acquire took %s, want 3s", took)
		}
	})
}

func TestResetGivesANewChance(t *testing.T) {
	bubble(t, supervisor.Spec{CrashCount: 1}, crash, func(t *testing.T, child *supervisor.Child, fake *supervisor.Fake) {
		for n := range 3 {
			next(t, child)
			if got := child.Status().State; got != supervisor.StateCrashLoop {
				t.Fatalf("round %d: state %s, want crash-loop", n, got)
			}
			child.Reset()
			if got := child.Status(); got.State != supervisor.StateStopped || got.Exits != 0 || got.Err != nil {
				t.Fatalf("round %d: after reset %+v, want stopped with a clean record", n, got)
			}
		}
		if len(fake.At) != 3 {
			t.Errorf("starts: got %d, want 3", len(fake.At))
		}
	})
}

func TestStopDoesNotEndACrashLoop(t *testing.T) {
	bubble(t, supervisor.Spec{CrashCount: 1}, crash, func(t *testing.T, child *supervisor.Child, _ *supervisor.Fake) {
		next(t, child)
		if err := child.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := child.Status().State; got != supervisor.StateCrashLoop {
			t.Errorf("state: got %s, want crash-loop", got)
		}
	})
}

func TestStopWaitsTheWholeGraceTwiceBeforeItKills(t *testing.T) {
	deaf := func(int) supervisor.FakeRun { return supervisor.FakeRun{Deaf: true} }
	bubble(t, supervisor.Spec{StopTimeout: 7 * time.Second}, deaf, func(t *testing.T, child *supervisor.Child, _ *supervisor.Fake) {
		p, err := child.Acquire(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		started := time.Now()
		done := make(chan error)
		for range 3 { // at once: they share the stop
			go func() { done <- child.Stop(context.Background()) }()
		}
		for range 3 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(started); took != 14*time.Second {
			t.Errorf("stop took %s, want 14s", took)
		}
		if p.Err() != nil {
			t.Errorf("error after a stop: got %v, want nil", p.Err())
		}
	})
}

func TestEveryChangeIsToldInOrder(t *testing.T) {
	var got []string
	spec := supervisor.Spec{CrashCount: 2, OnChange: func(c supervisor.Change) {
		got = append(got, fmt.Sprintf("%s pid=%d err=%t", c.State, c.PID, c.Err != nil))
	}}
	bubble(t, spec, crash, func(t *testing.T, child *supervisor.Child, _ *supervisor.Fake) {
		next(t, child)
		next(t, child)
		want := "starting pid=0 err=false, running pid=1001 err=false, stopping pid=1001 err=false, backoff pid=0 err=true, " +
			"stopped pid=0 err=false, starting pid=0 err=false, running pid=1002 err=false, stopping pid=1002 err=false, " +
			"crash-loop pid=0 err=true"
		if s := strings.Join(got, ", "); s != want {
			t.Errorf("changes:\ngot  %s\nwant %s", s, want)
		}
	})
}

func TestAStopDoesNotHideTheReasonOfAKill(t *testing.T) {
	lives := func(int) supervisor.FakeRun { return supervisor.FakeRun{} }
	bubble(t, supervisor.Spec{}, lives, func(t *testing.T, child *supervisor.Child, _ *supervisor.Fake) {
		p, err := child.Acquire(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		reason := errors.New("it does not answer")
		p.Kill(reason)
		if err := child.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := child.Status(); !errors.Is(p.Err(), reason) || !errors.Is(got.Err, reason) {
			t.Errorf("got %v and %+v, want the reason of the kill in both", p.Err(), got)
		}
	})
}
