package audit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dragoman-mcp/dragoman/internal/audit"
	"github.com/dragoman-mcp/dragoman/mcp"
)

// failingWhenCalled is a server at whose call the disk begins to fail.
func failingWhenCalled(disk *faulty, write, sync error) mcp.Handler {
	return mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) {
		disk.set(write, sync)
		return mcp.EmptyResult(), nil
	})
}

func TestACallWhoseOutcomeCannotBeWrittenIsToldAsLost(t *testing.T) {
	c := settings(t.TempDir())
	disk := &faulty{}
	l := open(t, audit.Options{Config: c, OpenFile: disk.open})
	h := l.Record("files")(failingWhenCalled(disk, syscall.ENOSPC, nil))
	if _, err := h.Handle(context.Background(), call("write", "{}")); mcp.WireError(err).Code != mcp.CodeCallLost {
		t.Errorf("the error is %v, want CodeCallLost", err)
	}
	disk.set(nil, nil)
	closeLog(t, l)
	l = open(t, audit.Options{Config: c})
	closeLog(t, l)
	if r := whole(t, c); r.Unfinished != 1 {
		t.Errorf("report is %+v, want the call as unfinished", r)
	}
}

// TestAnOutcomeWhoseFlushFailsClosesTheLogAndIsKept answers calls whose outcomes are
// written and then not flushed: the next side effect is refused, nobody waits for
// the outcomes, and they are in the log once it has been mended.
func TestAnOutcomeWhoseFlushFailsClosesTheLogAndIsKept(t *testing.T) {
	for name, closed := range map[string]bool{"it is mended while it runs": false, "it is mended when it is closed": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := settings(t.TempDir())
				disk, next := &faulty{}, &counting{}
				l := open(t, audit.Options{Config: c, OpenFile: disk.open})
				ctx := context.Background()
				h := l.Record("files")(failingWhenCalled(disk, nil, syscall.EIO))
				if _, err := h.Handle(ctx, call("write", `{"n":1}`)); err != nil {
					t.Fatalf("the outcome was written, and the call ended with %v", err)
				}
				if _, err := l.Record("files")(next).Handle(ctx, call("write", `{"refused":true}`)); mcp.WireError(err).Code != mcp.CodeUnavailable || next.n.Load() != 0 {
					t.Errorf("the next side effect ended with %v and was made %d times, want CodeUnavailable and 0", err, next.n.Load())
				}
				disk.set(nil, nil)
				if !closed {
					<-time.After(31 * time.Second) // of the bubble's clock
					synctest.Wait()
					if _, err := l.Record("files")(next).Handle(ctx, call("write", `{"n":2}`)); err != nil {
						t.Errorf("after the disk was mended: %v", err)
					}
				}
				closeLog(t, l)
				r := whole(t, c)
				if r.Unfinished != 0 || r.Recoveries != 1 || r.Segments != 2 {
					t.Errorf("report is %+v, want the outcome in a second segment", r)
				}
				if strings.Contains(onDisk(t, c.Dir), "refused\":") {
					t.Error("an intent that was refused is in the log")
				}
			})
		})
	}
}

func TestAnOutcomeDoesNotWaitForTheDisk(t *testing.T) {
	c := settings(t.TempDir())
	disk := &hanging{release: make(chan struct{})}
	l := open(t, audit.Options{Config: c, OpenFile: disk.open})
	h := l.Record("files")(mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) {
		disk.on.Store(true) // no flush ends from here on
		return mcp.EmptyResult(), nil
	}))
	if _, err := h.Handle(context.Background(), call("write", "{}")); err != nil {
		t.Fatal(err)
	}
	all := records(t, c)
	if last := all[len(all)-1]; last["kind"] != "outcome" {
		t.Errorf("when the call was answered the last record in the file is %v, want its outcome", last)
	}
	close(disk.release)
	closeLog(t, l)
	whole(t, c)
}

func TestAnOutcomeIsFlushedWithoutAnotherCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, audit.Options{Config: settings(t.TempDir())})
		if _, err := l.Record("files")(&counting{}).Handle(context.Background(), call("write", "{}")); err != nil {
			t.Fatal(err)
		}
		<-time.After(50 * time.Millisecond) // of the bubble's clock
		synctest.Wait()
		if s := l.Status(); s.Records != 3 {
			t.Errorf("%d records are on disk, want 3: opened, intent, outcome", s.Records)
		}
		closeLog(t, l)
	})
}

// TestFailuresUnderLoad lets the disk fail and recover again and again beneath many
// callers. Whatever was answered has its outcome in a log that is whole.
func TestFailuresUnderLoad(t *testing.T) {
	for _, fail := range [][2]error{{nil, syscall.EIO}, {syscall.ENOSPC, nil}} {
		t.Run(fmt.Sprint(fail), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := settings(t.TempDir())
				c.SegmentSize = 64 << 10
				disk := &faulty{}
				l := open(t, audit.Options{Config: c, OpenFile: disk.open})
				ctx, stop := context.WithCancel(context.Background())
				answered := callUntil(ctx, t, l)
				for range 3 {
					<-time.After(1500 * time.Millisecond) // of the bubble's clock, as below
					disk.set(fail[0], fail[1])
					<-time.After(700 * time.Millisecond)
					disk.set(nil, nil)
				}
				<-time.After(1500 * time.Millisecond)
				stop()
				ids := answered()
				closeLog(t, l)
				r := whole(t, c)
				ended := outcomes(t, c)
				for id := range ids {
					if !ended[id] {
						t.Errorf("call %s was answered, and has no outcome", id)
					}
				}
				if r.Recoveries == 0 || len(ids) < 100 {
					t.Errorf("%d calls were answered; report %+v: want failures among many calls", len(ids), r)
				}
				t.Logf("%d calls answered, %d recoveries, %d without outcome, %d segments", len(ids), r.Recoveries, r.Unfinished, r.Segments)
			})
		})
	}
}

// callUntil makes calls until ctx ends. What it returns waits for that and gives
// the ids of those that were answered.
func callUntil(ctx context.Context, t *testing.T, l *audit.Log) func() map[string]bool {
	var mu sync.Mutex
	var work sync.WaitGroup
	ids := make(map[string]bool)
	h := l.Record("files")(mcp.HandlerFunc(func(context.Context, *mcp.Request) (mcp.Result, error) {
		<-time.After(7 * time.Millisecond) // of the bubble's clock, as below
		return mcp.EmptyResult(), nil
	}))
	for caller := range 4 {
		work.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				id := fmt.Sprintf("c%dn%d", caller, n)
				_, err := h.Handle(context.Background(), call("write", `{"id":"`+id+`"}`))
				if err != nil && !errors.Is(err, audit.ErrUnavailable) {
					t.Error(err)
				}
				if err == nil {
					mu.Lock()
					ids[id] = true
					mu.Unlock()
				}
				<-time.After(time.Duration(10+caller) * time.Millisecond)
			}
		})
	}
	return func() map[string]bool { work.Wait(); return ids }
}
