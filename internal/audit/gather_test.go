package audit_test

import (
	"context"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/audit"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// slow is a disk that takes as long for each flush, and counts them and the writes
// into segments.
type slow struct {
	takes          time.Duration
	syncs, written atomic.Int64
}

func (s *slow) open(path string, flag int, perm fs.FileMode) (audit.File, error) {
	f, err := os.OpenFile(path, flag, perm)
	return &slowFile{f, s}, err
}

type slowFile struct {
	*os.File
	s *slow
}

func (f *slowFile) Write(p []byte) (int, error) {
	f.s.written.Add(1)
	return f.File.Write(p)
}

func (f *slowFile) Sync() error {
	f.s.syncs.Add(1)
	<-time.After(f.s.takes)
	return nil
}

// after makes a server that answers when so much time has passed.
func after(d time.Duration) mcp.Handler {
	return mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) {
		<-time.After(d)
		return mcp.EmptyResult(), nil
	})
}

// called makes calls one after the other.
func called(t *testing.T, h mcp.Handler, calls int) {
	for range calls {
		if _, err := h.Handle(context.Background(), call("write", `{}`)); err != nil {
			t.Error(err)
			return
		}
	}
}

func TestCallersInTwoGroupsComeToShareAFlush(t *testing.T) {
	const callers, calls = 16, 50
	for _, takes := range []time.Duration{200 * time.Microsecond, time.Millisecond, 5 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			disk := &slow{takes: takes}
			l := open(t, audit.Options{Config: settings(t.TempDir()), OpenFile: disk.open})
			h := l.Record("files")(after(700 * time.Microsecond))
			before := disk.syncs.Load()
			var work sync.WaitGroup
			for n := range callers {
				work.Go(func() {
					<-time.After(time.Duration(n/8) * takes / 2) // half of them when the first flush is under way
					called(t, h, calls)
				})
			}
			work.Wait()
			got, most := disk.syncs.Load()-before, int64(calls*3/2)
			if t.Logf("%d flushes of %s", got, takes); got > most {
				t.Errorf("%d callers with %d calls each took %d flushes of %s, want at most %d", callers, calls, got, takes, most)
			}
			closeLog(t, l)
		})
	}
}

func TestACallerAloneIsNotKeptWaitingForOthers(t *testing.T) {
	const calls = 50
	for name, others := range map[string]int{"alone": 0, "beside calls that last": 5} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				disk := &slow{takes: time.Millisecond}
				c := settings(t.TempDir())
				c.CheckpointRecords = 100000
				l := open(t, audit.Options{Config: c, OpenFile: disk.open})
				var work sync.WaitGroup
				for range others {
					work.Go(func() { called(t, l.Record("files")(after(time.Minute)), 1) })
				}
				synctest.Wait()
				<-time.After(time.Second)
				begun := time.Now()
				called(t, l.Record("files")(after(0)), calls)
				// A few windows pass until it is known that nobody else comes.
				if got, most := time.Since(begun), calls*disk.takes+10*c.Window; got > most {
					t.Errorf("%d calls with a flush of %s each took %s, want at most %s", calls, disk.takes, got, most)
				}
				work.Wait()
				closeLog(t, l)
			})
		})
	}
}

func TestOutcomesThatComeTogetherShareAWrite(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const callers, rounds = 16, 20
	disk := &slow{}
	c := settings(t.TempDir())
	c.CheckpointRecords = 100000
	l := open(t, audit.Options{Config: c, OpenFile: disk.open})
	wrote := int64(0)
	for range rounds {
		var work, inside sync.WaitGroup
		inside.Add(callers)
		answer := make(chan struct{})
		h := l.Record("files")(mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) {
			inside.Done()
			<-answer
			return mcp.EmptyResult(), nil
		}))
		for range callers {
			work.Go(func() { called(t, h, 1) })
		}
		inside.Wait()
		before := disk.written.Load()
		close(answer)
		work.Wait()
		wrote += disk.written.Load() - before
	}
	if most := int64(callers * rounds / 2); wrote > most {
		t.Errorf("%d outcomes, %d at a time, took %d writes, want at most %d", callers*rounds, callers, wrote, most)
	}
	t.Logf("%d outcomes, %d writes", callers*rounds, wrote)
	closeLog(t, l)
}
