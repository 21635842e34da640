//go:build unix

package supervisor_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/supervisor"
)

func TestAChildThatKeepsEndingDoesNotFillTheLog(t *testing.T) {
	var log bytes.Buffer
	well := false
	synctest.Test(t, func(t *testing.T) {
		fake := &supervisor.Fake{Log: slog.New(slog.NewTextHandler(&log, nil)), Run: func(int) supervisor.FakeRun {
			if well {
				return supervisor.FakeRun{Uptime: time.Hour, Stderr: "hello\n"}
			}
			return supervisor.FakeRun{Uptime: time.Millisecond, Code: 1}
		}}
		sup := supervisor.NewFake(fake)
		child := add(t, sup, supervisor.Spec{
			Name: "files", Command: []string{"sh"}, Env: map[string]string{"PATH": "/usr/bin:/bin"},
			MinBackoff: time.Second, MaxBackoff: 30 * time.Second, CrashCount: 5, CrashWindow: time.Minute,
		})
		starts := 0
		for began := time.Now(); time.Since(began) < 35*time.Minute; starts++ {
			if p, err := child.Acquire(t.Context()); err == nil {
				<-p.Done()
			}
			<-time.After(time.Second)
		}
		well = true
		for child.Status().State != supervisor.StateRunning {
			_, _ = child.Acquire(t.Context()) // in a crash loop it refuses
			<-time.After(time.Second)
		}
		<-time.After(time.Minute)
		if n := child.Status().Exits; n != 0 {
			t.Errorf("a child that runs for a minute has %d exits in a row", n)
		}
		if err := sup.Close(); err != nil {
			t.Error(err)
		}
		if starts < 50 {
			t.Errorf("only %d starts: the test says nothing", starts)
		}
	})
	for line, want := range map[string]int{
		`msg="child started"`:        2, // the first, and the second
		`msg="child ended by itself`: 5, // the first end, the crash loop, and a reminder every ten minutes
		`msg="child runs again"`:     1,
		`msg="child stopped"`:        1,
	} {
		if got := strings.Count(log.String(), line); got != want {
			t.Errorf("%s is %d times in the log, want %d", line, got, want)
		}
	}
	if t.Failed() {
		t.Log(log.String())
	}
}
