//go:build linux

package faults

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dragoman-mcp/dragoman/test/program"
)

// isLong is whether the run may take ten minutes.
var isLong = os.Getenv("DRAGOMAN_FAULTS") == "long"

// TestMain makes the test binary also the processes that stand before the
// test's servers: they can be killed and stopped like any other.
func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == "relay" {
		if err := relay(os.Args[2], os.Args[3], os.Args[4:]); err != nil {
			fmt.Fprintln(os.Stderr, "relay:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	go clock.watch()
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/dragoman-mcp/dragoman/test/faults.(*lateness).watch"), goleak.Cleanup(func(code int) {
		built.Remove()
		os.Exit(code)
	}))
}

// built is the program of all tests.
var built program.Once

// dragoman returns cmd/dragoman. DRAGOMAN_FAULTS_BINARY names one that is there,
// DRAGOMAN_FAULTS_RACE=1 has it built with the race detector.
func dragoman(t testing.TB) string {
	t.Helper()
	var flags []string
	if os.Getenv("DRAGOMAN_FAULTS_RACE") == "1" {
		flags = append(flags, "-race")
	}
	return built.Path(t, "DRAGOMAN_FAULTS_BINARY", flags...)
}

// patience is how long is waited for what has to come, where how soon is not
// what is tested: CI's machine may be ten times slower than any of ours.
const patience = time.Minute

// poll waits until done says so, or fails the test with what was waited for.
func poll(t testing.TB, limit time.Duration, what string, done func() bool) {
	t.Helper()
	if !await(limit, done) {
		t.Fatalf("not within %s: %s", limit, what)
	}
}

// await reports whether done said so within limit.
func await(limit time.Duration, done func() bool) bool {
	if done() {
		return true
	}
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if done() {
				return true
			}
		case <-deadline.C:
			return done()
		}
	}
}

// pause lets time pass while others work; false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// either is the first for a long run and the second for a short one.
func either[T any](long, short T) T {
	if isLong {
		return long
	}
	return short
}
